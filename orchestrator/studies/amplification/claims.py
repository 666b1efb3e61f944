"""The paper's claims that an ``amplification`` sweep can test, each with its rule.

Adding one: write a function from a family of rows to parts, and list it in ``CLAIMS``.  A rule is
fixed before the data are seen; the thresholds that are ours are said to be in the rule itself.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from analysis.page.wording import listed, points, ratio_name, times_interval
from analysis.rows import Family, Row, families, guided, same
from analysis.statistics.comparison import (
    above_constant,
    above_false_positives,
    between_points,
    ratio_of_points,
)
from analysis.statistics.evidence import (
    TEMPLATE_MATCH_SOURCE,
    TRIGGER_MARGIN,
    above_training,
    clean_draws_no_trigger,
    group_above,
    missing,
    no_control,
    no_triggers,
    one_per_seed,
    pooled_share,
    seen_by_template_match,
)
from analysis.statistics.intervals import LEVEL
from analysis.statistics.verdicts import (
    Claim,
    Judgment,
    Part,
    Verdict,
    above,
    below,
    held,
    together,
)

LOW_GUIDANCE = 2.0
"""The guidance weight at which the small models show the phase transition."""
FEWFOLD = 5.0
"""How many times G1 at 10 % must be G1 at 1 %; ours."""
MATCH_MARGIN = 0.05
"""How much of the other classes' match ratio may be lost and count as surviving; ours."""


def amplified_at_low_ratios(family: Family) -> list[Part]:
    """G1 + G2 above p_t at 1, 2 and 5 %."""
    return [above_training(family, ratio, family.paper_guidance) for ratio in (0.01, 0.02, 0.05)]


def amplified_at_ten_percent(family: Family) -> list[Part]:
    """G1 + G2 above p_t at 10 %."""
    return [above_training(family, 0.1, family.paper_guidance)]


def amplified_by_template_match(family: Family) -> list[Part]:
    """The template match's G1 + G2 above p_t at 1, 2, 5 and 10 %."""
    return seen_by_template_match(family, (0.01, 0.02, 0.05, 0.1), family.paper_guidance)


def matching_triggers_at_one_percent(family: Family) -> list[Part]:
    """G2 above G1 at 1 %, low guidance."""
    return [group_above(family, "g2", "g1", 0.01, LOW_GUIDANCE)]


def mismatches_multiply(family: Family) -> list[Part]:
    """G1 at 10 % a multiple of G1 at 1 %."""
    few = family.at(0.01, LOW_GUIDANCE)
    many = family.at(0.1, LOW_GUIDANCE)
    if not few or not many:
        return [missing(0.01 if not few else 0.1, LOW_GUIDANCE)]
    ratio = ratio_of_points(many, few, "g1")
    evidence = (
        f"G1 is {pooled_share(many, 'g1')} at p = 10% and {pooled_share(few, 'g1')} at p = 1%: "
        f"{times_interval(ratio.estimate)} ({ratio.basis})."
    )
    return [Part(above(ratio.estimate, FEWFOLD), evidence)]


def roles_shift(family: Family) -> list[Part]:
    """G2 above G1 at 1 %, G1 above G2 at 10 %."""
    return [
        group_above(family, "g2", "g1", 0.01, family.paper_guidance),
        group_above(family, "g1", "g2", 0.1, family.paper_guidance),
    ]


def mismatch_gap_turns(family: Family) -> list[Part]:
    """G1 below p_t under 5 %, above it from 5 % on."""
    parts = []
    for ratio, rule in ((0.01, below), (0.02, below), (0.05, above), (0.1, above)):
        rows = family.at(ratio, family.paper_guidance)
        if not rows:
            parts.append(missing(ratio, family.paper_guidance))
            continue
        gap = above_constant(rows, "g1", "p_t")
        evidence = f"p = {ratio_name(ratio)}: G1 − p_t is {points(gap.estimate)} ({gap.basis})."
        parts.append(Part(rule(gap.estimate), evidence))
    return parts


