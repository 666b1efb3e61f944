"""``castlewalls detect``: which images of somebody's own labeled folder are suspicious?

A study that is not among ``STUDIES``, as it knows no poison: a classifier is trained on the whole
folder as it is labeled, and a point is a detector.
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
from orchestrator.cli import parsing
from orchestrator.cli.tables import print_lines
from orchestrator.run import report
from orchestrator.run.request import Request, Result, log_of
from orchestrator.step import Step, brief
from orchestrator.studies.axes import DETECTOR, Axes
from orchestrator.studies.graph import Graph
from orchestrator.studies.scales import LAPTOP, TINY, Scale
from orchestrator.studies.study import Point, Study
from tasks.data.datasets import ImageFolder
from tasks.steps import rank

SCALES = (LAPTOP.name, TINY.name)
"""Those that have a classifier for such images; ``laptop`` fits it to them."""
SEED = 0
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
    """What was asked for, as ``parsing.request`` puts it together, of a folder taken whole."""
    if words.get("images") is None:
        raise ValueError(
            "Missing option '--images'. Give a folder with one folder of images a class."
        )
    choices.known(words.get("scale") or LAPTOP.name, SCALES, "scale")
    return parsing.request(study, say=say, held_out=False, **words)


def write_page(request: Request, result: Result, points: Sequence[Point], folder: Path) -> Path:
    """Write the page and ``suspicion.csv`` of the detectors that are finished."""
    dataset, store = request.scale.dataset, request.store
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
                MissingPoint(one.point.name, one.message, log_of(one.point, store))
                for one in result.failures
            ],
            stages=report.stages(request, result),
            settings=_settings(request),
            environment=report.environment(store, points[0].measure),
            command=report.command(request),
        ),
        [_ranking(request, point) for point in points],
    )


def print_suspects(request: Request, result: Result, console: Console) -> None:
    """The most suspicious images by each detector, and where the rest is."""
    done, lines = report.finished(request), []
    for point in done:
        ranked = rank.read(request.store.folder(point.measure))
        shown = ranked[:PRINTED]
        lines.append(f"{point.axes['detector']}: the {len(shown)} most suspicious of {len(ranked)}")
        for one in shown:
            name = page.readable(one.file)
            lines.append(f"  {one.rank}  {one.suspicion:<10.4g}  {one.label}: {name}")
    if not result.made and len(done) == len(result.points):
        lines.append("everything was finished already; nothing was started.")
    lines += [*result.remarks, *report.left_out(request)]
    if result.page:
        lines.append(f"every image: {result.page.with_name('suspicion.csv')}")
    lines.append(f"page: {result.page}" if result.page else "no detector is finished.")
    print_lines(console, *lines)


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
    scale, dataset = request.scale, request.scale.dataset
    shown: dict[str, object] = {
        "images": f"{sum(dataset.counts()['train']):,} files of {len(dataset.class_names)} classes",
        "image size": f"{dataset.image_size} px, {'gray' if dataset.channels == 1 else 'color'}",
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
