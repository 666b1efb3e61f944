"""The tables of a ``defense`` page."""

from collections.abc import Sequence
from statistics import stdev

from analysis.old.rows import Row, same, sort_rows
from analysis.old.tables import Cell, Table
from analysis.old.verdicts import Verdict, below
from analysis.page.wording import (
    bounds,
    classifier_name,
    image_set_name,
    percent,
    points,
    ratio_name,
    trigger_name,
)
from analysis.statistics.comparison import Comparison
from analysis.statistics.intervals import Estimate
from orchestrator.studies.defense.published import published
from orchestrator.studies.defense.rows import (
    ACCURACY,
    ATTACK,
    COUNTS,
    FRESH_ATTACK,
    G1,
    Defense,
    classifier_rank,
    defended,
)
from orchestrator.studies.defense.table import NOTHING, from_to
from orchestrator.studies.detection.rows import level_of, sampling_of

PLACE = ("trigger", "network", "p", "w, sampler")
"""Headers of the cells that say which point a line is about."""
OUTCOMES = {
    Verdict.SUPPORTED: "lower",
    Verdict.FAILED: "higher",
    Verdict.UNDECIDED: "cannot be told",
}
"""What an interval says of a change: wholly below 0, wholly above, or across it."""


def overview(rows: Sequence[Row]) -> Table:
    """The reported way of generating: TA and ASR from the training set to the generations."""
    subjects = defended(rows)
    several = len({subject.classifier for subject in subjects}) > 1
    place = slice(0, 3) if several else slice(0, 3, 2)
    lines = []
    for subject in subjects:
        way = next(iter(subject.samplings), None)
        for one in subject.measured:
            if one.sampling not in (way, None):
                continue
            cells = [*_place(one)[place], Cell(str(len(one.generation or one.training)))]
            for name in (ACCURACY, ATTACK):
                cells += [Cell(from_to(one, name)), _change(one.change(name))]
            corrected = level_of(one.corrected, ATTACK)
            cells.append(Cell(percent(corrected.estimate.value) if corrected else NOTHING))
            share = level_of(one.generation, G1)
            cells.append(Cell(percent(share.estimate.value) if share else NOTHING))
            lines.append(cells)
    rates = ("TA", "change of TA", "ASR", "change of ASR", "ASR, corrected", "G1 generated")
    return Table((*PLACE[place], "seeds", *rates), lines, 3 if several else 2)


def changes(rows: Sequence[Row]) -> Table:
    """Every way of generating: the changes over the seeds and whether they are clear."""
    lines = [
        [
            *_place(one),
            Cell(str(len(one.generation))),
            *(_changed(one, name) for name in (ACCURACY, ATTACK, FRESH_ATTACK)),
        ]
        for subject in defended(rows)
        for one in subject.measured
        if one.generation
    ]
    names = ("change of TA", "change of ASR", "change of ASR, fresh warp")
    return Table((*PLACE, "seeds", *names), lines, 4)


def by_seed(rows: Sequence[Row]) -> Table:
    """Every classifier: its rates with their counts, and its paired changes."""
    names = (ACCURACY, ATTACK)
    lines = [
        [
            *_of(row),
            Cell(str(row["seed"])),
            *(_rate(row, name) for name in (*names, FRESH_ATTACK)),
            *(_paired(row, f"{name}_change") for name in names),
        ]
        for row in _ordered(rows)
    ]
    rates = ("TA", "ASR", "ASR, fresh warp", "change of TA", "change of ASR")
    return Table((*PLACE, "trained on", "seed", *rates), lines, 5)


def measurements(rows: Sequence[Row]) -> Table:
    """Every set that classifiers were trained on: mean and sd over its seeds."""
    grouped: dict[tuple[object, ...], list[Row]] = {}
    for row in _ordered(rows):
        grouped.setdefault(tuple(cell.text for cell in _of(row)), []).append(row)
    lines = [
        [
            *_of(point[0]),
            Cell(str(len(point))),
            Cell(f"{int(point[0]['n_train']):,}"),
            Cell(f"{int(point[0]['n']):,}", f"{int(point[0]['attack_n'] or 0):,} stamped"),
            *(_level(point, name) for name in (ACCURACY, ATTACK, FRESH_ATTACK, G1)),
        ]
        for point in grouped.values()
    ]
    counts = ("seeds", "trained on images", "test images")
    rates = ("TA", "ASR", "ASR, fresh warp", "G1 in the set")
    return Table((*PLACE, "trained on", *counts, *rates), lines, 5)


