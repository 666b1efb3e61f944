"""Write a study's page from what is finished; reads the store, starts nothing."""

import errno
import json
import platform
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.claims import Claim, Judgment, hold
from analysis.page.page import Failure, Page, Report, Stage, summary
from analysis.page.page import write as write_page
from analysis.page.tables import for_terminal
from analysis.rows import Rows, frame, row_key, to_csv
from orchestrator.process import cores
from orchestrator.run.request import Request, Result, log_of
from orchestrator.step import Step, ancestors, brief
from orchestrator.store.record import write_whole
from orchestrator.store.store import Store
from orchestrator.studies.study import Point, Study

REPORTS, RUN = "reports", "run.json"
"""Folder of the reports in a store, and what says in a report which points it shows."""
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors of a folder that may only be read."""
EXAMPLES = 8
"""Training images shown clean and stamped."""


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
    page = (request.study.write or _write)(request, result, points, folder)
    write_whole(folder / RUN, json.dumps(run_file(request, points), indent=1) + "\n")
    return page


def run_file(request: Request, points: Sequence[Point]) -> dict[str, Any]:
    """What ``run.json`` says: what was asked for, and where each finished point's row is.

    It is what ``castlewalls compare`` reads of a whole run; beside ``results.csv``, which holds
    nothing but numbers and whose they are.
    """
    return {
        "study": request.study.name,
        "scale": request.scale.name,
        "command": command(request),
        "axes": dict(request.axes),
        "points": [{"name": point.name, "step": point.measure.path} for point in points],
    }


def _write(request: Request, result: Result, points: Sequence[Point], folder: Path) -> Path:
    study, store = request.study, request.store
    given = [row_of(request, point) for point in points]
    rows = frame(given)
    beside = [arrays(store, point) for point in points]
    report = Report(
        study=study.name,
        scale=request.scale.name,
        title=study.title,
        question=f"{study.paper}. {study.question}",
        rows=rows,
        judgments=judged(study, rows),
        arrays={
            name: {
                row_key(row): found[name]
                for row, found in zip(given, beside, strict=True)
                if name in found
            }
            for name in sorted({name for found in beside for name in found})
        },
        class_names=request.scale.dataset.class_names,
        trigger_examples=_trigger_examples(request, points),
        strip=_strip(request, points),
        stages=stages(request, result),
        failures=[
            Failure(failure.point.name, failure.message, log_of(failure.point, store))
            for failure in result.failures
        ],
        settings={"dataset": _dataset(request), **_axes(request), **settings(points)},
        environment=environment(store, points[0].measure),
        command=command(request),
    )
    page = write_page(folder, report, page_of(study, report))
    (folder / "results.csv").write_bytes(to_csv(rows, leading(study)).encode())
    return page


def leading(study: Study) -> tuple[str, ...]:
    """The columns that a study's results file starts with."""
    return ("study", "scale", *(axis.name for axis in study.axes), *study.columns)


def claims_of(study: Study) -> list[Claim]:
    """The study's claims; none of a study without ``claims.py``."""
    every = getattr(study.part("claims"), "CLAIMS", ())
    return [claim for claim in every if isinstance(claim, Claim)]


def judged(study: Study, rows: Rows) -> list[Judgment]:
    """The study's claims, held against its rows."""
    return hold(claims_of(study), rows)


def table_of(study: Study, rows: Rows) -> tuple[list[str], list[list[str]]]:
    """A study's rows as a table for a terminal: headers, and a line of words for each row."""
    from analysis.page.plain import metrics_of, plain_columns

    part = study.part("page")
    columns = part.columns(rows) if part else plain_columns(rows, metrics_of(rows, study.columns))
    return for_terminal(rows, columns)


def sentences(study: Study, rows: Rows) -> list[str]:
    """What a study found, in at most two sentences."""
    from analysis.page.plain import plain_sentence

    part = study.part("page")
    return summary((part.sentence if part else plain_sentence)(rows), judged(study, rows))


def page_of(study: Study, report: Report) -> Page:
    """What a study's page shows: its own, or the plain one."""
    from analysis.page.plain import metrics_of, plain_page

    part = study.part("page")
    if part:
        return part.page(report)
    return plain_page(report, metrics_of(report.rows, study.columns))


