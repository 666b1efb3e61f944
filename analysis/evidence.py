"""Parts of claims about G1..G4, and tests that are made of them by `each`.

A part is a function of the rows of one point, one for each seed, and of the words that say which
point that is, such as "p = 5%".  A point without rows is not tested.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from analysis.claims import Subject
from analysis.names import place
from analysis.rows import (
    Rows,
    groups,
    has,
    paper_guidance,
    records,
    reported_guidance,
    select,
    values,
)
from analysis.statistics.comparison import (
    above_constant,
    above_false_positives,
    between_groups,
    between_points,
    level_of,
    pooled,
)
from analysis.statistics.intervals import Estimate
from analysis.statistics.verdicts import Part, Verdict, above, below
from analysis.wording import percent, percent_interval, points

TRIGGER_MARGIN = 0.02
"""How far a trigger ratio may lie above the judge's false positives and still be none; ours."""
TEMPLATE_MATCH = "template_trigger_ratio"
"""The column with the trigger ratio by template matching."""

Rule = Callable[[Estimate], Verdict]
"""Such as `above`: what an interval must be."""
PartOf = Callable[[Rows, str], Part]
"""Of the rows of one point, and of which point that is."""
ComparedPart = Callable[[Rows, Rows, str], Part]
"""Of the rows of one point, those of another one, and of which point that is."""
Test = Callable[[Subject], list[Part]]
"""As `Claim.test`."""

EVERY = object()
"""Every value that was measured."""


def paper(subject: Subject) -> float:
    """The guidance weight that stands for the paper's 5 at this scale."""
    return paper_guidance(subject.rows)


def reported(subject: Subject) -> float:
    """The one guidance weight that the subjects of a study are compared at."""
    return reported_guidance(subject.study)


CLEAN = {"trigger": "none", "poison_ratio": 0.0}
"""Where the clean control of a point is, for `each`."""


def stamped(subject: Subject, **where: Any) -> Rows:
    """The subject's rows without its controls, at some coordinates."""
    return select(subject.rows, **{"trigger": _trigger(subject), **where})


def _trigger(subject: Subject) -> Any:
    return subject.at.get("trigger", subject.at.get("judge_trigger"))


def each(
    part: PartOf | ComparedPart,
    *,
    of: Callable[[Rows], bool] | None = None,
    about: Callable[[Any], bool] | None = None,
    beside: Mapping[str, Any] | None = None,
    **where: Any,
) -> Test:
    """A test with one part for each combination of coordinates.

    Args:
        part: Of the rows that are poisoned with the subject's trigger, at one combination.
        of: Which of these rows, if not all, the claim is about: without them it has no parts.
        about: Which triggers the claim is about, if not all.
        beside: The coordinates of other rows that each part compares with, where they differ.
        where: By column a value, several, `EVERY`, or a function of the subject that gives one.
    """

    def test(subject: Subject) -> list[Part]:
        own = {"trigger": _trigger(subject)}
        rows = select(subject.rows, **own) if "trigger" not in where else subject.rows
        if (about and not about(own["trigger"])) or (of and not of(rows)):
            return []
        measured = [_values(subject, rows, column, wanted) for column, wanted in where.items()]
        parts = []
        for found in product(*measured):
            at = dict(zip(where, found, strict=True))
            ordered = sorted(at, key=lambda column: column == "poison_ratio")
            words = place(**{one: at[one] for one in ordered if one != "guidance_weight"})
            points = [select(rows, **at)]
            if beside is not None:
                points.append(select(subject.study, **{**subject.at, **own, **at, **beside}))
            parts.append(part(*points, words))  # type: ignore[call-arg]
        return parts

    return test


def both(*tests: Test) -> Test:
    """A test with the parts of several tests."""
    return lambda subject: [part for test in tests for part in test(subject)]


def _values(subject: Subject, rows: Rows, column: str, wanted: Any) -> Sequence[Any]:
    if wanted is EVERY:
        return values(rows, column)
    found = wanted(subject) if callable(wanted) else wanted
    return found if isinstance(found, tuple) else (found,)


def not_measured(where: str) -> Part:
    """A point that has no rows."""
    return Part(Verdict.NOT_TESTED, f"{where}: not measured.")


def no_control() -> Part:
    """A clean control that is missing."""
    return Part(Verdict.NOT_TESTED, "The clean control (p = 0) was not measured.")


