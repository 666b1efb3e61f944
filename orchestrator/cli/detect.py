"""``castlewalls detect``: which images of somebody's own labelled folder are suspicious?

A study that is not among ``STUDIES``, as it asks nothing of the paper and knows no poison: the
folder is taken whole, a classifier is trained on it as it is labelled, and a point is a detector.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from analysis.page import suspects as page
from analysis.page.page import MissingPoint, Report
from analysis.page.suspects_page import write
from analysis.rows import frame
from orchestrator import choices
from orchestrator.cli import part_settings
from orchestrator.cli.options import split
from orchestrator.cli.parsing import open_folder, store_of
from orchestrator.run import report
from orchestrator.run.placement import Placement
from orchestrator.run.request import Request, Result, log_of
from orchestrator.step import Step, brief
from orchestrator.studies.axes import DETECTOR, Axes
from orchestrator.studies.graph import Graph
from orchestrator.studies.own_images import own_images
from orchestrator.studies.scales import LAPTOP, TINY, Scale
from orchestrator.studies.study import Point, Study
from tasks.data.datasets import ImageFolder
from tasks.steps import rank

SCALES = (LAPTOP, TINY)
"""Their classifiers and detectors; ``laptop`` fits the classifier to the images."""
SEED = 0
"""Of the classifier and of the detectors."""
PRINTED = 5
"""Images that the terminal shows of each detector."""


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """A point a detector, all with one classifier, which is trained on every image."""
    graph = Graph(scale, scale.dataset.class_names[0])  # no class is the target of anything here
    streams = {"dataset": graph.dataset}
    classifier = Step(replace(scale.classifier, seed=SEED), {}, streams)
    made = []
    for name in axes.detector:
        prepared = graph.prepared(name, classifier)
        inputs = {"dataset": graph.dataset, "prepared": prepared}
        row = Step(rank.Settings(detector=name), inputs | {"suspicion": graph.suspicion(prepared)})
        made.append(Point(axes={"detector": name}, measure=row))
    return made


def request(study: Study, *, say: Callable[[str], Any] = print, **words: Any) -> Request:
    """Look up, check and put together what was asked for: as ``parsing.request`` does."""
    options, typed = split(study, words)
    if options.images is None:
        raise ValueError(
            "Missing option '--images'. Give a folder with one folder of images a class."
        )
    placement = Placement(actors=options.actors)
    scales = {scale.name: scale for scale in SCALES}
    stock = scales[choices.known(options.scale, scales, "scale")]
    axes = study.chosen(stock, typed)
    store = store_of(words.get("store"))
    dataset = open_folder(options, store, say, held_out=False)
    scorers = part_settings.detectors_of(options.detector_setting, stock)
    scale = replace(own_images(stock, dataset), detectors=(*stock.detectors, *scorers))
    if options.classifier_steps is not None:
        classifier = replace(scale.classifier, steps=options.classifier_steps)
        scale = replace(scale, classifier=classifier)
    return Request(
        study=study,
        scale=scale,
        axes=axes,
        store=store,
        placement=placement,
        address=options.address,
        verbose=options.verbose,
        typed=options.typed(),
    )


def write_page(request: Request, result: Result, points: Sequence[Point], folder: Path) -> Path:
    """Write the page and ``suspicion.csv`` of the detectors that are finished."""
    dataset = request.scale.dataset
    assert isinstance(dataset, ImageFolder)
    name = Path(dataset.folder).name or dataset.folder
    return write(
        folder,
        Report(
            study="detect",
            scale=request.scale.name,
            title=f"The most suspicious images of {name}",
            question=" ".join(report.left_out(request)),
            rows=frame([]),
            class_names=dataset.class_names,
            failures=[
                MissingPoint(
                    failure.point.name, failure.message, log_of(failure.point, request.store)
                )
                for failure in result.failures
            ],
            stages=report.stages(request, result),
            settings=_settings(request),
            environment=report.environment(request.store, points[0].measure),
            command=report.command(request),
        ),
        [_ranking(request, point) for point in points],
    )


def print_suspects(request: Request, result: Result, console: Console) -> None:
    """The most suspicious images by each detector, and where the rest is."""
    done = report.finished(request)
    for point in done:
        lines = rank.read(request.store.folder(point.measure))
        shown = lines[:PRINTED]
        _say(console, f"{point.axes['detector']}: the {len(shown)} most suspicious of {len(lines)}")
        for line in shown:
            name = page.readable(line.file)
            _say(console, f"  {line.rank}  {line.suspicion:<10.4g}  {line.label}: {name}")
    if not result.made and len(done) == len(result.points):
        _say(console, "everything was finished already; nothing was started.")
    for remark in (*result.remarks, *report.left_out(request)):
        _say(console, remark)
    if result.page:
        _say(console, f"every image: {result.page.with_name('suspicion.csv')}")
        _say(console, f"page: {result.page}")
    else:
        _say(console, "no detector is finished.")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _ranking(request: Request, point: Point) -> page.Ranking:
    lines = rank.read(request.store.folder(point.measure))
    label = {name: number for number, name in enumerate(request.scale.dataset.class_names)}
    return page.Ranking(
        detector=str(point.axes["detector"]),
        row=report.row_of(request, point),
        files=[line.file for line in lines],
        labels=np.array([label[line.label] for line in lines], dtype=np.int64),
        suspicion=np.array([line.suspicion for line in lines]),
        pictures=report.arrays(request.store, point).get("groups", {}),
    )


def _settings(request: Request) -> dict[str, object]:
    """What the classifier and the detectors are, in words that need no source."""
    scale, dataset = request.scale, request.scale.dataset
    shown: dict[str, object] = {
        "images": f"{sum(dataset.counts()['train']):,} files of {len(dataset.class_names)} classes",
        "image size": f"{dataset.image_size} px, {dataset.channels} channel(s)",
    }
    parts: dict[str, Any] = {"classifier": scale.classifier}
    parts |= {f"detector {name}": scale.detector(name, SEED) for name in request.axes.detector}
    for name, part in parts.items():
        shown |= {f"{name}: {key.replace('_', ' ')}": value for key, value in vars(part).items()}
    return brief(shown)


DETECT = Study(
    name="detect",
    title="Suspicious images of a folder",
    paper="",
    question="Which images of a folder look poisoned to a detector? Nothing need be known of them.",
    axes=(DETECTOR,),
    points=points,
    write=write_page,
    words=("detect",),
)
"""Asked by its own command, not by name."""
