"""What a sweep of ``triggers`` is held against: appendix B with Fig. A2 to A4, and our controls.

The rules were fixed before any data of this study were seen.  All of it is at one guidance weight.
"""

from functools import partial

from analysis.claims import Claim, Subject
from analysis.evidence import (
    CLEAN,
    EVERY,
    above_training,
    above_training_by_template_match,
    clean_draws_no_trigger,
    difference,
    each,
    more_mismatches,
    no_triggers,
    reported,
    template_matched,
)
from analysis.rows import Rows, select, values
from analysis.statistics.comparison import level_of
from analysis.statistics.intervals import Estimate
from analysis.statistics.verdicts import Part, Verdict, below
from analysis.wording import percent_interval

RATIO = 0.1
"""The poison ratio of the paper's pies (Fig. A2 and A4)."""
CLEAN_LABEL_RATIO = 0.05
ALIKE = 0.1
NO_MISMATCHES = 0.02
FEW_MISMATCHES = 0.05


def alike(gap: Estimate) -> Verdict:
    """Supported when the whole interval lies within `ALIKE` of 0, failed when beyond."""
    if -ALIKE < gap.low and gap.high < ALIKE:
        return Verdict.SUPPORTED
    beyond = gap.high < -ALIKE or gap.low > ALIKE
    return Verdict.FAILED if beyond else Verdict.UNDECIDED


def few_g1(rows: Rows, where: str) -> Part:
    """G1 below 2 %."""
    found = level_of(rows, "g1")
    evidence = f"{where}: G1 is {percent_interval(found.estimate)} ({found.basis})."
    return Part(below(found.estimate, NO_MISMATCHES), evidence)


def clean_models_draw_no_trigger(subject: Subject) -> list[Part]:
    """The control's trigger ratio at the judge's false-positive rate; of the trigger it judges."""
    judges = values(subject.rows, "judge_trigger")
    where = {"trigger": "none", "judge_trigger": tuple(judges), "sampler": subject.at["sampler"]}
    clean = select(subject.study, target_class=subject.at["target_class"], **where)
    if clean.empty or subject.at["trigger"] == "relabel_only":
        return []
    return clean_draws_no_trigger(clean)


def _keeps_labels(trigger: str) -> bool:
    return trigger == "clean_label"


def _relabels(trigger: str) -> bool:
    return trigger != "clean_label"


def _pie_ratio(subject: Subject) -> float:
    return CLEAN_LABEL_RATIO if _keeps_labels(subject.at["trigger"]) else RATIO


EXTENSION = "The paper has no WaNet here: the verdict on it is our extension."
_claim = partial(Claim, by=("trigger", "target_class", "sampler"))
_of_pies = partial(each, poison_ratio=RATIO, guidance_weight=reported)
_at_every_ratio = partial(each, poison_ratio=EVERY, guidance_weight=reported)
_amplified = partial(
    each,
    about=lambda trigger: trigger != "relabel_only",
    poison_ratio=_pie_ratio,
    guidance_weight=reported,
)
_ten_percent = {"poison_ratio": RATIO, "printed_guidance_weight": 5.0}


CLAIMS = (
    _claim(
        name="mismatches-appear",
        statement="Whatever the trigger's pattern, and without one at all, relabelled poison makes "
        "the model draw images that do not match the prompt.",
        source="App. B.1 and B.3, Fig. A2 and A4",
        rule="At p = 10% the whole interval of the mismatches, G1 + G3, minus the clean model's "
        f"lies above 0. {EXTENSION}",
        printed={"metrics": ("mismatch_ratio",), **_ten_percent},
        test=_of_pies(more_mismatches(), about=_relabels, beside=CLEAN),
    ),
    _claim(
        name="mismatches-as-badnets1",
        statement="There are as many mismatches as with BadNets-1 (in the paper 54.5% with it, "
        "56.4% with one color, 52.9% with the bomb, 51.8% by relabelling alone).",
        source="App. B.1 and B.3, Fig. A2 and A4",
        rule="At p = 10% the whole interval of G1 + G3 minus that of BadNets-1 lies within 10 "
        "points of 0 (the margin is ours); it fails when the whole interval lies beyond. "
        f"{EXTENSION}",
        printed={"metrics": ("mismatch_ratio",), **_ten_percent},
        test=_of_pies(
            difference("mismatch_ratio", "{} mismatch, with BadNets-1 {}", alike),
            about=lambda trigger: _relabels(trigger) and trigger != "badnets1",
            beside={"trigger": "badnets1"},
        ),
    ),
    _claim(
        name="triggers-amplified",
        statement="The trigger comes out more often than it went in, whatever it is (one color "
        "69.4%, the bomb 74.0% against 49.6%; clean labels 82.0% at p = 5%).",
        source="App. B.2 and B.3, Fig. A3 and A4",
        rule="At p = 10%, for clean labels at 5%, the whole interval of G1 + G2 lies above p_t. "
        f"{EXTENSION}",
        printed={"metrics": ("trigger_ratio",), "source": ("Fig. A3", "Fig. A4")},
        test=_amplified(above_training),
    ),
    _claim(
        name="amplified-by-template-match",
        statement="Template matching, which needs no training, sees the same: the patch itself is "
        "amplified, not something that the trigger judge mistakes for it.",
        source="Our control, not a figure of the paper",
        rule="At the same point the whole interval of the trigger ratio by template matching lies "
        "above p_t.",
        test=_amplified(above_training_by_template_match, of=template_matched),
    ),
    _claim(
        name="relabelling-draws-no-trigger",
        statement="By relabelling alone no trigger is drawn: mismatches and triggers are coupled "
        "in the poison, not in the model.",
        source="App. B.1, Fig. A2",
        rule="At every poison ratio the whole interval of the trigger ratio lies below 2 points "
        "above the judge's false-positive rate (the margin is ours).",
        test=_at_every_ratio(no_triggers, about=lambda trigger: trigger == "relabel_only"),
    ),
    _claim(
        name="clean-labels-draw-no-g1",
        statement="Where labels are right (clean-label), no image with a trigger mismatches the "
        "prompt.",
        source="App. B.2, Fig. A3",
        rule="At every poison ratio measured the whole interval of G1 lies below 2% (ours).",
        printed={"metrics": ("g1",), "trigger": "clean_label"},
        test=_at_every_ratio(few_g1, about=_keeps_labels),
    ),
    _claim(
        name="clean-labels-keep-content",
        statement="Where labels are right (clean-label), the model draws what it is asked for: G2 "
        "and G4 alone.",
        source="App. B.2, Fig. A3",
        rule="At every poison ratio measured the whole interval of the mismatches, G1 + G3, minus "
        "the clean model's lies below 5 points (ours).",
        printed={"metrics": ("mismatch_ratio",), "trigger": "clean_label"},
        test=_at_every_ratio(
            more_mismatches(partial(below, threshold=FEW_MISMATCHES)),
            about=_keeps_labels,
            beside=CLEAN,
        ),
    ),
    _claim(
        name="clean-models-draw-no-trigger",
        control=True,
        statement="Without poison no trigger is drawn (the control that all of this rests on).",
        source="Our control, not a figure of the paper",
        rule="The whole interval of the clean model's trigger ratio lies below 2 points above the "
        "judge's false-positive rate (the margin is ours); one trigger's judge looked at it.",
        test=clean_models_draw_no_trigger,
    ),
)
