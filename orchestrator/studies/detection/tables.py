"""The tables of a ``detection`` page."""

from collections.abc import Callable, Iterable, Sequence
from statistics import stdev
from typing import NamedTuple

from analysis.old.rows import Row, same, sort_rows
from analysis.old.tables import NOTHING, Cell, Table, rate
from analysis.old.verdicts import Verdict
from analysis.page.wording import (
    area,
    detector_name,
    gain,
    image_set_name,
    percent,
    ratio_name,
    titled,
    trigger_name,
)
from analysis.statistics.intervals import Estimate
from orchestrator.studies.detection.finding import reported, whole_below_chance
from orchestrator.studies.detection.published import RATIOS, SOURCE, printed_at, published
from orchestrator.studies.detection.rows import (
    Change,
    Compared,
    comparisons,
    detector_rank,
    detectors,
    is_null,
    level_of,
    mean_of,
    sampling_of,
)

KINDS = {
    Change.BETTER: "supported",
    Change.WORSE: "failed",
    Change.NO_DIFFERENCE: "equal",
    Change.UNDECIDED: "undecided",
    Change.UNDEFINED: "not_tested",
}
"""The style of each change."""


class Outcome(NamedTuple):
    """One comparison as the overview shows it."""

    before: str
    """AUROC on the training set."""
    after: str
    """AUROC on the generations."""
    word: str
    """A `Change`'s, or that it was not tested."""
    kind: str
    """Of `KINDS`."""
    remark: str
    """Saturated, below 0.5 or few positives, if so."""


def overview(rows: Sequence[Row]) -> tuple[list[str], list[tuple[str, list[Outcome | None]]]]:
    """The reported comparisons: detectors across, triggers and poison ratios down.

    Returns:
        The detectors' names; and of each line its name and an outcome a detector, None where there
        is no row.
    """
    compared = reported(rows)
    names = detectors(row for row in rows if row["poison_ratio"] > 0)
    lines = []
    for trigger, ratio in dict.fromkeys(
        (one.trigger, one.poison_ratio) for one in _by_place(compared)
    ):
        own = {
            one.detector: _outcome(one)
            for one in compared
            if one.trigger == trigger and same(one.poison_ratio, ratio)
        }
        name = f"{titled(trigger_name(trigger))}, p = {ratio_name(ratio)}"
        lines.append((name, [own.get(detector) for detector in names]))
    return [detector_name(name) for name in names], lines


def measurements(rows: Sequence[Row]) -> Table:
    """Every row's AUROC and rates, over its seeds where it has several; null points last."""
    lines = []
    for point in _points(rows):
        lines.append(
            [
                *_place(point[0]),
                Cell(f"{int(point[0]['n']):,}", _seeds(point)),
                Cell(_joined(point, lambda row: f"{int(row['n_positive']):,}")),
                *(_level(point, name) for name in ("auroc", "tpr_at_1pct_fpr", "tpr_at_5pct_fpr")),
                *(_plain(point, f"median_{kind}") for kind in ("positive", "negative")),
                *(_level(point, f"{group}_auroc") for group in ("g1", "g2")),
            ]
        )
    place = ("detector", "trigger", "p", "images", "w, sampler", "n", "positives")
    rates = ("AUROC", "TPR at 1% FPR", "at 5% FPR", "median, positives", "negatives")
    return Table((*place, *rates, "AUROC, G1 alone", "G2 alone"), lines, 5)


def gains(rows: Sequence[Row]) -> Table:
    """Every comparison: the difference as measured, by the template match, at equal prevalence."""
    names = (
        "auroc_gain",
        "template_auroc_gain",
        "judge_minus_template_auroc",
        "equal_prevalence_gain",
    )
    lines = [
        [
            *_of(one),
            _area(one.before),
            _area(one.after),
            Cell(one.change().value, ", ".join(one.few)),
            *(_difference(one.estimate(name)) for name in names),
        ]
        for one in comparisons(rows)
        if one.generation
    ]
    place = ("detector", "trigger", "p", "w, sampler", "training set", "generations", "difference")
    about = (
        "AUROC gained",
        "by the template match",
        "judge − template_match",
        "at equal prevalence",
    )
    return Table((*place, *about), lines, 4)


