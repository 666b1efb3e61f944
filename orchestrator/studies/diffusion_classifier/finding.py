"""A ``diffusion_classifier`` study in a few sentences and big numbers, from the rows."""

from collections.abc import Sequence

from analysis.old.rows import Row, same
from analysis.old.verdicts import tally
from analysis.page.wording import (
    classifier_name,
    counted,
    listed,
    noise_model_name,
    percent,
    ratio_name,
    times,
    titled,
    trigger_name,
)
from analysis.statistics.comparison import Comparison
from orchestrator.studies.diffusion_classifier.claims import judge
from orchestrator.studies.diffusion_classifier.published import FILTER_RATIOS
from orchestrator.studies.diffusion_classifier.rows import (
    ACCURACY,
    ATTACK,
    ON_TARGET,
    ON_TRUE,
    RATES,
    Areas,
    Classified,
    Point,
    areas,
    calls,
    classified,
)

Fact = tuple[str, str]
"""A big number and what it is."""


def sentences(rows: Sequence[Row]) -> list[str]:
    """A sentence a trigger and noise model, one on the losses, and a tally of the verdicts.

    None when no poisoned point is there.
    """
    found = [subject for subject in classified(rows) if subject.rows]
    if not found:
        return []
    several = areas(rows)
    sized = [subject for one in several for subject in one.sizes]
    verdicts = [judgment.verdict for judgment in judge(rows)]
    return [
        *(_what_happened(subject) for subject in found if subject not in sized),
        *map(_by_size, several),
        *_where(found),
        *_limits(rows),
        f"Of {counted(len(verdicts), 'verdict')} {tally(verdicts)}.",
    ]


def headline(rows: Sequence[Row]) -> list[Fact]:
    """ASR at the lowest and highest ratio, and TA, of the first trigger under each noise model."""
    found = [subject for subject in classified(rows) if subject.rows]
    facts = []
    for subject in found:
        if subject.stamp != found[0].stamp or not (point := reported(subject)):
            continue
        network = classifier_name(str(point.rows[0]["classifier"]))
        last = reported_filter(point)
        for name in (ATTACK, ACCURACY):
            levels, words = [point.level(name)], "no filter"
            if last is not None:
                levels.append(point.level(name, last))
                words += f" → {ratio_name(last)} of the losses dropped"
            other = point.beside(name)
            if other and all(levels):
                about = f"{titled(subject.about)}: {RATES[name]} at {point.place}, {words}"
                facts.append(
                    (" → ".join(map(rounded, levels)), f"{about}; {network} {rounded(other)}")
                )
    return facts


def reported(subject: Classified) -> Point | None:
    """The point that pictures and big numbers are about: 5% where measured, else the highest."""
    points = subject.points
    return next(
        (point for point in points if same(point.poison_ratio, 0.05)),
        points[-1] if points else None,
    )


def reported_filter(point: Point) -> float | None:
    """The paper's highest filter ratio where measured, else the highest; None without a filter."""
    filters = point.filters
    return next(
        (ratio for ratio in filters if same(ratio, FILTER_RATIOS[-1])),
        filters[-1] if filters else None,
    )


def rounded(level: Comparison | None) -> str:
    """Whole percent, with a decimal below 10 where it tells."""
    assert level
    share = level.estimate.value
    return percent(share) if 0 < share < 0.1 else f"{100 * share:.0f}%"


def _what_happened(subject: Classified) -> str:
    """The ordinary classifier, the diffusion classifier, and what filtering did, ratio by ratio."""
    where = f"{titled(subject.about)} (class “{subject.target_class}”)"
    clauses = []
    for name in (ATTACK, ACCURACY):
        cells = [cell for point in subject.points if (cell := _path(point, name))]
        if cells:
            clauses.append(f"{RATES[name]} {listed(cells)}")
    if not clauses:
        return f"{where}: the unfiltered diffusion classifier is missing."
    point = subject.points[0]
    network = classifier_name(str(point.rows[0]["classifier"]))
    last = reported_filter(point)
    words = f"the {network} → the diffusion classifier"
    if last is not None:
        words += f" → with {ratio_name(last)} of the losses dropped"
    return f"{where}, from {words}: {'; '.join(clauses)}."


def _by_size(several: Areas) -> str:
    """What filtering did to each size of a trigger, at the highest poison ratio that they share."""
    sizes = several.at(several.poison_ratios[-1])
    name = noise_model_name(several.noise_model)
    where = f"{titled(trigger_name(several.trigger))}s, {name}, at {sizes[0].place}"
    last = reported_filter(sizes[0])
    words = "" if last is None else f" → with {ratio_name(last)} of the losses dropped"
    cells = []
    for point in sizes:
        levels = [point.level(ATTACK), *([] if last is None else [point.level(ATTACK, last)])]
        if all(levels):
            size = counted(point.trigger_pixels or 0, "pixel")
            cells.append(f"{' → '.join(map(rounded, levels))} for {size}")
    return f"{where}: ASR without a filter{words} {listed(cells) or 'is missing'}."


def _path(point: Point, name: str) -> str:
    """Such as "54% → 95% → 1.5% at p = 1%"; nothing where a number is missing."""
    last = reported_filter(point)
    levels = [point.beside(name), point.level(name)]
    if last is not None:
        levels.append(point.level(name, last))
    if not all(levels):
        return ""
    return f"{' → '.join(map(rounded, levels))} at {point.place}"


def _where(found: Sequence[Classified]) -> list[str]:
    """Where the dropped losses lie, for the first trigger that is a patch."""
    clauses = []
    patches = [one for one in found if one.trigger_pixels is not None]
    for subject in patches:
        point = reported(subject)
        last = reported_filter(point) if point else None
        if subject.stamp != patches[0].stamp or point is None or last is None:
            continue
        own, target = (point.level(name, last) for name in (ON_TRUE, ON_TARGET))
        if own and target and point.area is not None:
            clauses.append(
                f"{subject.about} at {point.place}: {rounded(own)} under the image's own class "
                f"and {rounded(target)} under the target class, where the trigger's area is "
                f"{percent(point.area)}"
            )
    if not clauses:
        return []
    return [f"Of the values dropped, the share that lies on the trigger: {'; '.join(clauses)}."]


def _limits(rows: Sequence[Row]) -> list[str]:
    """How many test images and draws this rests on, and what elimination saved."""
    images, draws = (sorted({int(row[name]) for row in rows}) for name in ("n", "draws"))
    counts = [calls(point) for one in classified(rows) for point in one.measured]
    made, full = (sum(numbers) for numbers in zip(*counts, strict=True))
    saved = f", {times(full / made)[1:]} times fewer than without elimination" if made else ""
    return [
        f"Measured on {listed([f'{n:,}' for n in images], 'or')} test images with "
        f"{listed(list(map(str, draws)), 'or')} noise draws each: {made:,} network calls{saved}."
    ]