def above_training(rows: Rows, where: str, name: str = "trigger_ratio") -> Part:
    """Whether G1 + G2, or another share of triggers, lies above p_t."""
    if rows.empty:
        return not_measured(where)
    share = level_of(rows, name)
    carry = "carry the trigger" if name == "trigger_ratio" else "carry the patch"
    evidence = (
        f"{where}: {percent_interval(share.estimate)} of generations {carry} "
        f"against p_t = {percent(float(values(rows, 'p_t')[0]))} ({share.basis})."
    )
    return Part(above(above_constant(rows, name, "p_t").estimate), evidence)


def above_training_by_template_match(rows: Rows, where: str) -> Part:
    """Whether template matching sees the trigger in more images than p_t says."""
    return above_training(rows, where, TEMPLATE_MATCH)


def gap_to_training(rule: Rule) -> PartOf:
    """Whether G1 minus p_t follows a rule."""

    def part(rows: Rows, where: str) -> Part:
        if rows.empty:
            return not_measured(where)
        gap = above_constant(rows, "g1", "p_t")
        evidence = f"{where}: G1 − p_t is {points(gap.estimate)} ({gap.basis})."
        return Part(rule(gap.estimate), evidence)

    return part


def group_above(more: str, less: str) -> PartOf:
    """Whether one of G1..G4 exceeds another one."""

    def part(rows: Rows, where: str) -> Part:
        if rows.empty:
            return not_measured(where)
        gap = between_groups(rows, more, less)
        evidence = (
            f"{where}: {more.upper()} is {pooled_share(rows, more)}, {less.upper()} "
            f"{pooled_share(rows, less)}; the difference is {points(gap.estimate)} ({gap.basis})."
        )
        return Part(above(gap.estimate), evidence)

    return part


def difference(name: str, sentence: str, rule: Rule = above) -> ComparedPart:
    """Whether a share at one point minus the same share at another follows a rule.

    The sentence says what was measured, with ``{}`` for each of the two shares.
    """

    def part(rows: Rows, others: Rows, where: str) -> Part:
        if rows.empty or others.empty:
            return not_measured(where if rows.empty else f"What {where} is compared with")
        gap = between_points(rows, others, name)
        said = sentence.format(pooled_share(rows, name), pooled_share(others, name))
        evidence = f"{where}: {said}; the difference is {points(gap.estimate)} ({gap.basis})."
        return Part(rule(gap.estimate), evidence)

    return part


def more_mismatches(rule: Rule = above) -> ComparedPart:
    """Whether G1 + G3 minus the clean model's follows a rule."""
    said = "{} mismatch against the clean model's {}"
    compared = difference("mismatch_ratio", said, rule)

    def part(rows: Rows, clean: Rows, where: str) -> Part:
        if len(rows) and clean.empty:
            return no_control()
        # The content judge is one, whatever the trigger: the judges' rows of a seed are alike.
        return compared(rows, one_per_seed(clean) if len(clean) else clean, where)

    return part


def no_triggers(rows: Rows, where: str) -> Part:
    """Whether there are no more triggers than the judge's false-positive rate explains."""
    if rows.empty:
        return not_measured(where)
    excess = above_false_positives(rows, "trigger_ratio").estimate
    rate = float(values(rows, "trigger_false_positive_rate")[0])
    evidence = (
        f"{where}: triggers appear in {pooled_share(rows, 'trigger_ratio')}, {points(excess)} "
        f"against the judge's false-positive rate of {percent(rate)}."
    )
    return Part(below(excess, TRIGGER_MARGIN), evidence)


def clean_draws_no_trigger(rows: Rows, *by: str) -> list[Part]:
    """Whether the clean model draws no trigger, at each guidance weight, apart ``by`` columns."""
    parts = []
    for _, own in groups(rows, *by):
        clean = groups(select(own, trigger="none"), *by, "guidance_weight")
        parts += [no_triggers(found, place(**at)) for at, found in clean] or [no_control()]
    return parts


def template_matched(rows: Rows) -> bool:
    """Whether template matching looked at any of these images: not so for a trigger of no patch."""
    return has(rows, TEMPLATE_MATCH)


def pooled_share(rows: Rows, name: str) -> str:
    """A share in percent over the images of all seeds."""
    count, n = pooled(rows, name)
    return percent(count / n)


def one_per_seed(rows: Rows) -> Rows:
    """The first row of each seed: other classes are sampled once for each model, not each point."""
    seen = {row["seed"]: number for number, row in reversed([*enumerate(records(rows))])}
    return rows.iloc[sorted(seen.values())]