def decomposition(rows: Sequence[Row]) -> Table:
    """Every comparison: AUROC with only one kind of score moved, and both shifts."""
    names = (
        "auroc_poisoned_moved",
        "auroc_clean_moved",
    )
    shifts = ("poisoned_shift", "clean_shift")
    lines = [
        [
            *_of(one),
            _area(one.before),
            *(_area(one.estimate(name)) for name in names),
            _area(one.after),
            *(_area(one.estimate(name)) for name in shifts),
        ]
        for one in comparisons(rows)
        if one.generation
    ]
    place = ("detector", "trigger", "p", "w, sampler")
    about = ("training set", "positives moved", "negatives moved", "both (generations)")
    return Table((*place, *about, "shift of positives", "of negatives"), lines, 4)


def masks(rows: Sequence[Row]) -> Table:
    """What the masks keep, of detectors that have masks: pixels, the patch's, and the answer."""
    parts = ("mean", "patch", "kept")
    names = [f"mask_{part}_{kind}" for part in parts for kind in ("positive", "negative")]
    lines = [
        [*_place(point[0]), *(_share(point, name) for name in names)]
        for point in _points(rows)
        if mean_of(point, "mask_mean_negative") is not None
    ]
    place = ("detector", "trigger", "p", "images", "w, sampler")
    kept = ("pixels kept", "of the patch", "answer kept")
    headers = [words for part in kept for words in (f"{part}, positives", "negatives")]
    return Table((*place, *headers), lines, 5)


def classifiers(rows: Sequence[Row]) -> Table:
    """What each classifier learned, a line a trigger, poison ratio and seed."""
    models: dict[tuple[object, ...], Row] = {}
    for row in sort_rows(rows):
        models.setdefault((row["trigger"], row["poison_ratio"], row["seed"]), row)
    lines = [
        [
            Cell(trigger_name(str(row["trigger"]))),
            Cell(ratio_name(float(row["poison_ratio"]))),
            Cell(str(row["seed"])),
            rate(row, "training_accuracy", "n_train"),
            rate(row, "test_accuracy", "test_n"),
            rate(row, "attack_success_rate", "attack_n"),
        ]
        for row in models.values()
    ]
    headers = ("trigger", "p", "seed", "training accuracy", "test accuracy", "attack success rate")
    return Table(headers, lines, 3)


def judges(rows: Sequence[Row]) -> Table:
    """What those who say which generations carry the trigger get wrong on the test split."""
    lines = []
    generated = [row for row in sort_rows(rows) if row["image_set"] == "generation"]
    for trigger in sorted({str(row["judge_trigger"]) for row in generated}):
        row = next(row for row in generated if row["judge_trigger"] == trigger)
        rates = [
            rate(row, f"{judge}_false_{kind}_rate", trials)
            for judge in ("trigger", "template_match")
            for kind, trials in (("positive", "trigger_n_clean"), ("negative", "trigger_n_stamped"))
        ]
        lines.append([Cell(trigger_name(trigger)), *rates])
    kinds = ("false positives", "false negatives")
    headers = [f"{judge} {kind}" for judge in ("trigger judge", "template_match") for kind in kinds]
    return Table(("judges for", *headers), lines, 1)


def beside_the_paper(rows: Sequence[Row]) -> Table:
    """Tab. 3 for the triggers and detectors measured, ours beneath each of its three data sets."""
    lines = []
    for detector, trigger in dict.fromkeys(
        (one.detector, one.trigger) for one in sorted(reported(rows), key=_published_order)
    ):
        cells = published(detector, trigger)
        if not cells:
            continue
        name = [Cell(detector_name(detector)), Cell(trigger_name(trigger))]
        for dataset in dict.fromkeys(cell.dataset for cell in cells):
            own = [cell for cell in cells if cell.dataset == dataset]
            lines.append([Cell(SOURCE), Cell(dataset), *name])
            for ratio in RATIOS:
                cell = printed_at(ratio, own)
                assert cell, "Tab. 3 is whole"
                lines[-1].append(
                    Cell(f"{area(cell.training)} → {area(cell.generation)}", gain(cell.increase))
                )
        mine = [one for one in reported(rows) if (one.detector, one.trigger) == (detector, trigger)]
        lines.append([Cell("ours"), Cell(str(rows[0]["scale"])), *name, *map(_ours(mine), RATIOS)])
    ratios = [f"p = {ratio_name(ratio)}" for ratio in RATIOS]
    return Table(("source", "data", "detector", "trigger", *ratios), lines, 4)


