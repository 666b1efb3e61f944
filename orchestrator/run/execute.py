"""Run one step, in this process or, when placement says so, spread over several."""

import errno
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.run.placement import Bundle, Placement
from orchestrator.run.stream import Rows, batches, write_training_set
from orchestrator.step import TRAINING_SET, Step
from orchestrator.store.checkpoints import FOLDER, Checkpoints, Reporter
from orchestrator.store.storage import NoAccess, NoAnswer
from orchestrator.store.store import Store

Note = Callable[[int, Mapping[str, float]], None]
"""Called with a step's progress (training steps, or images) and its latest metrics."""

LASTING = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EDQUOT}
"""Operating-system errors that do not go away by trying again."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a step ended."""

    kind: Literal["done", "damaged", "failed"]
    message: str = ""
    """For people, one line."""
    transient: bool = False
    """Whether trying again may help."""
    damaged: tuple[str, ...] = ()
    """Digests of sources that must be built again first."""


def _unheard(*_: Any) -> None:
    """Ignore progress."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A step to make, and what there is for it."""

    step: Step
    store: Store
    """Where its sources are and its result goes."""
    placement: Placement
    rows: Rows | None = None
    """Rows of its stream's dataset, if they are held already; else they are read from the store."""
    bundle: Bundle | None = None
    """What each process of a distributed step holds."""
    note: Note = _unheard


def build(step: Step, store: Store, placement: Placement, **more: Any) -> Outcome:
    """Make one step's result from finished sources and publish it; ``more`` is for ``Job``.

    Never raises for what a task does: the traceback goes to the step's log in the store, and the
    outcome has one line about it.
    """
    try:
        if damaged := _damaged_sources(step, store):
            return damaged
        if not store.has(step):
            _make(Job(step=step, store=store, placement=placement, **more))
            store.drop_log(step)
    except (NoAnswer, NoAccess) as error:
        return Outcome(kind="failed", message=str(error), transient=isinstance(error, NoAnswer))
    except Exception as error:  # a task may raise anything
        with suppress(OSError):
            if store.has(step):  # another driver has published it, and removed its checkpoints
                return Outcome(kind="done")
        return _failure(step, store, error)
    return Outcome(kind="done")


def _damaged_sources(step: Step, store: Store) -> Outcome | None:
    """Discard damaged sources, to be built again; None when all are whole, and on this machine."""
    found = [(source, store.damage(source, content=True)) for source in step.sources]
    damaged = [(source, reason) for source, reason in found if reason]
    for source, _ in damaged:
        store.discard(source)
    if not damaged:
        return None
    message = "; ".join(f"{source.path}: {reason}" for source, reason in damaged)
    digests = tuple(source.digest for source, _ in damaged)
    return Outcome(kind="damaged", message=message, damaged=digests)


def _make(job: Job) -> None:
    """Run the task, publish its result, and remove its checkpoints."""
    step, store = job.step, job.store
    distributed = job.placement.distributed(step)
    if distributed:
        from orchestrator.run import distributed as several
    if step.shape == "fit":
        checkpoints = Checkpoints(store, step)
        if distributed:
            several.fit(job)
        else:
            with published(step, store) as out:
                fit(job, checkpoints, out, resume=checkpoints.newest())
        checkpoints.clear()
        return
    with published(step, store) as out, given(step, store) as inputs:
        if step.shape == "whole":
            step.function(step.settings, out=out, **inputs)
        else:
            write_rows(out, (several.tables if distributed else tables)(job, inputs))


@contextmanager
def published(step: Step, store: Store) -> Iterator[Path]:
    """Yield a folder that is published as the step's result, with what it cost."""
    _restart_peak_memory()
    started = time.perf_counter()
    with store.publish(step) as attempt:
        yield attempt.folder
        attempt.facts["seconds"] = time.perf_counter() - started
        attempt.facts["peak_memory_bytes"] = _peak_memory()


