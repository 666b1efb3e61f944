"""A training set larger than memory, decoded and stamped by Ray Data on other CPUs.

Each worker of a training has pipelines of its own, for its rows of every global batch: an image is
decoded once an epoch, and batches do not depend on the number of workers or of tasks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

from orchestrator.run.stream import RowGroups
from orchestrator.step import Step
from orchestrator.store.store import Store
from tasks.steps.batches import Batch, Wanted

BYTES_AHEAD = 256 * 2**20
"""Decoded images that wait in the object store for one worker, about."""


@dataclass(frozen=True)
class Source:
    """A training set, for any node of the cluster."""

    store: Store
    dataset: Step
    manifest: Step | None
    stamped: Step | None = None
    keep: bool = False
    """Whether nodes keep the images decoded on their disks."""

    def row_groups(self) -> RowGroups:
        """Its file and manifest on this node, which are kept for the next row group."""
        steps = self.dataset, self.manifest, self.stamped
        name = self.store.address, self.keep, *(step and step.digest for step in steps)
        if name not in _OPENED:
            _OPENED.clear()
            others = ((step and self.store.fetch(step)) or None for step in steps[1:])
            _OPENED[name] = RowGroups.open(self.store.fetch(self.dataset), *others, keep=self.keep)
        return _OPENED[name]


_OPENED: dict[Any, RowGroups] = {}
_PIPELINES: WeakKeyDictionary["Feed", tuple[Source, int]] = WeakKeyDictionary()
"""Source and CPUs of each; kept out of ``Feed``, where trainers find no path and no flag."""


class Feed:
    """Reads rows of a training set's file on other CPUs; a ``ReadRows``."""

    def __init__(self, source: Source, cpus: int) -> None:
        _PIPELINES[self] = source, cpus

    def __call__(self, epochs: Iterator[list[Wanted]]) -> Iterator[Batch]:
        """What each epoch wants, in order, stamped, in parts of one row group each."""
        try:
            for wanted in epochs:
                yield from _decoded(*_PIPELINES[self], wanted)
        except Exception as error:  # of a task, or of Ray
            raise getattr(error, "cause", None) or error from None


def _decoded(source: Source, cpus: int, wanted: list[Wanted]) -> Iterator[Batch]:
    """Run one epoch's pipeline."""
    import ray.data

    items = [{"group": group, "rows": rows} for group, rows in wanted]
    data = ray.data.from_items(items, override_num_blocks=len(items))
    options = data.context.execution_options
    options.preserve_order = True
    options.resource_limits = ray.data.ExecutionResources.for_limits(
        cpu=cpus, object_store_memory=BYTES_AHEAD
    )
    decode: Any = _decode
    decoded = data.map_batches(
        decode,
        fn_args=(source,),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.TaskPoolStrategy(size=cpus),
    )
    for part in decoded.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1):
        if "image" in part:
            yield cast(Batch, part)
        else:
            yield from _wanted(source.row_groups(), part)


def _decode(item: dict[str, Any], source: Source) -> Iterator[Any]:
    """The wanted rows of one row group; on a node that does not see the store, the item itself."""
    try:
        groups = source.row_groups()
    except OSError:
        yield item
    else:
        yield from _wanted(groups, item)


def _wanted(groups: RowGroups, item: dict[str, Any]) -> Iterator[Batch]:
    return groups.rows(int(item["group"][0]), item["rows"][0])
