"""The tables of a ``diffusion_classifier`` page."""

from collections.abc import Sequence
from statistics import stdev

from analysis.old.rows import Row, same
from analysis.old.tables import Cell, Table
from analysis.page.wording import (
    bounds,
    classifier_name,
    noise_model_name,
    percent,
    points,
    ratio_name,
    stamp_name,
    times,
)
from analysis.statistics.comparison import Comparison
from orchestrator.studies.detection.rows import estimate_of
from orchestrator.studies.diffusion_classifier.published import (
    CLASSIFIER,
    DATASET,
    FILTER_RATIOS,
    PUBLISHED_CLASSIFICATION,
    TRIGGER,
)
from orchestrator.studies.diffusion_classifier.rows import (
    ACCURACY,
    ATTACK,
    COUNTS,
    ON_TARGET,
    ON_TRUE,
    RATES,
    Point,
    calls,
    classified,
    own_above_target,
)
from orchestrator.studies.diffusion_classifier.table import NOTHING

PLACE = ("trigger", "noise model", "p")
"""Headers of the cells that say which point a line is about."""


def overview(rows: Sequence[Row]) -> Table:
    """Tab. 5's layout: TA and ASR of the ordinary classifier and at every filter ratio."""
    ratios = _ratios(rows)
    lines = [
        [
            *_place(point),
            Cell(str(len(point.seeds))),
            Cell(RATES[name]),
            _level(point.beside(name)),
            *(_level(point.level(name, ratio)) for ratio in ratios),
        ]
        for point in _points(rows)
        for name in RATES
    ]
    headers = (*PLACE, "seeds", "", _networks(rows), *_dropped(ratios))
    return Table(headers, lines, 5)


def changes(rows: Sequence[Row]) -> Table:
    """Against no filter, paired, and the unfiltered one against the ordinary classifier."""
    ratios = [ratio for ratio in _ratios(rows) if ratio > 0]
    lines = [
        [
            *_place(point),
            Cell(str(len(point.seeds))),
            Cell(RATES[name]),
            _change(point, f"{name}_difference", 0.0),
            *(_change(point, f"{name}_change", ratio) for ratio in ratios),
        ]
        for point in _points(rows)
        for name in RATES
    ]
    headers = (*PLACE, "seeds", "", f"unfiltered minus {_networks(rows)}", *_dropped(ratios))
    return Table(headers, lines, 5)


def on_trigger(rows: Sequence[Row]) -> Table:
    """Where the dropped values lie, beside what the trigger's area alone would give."""
    lines = []
    for point in _points(rows):
        for ratio in point.filters:
            own, target = (point.level(name, ratio) for name in (ON_TRUE, ON_TARGET))
            if own is None or target is None or point.area is None:
                continue
            lines.append(
                [
                    *_place(point),
                    Cell(ratio_name(ratio)),
                    Cell(f"{point.dropped(ratio):,}", f"of {int(point.rows[0]['values']):,}"),
                    Cell(percent(point.area), f"{point.trigger_values:,} values"),
                    _level(own),
                    _level(target),
                    _points_cell(own_above_target(point, ratio)),
                ]
            )
    shares = ("trigger's area", "under the own class", "under the target class", "own − target")
    return Table((*PLACE, "filter ratio", "values dropped", *shares), lines, 3)


def cost(rows: Sequence[Row]) -> Table:
    """Test images, draws and network calls, with elimination and without."""
    lines = []
    for point in _points(rows):
        row = point.rows[0]
        made, full = calls(point)
        stages = str(row["stages"])
        lines.append(
            [
                *_place(point),
                Cell(f"{int(row['n']):,}", f"{int(row['attack_n'] or 0):,} stamped"),
                Cell(str(row["draws"]), f"classes leave after {stages}" if stages else ""),
                Cell(str(len(point.seeds))),
                Cell(f"{made:,}"),
                Cell(f"{full:,}"),
                Cell(times(full / made) if made else NOTHING),
            ]
        )
    counts = ("test images", "draws", "seeds", "network calls", "without elimination", "fewer")
    return Table((*PLACE, *counts), lines, 3)


