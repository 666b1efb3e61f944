"""The tables of a page: numbers as words, a cell with its interval in small print beneath."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import NamedTuple

from analysis.page.report import Stage
from analysis.page.wording import (
    authors_weight,
    bounds,
    clip_name,
    crossing_interval,
    crossing_place,
    percent,
    ratio_name,
    sampler_name,
    times,
    trigger_name,
)
from analysis.published import PUBLISHED, Published, at_paper_guidance, measured_beside
from analysis.rows import CONTROLS, Row, clip_of, has_template_match, sort_rows
from analysis.statistics.comparison import counted, level_of
from analysis.statistics.composition import GROUPS
from analysis.statistics.intervals import Estimate, wilson
from analysis.statistics.transition import Transition

NOTHING = "–"
PLACE = ("trigger", "sampler", "p", "w")
"""Headers of the cells that say which point a line is about."""
JUDGED_BY = ("judge", "template_match")
TEMPLATE_MATCH = ("template_trigger_ratio", "template_agreement")
"""What stands beside the trigger judge's numbers."""


class Cell(NamedTuple):
    """What one place of a table says."""

    text: str
    """The number or word."""
    small: str = ""
    """Beneath it, such as an interval."""


@dataclass(frozen=True)
class Table:
    """A table as the template lays it out."""

    headers: tuple[str, ...]
    """A word a column."""
    rows: list[list[Cell]]
    """A cell a column."""
    words: int
    """How many columns from the left hold words; the others hold numbers, aligned right."""


def measurements(rows: Sequence[Row]) -> Table:
    """Every point: G1..G4, trigger ratio and amplification, over its seeds where it has several.

    Two columns more where any row has a template match: its trigger ratio, and how often it agrees.
    """
    template_matched = any(map(has_template_match, rows))
    lines = []
    for point in _points(rows):
        row = point[0]
        amplified = [one["amplification"] for one in point if one.get("amplification") is not None]
        cells = [
            *_place(row),
            Cell(f"{authors_weight(float(row['guidance_weight'])):g}"),
            Cell(str(sum(int(one["n"]) for one in point)), _seeds(point)),
            Cell(percent(float(row["p_t"]))),
            *(_fraction(point, name) for name in (*GROUPS, "trigger_ratio")),
            _amplification(point, amplified),
        ]
        if template_matched:
            cells += [_template_matched(point, name) for name in TEMPLATE_MATCH]
        lines.append(cells)
    headers = (*PLACE, "authors' DDPM w", "n", "p_t", "G1", "G2", "G3", "G4", "trigger ratio")
    last = ("÷ p_t", *(("by the template match", "they agree") if template_matched else ()))
    return Table((*headers, *last), lines, 2)


def template_matches(rows: Sequence[Row]) -> Table:
    """Trigger judge and template matching side by side, where the trigger has a patch."""
    lines = []
    for point in _points([row for row in rows if has_template_match(row)]):
        share = [_fraction(point, name) for name in ("trigger_ratio", "template_trigger_ratio")]
        groups = [_fraction(point, name) for name in ("g1", "template_g1", "g2", "template_g2")]
        lines.append([*_place(point[0]), *share, *groups, _fraction(point, "template_agreement")])
    pairs = tuple(f"{name}, {by}" for name in ("trigger ratio", "G1", "G2") for by in JUDGED_BY)
    return Table((*PLACE, *pairs, "they agree"), lines, 2)


def corrections(rows: Sequence[Row]) -> Table:
    """Every row's fractions with the judges' errors undone, what was seen beneath."""
    names = (*GROUPS, "trigger_ratio")
    lines = []
    for row in sort_rows(rows):
        if any(row.get(f"{name}_corrected") is None for name in names):
            continue
        corrected = [
            Cell(
                f"{percent(float(row[name]))} → {percent(float(row[f'{name}_corrected']))}",
                bounds(_estimate(row, f"{name}_corrected")),
            )
            for name in names
        ]
        lines.append([*_place(row), Cell(str(row["seed"])), *corrected])
    return Table((*PLACE, "seed", "G1", "G2", "G3", "G4", "trigger ratio"), lines, 2)