def _ours(compared: Sequence[Compared]) -> Callable[[float], Cell]:
    def cell(ratio: float) -> Cell:
        one = next((one for one in compared if same(one.poison_ratio, ratio)), None)
        if one is None or one.before is None or one.after is None:
            return Cell(NOTHING)
        gained = one.estimate("auroc_gain")
        small = f"{gain(gained.value)}, {one.change().value}" if gained else ""
        return Cell(f"{area(one.before.value)} → {area(one.after.value)}", small)

    return cell


def _published_order(one: Compared) -> tuple[object, ...]:
    return one.trigger, detector_rank(one.detector)


def _by_place(compared: Iterable[Compared]) -> list[Compared]:
    return sorted(compared, key=lambda one: (one.trigger, one.poison_ratio))


def _outcome(one: Compared) -> Outcome:
    remarks = ["saturated"] if one.saturated else []
    if whole_below_chance(one.before) or whole_below_chance(one.after):
        remarks.append("below 0.5")
    if one.few:
        remarks.append("few positives")
    change = one.change()
    return Outcome(
        NOTHING if one.before is None else area(one.before.value),
        NOTHING if one.after is None else area(one.after.value),
        change.value if one.generation else Verdict.NOT_TESTED.value,
        KINDS[change],
        ", ".join(remarks),
    )


def _points(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one point, one a seed: by detector, trigger, ratio and set; null points last."""
    points: dict[tuple[object, ...], list[Row]] = {}
    for row in sorted(sort_rows(rows), key=_reading_order):
        key = (*map(row.get, ("trigger", "target_class", "poison_ratio", "detector", "image_set")),)
        points.setdefault((is_null(row), *key, sampling_of(row)), []).append(row)
    return [points[key] for key in sorted(points, key=lambda key: bool(key[0]))]


def _reading_order(row: Row) -> tuple[object, ...]:
    return (
        detector_rank(str(row["detector"])),
        str(row["trigger"]),
        str(row["target_class"]),
        float(row["poison_ratio"]),
        row["image_set"] != "training",
    )


def _place(row: Row) -> list[Cell]:
    sampling = sampling_of(row)
    return [
        Cell(detector_name(str(row["detector"]))),
        Cell(trigger_name(str(row["trigger"])), "random flags" if row.get("pretend_ratio") else ""),
        Cell(ratio_name(float(row["poison_ratio"]))),
        Cell(image_set_name(str(row["image_set"]))),
        Cell(sampling.name if sampling else ""),
    ]


def _of(one: Compared) -> list[Cell]:
    return [
        Cell(detector_name(one.detector)),
        Cell(trigger_name(one.trigger)),
        Cell(ratio_name(one.poison_ratio)),
        Cell(one.sampling.name if one.sampling else ""),
    ]


def _seeds(point: Sequence[Row]) -> str:
    return "" if len(point) == 1 else f"{len(point)} seeds"


def _joined(point: Sequence[Row], word: Callable[[Row], str]) -> str:
    return ", ".join(dict.fromkeys(map(word, point)))


def _level(point: Sequence[Row], name: str) -> Cell:
    found = level_of(point, name)
    if found is None:
        return Cell(NOTHING)
    values = [float(row[name]) for row in point if row.get(name) is not None]
    spread = f"sd {stdev(values):.3f}, " if len(values) > 1 else ""
    estimate = found.estimate
    return Cell(area(estimate.value), f"{spread}{area(estimate.low)} to {area(estimate.high)}")


def _plain(point: Sequence[Row], name: str) -> Cell:
    value = mean_of(point, name)
    return Cell(NOTHING if value is None else f"{value:.3g}".replace("-", "−"))


def _share(point: Sequence[Row], name: str) -> Cell:
    value = mean_of(point, name)
    return Cell(NOTHING if value is None else percent(value))


def _area(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(NOTHING)
    return Cell(area(estimate.value), f"{area(estimate.low)} to {area(estimate.high)}")


def _difference(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(NOTHING)
    return Cell(gain(estimate.value), f"{gain(estimate.low)} to {gain(estimate.high)}")