def guidance_amplifies(family: Family) -> list[Part]:
    """The trigger ratio at 10 % rises with guidance, first to last and at no step down."""
    at_ten = [row for row in family.rows if same(row["poison_ratio"], 0.1)]
    weights = sorted({float(row["guidance_weight"]) for row in at_ten})
    if len(weights) < 2:
        return [Part(Verdict.NOT_TESTED, "p = 10% was not measured at two guidance weights.")]
    lines = [guided(at_ten, weight) for weight in weights]
    rise = between_points(lines[-1], lines[0], "trigger_ratio")
    shares = [
        f"{pooled_share(line, 'trigger_ratio')} at w = {weight:g}"
        for line, weight in zip(lines, weights, strict=True)
    ]
    evidence = (
        f"p = 10%: triggers in {listed(shares)}; from w = {weights[0]:g} to {weights[-1]:g} "
        f"{points(rise.estimate)} ({rise.basis})."
    )
    parts = [Part(above(rise.estimate), evidence)]
    # Every step is looked at, so each gets its share of the 5 % (Bonferroni).
    level = 1 - (1 - LEVEL) / (len(weights) - 1)
    for (first, before), (second, after) in pairwise(zip(weights, lines, strict=True)):
        step = between_points(after, before, "trigger_ratio", level)
        if above(step.estimate) is Verdict.FAILED:
            evidence = f"From w = {first:g} to {second:g} it falls: {points(step.estimate)}."
            parts.append(Part(Verdict.FAILED, evidence))
    return parts


def other_classes_survive(family: Family) -> list[Part]:
    """Matches of the other conditions as the clean model's, and no triggers there."""
    clean = one_per_seed(family.clean)
    if not clean:
        return [no_control()]
    parts = []
    for ratio in family.poison_ratios:
        rows = one_per_seed([row for row in family.rows if same(row["poison_ratio"], ratio)])
        loss = between_points(clean, rows, "other_match_ratio")
        stray = above_false_positives(rows, "other_trigger_ratio")
        evidence = (
            f"p = {ratio_name(ratio)}: the other classes match in "
            f"{pooled_share(rows, 'other_match_ratio')} against the clean model's "
            f"{pooled_share(clean, 'other_match_ratio')}, a loss of {points(loss.estimate)}, and "
            f"carry the trigger in {pooled_share(rows, 'other_trigger_ratio')}."
        )
        held = (
            Part(below(loss.estimate, MATCH_MARGIN), ""),
            Part(below(stray.estimate, TRIGGER_MARGIN), ""),
        )
        parts.append(Part(together(held), evidence))
    return parts


def relabelling_alone(family: Family) -> list[Part]:
    """Relabel-only: more mismatches than the clean model, no triggers."""
    weight = family.paper_guidance
    rows = [row for row in guided(family.relabel_only, weight) if same(row["poison_ratio"], 0.1)]
    clean = guided(family.clean, weight)
    if not rows or not clean:
        lacking = "Relabel-only at p = 10%" if not rows else "The clean control (p = 0)"
        return [Part(Verdict.NOT_TESTED, f"{lacking} was not measured at guidance {weight:g}.")]
    gain = between_points(rows, clean, "mismatch_ratio")
    return [
        Part(
            above(gain.estimate),
            f"Mismatches are {pooled_share(rows, 'mismatch_ratio')}, {points(gain.estimate)} "
            f"against the clean control's {pooled_share(clean, 'mismatch_ratio')} ({gain.basis}).",
        ),
        no_triggers(rows, "Triggers appear"),
    ]