def judges(rows: Sequence[Row]) -> Table:
    """What the judges and the template match get wrong on the test split, a line a trigger."""
    rates = [
        ("content accuracy, clean", "content_accuracy", "content_n"),
        ("content accuracy, stamped", "content_accuracy_stamped", "content_n"),
        ("trigger false positives", "trigger_false_positive_rate", "trigger_n_clean"),
        ("trigger false negatives", "trigger_false_negative_rate", "trigger_n_stamped"),
    ]
    if any(map(has_template_match, rows)):
        rates += [
            ("template match false positives", "template_false_positive_rate", "trigger_n_clean"),
            ("template match false negatives", "template_false_negative_rate", "trigger_n_stamped"),
        ]
    lines = []
    for trigger in sorted({str(row["judge_trigger"]) for row in rows}):
        row = next(row for row in rows if row["judge_trigger"] == trigger)
        lines.append(
            [Cell(trigger_name(trigger)), *(rate(row, name, trials) for _, name, trials in rates)]
        )
    return Table(("judges for", *(header for header, _, _ in rates)), lines, 1)


def other_conditions(rows: Sequence[Row]) -> Table:
    """The classes that are not the target, a line a model.

    They are sampled once a model and repeated on each of its rows, whatever the row's sampler.
    """
    names = ["other_match_ratio", "other_trigger_ratio"]
    headers = ["trigger", "p", "w", "seed", "n", "match", "carry the trigger"]
    if any(row.get("other_template_ratio") is not None for row in rows):
        names.append("other_template_ratio")
        headers.append("by the template match")
    place = ("trigger", "judge_trigger", "poison_ratio", "target_class", "seed")
    models: dict[tuple[object, ...], Row] = {}
    for row in sort_rows(rows):
        if row.get("other_n"):
            models.setdefault(tuple(row.get(column) for column in (*place, *names)), row)
    lines = [
        [
            Cell(trigger_name(str(row["trigger"])), _controlled(row)),
            Cell(ratio_name(float(row["poison_ratio"]))),
            Cell(f"{float(row['other_guidance_weight']):g}"),
            Cell(str(row["seed"])),
            Cell(str(row["other_n"])),
            *(_counted(row, name) for name in names),
        ]
        for row in models.values()
    ]
    return Table(tuple(headers), lines, 1)


def published(rows: Sequence[Row]) -> Table:
    """The paper's values, and ours at the same trigger, ratio, sampler and guidance weight."""
    return _published(rows, PUBLISHED, None)


def published_at_paper_guidance(rows: Sequence[Row], guidance_weight: float) -> Table:
    """The paper's values at its guidance of 5, and ours at one weight whatever its convention.

    Args:
        rows: Of a study at one guidance weight.
        guidance_weight: That weight.
    """
    return _published(rows, at_paper_guidance(), guidance_weight)


def _published(rows: Sequence[Row], values: Sequence[Published], weight: float | None) -> Table:
    measured = {str(row["trigger"]) for row in rows}
    lines = []
    for value in values:
        if value.trigger not in measured:
            continue
        ours = measured_beside(value, rows, weight)
        lines.append(
            [
                Cell(value.source),
                Cell(value.dataset),
                Cell(trigger_name(value.trigger)),
                Cell(sampler_name(value.sampler)),
                Cell(ratio_name(value.poison_ratio)),
                Cell(f"{value.guidance_weight:g}", _printed(value)),
                _beside(value, ours, "p_t"),
                *(_beside(value, ours, name) for name in (*GROUPS, "trigger_ratio")),
                _amplified_beside(value, ours),
            ]
        )
    place = ("source", "data", "trigger", "sampler", "p", "w", "p_t")
    return Table((*place, "G1", "G2", "G3", "G4", "trigger ratio", "÷ p_t"), lines, 4)


def transitions(curves: Sequence[tuple[float, Transition]]) -> Table:
    """Both p* at every guidance weight, with their intervals where there are seeds enough."""
    lines = []
    for weight, curve in curves:
        cells = [Cell(f"{weight:g}")]
        for crossing in (curve.gap, curve.dominance):
            place = crossing_place(crossing, curve.poison_ratios)
            cells += [
                Cell(place, "and not at every larger p" if crossing.falls_back else ""),
                Cell(crossing_interval(crossing, curve.poison_ratios) or NOTHING),
            ]
        lines.append([*cells, Cell(str(curve.seeds))])
    headers = ("w", "p*_gap", "95% interval", "p*_dom", "95% interval", "seeds")
    return Table(headers, lines, len(headers))


def stages(done: Sequence[Stage]) -> Table:
    """How long every step took, what was cached, and the most memory it held."""
    lines = [
        [
            Cell(stage.task),
            Cell(stage.label),
            Cell("cached" if stage.cached else "made now"),
            Cell(_duration(stage.seconds)),
            Cell(NOTHING if stage.peak_memory_bytes is None else _size(stage.peak_memory_bytes)),
        ]
        for stage in done
    ]
    return Table(("task", "step", "this time", "took", "peak memory"), lines, 3)