def finished(request: Request) -> list[Point]:
    """Points whose row is there and as it was written."""
    store = request.store
    return [
        point for point in request.points() if store.damage(point.measure, content=True) is None
    ]


def rows_of(request: Request) -> Rows:
    """The rows of the finished points."""
    return frame(row_of(request, point) for point in finished(request))


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
    default = request.study.chosen(request.scale)
    for axis, value in request.axes.items():
        if value != default[axis]:
            text = value if isinstance(value, str) else ",".join(f"{item}" for item in value)
            words += ["--" + axis.replace("_", "-"), text]
    return shlex.join(words)


def arrays(store: Store, point: Point) -> dict[str, dict[str, np.ndarray]]:
    """The arrays beside a point's row, by the name of their ``.npz`` file and their own name."""
    found = {}
    for path in sorted(store.folder(point.measure).glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            found[path.stem] = {name: file[name] for name in file.files}
    return found


def _trigger_examples(
    request: Request, points: Sequence[Point]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Some poisoned training images before and after, of the first point of each trigger."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for manifest in _manifests(points):
        trigger = manifest.settings.trigger
        sources = (manifest, manifest.inputs["dataset"])
        if trigger.stamps and trigger.name not in found and all(map(request.store.has, sources)):
            found[trigger.name] = _stamped(*map(request.store.fetch, sources))
    return found


def _manifests(points: Sequence[Point]) -> list[Step]:
    """Where it is written which images are poisoned, of each point that says so."""
    found = [point.measure.inputs.get("manifest") for point in points]
    return [step for step in found if step is not None]


def _strip(request: Request, points: Sequence[Point]) -> dict[str, np.ndarray]:
    """One image without and with every trigger of the study, each uint8, (1, H, W, C).

    It is of the target class if a trigger is meant for that alone (clean-label).
    """
    from tasks.data import datasets
    from tasks.steps import poison
    from tasks.triggers import CleanLabel

    found: dict[str, poison.Manifest] = {}
    for step in _manifests(points):
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


def _axes(request: Request) -> dict[str, str]:
    """What was swept, by axis."""
    swept = request.axes.items()
    return {
        axis.replace("_", " "): value if isinstance(value, str) else ", ".join(map(str, value))
        for axis, value in swept
    }


def _dataset(request: Request) -> str:
    dataset = request.scale.dataset
    shape = f"{dataset.image_size} px, {dataset.channels} channels"
    named = f"{dataset.name}: {shape}, {len(dataset.class_names)} classes"
    return "; ".join([named, *left_out(request)])


def left_out(request: Request) -> Iterator[str]:
    """Yield a line if files of the user's own images were left out or lost their colors."""
    from tasks.data.datasets import read_classes

    dataset = Step(request.scale.dataset)
    if not request.store.has(dataset):
        return
    classes = read_classes(request.store.fetch(dataset))
    if classes.skipped:
        names = f"{dataset.path}/skipped.csv"
        yield f"left out as broken: {len(classes.skipped)} files, listed in {names} of the store"
    if classes.turned_grey:
        yield f"turned grey: {classes.turned_grey} images in color; --channels 3 keeps their colors"


def settings(points: Sequence[Point]) -> dict[str, object]:
    """By task, and by detector or trigger, the settings that all its steps have in common."""
    parts: dict[str, list[dict[str, Any]]] = {}
    for step in ancestors(point.measure for point in points):
        own = vars(step.settings)
        nested = {name: value for name, value in own.items() if is_dataclass(value)}
        plain = {name: value for name, value in own.items() if name not in nested}
        parts.setdefault(step.task, []).append(plain)
        for name, value in nested.items():
            called = f"{step.task} {getattr(value, 'name', name)}"
            parts.setdefault(called, []).append(vars(value))
    shown = {
        f"{part}: {name}".replace("_", " "): value
        for part, found in parts.items()
        for name, value in found[0].items()
        if all(name in other and other[name] == value for other in found)
    }
    return brief(shown)


def environment(store: Store, step: Step) -> dict[str, str]:
    """Versions that a step was made with, and this machine."""
    versions = store.record(step).get("versions", {})
    return {
        **{name: str(version) for name, version in versions.items()},
        "machine": f"{platform.system()} {platform.machine()}, {cores()} cores",
    }