def networks(rows: Sequence[Row]) -> Table:
    """What each network started from."""
    lines = []
    for name in sorted({str(row["classifier"]) for row in rows}, key=classifier_rank):
        own = [row for row in rows if row["classifier"] == name]
        begun = sorted({_weights(row) for row in own})
        lines.append([Cell(classifier_name(name)), Cell(", ".join(begun)), Cell(str(len(own)))])
    return Table(("network", "started from", "classifiers"), lines, 2)


def beside_the_paper(rows: Sequence[Row]) -> Table:
    """Both tables of the paper for the triggers measured; ours beneath, a network each."""
    subjects = defended(rows)
    measured = {subject.trigger for subject in subjects if subject.rows}
    several = len({subject.classifier for subject in subjects}) > 1
    lines = []
    for trigger in sorted(measured):
        reported = [
            one for subject in subjects if subject.trigger == trigger for one in subject.reported
        ]
        for cell in published(trigger):
            own = [one for one in reported if same(one.poison_ratio, cell.poison_ratio)]
            before_after = (
                (cell.training_accuracy, cell.generation_accuracy, ACCURACY),
                (cell.training_attack, cell.generation_attack, ATTACK),
            )
            lines.append(
                [
                    Cell(cell.source),
                    Cell(cell.dataset),
                    Cell(classifier_name(cell.classifier)),
                    Cell(trigger_name(cell.trigger)),
                    Cell(ratio_name(cell.poison_ratio)),
                    *(
                        Cell(f"{percent(before)} → {percent(after)}", _ours(own, name, several))
                        for before, after, name in before_after
                    ),
                ]
            )
    rates = ("TA, training set → generations", "ASR, training set → generations")
    return Table(("source", "data", "network", "trigger", "p", *rates), lines, 5)


def _ours(own: Sequence[Defense], name: str, several: bool) -> str:
    said = [
        f"{from_to(one, name)} ({classifier_name(one.classifier)})"
        if several
        else from_to(one, name)
        for one in own
    ]
    return f"ours {', '.join(said) or NOTHING}"


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """Rows as a file has them, but the clean pair first."""
    return sorted(sort_rows(rows), key=lambda row: row["poison_ratio"] > 0)


def _place(one: Defense) -> list[Cell]:
    stamped = trigger_name(one.trigger)
    return [
        Cell(stamped, "" if one.poison_ratio > 0 else "no poison, attacks only"),
        Cell(classifier_name(one.classifier)),
        Cell(ratio_name(one.poison_ratio)),
        Cell(one.sampling.name if one.sampling else NOTHING),
    ]


def _of(row: Row) -> list[Cell]:
    way = sampling_of(row)
    clean = row["poison_ratio"] == 0
    return [
        Cell(
            trigger_name(str(row["judge_trigger" if clean else "trigger"])),
            "no poison, attacks only" if clean else "",
        ),
        Cell(classifier_name(str(row["classifier"]))),
        Cell(ratio_name(float(row["poison_ratio"]))),
        Cell(way.name if way else NOTHING),
        Cell(image_set_name(str(row["image_set"]))),
    ]


def _level(rows: Sequence[Row], name: str) -> Cell:
    """A rate over its seeds: mean, sd and interval; of one seed its interval."""
    found = level_of(rows, name)
    if found is None:
        return Cell(NOTHING)
    values = [float(row[name]) for row in rows if row.get(name) is not None]
    spread = f"sd {100 * stdev(values):.1f}, " if len(values) > 1 else ""
    return Cell(percent(found.estimate.value), f"{spread}{bounds(found.estimate)}")


def _change(change: Comparison | None) -> Cell:
    if change is None:
        return Cell(NOTHING)
    words, _, interval = points(change.estimate).partition(" points ")
    return Cell(f"{words} points", interval)


def _changed(one: Defense, name: str) -> Cell:
    """A change over the seeds with its sd, interval, and which side of 0 it lies on."""
    change = one.change(name)
    if change is None:
        return Cell(NOTHING)
    column = f"{name}_change"
    values = [float(row[column]) for row in one.generation if row.get(column) is not None]
    spread = f"sd {100 * stdev(values):.1f}, " if len(values) > 1 else ""
    cell = _change(change)
    return Cell(cell.text, f"{spread}{cell.small}, {OUTCOMES[below(change.estimate)]}")


def _rate(row: Row, name: str) -> Cell:
    if row.get(name) is None:
        return Cell(NOTHING)
    count, n = (int(row[column]) for column in COUNTS[name])
    level = Estimate(float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"]))
    return Cell(percent(level.value), f"{count} of {n:,}, {bounds(level)}")


def _paired(row: Row, name: str) -> Cell:
    return _change(level_of([row], name))


def _weights(row: Row) -> str:
    return "random weights" if row.get("weights") is None else f"weights {row['weights']}"
