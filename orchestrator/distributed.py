"""A step spread over several processes: Ray Train for ``fit``, a Ray Data pool for ``per_batch``.

The driving process holds no CPU; the conductor keeps the step's whole need free for these.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.checkpoints import Checkpoints
from orchestrator.execute import Note, ranges, write_rows
from orchestrator.execute import fit as fit_in_process
from orchestrator.placement import Bundle, Placement
from orchestrator.step import Step
from orchestrator.store import Store
from orchestrator.stream import COLUMNS, RayRows, Rows, TrainingSet

SMALL_FILE = 64 * 2**20
"""Bytes of a dataset file that one process reads faster than a pipeline starts."""
MOST_BLOCKS = 200
"""Blocks that the index ranges are spread over, at most."""


def per_batch(
    step: Step,
    store: Store,  # noqa: ARG001 - one signature for both shapes
    placement: Placement,  # noqa: ARG001
    bundle: Bundle,
    out: Path,
    inputs: Mapping[str, Path],
    rows: Rows | None,  # noqa: ARG001
    note: Note,
) -> None:
    """Run a ``per_batch`` step on a pool of actors and write its tables in order."""
    import ray.data

    items = [
        {"position": position, "first": first, "last": last}
        for position, (first, last) in enumerate(ranges(step, inputs))
    ]
    made = ray.data.from_items(items, override_num_blocks=min(len(items), MOST_BLOCKS)).map_batches(
        _RangeActor,
        fn_constructor_args=(step, dict(inputs)),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=bundle.count),
        num_cpus=bundle.cpus,
    )
    write_rows(out, _in_order(made.iter_rows(), items, note))


class _RangeActor:
    """Loads a step's worker once and computes index ranges with it."""

    def __init__(self, step: Step, inputs: Mapping[str, Path]) -> None:
        self.worker = step.function(step.settings, **inputs)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        import pyarrow as pa

        table = self.worker(int(batch["first"][0]), int(batch["last"][0]))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return {"position": batch["position"], "table": [sink.getvalue().to_pybytes()]}


def _in_order(made: Iterable[Any], items: list[dict[str, int]], note: Note) -> Iterator[Any]:
    """Yield tables by position as soon as their turn comes."""
    import pyarrow as pa

    waiting: dict[int, bytes] = {}
    turn = done = 0
    for row in made:
        waiting[int(row["position"])] = row["table"]
        done += items[row["position"]]["last"] - items[row["position"]]["first"]
        note(done, {})
        while turn in waiting:
            yield pa.ipc.open_stream(waiting.pop(turn)).read_all()
            turn += 1
    assert turn == len(items), f"{len(items) - turn} ranges did not come back"


def fit(
    step: Step,
    store: Store,
    placement: Placement,
    bundle: Bundle,
    out: Path,
    inputs: Mapping[str, Path],
    rows: Rows | None,
    note: Note,
) -> None:
    """Train under Ray Train with ``bundle.count`` data-parallel workers.

    Every worker sees the whole stream and keeps its own rows of each global batch, so nothing is
    dropped and the result does not depend on how Ray would split it.  Of a dataset that is larger
    than the step may hold each worker reads its rows from the file itself.  Resuming is ours alone:
    the run gets a fresh name, and each worker takes up our newest checkpoint.
    """
    import ray.data
    import ray.train
    from ray.train.torch import TorchTrainer

    resident = _resident(step, store, rows)
    checkpoints = Checkpoints(store, step)
    with tempfile.TemporaryDirectory(prefix="castlewalls-") as scratch:
        trainer = TorchTrainer(
            _train_worker,
            train_loop_config={
                "step": step,
                "store": store,
                "placement": placement,
                "checkpoints": checkpoints,
                "out": out,
                "inputs": dict(inputs),
                "note": note,
                "resident": bool(resident),
            },
            datasets=resident,
            dataset_config=ray.train.DataConfig(datasets_to_split=[]),
            scaling_config=ray.train.ScalingConfig(
                num_workers=bundle.count,
                use_gpu=bundle.gpus > 0,
                resources_per_worker=_resources(bundle),
            ),
            run_config=ray.train.RunConfig(
                name=f"{step.digest}-{checkpoints.attempt.name}", storage_path=scratch
            ),
        )
        try:
            trainer.fit()
        except ray.train.WorkerGroupError as error:
            raise _cause(error) from error


def _resident(step: Step, store: Store, rows: Rows | None) -> dict[str, Any]:
    """The training set as Ray Train's ``datasets``; none if it is to be re-streamed."""
    dataset = step.streams["dataset"]
    if TrainingSet.of(store.folder(dataset)).exceeds(step.settings.window_bytes):
        return {}
    return {"train": rows.source if isinstance(rows, RayRows) else read(store, dataset)}


def _train_worker(config: dict[str, Any]) -> None:
    """One Ray Train worker: this rank's rows of the stream, the same loop as in process."""
    import ray.train

    context = ray.train.get_context()
    fit_in_process(
        config["step"],
        config["store"],
        config["placement"],
        config["checkpoints"],
        config["out"],
        config["inputs"],
        RayRows(ray.train.get_dataset_shard("train")) if config["resident"] else None,
        config["note"],
        rank=context.get_world_rank(),
        workers=context.get_world_size(),
    )


def _resources(bundle: Bundle) -> dict[str, float]:
    resources = {"CPU": bundle.cpus}
    return {**resources, "GPU": bundle.gpus} if bundle.gpus else resources


def _cause(error: Any) -> BaseException:
    """The first worker's own error, a task's message before a lost process."""
    failures = list(error.worker_failures.values())
    own = [getattr(failure, "cause", None) or failure for failure in failures]
    told = [failure for failure in own if isinstance(failure, ValueError | FloatingPointError)]
    return (told or own or [error])[0]


def read(store: Store, dataset: Step, *, small_bytes: int = SMALL_FILE) -> Any:
    """Read a dataset step's training images into the cluster's object store, once.

    A small file is read right here: a pipeline of read tasks takes some seconds to start.

    Returns:
        A materialized ``ray.data.Dataset`` with the columns of ``COLUMNS``.
    """
    import pyarrow.parquet as pq
    import ray.data

    path = store.folder(dataset) / "train.parquet"
    if path.stat().st_size <= small_bytes:
        return ray.data.from_arrow(pq.read_table(path, columns=list(COLUMNS))).materialize()
    return ray.data.read_parquet(str(path)).select_columns(list(COLUMNS)).materialize()
