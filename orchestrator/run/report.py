"""Write a study's page from what is finished; reads the store, starts nothing."""

import errno
import hashlib
import json
import platform
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from analysis.claims import Claim, Judgment, hold
from analysis.page.page import MissingPoint, Page, Report, Stage, summary
from analysis.page.page import write as write_page
from analysis.page.tables import for_terminal
from analysis.rows import Rows, frame, row_key, to_csv
from orchestrator import ROOT
from orchestrator.process import cores
from orchestrator.run.request import Request, Result, log_of
from orchestrator.step import Step, ancestors, brief
from orchestrator.store.record import write_whole
from orchestrator.store.store import Store
from orchestrator.studies.study import Point, Study

REPORTS, RUN = "reports", "run.json"
"""Folder of the reports in a store, and what says in a report which points it shows."""
DRAWN = ".drawn"  # says in a report what was drawn, and by which code
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)
"""Errors of a folder that may only be read, and of a file in its place."""
EXAMPLES = 8  # training images shown clean and stamped


def reported(request: Request, result: Result) -> Result:
    """Write ``index.html``, ``results.csv``, ``run.json`` and figures of what is finished, if any.

    A remote store keeps a copy.
    """
    points = finished(request)
    if not points:
        return result
    folder = request.store.root / REPORTS / request.label
    page, remarks = written(request.store, folder, partial(_written, request, result, points))
    if page.parent == folder:
        request.store.keep(folder)
    rows = [row_of(request, point) for point in points if request.study.columns]
    absent = [name for name in request.study.columns if not any(name in row for row in rows)]
    missing = [f"no row has the column {name!r} that the study names" for name in absent]
    return replace(result, page=page, remarks=[*result.remarks, *remarks, *missing])


def written(store: Store, folder: Path, write: Callable[[Path], Path]) -> tuple[Path, list[str]]:
    """What ``write`` returns for a folder of a store: the path of a page.

    Of a store that may only be read, the page is in a temporary folder, and a remark says so.
    """
    try:
        return write(folder), []
    except OSError as error:
        if store.remote or error.errno not in CLOSED:
            raise
        remark = f"{folder} cannot be written ({error.strerror}), so the report is elsewhere"
        return write(Path(tempfile.mkdtemp(prefix="castlewalls-")) / folder.name), [remark]


def up_to_date(request: Request) -> Path | None:
    """The page of the finished points, if this code wrote it; None if it must be written."""
    folder = request.store.root / REPORTS / request.label
    if not all((folder / name).exists() for name in (DRAWN, RUN, "index.html", "results.csv")):
        return None
    known = (folder / DRAWN).read_text()
    return folder / "index.html" if known == _fingerprint(request, finished(request)) else None


def _fingerprint(request: Request, points: Sequence[Point]) -> str:
    """A digest of what a page shows: the study, its points, and the code that writes it."""
    code = sorted(
        (str(path), path.stat().st_size, path.stat().st_mtime_ns)
        for package in ("analysis", "orchestrator", "tasks")
        for path in (ROOT / package).rglob("*.*")
        if path.suffix in (".py", ".html", ".css", ".csv", ".toml", ".mplstyle")
    )
    study = request.study
    words = [study.title, study.paper, study.question, study.columns]
    shown = [code, words, run_file(request, points)]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()


def _written(request: Request, result: Result, points: Sequence[Point], folder: Path) -> Path:
    page = (request.study.write or _write)(request, result, points, folder)
    write_whole(folder / RUN, json.dumps(run_file(request, points), indent=1) + "\n")
    write_whole(folder / DRAWN, _fingerprint(request, points))
    return page


