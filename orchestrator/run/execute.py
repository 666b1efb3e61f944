"""Run one step, in this process or, when placement says so, spread over several."""

import errno
import os
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from orchestrator.run.in_process import Job, fit, given, published, tables, write_rows
from orchestrator.run.placement import Placement
from orchestrator.step import Step
from orchestrator.store.checkpoints import FOLDER, Checkpoints
from orchestrator.store.storage import NoAccess, NoAnswer
from orchestrator.store.store import Store

LASTING = {errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EDQUOT}
"""Operating-system errors that do not go away by trying again."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a step ended."""

    kind: Literal["done", "damaged", "failed"]
    message: str = ""
    transient: bool = False
    """Whether trying again may help."""
    damaged: tuple[str, ...] = ()
    """Digests of sources that must be built again first."""


def build(step: Step, store: Store, placement: Placement, **more: Any) -> Outcome:
    """Make one step's result from finished sources and publish it; ``more`` is for ``Job``.

    Never raises for what a task does: the traceback goes to the step's log in the store.
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
        from orchestrator.run import distributed as several  # it imports Ray Train
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
    """Whether trying again may help: after lost processes and broken connections."""
    # Also when a checkpoint was removed while it was read: another driver was ahead.
    gone = error if isinstance(error, FileNotFoundError) else error.__cause__
    if isinstance(gone, FileNotFoundError) and FOLDER in Path(str(gone.filename)).parts:
        return True
    if isinstance(error, OSError):  # ConnectionError and TimeoutError among them
        lasting = isinstance(error, FileNotFoundError | PermissionError)
        return error.errno not in LASTING and not lasting
    return type(error).__module__.startswith("ray.") and not hasattr(error, "worker_failures")
