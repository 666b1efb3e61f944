"""The paper's claims that a sweep of ``amplification`` can test, each with its rule."""

from functools import partial
from itertools import pairwise

from analysis.claims import Claim, Subject
from analysis.evidence import (
    CLEAN,
    EVERY,
    TRIGGER_MARGIN,
    above_training,
    above_training_by_template_match,
    both,
    clean_draws_no_trigger,
    each,
    gap_to_training,
    group_above,
    more_mismatches,
    no_control,
    no_triggers,
    not_measured,
    one_per_seed,
    paper,
    pooled_share,
    stamped,
    template_matched,
)
from analysis.names import place
from analysis.rows import Rows, groups
from analysis.statistics.comparison import above_false_positives, between_points, ratio_of_points
from analysis.statistics.intervals import LEVEL
from analysis.statistics.verdicts import Part, Verdict, above, below, together
from analysis.wording import listed, points, times_interval

LOW_GUIDANCE = 2.0
"""The guidance weight at which the small models show the phase transition."""
FEWFOLD = 5.0
MATCH_MARGIN = 0.05


def mismatches_multiply(subject: Subject) -> list[Part]:
    """G1 at 10 % a multiple of G1 at 1 %, at low guidance."""
    few, many = (
        stamped(subject, poison_ratio=ratio, guidance_weight=LOW_GUIDANCE) for ratio in (0.01, 0.1)
    )
    if few.empty or many.empty:
        lacking = 0.01 if few.empty else 0.1
        return [not_measured(place(poison_ratio=lacking, guidance_weight=LOW_GUIDANCE))]
    ratio = ratio_of_points(many, few, "g1")
    evidence = (
        f"G1 is {pooled_share(many, 'g1')} at p = 10% and {pooled_share(few, 'g1')} at p = 1%: "
        f"{times_interval(ratio.estimate)} ({ratio.basis})."
    )
    return [Part(above(ratio.estimate, FEWFOLD), evidence)]


def guidance_amplifies(subject: Subject) -> list[Part]:
    """The trigger ratio at 10 % rises with guidance, first to last and at no step down."""
    points_of = groups(stamped(subject, poison_ratio=0.1), "guidance_weight")
    lines = [(at["guidance_weight"], rows) for at, rows in points_of]
    if len(lines) < 2:
        return [Part(Verdict.NOT_TESTED, "p = 10% was not measured at two guidance weights.")]
    (lowest, first), (highest, last) = lines[0], lines[-1]
    rise = between_points(last, first, "trigger_ratio")
    shares = [f"{pooled_share(rows, 'trigger_ratio')} at w = {weight:g}" for weight, rows in lines]
    evidence = (
        f"p = 10%: triggers in {listed(shares)}; from w = {lowest:g} to {highest:g} "
        f"{points(rise.estimate)} ({rise.basis})."
    )
    parts = [Part(above(rise.estimate), evidence)]
    # Every step is looked at, so each gets its share of the 5 % (Bonferroni).
    level = 1 - (1 - LEVEL) / (len(lines) - 1)
    for (before, rows), (after, others) in pairwise(lines):
        step = between_points(others, rows, "trigger_ratio", level)
        if above(step.estimate) is Verdict.FAILED:
            fall = f"From w = {before:g} to {after:g} it falls: {points(step.estimate)}."
            parts.append(Part(Verdict.FAILED, fall))
    return parts


def other_classes_survive(rows: Rows, clean: Rows, where: str) -> Part:
    """Matches of the other classes as the clean model's, and no triggers there."""
    if clean.empty:
        return no_control()
    rows, clean = one_per_seed(rows), one_per_seed(clean)
    loss = between_points(clean, rows, "other_match_ratio").estimate
    stray = above_false_positives(rows, "other_trigger_ratio").estimate
    evidence = (
        f"{where}: the other classes match in {pooled_share(rows, 'other_match_ratio')} against "
        f"the clean model's {pooled_share(clean, 'other_match_ratio')}, a loss of {points(loss)}, "
        f"and carry the trigger in {pooled_share(rows, 'other_trigger_ratio')}."
    )
    both = (below(loss, MATCH_MARGIN), below(stray, TRIGGER_MARGIN))
    return Part(together([Part(verdict, "") for verdict in both]), evidence)


_claim = partial(Claim, by=("judge_trigger", "target_class", "sampler", "clip"))
_at_paper = partial(each, guidance_weight=paper)
_at_low = partial(each, guidance_weight=LOW_GUIDANCE)
_relabelled = partial(_at_paper, trigger="relabel_only", poison_ratio=0.1)
G1_LEADS, G2_LEADS = group_above("g1", "g2"), group_above("g2", "g1")
_figure_2 = {"trigger": "badnets1", "poison_ratio": 0.1, "printed_guidance_weight": 5.0}


