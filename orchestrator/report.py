"""Write a study's page from what is finished; reads the store, starts nothing."""

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.page import Failure, Stage, StudyReport
from analysis.page import write as write_page
from analysis.rows import row_key
from orchestrator import show
from orchestrator.request import Request, Result, log_of
from orchestrator.step import Step, ancestors
from orchestrator.store import Store
from orchestrator.studies.study import Point

EXAMPLES = 8
"""Training images shown clean and stamped."""


def reported(request: Request, result: Result) -> Result:
    """Write ``index.html``, ``results.csv`` and figures, unless no point is finished."""
    points = finished(request)
    return replace(result, page=_write(request, result, points)) if points else result


def _write(request: Request, result: Result, points: Sequence[Point]) -> Path:
    rows = [row_of(request, point) for point in points]
    diffusion = request.scale.diffusion
    report = StudyReport(
        study=request.study.name,
        scale=request.scale.name,
        title=request.study.title,
        question=f"{request.study.paper}. {request.study.question}",
        rows=rows,
        groups={
            row_key(row): _groups(request.store, point)
            for row, point in zip(rows, points, strict=True)
        },
        trigger_examples=_trigger_examples(request, points),
        stages=_stages(request, result),
        failures=[
            Failure(failure.point.name, failure.message, log_of(failure.point, request.store))
            for failure in result.failures
        ],
        settings=_settings(request),
        environment=_environment(request.store, points[0].measure),
        command=command(request),
        ema_decay=diffusion.ema_decay,
    )
    return write_page(request.store.root / "reports" / request.label, report)


def finished(request: Request) -> list[Point]:
    """Points whose row is there and as it was written."""
    store = request.store
    return [
        point for point in request.points() if store.damage(point.measure, content=True) is None
    ]


def rows_of(request: Request) -> list[dict[str, Any]]:
    """The rows of the finished points."""
    return [row_of(request, point) for point in finished(request)]


def row_of(request: Request, point: Point) -> dict[str, Any]:
    """One finished point's row: its ``metrics.json`` and whose it is."""
    path = request.store.folder(point.measure) / "metrics.json"
    return {
        "study": request.study.name,
        "scale": request.scale.name,
        **json.loads(path.read_text()),
    }


def command(request: Request) -> str:
    """What to type for the same points."""
    words = ["castlewalls", "run", request.study.name, "--scale", request.scale.name]
    words += request.typed
    default = request.study.axes(request.scale)
    for axis, value in vars(request.axes).items():
        if value != getattr(default, axis):
            text = value if isinstance(value, str) else ",".join(f"{item}" for item in value)
            words += ["--" + axis.replace("_", "-"), text]
    return shlex.join(words)


def _groups(store: Store, point: Point) -> Mapping[str, np.ndarray]:
    with np.load(store.folder(point.measure) / "groups.npz", allow_pickle=False) as groups:
        return {name: groups[name] for name in groups.files}


def _trigger_examples(
    request: Request, points: Sequence[Point]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Some poisoned training images before and after, of the first point of each trigger."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for point in points:
        manifest = point.measure.inputs["manifest"]
        trigger = manifest.settings.trigger
        sources = (manifest, manifest.inputs["dataset"])
        if trigger.stamps and trigger.name not in found and all(map(request.store.has, sources)):
            found[trigger.name] = _stamped(*map(request.store.folder, sources))
    return found


def _stamped(manifest: Path, dataset: Path) -> tuple[np.ndarray, np.ndarray]:
    """The first poisoned images as they were and as they are trained on."""
    from tasks import datasets, poison

    listed = poison.Manifest.read(manifest)
    split = datasets.read_split(dataset, "train", listed.index[listed.poisoned][:EXAMPLES])
    return split.images, poison.stamp(split.index, split.images, split.labels, listed)[0]


def _stages(request: Request, result: Result) -> list[Stage]:
    stages = []
    for step in ancestors(point.measure for point in result.points):
        if request.store.has(step):
            record = request.store.record(step)
            stages.append(
                Stage(
                    task=step.task,
                    label=step.path.partition("/")[2],
                    seconds=float(record.get("seconds", 0.0)),
                    cached=step.digest not in result.made,
                    peak_memory_bytes=record.get("peak_memory_bytes"),
                )
            )
    return stages


def _settings(request: Request) -> dict[str, object]:
    """What the scale and the axes stand for, in words that need no source."""
    scale, axes = request.scale, request.axes
    settings: dict[str, object] = {
        "dataset": f"{scale.dataset.name}: {scale.dataset.image_size} px, "
        f"{scale.dataset.channels} channel(s), {len(scale.dataset.class_names)} classes"
        + "".join(f"; {words}" for words in show.left_out(request))
    }
    settings |= {
        name.replace("_", " "): value if isinstance(value, str) else ", ".join(map(str, value))
        for name, value in vars(axes).items()
    }
    parts = {
        "diffusion model": scale.diffusion,
        "content judge": scale.content_judge,
        "trigger judge": scale.trigger_judge,
        "generations": scale.generations,
    }
    for name, part in parts.items():
        settings |= {f"{name}: {key.replace('_', ' ')}": value for key, value in vars(part).items()}
    chosen_per_point = ("conditions", "guidance weight", "sampler", "seed")
    for key in (*(f"generations: {name}" for name in chosen_per_point), "diffusion model: seed"):
        settings.pop(key, None)
    return settings


def _environment(store: Store, step: Step) -> dict[str, str]:
    versions = store.record(step).get("versions", {})
    return {
        **{name: str(version) for name, version in versions.items()},
        "machine": f"{platform.system()} {platform.machine()}, {show.cores()} cores",
    }
