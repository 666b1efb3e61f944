"""A step spread over several processes: Ray Train for ``fit``, a Ray Data pool for ``per_batch``.

The driving process holds no CPU; the conductor keeps the step's whole need free for these.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.run.in_process import Job, given, published, ranges
from orchestrator.run.in_process import fit as fit_in_process
from orchestrator.run.stream import RayRows, TrainingSet
from orchestrator.step import Step
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.store import Store

SMALL_FILE = 64 * 2**20
"""Bytes of a dataset file that one process reads faster than a pipeline starts."""
MOST_BLOCKS = 200  # blocks that the index ranges are spread over, at most


def tables(job: Job, inputs: Mapping[str, Path]) -> Iterator[Any]:
    """Yield a ``per_batch`` step's tables in order, made on a pool of actors."""
    import pyarrow as pa
    import ray.data

    assert job.bundle is not None
    bundle = job.bundle
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    named = enumerate(ranges(job.step, inputs))
    items = [{"position": at, "first": first, "last": last} for at, (first, last) in named]
    made = ray.data.from_items(items, override_num_blocks=min(len(items), MOST_BLOCKS)).map_batches(
        _RangeActor,
        fn_constructor_args=(job.step, job.store),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=bundle.count),
        num_cpus=bundle.cpus,
        num_gpus=bundle.gpus or None,
    )
    for item, row in zip(items, made.iter_rows(), strict=True):
        assert row["position"] == item["position"], f"{row['position']} is out of its turn"
        yield pa.ipc.open_stream(row["table"]).read_all()
        job.note(item["last"], {})


class _RangeActor:
    """Loads a step's worker once and computes index ranges with it, on its own node."""

    def __init__(self, step: Step, store: Store) -> None:
        for source in step.sources:
            store.fetch(source)
        self.open = ExitStack()  # the training set goes when the actor ends
        inputs = self.open.enter_context(given(step, store))
        self.worker = step.function(step.settings, **inputs)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        import pyarrow as pa

        table = self.worker(int(batch["first"][0]), int(batch["last"][0]))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return {"position": batch["position"], "table": [sink.getvalue().to_pybytes()]}


def fit(job: Job) -> None:
    """Train under Ray Train with data-parallel workers; the first one publishes.

    Every worker sees the whole stream and keeps its own rows of each global batch.  The run gets a
    fresh name, so that Ray resumes nothing: all workers resume where the first one does.
    """
    import ray.data
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    assert job.bundle is not None
    step, bundle, gpus = job.step, job.bundle, job.bundle.gpus
    resident = _resident(job)
    checkpoints = Checkpoints(job.store, step)
    with tempfile.TemporaryDirectory(prefix="castlewalls-") as scratch:
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={
                "job": replace(job, rows=None),
                "checkpoints": checkpoints,
                "resident": bool(resident),
            },
            datasets=resident,
            dataset_config=ray.train.DataConfig(datasets_to_split=[]),
            scaling_config=ray.train.ScalingConfig(
                num_workers=bundle.count,
                use_gpu=gpus > 0,
                resources_per_worker={"CPU": bundle.cpus} | ({"GPU": gpus} if gpus else {}),
            ),
            # A lone worker has nobody to talk to, and needs no NCCL for that.
            torch_config=TorchConfig(backend="gloo") if bundle.count == 1 else None,
            run_config=ray.train.RunConfig(
                name=f"{step.digest}-{checkpoints.name}", storage_path=scratch
            ),
        )
        try:
            trainer.fit()
        except ray.train.WorkerGroupError as error:
            raise _cause(error) from error


def _resident(job: Job) -> dict[str, Any]:
    """The training set as Ray Train's ``datasets``; none if it is to be re-streamed."""
    dataset = job.step.streams["dataset"]
    if TrainingSet.of(job.store.folder(dataset)).exceeds(job.step.settings.window_bytes):
        return {}
    rows = job.rows.source if isinstance(job.rows, RayRows) else read(job.store, dataset)
    return {"train": rows}


def _train_worker(config: dict[str, Any]) -> None:
    """One Ray Train worker: this rank's rows of the stream, the same loop as in process."""
    import ray.train

    job, checkpoints = config["job"], config["checkpoints"]
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    for source in job.step.sources:
        job.store.fetch(source)
    resume = _agreed(checkpoints, rank)
    if config["resident"]:
        job = replace(job, rows=RayRows(ray.train.get_dataset_shard("train")))
    with _out(job.step, job.store, rank) as out:
        fit_in_process(job, checkpoints, out, resume=resume, rank=rank, workers=workers)
    if rank == 0:
        checkpoints.clear()
    elif job.store.remote and resume is not None:  # only this machine's copy
        shutil.rmtree(resume.parent, ignore_errors=True)


@contextmanager
def _out(step: Step, store: Store, rank: int) -> Iterator[Path]:
    """Yield a worker's output folder, which is published if it is the first worker."""
    if rank == 0:
        with published(step, store) as out:
            yield out
    else:
        with tempfile.TemporaryDirectory(prefix="castlewalls-") as nothing:
            yield Path(nothing)


def _agreed(checkpoints: Checkpoints, rank: int) -> Path | None:
    """The newest checkpoint as the first worker finds it, on this worker's machine."""
    from ray.train.collective import broadcast_from_rank_zero

    newest = checkpoints.newest() if rank == 0 else None
    name = broadcast_from_rank_zero(
        newest.relative_to(checkpoints.root).as_posix() if newest is not None else None
    )
    return checkpoints.named(name) if name and newest is None else newest


def _cause(error: Any) -> BaseException:
    """The first worker's own error; a task's before that of a lost process."""
    failures = list(error.worker_failures.values())
    own = [getattr(failure, "cause", None) or failure for failure in failures]
    of_task = [failure for failure in own if isinstance(failure, ValueError | FloatingPointError)]
    return (of_task or own or [error])[0]


def read(store: Store, dataset: Step, *, small_bytes: int = SMALL_FILE) -> Any:
    """Read a dataset step's training images into a materialized ``ray.data.Dataset``.

    A small file is read right here: a pipeline of read tasks takes some seconds to start.
    """
    import pyarrow.parquet as pq
    import ray.data

    whole = TrainingSet.of(store.fetch(dataset))
    path, columns = whole.file, list(whole.columns)
    if path.stat().st_size <= small_bytes:
        return ray.data.from_arrow(pq.read_table(path, columns=columns)).materialize()
    return ray.data.read_parquet(str(path)).select_columns(columns).materialize()
