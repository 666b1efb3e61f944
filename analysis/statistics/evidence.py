"""Parts that several studies' claims are made of: what the rows of one family say about a ratio."""

from collections.abc import Sequence

from analysis.page.wording import listed, percent, percent_interval, points, ratio_name
from analysis.rows import Family, Row, guided, has_template_match
from analysis.statistics.comparison import (
    above_constant,
    above_false_positives,
    between_groups,
    level_of,
    pooled,
)
from analysis.statistics.verdicts import Part, Verdict, above, below

TRIGGER_MARGIN = 0.02
"""How far a trigger ratio may lie above the judge's false positives and count as none; ours."""


TEMPLATE_MATCH_SOURCE = "Our control, added when the judge's figures for the digits were known"


def above_training(
    family: Family, ratio: float, weight: float, name: str = "trigger_ratio"
) -> Part:
    """G1 + G2, or the template match's, above p_t at one poison ratio and guidance weight."""
    rows = family.at(ratio, weight)
    if not rows:
        return missing(ratio, weight)
    excess = above_constant(rows, name, "p_t")
    share = level_of(rows, name)
    carry = "carry the trigger" if name == "trigger_ratio" else "carry the patch"
    evidence = (
        f"p = {ratio_name(ratio)}: {percent_interval(share.estimate)} of generations {carry} "
        f"against p_t = {percent(float(rows[0]['p_t']))} ({share.basis})."
    )
    return Part(above(excess.estimate), evidence)


def seen_by_template_match(family: Family, ratios: Sequence[float], weight: float) -> list[Part]:
    """Template matching's trigger ratio above p_t at each ratio; nothing without a patch."""
    if not any(map(has_template_match, family.rows)):
        return []
    return [above_training(family, ratio, weight, "template_trigger_ratio") for ratio in ratios]


def template_clause(parts: Sequence[tuple[str, Sequence[Sequence[Row]]]]) -> str:
    """What the template match sees and how often it agrees with the judge, for a sentence.

    Args:
        parts: Where, such as "at 10%", and the points there, each with its rows, one a seed.

    Returns:
        Nothing where there is no template match.
    """
    seen = [
        (where, points)
        for where, points in parts
        if points and all(has_template_match(row) for rows in points for row in rows)
    ]
    if not seen:
        return ""
    shares = [f"{_span(points, 'template_trigger_ratio')} {where}" for where, points in seen]
    agreed = _span([rows for _, points in seen for rows in points], "template_agreement")
    return (
        f"; the template match, which is not trained and wants the patch's own pixels, sees it in "
        f"{listed(shares)}, and agrees with the judge on {agreed} of the images"
    )


def _span(points: Sequence[Sequence[Row]], name: str) -> str:
    values = [level_of(rows, name).estimate.value for rows in points]
    if len(values) == 1:
        return percent(values[0])
    low, high = (f"{100 * value:.0f}" for value in (min(values), max(values)))
    return f"{low}%" if low == high else f"{low} to {high}%"


def group_above(family: Family, more: str, less: str, ratio: float, weight: float) -> Part:
    """One group above another, both among g1..g4, at one poison ratio and guidance weight."""
    rows = family.at(ratio, weight)
    if not rows:
        return missing(ratio, weight)
    gap = between_groups(rows, more, less)
    evidence = (
        f"p = {ratio_name(ratio)}: {more.upper()} is {pooled_share(rows, more)}, {less.upper()} "
        f"{pooled_share(rows, less)}; the difference is {points(gap.estimate)} ({gap.basis})."
    )
    return Part(above(gap.estimate), evidence)


def clean_draws_no_trigger(family: Family) -> list[Part]:
    """The clean control's trigger ratio at the judge's false-positive rate, at every weight."""
    weights = sorted({float(row["guidance_weight"]) for row in family.clean})
    if not weights:
        return [no_control()]
    return [
        no_triggers(guided(family.clean, weight), f"w = {weight:g}: triggers appear")
        for weight in weights
    ]


def no_triggers(rows: Sequence[Row], subject: str) -> Part:
    """The trigger ratio of one point at the judge's false-positive rate."""
    excess = above_false_positives(rows, "trigger_ratio").estimate
    rate = float(rows[0]["trigger_false_positive_rate"])
    evidence = (
        f"{subject} in {pooled_share(rows, 'trigger_ratio')}, {points(excess)} against the judge's "
        f"false-positive rate of {percent(rate)}."
    )
    return Part(below(excess, TRIGGER_MARGIN), evidence)


def missing(ratio: float, weight: float) -> Part:
    """A point that is not there."""
    return Part(
        Verdict.NOT_TESTED, f"p = {ratio_name(ratio)} at guidance {weight:g} was not measured."
    )


def no_control() -> Part:
    """A clean control that is not there."""
    return Part(Verdict.NOT_TESTED, "The clean control (p = 0) was not measured.")


def pooled_share(rows: Sequence[Row], name: str) -> str:
    """A fraction in percent, over the images of all seeds."""
    count, n = pooled(rows, name)
    return percent(count / n)


def one_per_seed(rows: Sequence[Row]) -> list[Row]:
    """The other conditions are sampled once a model and repeated on each of its rows."""
    return list({row["seed"]: row for row in rows}.values())