def tasks(done: Sequence[Stage]) -> Table:
    """The same added up by task, in the order in which tasks first come."""
    lines = []
    for task in dict.fromkeys(stage.task for stage in done):
        steps = [stage for stage in done if stage.task == task]
        peaks = [stage.peak_memory_bytes for stage in steps if stage.peak_memory_bytes is not None]
        lines.append(
            [
                Cell(task),
                Cell(str(len(steps))),
                Cell(str(sum(not stage.cached for stage in steps))),
                Cell(_duration(sum(stage.seconds for stage in steps))),
                Cell(_duration(max(stage.seconds for stage in steps))),
                Cell(_size(max(peaks)) if peaks else NOTHING),
            ]
        )
    headers = ("task", "steps", "made now", "took in all", "longest step", "peak memory")
    return Table(headers, lines, 1)


def _points(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of the same point, one a seed, in the order of the file."""
    points: dict[tuple[object, ...], list[Row]] = {}
    for row in sort_rows(rows):
        columns = ("trigger", "judge_trigger", "poison_ratio", "target_class", "guidance_weight")
        points.setdefault((*map(row.get, columns), row["sampler"], clip_of(row)), []).append(row)
    return list(points.values())


def _place(row: Row) -> list[Cell]:
    return [
        Cell(trigger_name(str(row["trigger"])), _controlled(row)),
        Cell(sampler_name(str(row["sampler"])), clip_name(clip_of(row))),
        Cell(ratio_name(float(row["poison_ratio"]))),
        Cell(f"{float(row['guidance_weight']):g}"),
    ]


def _controlled(row: Row) -> str:
    if row["trigger"] not in CONTROLS:
        return f"class {row['target_class']}"
    return f"control of {trigger_name(str(row['judge_trigger']))}"


def _seeds(point: Sequence[Row]) -> str:
    return "" if len(point) == 1 else f"{len(point)} seeds"


def _fraction(point: Sequence[Row], name: str) -> Cell:
    estimate = level_of(point, name).estimate
    if len(point) < 2:
        return Cell(percent(estimate.value), bounds(estimate))
    values = [float(row[name]) for row in point]
    spread = f"sd {100 * stdev(values):.1f}"
    return Cell(percent(sum(values) / len(values)), f"{spread}, {bounds(estimate)}")


def _template_matched(point: Sequence[Row], name: str) -> Cell:
    return _fraction(point, name) if all(map(has_template_match, point)) else Cell(NOTHING)


def _counted(row: Row, name: str) -> Cell:
    if row.get(name) is None:
        return Cell(NOTHING)
    count, n = counted(row, name)
    return Cell(percent(count / n), bounds(Estimate(count / n, *wilson(count, n))))


def _amplification(point: Sequence[Row], amplified: Sequence[float]) -> Cell:
    if not amplified:
        return Cell(NOTHING)
    p_t = float(point[0]["p_t"])
    estimate = level_of(point, "trigger_ratio").estimate.divided(p_t)
    return Cell(
        times(sum(amplified) / len(amplified)), f"{times(estimate.low)} to {times(estimate.high)}"
    )


def rate(row: Row, name: str, trials: str) -> Cell:
    """A proportion with its count and Wilson interval; a dash where the row has none."""
    if row.get(name) is None:
        return Cell(NOTHING)
    n = int(row[trials])
    count = round(float(row[name]) * n)
    estimate = Estimate(float(row[name]), *wilson(count, n))
    return Cell(percent(estimate.value), f"{count} of {n}, {bounds(estimate)}")


def _beside(value: Published, ours: Sequence[Row], name: str) -> Cell:
    theirs: float | None = getattr(value, name)
    column = "relabelled_ratio" if name == "p_t" and value.trigger == "relabel_only" else name
    mean = sum(float(row[column]) for row in ours) / len(ours) if ours else None
    return _both(
        NOTHING if theirs is None else percent(theirs), NOTHING if mean is None else percent(mean)
    )


def _amplified_beside(value: Published, ours: Sequence[Row]) -> Cell:
    amplified = [float(row["amplification"]) for row in ours if row["amplification"] is not None]
    return _both(
        NOTHING if value.amplification is None else times(value.amplification),
        times(sum(amplified) / len(amplified)) if amplified else NOTHING,
    )


def _printed(value: Published) -> str:
    same_word = value.guidance_weight == value.printed_weight
    return "" if same_word else f"printed as {value.printed_weight:g}"


def _both(theirs: str, ours: str) -> Cell:
    return Cell(theirs, f"ours {ours}")


def _estimate(row: Row, name: str) -> Estimate:
    return Estimate(float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"]))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
