"""Write a study's page from what is finished; reads the store, starts nothing."""

import errno
import json
import platform
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.page.report import Failure, Stage, StudyReport
from analysis.rows import row_key
from orchestrator.cli import printing
from orchestrator.process import cores
from orchestrator.run.request import Request, Result, log_of
from orchestrator.step import Step, ancestors, brief
from orchestrator.store.record import write_whole
from orchestrator.store.store import Store
from orchestrator.studies.contents import write as write_page
from orchestrator.studies.study import Point, Study
from tasks.detectors import CognitiveDistillation

REPORTS, RUN = "reports", "run.json"
"""Folder of the reports in a store, and what says in a report which points it shows."""
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors of a folder that may only be read."""
EXAMPLES = 8
"""Training images shown clean and stamped."""
PER_POINT = {
    ("generations", name) for name in ("conditions", "guidance_weight", "sampler", "clip")
} | {("diffusion classifier", name) for name in ("trigger", "target_class", "filter_ratios")}
"""Settings that are a point's, as are seeds but those of the judges."""


def reported(request: Request, result: Result) -> Result:
    """Write ``index.html``, ``results.csv``, ``run.json`` and figures of what is finished.

    Nothing is written when no point is.  The page is on this machine; a remote store keeps a copy.
    Of a store that may only be read, it is in a temporary folder, and a remark says so.
    """
    points = finished(request)
    if not points:
        return result
    folder = request.store.root / REPORTS / request.label
    try:
        page = _written(request, result, points, folder)
    except OSError as error:
        if request.store.remote or error.errno not in CLOSED:
            raise
        remark = f"{folder} cannot be written ({error.strerror}), so the report is elsewhere"
        elsewhere = Path(tempfile.mkdtemp(prefix="castlewalls-")) / request.label
        page = _written(request, result, points, elsewhere)
        return replace(result, page=page, remarks=[*result.remarks, remark])
    request.store.keep(folder)
    return replace(result, page=page)


def _written(request: Request, result: Result, points: Sequence[Point], folder: Path) -> Path:
    page = (request.study.page or _write)(request, result, points, folder)
    write_whole(folder / RUN, json.dumps(told(request, points), indent=1) + "\n")
    return page


def told(request: Request, points: Sequence[Point]) -> dict[str, Any]:
    """What ``run.json`` says: what was asked for, and where each finished point's row is.

    It is what ``castlewalls compare`` reads of a whole run; beside ``results.csv``, which holds
    nothing but numbers and whose they are.
    """
    return {
        "study": request.study.name,
        "scale": request.scale.name,
        "command": command(request),
        "axes": request.study.swept(request.axes),
        "points": [{"name": point.name, "step": point.measure.path} for point in points],
    }


def _write(request: Request, result: Result, points: Sequence[Point], folder: Path) -> Path:
    rows = [row_of(request, point) for point in points]
    diffusion = request.scale.diffusion
    report = StudyReport(
        study=request.study.name,
        scale=request.scale.name,
        title=request.study.title,
        question=f"{request.study.paper}. {request.study.question}",
        rows=rows,
        groups={
            row_key(row): arrays(request.store, point, "groups")
            for row, point in zip(rows, points, strict=True)
        },
        scores={
            row_key(row): scores
            for row, point in zip(rows, points, strict=True)
            if (scores := arrays(request.store, point, "scores"))
        },
        losses={
            row_key(row): losses
            for row, point in zip(rows, points, strict=True)
            if (losses := arrays(request.store, point, "losses"))
        },
        class_names=request.scale.dataset.class_names,
        trigger_examples=_trigger_examples(request, points),
        strip=_strip(request, points),
        stages=stages(request, result),
        failures=[
            Failure(failure.point.name, failure.message, log_of(failure.point, request.store))
            for failure in result.failures
        ],
        settings=settings(request),
        environment=environment(request.store, points[0].measure),
        command=command(request),
        ema_decay=diffusion.ema_decay,
    )
    return write_page(folder, report)


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
    words = ["castlewalls", *(request.study.words or ("run", request.study.name))]
    words += ["--scale", request.scale.name]
    words += request.typed
    default = request.study.axes(request.scale)
    for axis, value in request.study.swept(request.axes).items():
        if value != getattr(default, axis):
            text = value if isinstance(value, str) else ",".join(f"{item}" for item in value)
            words += ["--" + axis.replace("_", "-"), text]
    return shlex.join(words)


def arrays(store: Store, point: Point, name: str) -> Mapping[str, np.ndarray]:
    """The arrays of a point's ``<name>.npz``, by their names; none without such a file."""
    path = store.folder(point.measure) / f"{name}.npz"
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


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
            found[trigger.name] = _stamped(*map(request.store.fetch, sources))
    return found


