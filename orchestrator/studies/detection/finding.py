"""A ``detection`` study in a few sentences and big numbers, generated from the rows."""

from collections.abc import Iterable, Sequence

from analysis.old.rows import Row, same
from analysis.old.verdicts import Verdict, below, tally
from analysis.page.wording import counted, detector_name, listed, ratio_name, titled, trigger_name
from analysis.statistics.intervals import Estimate
from orchestrator.studies.detection.claims import at_chance, judge
from orchestrator.studies.detection.published import RATIOS
from orchestrator.studies.detection.rows import (
    CHANCE,
    MATTERS,
    SATURATED,
    Change,
    Compared,
    comparisons,
    detectors,
    null_points,
    samplings,
)

Fact = tuple[str, str]
"""A big number and what it is."""


def sentences(rows: Sequence[Row], areas: bool = True) -> list[str]:
    """What came out: how often it got easier, the AUROCs by trigger, and what to beware of.

    Args:
        rows: Of the study.
        areas: Say the AUROCs; a page has a table of them instead.
    """
    compared = reported(rows)
    if not compared:
        return []
    return [
        _easier(rows, compared),
        *(_areas(compared) if areas else []),
        *_inverted(compared),
        _control(rows),
    ]


def reported(rows: Sequence[Row]) -> list[Compared]:
    """The comparisons at the reported way of generating: the paper's guidance, DDIM."""
    first = samplings(rows)[:1]
    return [one for one in comparisons(rows) if not first or one.sampling in (first[0], None)]


def headline(rows: Sequence[Row]) -> list[Fact]:
    """A big number a detector, at the first trigger and the highest poison ratio, and a tally."""
    compared = reported(rows)
    if not compared:
        return []
    trigger = compared[0].trigger
    ratio = max(one.poison_ratio for one in compared if one.trigger == trigger)
    facts = [
        (_from_to(one), f"AUROC of {detector_name(one.detector)} on {_place(one)}{_said(one)}")
        for one in compared
        if one.trigger == trigger and same(one.poison_ratio, ratio)
    ]
    changes = [one.change() for one in compared]
    numbers = " / ".join(str(changes.count(change)) for change in list(Change)[:4])
    words = "comparisons in which the generations are easier, harder, no different, or undecided"
    return [*facts, (numbers, words)]


def tally_of(changes: Iterable[Change]) -> str:
    """How many are better, worse and so on: "2 better, 1 worse and 4 undecided"."""
    found = list(changes)
    return listed([f"{found.count(one)} {one.value}" for one in Change if one in found])


def in_order(compared: Iterable[Compared]) -> dict[str, list[Compared]]:
    """Comparisons by detector, in the paper's order."""
    every = list(compared)
    names = detectors({"detector": one.detector} for one in every)
    return {name: [one for one in every if one.detector == name] for name in names}


def whole_below_chance(estimate: Estimate | None) -> bool:
    """Whether the whole interval of an AUROC lies below 0.5."""
    return estimate is not None and below(estimate, CHANCE) is Verdict.SUPPORTED


def _easier(rows: Sequence[Row], compared: Sequence[Compared]) -> str:
    changes = [one.change() for one in compared]
    better, worse, equal, undecided, undefined = (changes.count(change) for change in Change)
    said = (
        f"Of {counted(len(compared), 'comparison')} of one detector on the generations and on the "
        f"training set, the generations are easier in {better}, harder in {worse}, no different "
        f"(within {MATTERS}) in {equal}, and it cannot be told in {undecided}"
    )
    if undefined:
        said += f"; {undefined} have no AUROC to compare"
    if saturated := sum(one.saturated for one in compared):
        said += (
            f"; in {saturated} the training set's AUROC is at least {SATURATED} already, with "
            f"nothing left to gain"
        )
    others = len(comparisons(rows)) - len(compared)
    if others:
        said += f" (at {samplings(rows)[0].name}; {others} at other guidance or samplers below)"
    return f"{said}."


def _areas(compared: Sequence[Compared]) -> list[str]:
    """A sentence a trigger: AUROC on the training set and on the generations."""
    said = []
    for trigger in dict.fromkeys(one.trigger for one in compared):
        own = [one for one in compared if one.trigger == trigger and _wanted(one, compared)]
        ratios = [ratio_name(ratio) for ratio in sorted({one.poison_ratio for one in own})]
        clauses = [
            f"{detector_name(detector)} {', '.join(map(_from_to, points))}"
            for detector, points in in_order(own).items()
        ]
        said.append(
            f"{titled(trigger_name(trigger))} at p = {listed(ratios)}, AUROC on the training set → "
            f"on the generations: {'; '.join(clauses)}."
        )
    return said


def _wanted(one: Compared, compared: Sequence[Compared]) -> bool:
    """At the paper's ratios, or at all of them where none of those was measured."""

    def printed(other: Compared) -> bool:
        return any(same(other.poison_ratio, ratio) for ratio in RATIOS)

    own = [other for other in compared if other.trigger == one.trigger]
    return printed(one) or not any(map(printed, own))


def _inverted(compared: Sequence[Compared]) -> list[str]:
    clauses = []
    for detector, points in in_order(compared).items():
        counts = [
            (sum(map(whole_below_chance, areas)), words)
            for areas, words in (
                ([one.before for one in points], "training sets"),
                ([one.after for one in points], "sets of generations"),
            )
        ]
        found = [f"{count} of {len(points)} {words}" for count, words in counts if count]
        if found:
            clauses.append(f"{detector_name(detector)} on {listed(found)}")
    if not clauses:
        return []
    return [
        f"Inverted, with the whole interval below 0.5, and shown so: {listed(clauses)}; there the "
        f"clean images look more poisoned than the poisoned ones."
    ]


def _control(rows: Sequence[Row]) -> str:
    judgments = judge(rows)
    verdicts = tally([judgment.verdict for judgment in judgments])
    null = null_points(rows).rows
    measured = [row for row in null if row["null_low"] is not None]
    chances = [at_chance(row) for row in measured]
    counts = [
        f"{chances.count(verdict)} {words}"
        for verdict, words in (
            (Verdict.SUPPORTED, "at chance"),
            (Verdict.UNDECIDED, "too wide to tell"),
            (Verdict.FAILED, "off 0.5"),
        )
        if verdict in chances
    ]
    control = (
        f"Of {counted(len(measured), 'null point')} on clean data {listed(counts)}"
        if measured
        else "No null point was measured"
    )
    return f"{control}; of {len(judgments)} verdicts {verdicts}."


def _from_to(one: Compared) -> str:
    return f"{_short(one.before)} → {_short(one.after)}"


def _short(estimate: Estimate | None) -> str:
    return "–" if estimate is None else f"{estimate.value:.2f}"


def _place(one: Compared) -> str:
    return f"{trigger_name(one.trigger)}, {one.place}: training set → generations"


def _said(one: Compared) -> str:
    """What became of it, for the line beneath a big number."""
    return f", {one.change().value}{' (saturated)' if one.saturated else ''}"