def by_seed(rows: Sequence[Row]) -> Table:
    """Every row: its rates with their counts, and the ordinary classifier's."""
    lines = []
    for point in _points(rows):
        for row in point.rows:
            lines.append(
                [
                    *_place(point),
                    Cell(ratio_name(float(row["filter_ratio"]))),
                    Cell(str(row["seed"])),
                    *(_rate(row, name, "") for name in RATES),
                    *(_rate(row, name, "classifier_") for name in RATES),
                ]
            )
    network = _networks(rows)
    headers = ("filter ratio", "seed", "TA", "ASR", f"TA, {network}", f"ASR, {network}")
    return Table((*PLACE, *headers), lines, 3)


def beside_the_paper(rows: Sequence[Row]) -> Table:
    """All of Tab. 5 when its trigger was measured, ours beneath, a noise model each."""
    subjects = [one for one in classified(rows) if one.trigger == TRIGGER and one.rows]
    if not subjects:
        return Table((), [], 0)
    lines = []
    for line in PUBLISHED_CLASSIFICATION:
        own = [
            point
            for one in subjects
            for point in one.points
            if same(point.poison_ratio, line.poison_ratio)
        ]
        theirs = {
            ACCURACY: (line.classifier_accuracy, line.accuracy),
            ATTACK: (line.classifier_attack, line.attack),
        }
        for name, (network, cells) in theirs.items():
            lines.append(
                [
                    Cell(DATASET),
                    Cell(ratio_name(line.poison_ratio)),
                    Cell(RATES[name]),
                    Cell(percent(network), _ours([(one, one.beside(name)) for one in own])),
                    *(
                        Cell(percent(share), _ours([(one, one.level(name, ratio)) for one in own]))
                        for ratio, share in zip(FILTER_RATIOS, cells, strict=True)
                    ),
                ]
            )
    headers = ("data, model", "p", "", classifier_name(CLASSIFIER), *_dropped(FILTER_RATIOS))
    return Table(headers, lines, 3)


def _points(rows: Sequence[Row]) -> list[Point]:
    return [point for subject in classified(rows) for point in subject.measured]


def _ratios(rows: Sequence[Row]) -> list[float]:
    return sorted({float(row["filter_ratio"]) for row in rows})


def _dropped(ratios: Sequence[float]) -> list[str]:
    return [f"{ratio_name(ratio)} dropped" if ratio else "no filter" for ratio in ratios]


def _networks(rows: Sequence[Row]) -> str:
    return ", ".join(dict.fromkeys(classifier_name(str(row["classifier"])) for row in rows))


def _place(point: Point) -> list[Cell]:
    stamp = stamp_name(point.trigger, point.trigger_pixels)
    return [
        Cell(stamp, "" if point.poison_ratio > 0 else "no poison, attacks only"),
        Cell(noise_model_name(point.noise_model)),
        Cell(ratio_name(point.poison_ratio)),
    ]


def _level(found: Comparison | None) -> Cell:
    if found is None:
        return Cell(NOTHING)
    return Cell(percent(found.estimate.value), bounds(found.estimate))


def _change(point: Point, name: str, ratio: float) -> Cell:
    """A difference over the seeds with its interval, and of several seeds its sd."""
    cell = _points_cell(point.level(name, ratio))
    values = [float(row[name]) for row in point.at(ratio) if row.get(name) is not None]
    spread = f"sd {100 * stdev(values):.1f}, " if len(values) > 1 else ""
    return Cell(cell.text, f"{spread}{cell.small}")


def _points_cell(found: Comparison | None) -> Cell:
    if found is None:
        return Cell(NOTHING)
    words, _, interval = points(found.estimate).partition(" points ")
    return Cell(f"{words} points", interval)


def _rate(row: Row, name: str, whose: str) -> Cell:
    if row.get(f"{whose}{name}") is None:
        return Cell(NOTHING)
    count, n = COUNTS[name]
    level = estimate_of(row, f"{whose}{name}")
    return Cell(
        percent(level.value), f"{row[f'{whose}{count}']} of {int(row[n]):,}, {bounds(level)}"
    )


def _ours(found: Sequence[tuple[Point, Comparison | None]]) -> str:
    said = [
        f"{noise_model_name(point.noise_model)} {percent(level.estimate.value)}"
        for point, level in found
        if level
    ]
    return f"ours {', '.join(dict.fromkeys(said)) or NOTHING}"