def _strip(request: Request, points: Sequence[Point]) -> dict[str, np.ndarray]:
    """One image without and with every trigger of the study, each uint8, (1, H, W, C).

    It is of the target class if a trigger is meant for that alone (clean-label).
    """
    from tasks.data import datasets
    from tasks.steps import poison
    from tasks.triggers import CleanLabel

    found: dict[str, poison.Manifest] = {}
    for point in points:
        step = point.measure.inputs["manifest"]
        trigger, dataset = step.settings.trigger, step.inputs["dataset"]
        if trigger.stamps and trigger.name not in found and request.store.has(step):
            found[trigger.name] = poison.Manifest.read(request.store.fetch(step))
    if not found or not request.store.has(dataset):
        return {}
    noisy = next((one for one in found.values() if isinstance(one.trigger, CleanLabel)), None)
    first = noisy or next(iter(found.values()))
    folder, index = request.store.fetch(dataset), first.index[first.poisoned][:1]
    split = datasets.read_split(folder, "train", index)
    strip = {"none": split.images}
    for name, listed in found.items():
        strip[name] = listed.trigger.stamp(split.images)
        if listed is noisy:
            strip[name], _ = poison.stamp(split.index, split.images, split.labels, listed)
    return strip


def _stamped(manifest: Path, dataset: Path) -> tuple[np.ndarray, np.ndarray]:
    """The first poisoned images as they were and as they are trained on."""
    from tasks.data import datasets
    from tasks.steps import poison

    listed = poison.Manifest.read(manifest)
    split = datasets.read_split(dataset, "train", listed.index[listed.poisoned][:EXAMPLES])
    return split.images, poison.stamp(split.index, split.images, split.labels, listed)[0]


def stages(request: Request, result: Result) -> list[Stage]:
    """What it took to make the points, for the page's last table."""
    taken = []
    for step in ancestors(point.measure for point in result.points):
        if request.store.has(step):
            record = request.store.record(step)
            taken.append(
                Stage(
                    task=step.task,
                    label=step.path.partition("/")[2],
                    seconds=float(record.get("seconds", 0.0)),
                    cached=step.digest not in result.made,
                    peak_memory_bytes=record.get("peak_memory_bytes"),
                )
            )
    return taken


def settings(request: Request) -> dict[str, object]:
    """What the scale and the axes stand for, in words that need no source."""
    scale, study = request.scale, request.study
    shown: dict[str, object] = {
        "dataset": f"{scale.dataset.name}: {scale.dataset.image_size} px, "
        f"{scale.dataset.channels} channel(s), {len(scale.dataset.class_names)} classes"
        + "".join(f"; {words}" for words in printing.left_out(request))
    }
    shown |= {
        name.replace("_", " "): value if isinstance(value, str) else ", ".join(map(str, value))
        for name, value in study.swept(request.axes).items()
    }
    for name, part in _parts(request).items():
        shown |= {
            f"{name}: {key.replace('_', ' ')}": value
            for key, value in vars(part).items()
            if not _of_a_point(study, name, key)
        }
        if isinstance(part, CognitiveDistillation):
            size = scale.dataset.image_size
            shown[f"{name}: gamma at {size} px"] = f"{part.area_weight(size, size):g}"
    if not study.classifies:
        steps = [f"{name} {scale.steps_of(name)}" for name in request.axes.sampler]
        shown["generations: steps"] = ", ".join(steps)
    if study.has_generation_set:
        shown["generation set: asked for as"] = f"{scale.generation_labels} labels"
    if study.detects:
        shown["images scored at once"] = scale.scored_at_once
    if study.defends:
        given = scale.classifier_weights
        shown["classifier: starts from"] = given.source if given else "random weights"
    return brief(shown)


def _of_a_point(study: Study, part: str, setting: str) -> bool:
    """Whether a setting of a part is an axis of the study, or follows from one."""
    if part == "classifier" and setting == "network":
        return study.defends
    return (part, setting) in PER_POINT or (setting == "seed" and "judge" not in part)


def _parts(request: Request) -> dict[str, Any]:
    """What the study trains, draws and scores with, each a dataclass."""
    scale, study = request.scale, request.study
    if study.classifies:
        return {
            "diffusion model": scale.diffusion,
            "EDM": scale.edm,
            "diffusion classifier": scale.classify,
            "classifier": scale.classifier,
        }
    parts: dict[str, Any] = {
        "diffusion model": scale.diffusion,
        "content judge": scale.content_judge,
        "trigger judge": scale.trigger_judge,
        "generations": replace(scale.generations, n=study.images_a_point(scale)),
    }
    if study.uses:
        parts["classifier"] = scale.classifier
    if study.detects:
        parts |= {f"detector {name}": scale.detector(name) for name in request.axes.detector}
    return parts


def environment(store: Store, step: Step) -> dict[str, str]:
    """Versions that a step was made with, and this machine."""
    versions = store.record(step).get("versions", {})
    return {
        **{name: str(version) for name, version in versions.items()},
        "machine": f"{platform.system()} {platform.machine()}, {cores()} cores",
    }