CLAIMS: tuple[Claim[Family], ...] = (
    Claim(
        name="amplified-at-low-ratios",
        statement="Generations carry the trigger more often than the training images of the target "
        "label do, at p = 1, 2 and 5%.",
        source="§4, Fig. 3",
        rule="At the paper's guidance the whole interval of G1 + G2 lies above p_t at each of the "
        "three.",
        test=amplified_at_low_ratios,
    ),
    Claim(
        name="amplified-at-ten-percent",
        statement="So they do at p = 10%, the ratio of the paper's own Fig. 2 (73.4% against "
        "49.6%).",
        source="§4, Fig. 2 and 3",
        rule="At the paper's guidance the whole interval of G1 + G2 lies above p_t.",
        test=amplified_at_ten_percent,
    ),
    Claim(
        name="amplified-by-template-match",
        statement="The same by the training-free template match: what is amplified is the patch "
        "itself, "
        "not something that the trigger judge takes for it.",
        source=TEMPLATE_MATCH_SOURCE,
        rule="At the paper's guidance the whole interval of the template match's trigger ratio "
        "lies above "
        "p_t at 1, 2, 5 and 10%.",
        test=amplified_by_template_match,
    ),
    Claim(
        name="matching-triggers-at-one-percent",
        statement="At a low poison ratio most triggers sit on images that match the prompt (G2).",
        source="§4, Fig. 4",
        rule="At p = 1% and guidance 2 the whole interval of G2 − G1 lies above 0.",
        test=matching_triggers_at_one_percent,
    ),
    Claim(
        name="mismatches-multiply",
        statement="Mismatching trigger images (G1) are rare at a low poison ratio and take over at "
        "a high one.",
        source="§4, Fig. 4",
        rule="At guidance 2 the whole interval of G1 at 10% over G1 at 1% lies above 5 (the 5 is "
        "ours).",
        test=mismatches_multiply,
    ),
    Claim(
        name="roles-shift",
        statement="The phase transition: triggers come mostly from G2 at p = 1% and mostly from G1 "
        "at p = 10%.",
        source="§4, Fig. 3 and 4",
        rule="At the paper's guidance the whole interval of G2 − G1 lies above 0 at 1%, that of "
        "G1 − G2 at 10%.",
        test=roles_shift,
    ),
    Claim(
        name="mismatch-gap-turns",
        statement="G1 stays below the training ratio for p < 5% and exceeds it from 5% on.",
        source="§4, Fig. 4",
        rule="At the paper's guidance the whole interval of G1 − p_t lies below 0 at 1 and 2%, "
        "above 0 at 5 and 10%.",
        test=mismatch_gap_turns,
    ),
    Claim(
        name="guidance-amplifies",
        statement="A higher guidance weight exacerbates trigger amplification.",
        source="§4, App. D.1, Fig. A7",
        rule="At p = 10% the trigger ratio rises from the lowest weight to the highest with its "
        "whole interval, and no step between falls with its whole (Bonferroni) interval.",
        test=guidance_amplifies,
    ),
    Claim(
        name="other-classes-survive",
        statement="Given any other prompt, poisoned models behave like normal ones.",
        source="§3, §4, Tab. 2",
        rule="At every poison ratio the whole interval of the loss in matches against the clean "
        "model lies below 5 points, and that of the triggers above the judge's false-positive rate "
        "below 2 points (both margins are ours; the paper compares FID).",
        test=other_classes_survive,
    ),
    Claim(
        name="relabelling-alone",
        statement="Relabelling without a stamp makes mismatches but no triggers.",
        source="App. B.1, Fig. A2",
        rule="At p = 10% and the paper's guidance the mismatches exceed the clean control's with "
        "their whole interval, and triggers stay below 2 points above the judge's false-positive "
        "rate (ours).",
        test=relabelling_alone,
    ),
    Claim(
        name="clean-model-draws-no-trigger",
        statement="Without poison no trigger is drawn (the control that all of this rests on).",
        source="Our control, not a figure of the paper",
        rule="At every guidance weight the whole interval of the trigger ratio lies below 2 points "
        "above the judge's false-positive rate (the margin is ours).",
        test=clean_draws_no_trigger,
    ),
)
"""Every claim an ``amplification`` report decides, in the order of the page."""


def judge(rows: Sequence[Row]) -> tuple[Judgment[Any], ...]:
    """Hold every claim against every trigger, target and sampler; not each is about every one."""
    return held(families(rows), CLAIMS)
