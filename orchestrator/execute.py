"""Run one step, in this process or, when placement says so, spread over several."""

import errno
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.checkpoints import Checkpoints, Reporter
from orchestrator.placement import Bundle, Placement
from orchestrator.step import TRAINING_SET, Step
from orchestrator.store import Store
from orchestrator.stream import Rows, batches, write_training_set

Note = Callable[[int, Mapping[str, float]], None]
"""Called with how far a step is (in its own units) and its latest metrics."""

LASTING = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EDQUOT}
"""Operating-system errors that trying again does not cure."""


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


def build(
    step: Step,
    store: Store,
    placement: Placement,
    *,
    rows: Rows | None = None,
    bundle: Bundle | None = None,
    note: Note | None = None,
) -> Outcome:
    """Make one step's result from finished sources and publish it.

    Never raises for what a task does: the traceback goes to the step's log in the store, and the
    outcome says in one line what happened.

    Args:
        step: What to make.
        store: Where its sources are and its result goes.
        placement: One process or several.
        rows: The stream's dataset if somebody holds it already; else it is read from the store,
            once, or, if it is larger than the training may hold, every epoch anew.
        bundle: What each process of a distributed step holds.
        note: Told about progress.
    """
    found = [(source, store.damage(source, content=True)) for source in step.sources]
    if damaged := [(source, reason) for source, reason in found if reason]:
        for source, _ in damaged:
            store.discard(source)
        message = "; ".join(f"{source.path}: {reason}" for source, reason in damaged)
        return Outcome(
            kind="damaged", message=message, damaged=tuple(source.digest for source, _ in damaged)
        )
    if store.has(step):
        return Outcome(kind="done")
    try:
        _make(step, store, placement, rows, bundle, note or _unheard)
    except Exception as error:
        return _failure(step, store, error)
    store.log_path(step).unlink(missing_ok=True)
    return Outcome(kind="done")


def _make(
    step: Step,
    store: Store,
    placement: Placement,
    rows: Rows | None,
    bundle: Bundle | None,
    note: Note,
) -> None:
    """Run the task into a private folder and publish it with what it cost."""
    _restart_peak_memory()
    started = time.perf_counter()
    checkpoints = Checkpoints(store, step)
    own = {role: store.folder(source) for role, source in step.inputs.items()}
    with (
        store.publish(step) as attempt,
        training_set(step, store, attempt.folder) as given,
    ):
        inputs = {**own, **given}
        if step.shape == "whole":
            step.function(step.settings, out=attempt.folder, **inputs)
        elif placement.distributed(step):
            from orchestrator import distributed

            assert bundle is not None
            run = distributed.fit if step.shape == "fit" else distributed.per_batch
            run(step, store, placement, bundle, attempt.folder, inputs, rows, note)
        elif step.shape == "per_batch":
            write_rows(attempt.folder, tables(step, inputs, note))
        else:
            fit(step, store, placement, checkpoints, attempt.folder, inputs, rows, note)
        attempt.facts["seconds"] = time.perf_counter() - started
        attempt.facts["expected_seconds"] = step.settings.expected_seconds
        attempt.facts["peak_memory_bytes"] = _peak_memory()
    checkpoints.clear()


def fit(
    step: Step,
    store: Store,
    placement: Placement,
    checkpoints: Checkpoints,
    out: Path,
    inputs: Mapping[str, Path],
    rows: Rows | None,
    note: Note,
    *,
    rank: int = 0,
    workers: int = 1,
) -> None:
    """Train one worker's share; the only worker's, unless Ray Train starts several."""
    reporter = Reporter(checkpoints, placement.checkpoint_seconds, note)
    manifest = step.streams.get("manifest")
    step.function(
        step.settings,
        out=out,
        batches=batches(
            step.settings,
            store.folder(step.streams["dataset"]),
            store.folder(manifest) if manifest else None,
            rows,
            rank=rank,
            workers=workers,
        ),
        report=reporter if rank == 0 else _unheard,
        resume=checkpoints.newest(),
        **inputs,
    )


@contextmanager
def training_set(step: Step, store: Store, attempt: Path) -> Iterator[dict[str, Path]]:
    """Write the training set as the defender has it, for a step that reads one; remove it after.

    It lies in the store, so that actors on other nodes see it, and beside the private folder of the
    attempt, so that it is never part of a result.

    Yields:
        The argument to add to the step's inputs; none for other steps.
    """
    if not step.reads_training_set:
        yield {}
        return
    folder = attempt.with_name(f"{attempt.name}.{TRAINING_SET}")
    manifest = step.streams.get("manifest")
    try:
        folder.mkdir()
        write_training_set(
            folder,
            store.folder(step.streams["dataset"]),
            store.folder(manifest) if manifest else None,
        )
        yield {TRAINING_SET: folder}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ranges(step: Step, inputs: Mapping[str, Path]) -> list[tuple[int, int]]:
    """The fixed index ranges of a ``per_batch`` step: never re-cut, whoever runs them."""
    count, size = step.module.count(step.settings, **inputs), step.settings.batch_size
    return [(first, min(first + size, count)) for first in range(0, count, size)]


def tables(step: Step, inputs: Mapping[str, Path], note: Note) -> Iterator[Any]:
    """Yield a ``per_batch`` step's tables in order, made in this process."""
    worker = step.function(step.settings, **inputs)
    for first, last in ranges(step, inputs):
        yield worker(first, last)
        note(last, {})


def write_rows(out: Path, tables: Iterator[Any]) -> None:
    """Write tables, in order, to ``rows.parquet``: a row group each."""
    import pyarrow.parquet as pq

    first = next(tables)
    with pq.ParquetWriter(out / "rows.parquet", first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _unheard(*_: Any) -> None:
    """Takes progress that nobody listens to."""


def _failure(step: Step, store: Store, error: Exception) -> Outcome:
    """Keep the traceback in the store's logs and say the rest in one line."""
    log = store.log_path(step)
    with suppress(OSError):  # a store that cannot be written to may be the very failure
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"{step.path}\n\n{''.join(traceback.format_exception(error))}")
    text = " ".join(str(error).split()) or "no message"
    if isinstance(error, OSError) and error.errno in LASTING:
        reason = os.strerror(error.errno)
        return Outcome(kind="failed", message=f"cannot write to {store.root}: {reason}")
    if not isinstance(error, ValueError | FloatingPointError):
        text = f"{type(error).__name__}: {text}"
        try:  # libraries say all sorts of things when the store is full
            store.check_writable(0)
        except OSError as full:
            return Outcome(kind="failed", message=str(full))
    return Outcome(kind="failed", message=text, transient=is_transient(error))


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help: lost processes and broken connections, nothing else."""
    if isinstance(error, OSError):  # ConnectionError and TimeoutError among them
        return error.errno not in LASTING and not isinstance(error, FileNotFoundError)
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

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