def run_file(request: Request, points: Sequence[Point]) -> dict[str, Any]:
    """What ``run.json`` says, for ``compare``: what was asked for, and where the rows are."""
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
    beside = [
        (row_key(row), arrays(store, point)) for row, point in zip(given, points, strict=True)
    ]
    examples, strip = _stamped(request, points)
    data = request.scale.dataset
    colors = "gray" if data.channels == 1 else "color"
    dataset = f"{data.name}: {colors}, {data.image_size} px, {len(data.class_names)} classes"
    report = Report(
        study=study.name,
        scale=request.scale.name,
        title=study.title,
        question=". ".join(words for words in (study.paper, study.question) if words),
        rows=rows,
        judgments=judged(study, rows),
        arrays={
            name: {key: found[name] for key, found in beside if name in found}
            for name in sorted({name for _, found in beside for name in found})
        },
        class_names=request.scale.dataset.class_names,
        trigger_examples=examples,
        strip=strip,
        stages=stages(request, result),
        failures=[
            MissingPoint(failure.point.name, failure.message, log_of(failure.point, store))
            for failure in result.failures
        ],
        settings={
            "dataset": "; ".join([dataset, *left_out(request)]),
            **{axis.replace("_", " "): _typed(value) for axis, value in request.axes.items()},
            **settings(points),
        },
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
    """What a study found, in at most three sentences."""
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
    return [one for one in request.points() if store.damage(one.measure, content=True) is None]


def rows_of(request: Request) -> Rows:
    """The rows of the finished points."""
    return frame(row_of(request, point) for point in finished(request))


def row_of(request: Request, point: Point) -> dict[str, Any]:
    """One finished point's row: its ``metrics.json`` and whose it is."""
    row = json.loads((request.store.folder(point.measure) / "metrics.json").read_text())
    return {"study": request.study.name, "scale": request.scale.name, **row}


def command(request: Request) -> str:
    """What to type for the same points."""
    words = ["castlewalls", *(request.study.words or ("run", request.study.name))]
    words += ["--scale", request.scale.name]
    words += request.typed
    default = request.study.chosen(request.scale)
    for axis, value in request.axes.items():
        if value != default[axis]:
            words += ["--" + axis.replace("_", "-"), _typed(value, ",")]
    return shlex.join(words)


def _typed(value: Any, between: str = ", ") -> str:
    """An axis' value or values as one types them."""
    return value if isinstance(value, str) else between.join(map(str, value))


def arrays(store: Store, point: Point) -> dict[str, dict[str, np.ndarray]]:
    """The arrays beside a point's row, by the name of their ``.npz`` file and their own name."""
    found = {}
    for path in sorted(store.folder(point.measure).glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            found[path.stem] = {name: file[name] for name in file.files}
    return found


def _stamped(
    request: Request, points: Sequence[Point]
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, np.ndarray]]:
    """By trigger, some training images before and after; one image without and with each trigger.

    All are uint8, (N, H, W, C).  The one is of the target class if a trigger is for that alone.
    """
    from tasks.data import datasets
    from tasks.steps import poison
    from tasks.triggers import CleanLabel

    found: dict[str, poison.Manifest] = {}
    examples: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def stamped(listed: poison.Manifest, n: int) -> tuple[np.ndarray, np.ndarray]:
        split = datasets.read_split(folder, "train", listed.index[listed.poisoned][:n])
        return split.images, poison.stamp(split.index, split.images, split.labels, listed)[0]

    for step in filter(None, (point.measure.inputs.get("manifest") for point in points)):
        trigger, dataset = step.settings.trigger, step.inputs["dataset"]
        new = trigger.stamps and trigger.name not in found
        if new and all(map(request.store.has, (step, dataset))):
            folder = request.store.fetch(dataset)
            found[trigger.name] = poison.Manifest.read(request.store.fetch(step))
            examples[trigger.name] = stamped(found[trigger.name], EXAMPLES)
    if not found:
        return {}, {}
    noisy = next((one for one in found.values() if isinstance(one.trigger, CleanLabel)), None)
    plain, poisoned = stamped(noisy or next(iter(found.values())), 1)
    strip = {
        name: poisoned if listed is noisy else listed.trigger.stamp(plain)
        for name, listed in found.items()
    }
    return examples, {"none": plain, **strip}


def stages(request: Request, result: Result) -> list[Stage]:
    """What it took to make the points, for the page's last table."""
    steps = filter(request.store.has, ancestors(point.measure for point in result.points))
    return [
        Stage(
            task=step.task,
            label=step.path.partition("/")[2],
            seconds=float(record.get("seconds", 0.0)),
            cached=step.digest not in result.made,
            peak_memory_bytes=record.get("peak_memory_bytes"),
        )
        for step, record in ((step, request.store.record(step)) for step in steps)
    ]


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
    machine = f"{platform.system()} {platform.machine()}, {cores()} cores"
    return {**{name: str(version) for name, version in versions.items()}, "machine": machine}
