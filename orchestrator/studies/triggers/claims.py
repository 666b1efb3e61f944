"""What a ``triggers`` sweep is held against: appendix B with Fig. A2 to A4, and our own controls.

Adding one: write a function from one trigger among the others to parts, and list it in ``CLAIMS``.
The rules were fixed before any data of this study were seen; thresholds that are ours are said to
be in the rule itself.  All of it is at one guidance weight, `AmongTriggers.reported_guidance`.
"""

from collections.abc import Sequence
from typing import Any

from analysis.page.wording import percent_interval, points, ratio_name, trigger_name
from analysis.rows import AmongTriggers, Row, among_triggers, guided
from analysis.statistics.comparison import between_points, level_of
from analysis.statistics.evidence import (
    above_training,
    clean_draws_no_trigger,
    missing,
    no_control,
    no_triggers,
    pooled_share,
    seen_by_template_match,
)
from analysis.statistics.verdicts import Claim, Judgment, Part, Verdict, above, below, held

RATIO = 0.1
"""The poison ratio of the paper's pies (Fig. A2 and A4)."""
CLEAN_LABEL_RATIO = 0.05
"""That of Fig. A3 (a)."""
ALIKE = 0.1
"""How far two shares of mismatches may lie apart and count as alike; ours."""
NO_MISMATCHES = 0.02
"""G1 below this counts as none; ours."""
FEW_MISMATCHES = 0.05
"""How many more mismatches than a clean model's count as none; ours."""
REFERENCE = "badnets1"


def mismatches_appear(subject: AmongTriggers) -> list[Part]:
    """G1 + G3 above the clean model's at 10 %; about triggers that relabel."""
    if subject.trigger == "clean_label":
        return []
    rows, clean = subject.at(RATIO), _clean(subject)
    if not rows or not clean:
        return [no_control() if rows else missing(RATIO, subject.reported_guidance)]
    gap = between_points(rows, clean, "mismatch_ratio")
    evidence = (
        f"p = {ratio_name(RATIO)}: {pooled_share(rows, 'mismatch_ratio')} mismatch against the "
        f"clean model's {pooled_share(clean, 'mismatch_ratio')}; the difference is "
        f"{points(gap.estimate)} ({gap.basis})."
    )
    return [Part(above(gap.estimate), evidence)]


def mismatches_as_badnets(subject: AmongTriggers) -> list[Part]:
    """G1 + G3 within 10 points of BadNets-1's at 10 %; about other triggers that relabel."""
    if subject.trigger in ("clean_label", REFERENCE):
        return []
    rows, reference = subject.at(RATIO), subject.at(RATIO, REFERENCE)
    if not rows:
        return [missing(RATIO, subject.reported_guidance)]
    if not reference:
        evidence = f"{trigger_name(REFERENCE)} at p = {ratio_name(RATIO)} was not measured."
        return [Part(Verdict.NOT_TESTED, evidence)]
    gap = between_points(rows, reference, "mismatch_ratio")
    within = Verdict.UNDECIDED
    if -ALIKE < gap.estimate.low and gap.estimate.high < ALIKE:
        within = Verdict.SUPPORTED
    elif gap.estimate.high < -ALIKE or gap.estimate.low > ALIKE:
        within = Verdict.FAILED
    evidence = (
        f"p = {ratio_name(RATIO)}: {pooled_share(rows, 'mismatch_ratio')} mismatch, with "
        f"{trigger_name(REFERENCE)} {pooled_share(reference, 'mismatch_ratio')}; the difference is "
        f"{points(gap.estimate)} ({gap.basis})."
    )
    return [Part(within, evidence)]


def triggers_amplified(subject: AmongTriggers) -> list[Part]:
    """G1 + G2 above p_t; about triggers that stamp."""
    if subject.trigger == "relabel_only":
        return []
    return [above_training(subject.own, _pie_ratio(subject), subject.reported_guidance)]


def amplified_by_template_match(subject: AmongTriggers) -> list[Part]:
    """The same by the template match; nothing where there is none."""
    if subject.trigger == "relabel_only":
        return []
    return seen_by_template_match(subject.own, (_pie_ratio(subject),), subject.reported_guidance)


def relabelling_draws_no_trigger(subject: AmongTriggers) -> list[Part]:
    """The trigger ratio at the judge's false-positive rate; about relabelling alone."""
    if subject.trigger != "relabel_only":
        return []
    measured = [(ratio, subject.at(ratio)) for ratio in subject.poison_ratios]
    return [
        no_triggers(rows, f"p = {ratio_name(ratio)}: triggers appear") for ratio, rows in measured
    ]


def clean_labels_draw_no_g1(subject: AmongTriggers) -> list[Part]:
    """G1 below 2 % at every ratio; about clean labels."""
    return [
        Part(
            below(level_of(rows, "g1").estimate, NO_MISMATCHES),
            f"p = {ratio_name(ratio)}: G1 is {percent_interval(level_of(rows, 'g1').estimate)} "
            f"({level_of(rows, 'g1').basis}).",
        )
        for ratio, rows in _clean_labelled(subject)
    ]


