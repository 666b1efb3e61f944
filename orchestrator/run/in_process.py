"""A step in this process: its inputs, its work, its published folder."""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.run.feed import Feed, Source
from orchestrator.run.placement import Bundle, Placement
from orchestrator.run.stream import Rows, batches, write_training_set
from orchestrator.step import TRAINING_SET, Step
from orchestrator.store.checkpoints import Checkpoints, Note, reporter
from orchestrator.store.store import Store


def _unheard(*_: Any) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Job:
    """A step to make, and what there is for it."""

    step: Step
    store: Store
    placement: Placement
    rows: Rows | None = None
    """Rows of its stream's dataset, if they are held already; else they are read from the store."""
    bundle: Bundle | None = None
    """What each process of a distributed step holds."""
    note: Note = _unheard


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
    report = reporter(checkpoints, job.placement.checkpoint_seconds, job.note)
    manifest, stamped = step.streams.get("manifest"), step.streams.get("stamped")
    cpus = job.bundle.data_cpus if job.bundle else 0
    keep = job.placement.cache_decoded
    source = Source(store, step.streams["dataset"], manifest, stamped, keep)
    shared: dict[str, Any] = {
        "stamped_moments": store.folder(stamped) if stamped else None,
        "rank": rank,
        "workers": workers,
        "read": Feed(source, max(1, cpus // workers)) if cpus else None,
        "keep": keep,
    }
    step.function(
        step.settings,
        out=out,
        batches=batches(step.settings, *_streams(step, store), job.rows, **shared),
        report=report if rank == 0 else _unheard,
        resume=resume,
        **{role: store.folder(source) for role, source in step.inputs.items()},
    )


@contextmanager
def given(step: Step, store: Store) -> Iterator[dict[str, Path]]:
    """Yield the folders that a ``whole`` or ``per_batch`` step is given, all on this machine."""
    inputs = {role: store.folder(source) for role, source in step.inputs.items()}
    if not step.reads_training_set:
        yield inputs
        return
    with tempfile.TemporaryDirectory(prefix="castlewalls-") as folder:
        write_training_set(Path(folder), *_streams(step, store))
        yield {**inputs, TRAINING_SET: Path(folder)}


def _streams(step: Step, store: Store) -> tuple[Path, Path | None]:
    """The folders of a step's dataset and of its manifest, if it has one."""
    manifest = step.streams.get("manifest")
    return store.folder(step.streams["dataset"]), store.folder(manifest) if manifest else None


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


def _restart_peak_memory() -> None:
    """Forget this process's peak so far; worker processes are reused."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    """Peak resident memory of this process, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