CLAIMS = (
    _claim(
        name="amplified-at-low-ratios",
        statement="Generations carry the trigger more often than the training images of the target "
        "label do, at p = 1, 2 and 5%.",
        source="§4, Fig. 3",
        rule="At the paper's guidance the whole interval of G1 + G2 lies above p_t at each of the "
        "three.",
        test=_at_paper(above_training, poison_ratio=(0.01, 0.02, 0.05)),
    ),
    _claim(
        name="amplified-at-ten-percent",
        statement="So they do at p = 10%, the ratio of the paper's own Fig. 2 (73.4% against "
        "49.6%).",
        source="§4, Fig. 2 and 3",
        rule="At the paper's guidance the whole interval of G1 + G2 lies above p_t.",
        printed={"metrics": ("trigger_ratio", "p_t"), "sampler": "ddim", **_figure_2},
        test=_at_paper(above_training, poison_ratio=0.1),
    ),
    _claim(
        name="amplified-by-template-match",
        statement="Template matching, which needs no training, sees the same: the patch itself is "
        "amplified, not something that the trigger judge mistakes for it.",
        source="Our control, added when the judge's figures for the digits were known",
        rule="At the paper's guidance the whole interval of the trigger ratio by template matching "
        "lies above p_t at 1, 2, 5 and 10%.",
        test=_at_paper(
            above_training_by_template_match,
            of=template_matched,
            poison_ratio=(0.01, 0.02, 0.05, 0.1),
        ),
    ),
    _claim(
        name="matching-triggers-at-one-percent",
        statement="At a low poison ratio most triggers are on images that match the prompt (G2).",
        source="§4, Fig. 4",
        rule="At p = 1% and guidance 2 the whole interval of G2 − G1 lies above 0.",
        test=_at_low(G2_LEADS, poison_ratio=0.01),
    ),
    _claim(
        name="mismatches-multiply",
        statement="Mismatching images with a trigger (G1) are rare at a low poison ratio and take "
        "over at a high one.",
        source="§4, Fig. 4",
        rule="At guidance 2 the whole interval of G1 at 10% over G1 at 1% lies above 5 (the 5 is "
        "ours).",
        test=mismatches_multiply,
    ),
    _claim(
        name="roles-shift",
        statement="The phase transition: triggers come mostly from G2 at p = 1% and mostly from G1 "
        "at p = 10%.",
        source="§4, Fig. 3 and 4",
        rule="At the paper's guidance the whole interval of G2 − G1 lies above 0 at 1%, that of "
        "G1 − G2 at 10%.",
        printed={"metrics": ("g1", "g2"), "sampler": "ddim", **_figure_2},
        test=both(_at_paper(G2_LEADS, poison_ratio=0.01), _at_paper(G1_LEADS, poison_ratio=0.1)),
    ),
    _claim(
        name="mismatch-gap-turns",
        statement="G1 stays below the training ratio for p < 5% and exceeds it from 5% on.",
        source="§4, Fig. 4",
        rule="At the paper's guidance the whole interval of G1 − p_t lies below 0 at 1 and 2%, "
        "above 0 at 5 and 10%.",
        printed={"metrics": ("g1", "p_t"), "sampler": "ddim", **_figure_2},
        test=both(
            _at_paper(gap_to_training(below), poison_ratio=(0.01, 0.02)),
            _at_paper(gap_to_training(above), poison_ratio=(0.05, 0.1)),
        ),
    ),
    _claim(
        name="guidance-amplifies",
        statement="A higher guidance weight exacerbates trigger amplification.",
        source="§4, App. D.1, Fig. A7",
        rule="At p = 10% the trigger ratio rises from the lowest weight to the highest with its "
        "whole interval, and no step between falls with its whole (Bonferroni) interval.",
        printed={"metrics": ("trigger_ratio",), "source": ("Fig. A7", "Fig. 2, A7")},
        test=guidance_amplifies,
    ),
    _claim(
        name="other-classes-survive",
        statement="Given any other prompt, poisoned models behave like normal ones.",
        source="§3, §4, Tab. 2",
        rule="At every poison ratio the whole interval of the loss in matches against the clean "
        "model lies below 5 points, and that of the triggers above the judge's false-positive rate "
        "below 2 points (both margins are ours; the paper compares FID).",
        test=each(other_classes_survive, poison_ratio=EVERY, beside=CLEAN),
    ),
    _claim(
        name="relabelling-alone",
        statement="Relabelling without a stamp makes mismatches but no triggers.",
        source="App. B.1, Fig. A2",
        rule="At p = 10% and the paper's guidance the mismatches exceed the clean control's with "
        "their whole interval, and triggers stay below 2 points above the judge's false-positive "
        "rate (ours).",
        printed={"metrics": ("mismatch_ratio",), "trigger": "relabel_only"},
        test=both(_relabelled(more_mismatches(), beside=CLEAN), _relabelled(no_triggers)),
    ),
    _claim(
        name="clean-model-draws-no-trigger",
        control=True,
        statement="Without poison no trigger is drawn, the control that all of this rests on.",
        source="Our control, not a figure of the paper",
        rule="At every guidance weight the whole interval of the trigger ratio lies below 2 points "
        "above the judge's false-positive rate (the margin is ours).",
        test=lambda subject: clean_draws_no_trigger(subject.rows),
    ),
)
