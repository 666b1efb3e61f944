"""``castlewalls detect``: which images of somebody's own labelled folder are suspicious?

A study that is not among ``STUDIES``, as it asks nothing of the paper and knows no poison: the
folder is taken whole, a classifier is trained on it as it is labelled, and a point is a detector.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from analysis.page import suspects as page
from analysis.page.page import Failure
from orchestrator.cli import choices, own_triggers
from orchestrator.run import report
from orchestrator.run.request import Request, Result, log_of
from orchestrator.step import Step, brief
from orchestrator.store.store import open_store
from orchestrator.studies.graph import Graph
from orchestrator.studies.own_images import own_images
from orchestrator.studies.scales import LAPTOP, TINY, Scale
from orchestrator.studies.study import Axes, Point, Study
from tasks import detectors
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
        inputs = {
            "dataset": graph.dataset,
            "suspicion": graph.suspicion(prepared),
            "prepared": prepared,
        }
        made.append(
            Point(axes={"detector": name}, measure=Step(rank.Settings(detector=name), inputs))
        )
    return made


def axes(scale: Scale) -> Axes:  # noqa: ARG001 - the same at every scale
    """Every detector, and nothing that has to do with poison."""
    return Axes(
        trigger=(),
        poison_ratio=(),
        guidance_weight=(),
        sampler=(),
        seed=(SEED,),
        target_class="",
    )


def request(
    images: str,
    *,
    detector: str | None = None,
    detector_setting: Sequence[str] = (),
    scale: str = LAPTOP.name,
    store: str | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    skip_broken: bool = False,
    classifier_steps: int | None = None,
    say: Callable[[str], Any] = print,
    **more: Any,
) -> Request:
    """Look up, check and put together what was asked for.

    Args:
        images: The folder; all of it is trained on and looked at.
        detector: Names of ``DETECTORS`` with commas between them; by default all.
        detector_setting: Fields of detectors, each ``DETECTOR.FIELD=VALUE``.
        scale: A name of ``SCALES``.
        store: A folder, or an address such as ``s3://bucket/folder``; by default
            ``CASTLEWALLS_STORE``, else ``artifacts``.
        image_size: Pixels to which the images are reduced; 32.
        channels: 1 or 3; by default what they are.
        skip_broken: Leave out files that cannot be decoded.
        classifier_steps: Updates of the classifier instead of the scale's.
        say: Told what is left out of the images.
        more: Fields of ``Request``.

    Raises:
        ValueError: In one line, what was expected, what came and what to type instead.
    """
    choices.refuse_empty({"store": store, "images": images, "detector": detector, **more})
    scales = {item.name: item for item in SCALES}
    stock = scales[choices.known(scale, scales, "scale")]
    known = [kind.name for kind in detectors.DETECTORS]
    names = [choices.known(word, known, "detector") for word in choices.words(detector) or known]
    place = open_store(store or os.environ.get("CASTLEWALLS_STORE") or "artifacts")
    size = {} if image_size is None else {"image_size": image_size}
    dataset = ImageFolder.open(
        choices.path(images, "--images"),
        channels=channels,
        skip_broken=skip_broken,
        held_out=False,
        store=str(place.root),
        say=say,
        **size,
    )
    scorers = own_triggers.chosen_detectors(detector_setting, stock)
    chosen = replace(own_images(stock, dataset), detectors=(*stock.detectors, *scorers))
    if classifier_steps is not None:
        chosen = replace(chosen, classifier=replace(chosen.classifier, steps=classifier_steps))
    given = {
        "--images": images,
        "--image-size": image_size,
        "--channels": channels,
        "--classifier-steps": classifier_steps,
    }
    typed = [word for flag, value in given.items() if value is not None for word in (flag, value)]
    typed += [word for words in detector_setting for word in ("--detector-setting", words)]
    return Request(
        study=DETECT,
        scale=chosen,
        axes=replace(DETECT.axes(chosen), detector=tuple(names)),
        store=place,
        typed=[*map(str, typed), *(["--skip-broken"] if skip_broken else [])],
        **more,
    )


def write_page(request: Request, result: Result, points: Sequence[Point], folder: Path) -> Path:
    """Write the page and ``suspicion.csv`` of the detectors that are finished."""
    dataset = request.scale.dataset
    assert isinstance(dataset, ImageFolder)
    return page.write(
        folder,
        page.SuspectsReport(
            folder=Path(dataset.folder).name or dataset.folder,
            scale=request.scale.name,
            class_names=dataset.class_names,
            rankings=[_ranking(request, point) for point in points],
            remarks=list(report.left_out(request)),
            failures=[
                Failure(failure.point.name, failure.message, log_of(failure.point, request.store))
                for failure in result.failures
            ],
            stages=report.stages(request, result),
            settings=_settings(request),
            environment=report.environment(request.store, points[0].measure),
            command=report.command(request),
        ),
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
    question="Which images of this folder look poisoned to a detector?",
    points=points,
    axes=axes,
    detects=True,
    page=write_page,
    words=("detect",),
)
"""Asked by its own command, not by name."""
