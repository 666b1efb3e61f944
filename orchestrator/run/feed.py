"""A training set larger than memory, decoded and stamped by Ray Data on other CPUs.

Each worker of a training has pipelines of its own, for its rows of every global batch: an image is
decoded once an epoch, and batches do not depend on the number of workers or of tasks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np

from orchestrator.run.stream import RowGroups
from orchestrator.step import Step
from orchestrator.store.store import Store
from tasks.steps.batches import Batch, Wanted, part

BYTES_AHEAD = 512 * 2**20
"""Decoded images that wait in the object store for one worker, about."""
BYTES_A_TASK = 64 * 2**20
"""Images that a task decodes; Ray Data takes some tenths of a second from one to the next."""


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

    items = list(_shared_out(source, wanted))
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
    blocks = decoded.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1)
    yield from _by_group(_seen(source, blocks), wanted)


def _shared_out(source: Source, wanted: list[Wanted]) -> Iterator[dict[str, Any]]:
    """What each task decodes: row groups in turn, of about BYTES_A_TASK in all."""
    image, taken = source.row_groups().image_bytes, 0
    groups: list[int] = []
    rows: list[list[int]] = []
    for group, some in wanted:
        groups.append(group)
        rows.append(some.tolist())
        taken += len(some) * image
        if taken >= BYTES_A_TASK:
            yield {"groups": groups, "rows": rows}
            groups, rows, taken = [], [], 0
    if groups:
        yield {"groups": groups, "rows": rows}


def _decode(item: dict[str, Any], source: Source) -> Iterator[Any]:
    """The rows that an item wants; on a node that does not see the store, the item itself."""
    try:
        groups = source.row_groups()
    except OSError:
        yield item
    else:
        yield from _rows_of(groups, item)


def _rows_of(groups: RowGroups, item: dict[str, Any]) -> Iterator[Batch]:
    for group, rows in zip(item["groups"][0], item["rows"][0], strict=True):
        yield from groups.rows(int(group), np.asarray(rows, dtype=np.int64))


def _seen(source: Source, blocks: Iterable[dict[str, Any]]) -> Iterator[Batch]:
    """What was decoded, and here what could not be."""
    for block in blocks:
        if "image" in block:
            yield cast(Batch, block)
        else:
            yield from _rows_of(source.row_groups(), block)


def _by_group(blocks: Iterator[Batch], wanted: list[Wanted]) -> Iterator[Batch]:
    """Blocks, which Ray Data joins, cut where a row group ends."""
    sizes = (len(rows) for _, rows in wanted)
    missing = next(sizes, 0)
    for block in blocks:
        at, n = 0, len(block["index"])
        while at < n:
            taken = slice(at, min(n, at + missing))
            yield part(block, taken)
            missing -= taken.stop - at
            at = taken.stop
            missing = missing or next(sizes, 0)