def fit(
    job: Job,
    checkpoints: Checkpoints,
    out: Path,
    *,
    resume: Path | None,
    rank: int = 0,
    workers: int = 1,
) -> None:
    """Train one worker's share, with the sources and the checkpoint that are on this machine."""
    step, store = job.step, job.store
    if resume is not None and rank == 0:
        job.note(int(resume.name), {})  # so that it is known how much is repeated
    manifest = step.streams.get("manifest")
    reporter = Reporter(checkpoints, job.placement.checkpoint_seconds, job.note)
    step.function(
        step.settings,
        out=out,
        batches=batches(
            step.settings,
            store.folder(step.streams["dataset"]),
            store.folder(manifest) if manifest else None,
            job.rows,
            rank=rank,
            workers=workers,
        ),
        report=reporter if rank == 0 else _unheard,
        resume=resume,
        **{role: store.folder(source) for role, source in step.inputs.items()},
    )


@contextmanager
def given(step: Step, store: Store) -> Iterator[dict[str, Path]]:
    """Yield the folders that a ``whole`` or ``per_batch`` step is given, all on this machine.

    The training set, as the defender has it, is in a temporary folder, which is removed afterwards.
    """
    inputs = {role: store.folder(source) for role, source in step.inputs.items()}
    if not step.reads_training_set:
        yield inputs
        return
    manifest = step.streams.get("manifest")
    with tempfile.TemporaryDirectory(prefix="castlewalls-") as folder:
        write_training_set(
            Path(folder),
            store.folder(step.streams["dataset"]),
            store.folder(manifest) if manifest else None,
        )
        yield {**inputs, TRAINING_SET: Path(folder)}


def ranges(step: Step, inputs: Mapping[str, Path]) -> list[tuple[int, int]]:
    """The index ranges of a ``per_batch`` step, which do not depend on placement."""
    count, size = step.module.count(step.settings, **inputs), step.settings.batch_size
    return [(first, min(first + size, count)) for first in range(0, count, size)]


def tables(job: Job, inputs: Mapping[str, Path]) -> Iterator[Any]:
    """Yield a ``per_batch`` step's tables in order, made in this process."""
    worker = job.step.function(job.step.settings, **inputs)
    for first, last in ranges(job.step, inputs):
        yield worker(first, last)
        job.note(last, {})


def write_rows(out: Path, tables: Iterator[Any]) -> None:
    """Write tables, in order, to ``rows.parquet``: a row group each."""
    import pyarrow.parquet as pq

    first = next(tables)
    with pq.ParquetWriter(out / "rows.parquet", first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _failure(step: Step, store: Store, error: Exception) -> Outcome:
    """Keep the traceback in the store's logs, and the reason as one line."""
    with suppress(OSError):  # a store that cannot be written to may be the very failure
        store.write_log(step, f"{step.path}\n\n{''.join(traceback.format_exception(error))}")
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, OSError) and error.errno in LASTING:
        reason = os.strerror(error.errno)
        named = isinstance(error.filename, str)
        where = Path(error.filename).parent if named else store.root
        return Outcome(kind="failed", message=f"cannot write to {where}: {reason}")
    if not isinstance(error, ValueError | FloatingPointError):
        text = f"{type(error).__name__}: {text}"
        try:  # libraries raise all sorts of things when the store is full
            store.check_writable(0)
        except OSError as full:
            away = isinstance(full, NoAnswer)
            return Outcome(kind="failed", message=str(full), transient=away)
    return Outcome(kind="failed", message=text, transient=is_transient(error))


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: after lost processes and broken connections.

    Also when a checkpoint was removed while it was read: another driver was ahead.
    """
    gone = error if isinstance(error, FileNotFoundError) else error.__cause__
    if isinstance(gone, FileNotFoundError) and FOLDER in Path(str(gone.filename)).parts:
        return True
    if isinstance(error, OSError):  # ConnectionError and TimeoutError among them
        lasting = isinstance(error, FileNotFoundError | PermissionError)
        return error.errno not in LASTING and not lasting
    return type(error).__module__.startswith("ray.") and not hasattr(error, "worker_failures")


def _restart_peak_memory() -> None:
    """Forget this process's peak so far; worker processes are reused."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """Peak resident memory of this process, bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
