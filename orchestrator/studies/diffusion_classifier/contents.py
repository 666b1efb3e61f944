"""What a page of diffusion classifiers shows of its own: Tab. 5, triggers x noise models."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from analysis.old import loss_maps
from analysis.old.loss_maps import Losses
from analysis.old.parts import inline, stems
from analysis.old.report import StudyReport
from analysis.old.rows import Row, row_key
from analysis.old.tables import Table
from analysis.page.wording import listed, noise_model_name, ratio_name, titled, trigger_name
from orchestrator.studies.diffusion_classifier import figures as charts
from orchestrator.studies.diffusion_classifier import tables as tables
from orchestrator.studies.diffusion_classifier.definitions import definitions
from orchestrator.studies.diffusion_classifier.finding import headline, reported, reported_filter
from orchestrator.studies.diffusion_classifier.published import published
from orchestrator.studies.diffusion_classifier.rows import (
    ACCURACY,
    ATTACK,
    ON_TRUE,
    RATES,
    UNFILTERED,
    Areas,
    Classified,
    Point,
    areas,
    classified,
)

FILES = {ACCURACY: "accuracy", ATTACK: "attack"}


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """Every figure as SVG text, by its file's name without the suffix."""
    drawn: dict[str, str] = {}
    sized = _sized(rows)
    for start, group in _groups(rows):
        for found in _by_ratio(group):
            theirs = published(found[0].trigger, found[0].poison_ratio)
            for rate in () if _stamp(group[0]) in sized else FILES:
                name = _rate_file(start, found[0], rate)
                drawn[name] = charts.rate_by_filter(found, rate, theirs, name)
            for point in found:
                if any(point.level(ON_TRUE, ratio) for ratio in point.filters):
                    name = _share_file(start, point)
                    drawn[name] = charts.on_trigger(point, name, _stamp(group[0]) in sized)
    for start, one in _sizes(rows):
        for ratio in one.poison_ratios:
            for rate, file in FILES.items():
                name = f"{start}-p{ratio:g}-{file}"
                drawn[name] = charts.rate_by_area(one.at(ratio), rate, name)
    return drawn


def contents(report: StudyReport, rows: Sequence[Row], drawn: Mapping[str, str]) -> dict[str, Any]:
    """What this study's template is filled with.

    Args:
        report: What to show.
        rows: The report's, sorted.
        drawn: As `figures` gives for them.
    """
    groups = _groups(rows)
    return {
        "facts": headline(rows),
        "overview": tables.overview(rows),
        "groups": [
            {
                "name": titled(f"{group[0].stamp}, class {group[0].target_class}"),
                "rates": _rates(start, group, drawn),
            }
            for start, group in groups
        ],
        "shares": _shares(groups, drawn),
        "areas": [
            {"name": titled(_about(one)), "panels": _area_panels(start, one, drawn)}
            for start, one in _sizes(rows)
        ],
        "maps": [maps for _, group in groups for maps in _maps(group, report)],
        "ramp": loss_maps.ramp(),
        "where": tables.on_trigger(rows),
        "cost": tables.cost(rows),
        "limits": _limits(rows),
        "definitions": definitions(rows, ema_decay=report.ema_decay),
        "published": tables.beside_the_paper(rows),
        "tables": [one for one in _tables(rows) if one[2].rows],
    }


def _tables(rows: Sequence[Row]) -> list[tuple[str, str, Table]]:
    """Title, a line of words and a table each, in reading order."""
    return [
        (
            "The changes",
            "Unfiltered diffusion classifier minus ordinary classifier, and every filter minus no "
            "filter, paired by test image; from three seeds on over the seeds.",
            tables.changes(rows),
        ),
        (
            "Where the dropped losses lie",
            "Shares of the values dropped of triggered images that lie on the trigger.",
            tables.on_trigger(rows),
        ),
        ("Every model and filter", "One by one, with the counts.", tables.by_seed(rows)),
    ]


def _groups(rows: Sequence[Row]) -> list[tuple[str, list[Classified]]]:
    """Start of file names, and the noise models of a trigger, its size and target class."""
    found = classified(rows)
    places = dict.fromkeys((one.stamp, one.trigger_pixels, one.target_class) for one in found)
    groups = [
        [one for one in found if (one.stamp, one.trigger_pixels, one.target_class) == place]
        for place in places
    ]
    return list(zip(stems([group[0].stamp] for group in groups), groups, strict=True))


def _sizes(rows: Sequence[Row]) -> list[tuple[str, Areas]]:
    found = areas(rows)
    starts = stems(["area", one.trigger, one.noise_model] for one in found)
    return list(zip(starts, found, strict=True))


def _sized(rows: Sequence[Row]) -> set[tuple[str, str]]:
    """Triggers and target classes that come in several sizes; a chart by size shows their rates."""
    return {(one.trigger, one.target_class) for one in areas(rows)}


def _stamp(one: Classified) -> tuple[str, str]:
    return one.trigger, one.target_class


def _by_ratio(group: Sequence[Classified]) -> list[list[Point]]:
    """The noise models at each poison ratio, the clean model's 0 last."""
    every = {point.poison_ratio for one in group for point in one.measured}
    order = sorted(every, key=lambda ratio: (ratio == 0, ratio))
    return [[point for one in group if (point := one.at(ratio)).rows] for ratio in order]


def _rate_file(start: str, point: Point, rate: str) -> str:
    return f"{start}-p{point.poison_ratio:g}-{FILES[rate]}"