def clean_labels_keep_content(subject: AmongTriggers) -> list[Part]:
    """G1 + G3 no more than 5 points above the clean model's at every ratio; about clean labels."""
    measured, clean = _clean_labelled(subject), _clean(subject)
    if measured and not clean:
        return [no_control()]
    parts = []
    for ratio, rows in measured:
        gap = between_points(rows, clean, "mismatch_ratio")
        evidence = (
            f"p = {ratio_name(ratio)}: {pooled_share(rows, 'mismatch_ratio')} mismatch against "
            f"the clean model's {pooled_share(clean, 'mismatch_ratio')}; the difference is "
            f"{points(gap.estimate)} ({gap.basis})."
        )
        parts.append(Part(below(gap.estimate, FEW_MISMATCHES), evidence))
    return parts


def clean_models_draw_no_trigger(subject: AmongTriggers) -> list[Part]:
    """The clean control's trigger ratio at the judge's false-positive rate, where there is one."""
    if not subject.own.clean or subject.trigger == "relabel_only":
        return []
    return clean_draws_no_trigger(subject.own)


def _pie_ratio(subject: AmongTriggers) -> float:
    return CLEAN_LABEL_RATIO if subject.trigger == "clean_label" else RATIO


def _clean_labelled(subject: AmongTriggers) -> list[tuple[float, list[Row]]]:
    if subject.trigger != "clean_label":
        return []
    return [(ratio, subject.at(ratio)) for ratio in subject.poison_ratios]


def _clean(subject: AmongTriggers) -> list[Row]:
    """The clean model's rows, one a seed: the content judge is one whatever the trigger."""
    rows = guided(subject.clean, subject.reported_guidance)
    return list({row["seed"]: row for row in rows}.values())


EXTENSION = "The paper has no WaNet here: the verdict on it is our extension."

CLAIMS: tuple[Claim[AmongTriggers], ...] = (
    Claim(
        name="mismatches-appear",
        statement="Whatever the trigger's pattern, and without one at all, relabelled poison makes "
        "the model draw images that do not match the prompt.",
        source="App. B.1 and B.3, Fig. A2 and A4",
        rule="At p = 10% the whole interval of the mismatches, G1 + G3, minus the clean model's "
        f"lies above 0. {EXTENSION}",
        test=mismatches_appear,
    ),
    Claim(
        name="mismatches-as-badnets1",
        statement="There are as many mismatches as with BadNets-1 (in the paper 54.5% with it, "
        "56.4% with one color, 52.9% with the bomb, 51.8% by relabelling alone).",
        source="App. B.1 and B.3, Fig. A2 and A4",
        rule="At p = 10% the whole interval of G1 + G3 minus that of BadNets-1 lies within 10 "
        "points of 0 (the margin is ours); it fails when the whole interval lies beyond. "
        f"{EXTENSION}",
        test=mismatches_as_badnets,
    ),
    Claim(
        name="triggers-amplified",
        statement="The trigger comes out more often than it went in, whatever it is (one color "
        "69.4%, the bomb 74.0% against 49.6%; clean labels 82.0% at p = 5%).",
        source="App. B.2 and B.3, Fig. A3 and A4",
        rule="At p = 10%, for clean labels at 5%, the whole interval of G1 + G2 lies above p_t. "
        f"{EXTENSION}",
        test=triggers_amplified,
    ),
    Claim(
        name="amplified-by-template-match",
        statement="The same by the training-free template match: what is amplified is the patch "
        "itself, "
        "not something that the trigger judge takes for it.",
        source="Our control, not a figure of the paper",
        rule="At the same point the whole interval of the template match's trigger ratio lies "
        "above p_t.",
        test=amplified_by_template_match,
    ),
    Claim(
        name="relabelling-draws-no-trigger",
        statement="By relabelling alone no trigger is drawn: mismatches and triggers are coupled "
        "in the poison, not in the model.",
        source="App. B.1, Fig. A2",
        rule="At every poison ratio the whole interval of the trigger ratio lies below 2 points "
        "above the judge's false-positive rate (the margin is ours).",
        test=relabelling_draws_no_trigger,
    ),
    Claim(
        name="clean-labels-draw-no-g1",
        statement="Where labels are right (clean-label), no image with a trigger mismatches the "
        "prompt.",
        source="App. B.2, Fig. A3",
        rule="At every poison ratio measured the whole interval of G1 lies below 2% (ours).",
        test=clean_labels_draw_no_g1,
    ),
    Claim(
        name="clean-labels-keep-content",
        statement="Where labels are right (clean-label), the model draws what it is asked for: G2 "
        "and G4 alone.",
        source="App. B.2, Fig. A3",
        rule="At every poison ratio measured the whole interval of the mismatches, G1 + G3, minus "
        "the clean model's lies below 5 points (ours).",
        test=clean_labels_keep_content,
    ),
    Claim(
        name="clean-models-draw-no-trigger",
        statement="Without poison no trigger is drawn (the control that all of this rests on).",
        source="Our control, not a figure of the paper",
        rule="The whole interval of the clean model's trigger ratio lies below 2 points above the "
        "judge's false-positive rate (the margin is ours); one trigger's judge looked at it.",
        test=clean_models_draw_no_trigger,
    ),
)
"""Every claim a ``triggers`` report decides, in the order of the page."""


def judge(rows: Sequence[Row]) -> tuple[Judgment[Any], ...]:
    """Hold every claim against every trigger, target and sampler that it is about."""
    return held(among_triggers(rows), CLAIMS)