def _share_file(start: str, point: Point) -> str:
    return f"{start}-{point.noise_model}-p{point.poison_ratio:g}-on-trigger"


def _rates(start: str, group: Sequence[Classified], drawn: Mapping[str, str]) -> list[Markup]:
    pictures = [
        inline(
            drawn,
            _rate_file(start, found[0], rate),
            f"{titled(group[0].stamp)}, {found[0].place}: {RATES[rate]} by filter ratio",
        )
        for found in _by_ratio(group)
        for rate in FILES
    ]
    return [picture for picture in pictures if picture]


def _shares(
    groups: Sequence[tuple[str, Sequence[Classified]]], drawn: Mapping[str, str]
) -> list[tuple[str, list[Markup]]]:
    """A trigger's name with its panels, those of all its sizes together, the clean model's last."""
    shown: dict[str, list[Markup]] = {}
    for start, group in groups:
        name = titled(f"{trigger_name(group[0].trigger)}, class {group[0].target_class}")
        for one in group:
            for point in sorted(one.measured, key=lambda point: point.poison_ratio == 0):
                words = f"{titled(one.about)}, {point.place}: share of the dropped losses"
                picture = inline(drawn, _share_file(start, point), f"{words} on the trigger")
                if picture:
                    shown.setdefault(name, []).append(picture)
    return list(shown.items())


def _about(one: Areas) -> str:
    return f"{one.trigger}, class {one.target_class}, {noise_model_name(one.noise_model)}"


def _area_panels(start: str, one: Areas, drawn: Mapping[str, str]) -> list[Markup]:
    pictures = [
        inline(
            drawn,
            f"{start}-p{ratio:g}-{file}",
            f"{titled(_about(one))}, p = {ratio_name(ratio)}: {RATES[rate]} by filter ratio and "
            "area of the trigger",
        )
        for ratio in one.poison_ratios
        for rate, file in FILES.items()
    ]
    return [picture for picture in pictures if picture]


def _maps(group: Sequence[Classified], report: StudyReport) -> list[dict[str, Any]]:
    """The maps of one trigger, a line a noise model, all in the same colors."""
    found = []
    for one in group:
        point = reported(one)
        if point and (losses := _losses(point, UNFILTERED, report)):
            found.append((point, losses))
    if not found:
        return []
    most = loss_maps.scale([losses for _, losses in found])
    return [
        {
            "name": titled(f"{group[0].stamp}, class {group[0].target_class}"),
            "most": f"{most:.3g}",
            "lines": [
                {
                    "name": f"{noise_model_name(point.noise_model)}, {point.place}",
                    "cells": _cells(point, losses, most, report),
                }
                for point, losses in found
            ],
        }
    ]


def _losses(point: Point, ratio: float, report: StudyReport) -> Losses | None:
    """Those of the first seed that has any at a filter ratio."""
    for row in point.at(ratio):
        losses = report.losses.get(row_key(row))
        if losses and len(losses.get("images", ())):
            return losses
    return None


def _cells(point: Point, losses: Losses, most: float, report: StudyReport) -> list[dict[str, Any]]:
    last = reported_filter(point)
    filtered = None if last is None else _losses(point, last, report)
    cells = []
    for place, picture in enumerate(loss_maps.triples(losses, most)):
        own = _class(int(losses["label"][place]), report)
        answers = [f"said {_class(int(losses['said'][place]), report)}"]
        if filtered and last is not None and place < len(filtered["said"]):
            said = _class(int(filtered["said"][place]), report)
            answers.append(f"{said} with {ratio_name(last)} dropped")
        words = f"class {own}, {', '.join(answers)}"
        cells.append({"image": picture, "words": words})
    return cells


def _class(number: int, report: StudyReport) -> str:
    """A class by its name, or by its number where the report has no names."""
    names = report.class_names
    return f"“{names[number] if number < len(names) else number}”"


def _limits(rows: Sequence[Row]) -> list[str]:
    """What the number of test images, draws and seeds lets one tell."""
    if not rows:
        return []
    widest = max(rows, key=lambda row: _half(row, ATTACK))
    images = listed([f"{n:,}" for n in sorted({int(row["n"]) for row in rows})], "or")
    stamped = listed([f"{n:,}" for n in sorted({int(row["attack_n"] or 0) for row in rows})], "or")
    draws = listed([str(n) for n in sorted({int(row["draws"]) for row in rows})], "or")
    said = [
        f"{images} clean and {stamped} stamped test images a model: the widest interval of one "
        f"model's ASR reaches {100 * _half(widest, ATTACK):.1f} points to either side, of its TA "
        f"{100 * max(_half(row, ACCURACY) for row in rows):.1f}. The paper's 10,000 and 9,000 "
        "would give about 1.",
        f"{draws} noise draws an image (the paper's code: 100). The draws are the same for all "
        "classes and filter ratios and fixed by the seed; what other draws would have said is not "
        "in the interval of one seed.",
    ]
    seeds = {int(row["seed"]) for row in rows}
    fewest = min(len(point.seeds) for one in classified(rows) for point in one.measured)
    if fewest < 3:
        said.append(
            f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, at some points {fewest}: with "
            "fewer than three, intervals are conditional on the trained models and say nothing "
            "about other trainings."
        )
    return said


def _half(row: Row, name: str) -> float:
    if row.get(f"{name}_low") is None:
        return 0.0
    return (float(row[f"{name}_high"]) - float(row[f"{name}_low"])) / 2
