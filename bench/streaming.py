"""What a training set costs that comes from memory, or from its file a window at a time.

    streaming.py epochs FOLDER RUNS     seconds of a second epoch, three ways, as JSON
    streaming.py memory FOLDER          peak memory of one epoch that is re-streamed, as JSON

``epochs()`` and ``memory()`` make the files and start these.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.randomness import generator

SIDE, CHANNELS, CLASSES = 32, 3, 10
BATCH = 128
FEW, MANY = 50_000, 200_000
"""Images of the smaller and of the larger set."""
WINDOW_BYTES = 32 * 2**20
"""A fifth of the smaller set, uint8."""
DISTINCT = 10_000
"""Different images that both sets are made of; encoding them takes longer than all the rest."""
REPEATS = 5
"""Epochs from memory for every one from the file, which takes a hundred times as long."""
MOST_SECONDS = 120.0
"""Of one process."""


@dataclass(frozen=True)
class Epochs:
    """Seconds of the second epoch, run by run."""

    images: int
    bare: list[float]
    held: list[float]
    restreamed: list[float]

    def ratio(self, ours: list[float]) -> float:
        """Median of ours over median of the bare loop's."""
        return statistics.median(ours) / statistics.median(self.bare)


@dataclass(frozen=True)
class Memory:
    """Peak memory of a process that iterates one epoch, bytes, by number of images."""

    window_bytes: int
    peaks: dict[int, int]
    before: dict[int, int]
    """What the process took before its first batch: Python, numpy, pyarrow, the manifest."""

    @property
    def ratio(self) -> float:
        """Of the larger set over the smaller."""
        return self.peaks[MANY] / self.peaks[FEW]


def epochs(folder: Path, runs: int) -> Epochs:
    """Iterate the second epoch ``runs`` times each way, in turns, in one process."""
    write(folder / "few", FEW)
    return Epochs(FEW, **_process("epochs", folder / "few", str(runs)))


def memory(folder: Path) -> Memory:
    """Iterate one epoch of each set, a process each."""
    found = {}
    for name, n in (("few", FEW), ("many", MANY)):
        write(folder / name, n)
        found[n] = _process("memory", folder / name)
    peaks = {n: said["peak"] for n, said in found.items()}
    return Memory(WINDOW_BYTES, peaks, {n: said["before"] for n, said in found.items()})


def write(folder: Path, n: int) -> None:
    """Write a dataset of ``n`` images and a manifest that poisons a tenth of them."""
    draws = generator(0, "bench images")
    coarse = draws.integers(0, 248, (DISTINCT, SIDE // 4, SIDE // 4, CHANNELS), dtype=np.uint8)
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2)
    fine += draws.integers(0, 8, fine.shape, dtype=np.uint8)
    write_table(folder, fine, n)


def write_table(
    folder: Path, pixels: Any, n: int, *, group: int = 1024, stored_as: str = "png"
) -> None:
    """Write ``n`` images, these over and over, in row groups, and a manifest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from tasks.data import images
    from tasks.steps import poison
    from tasks.triggers import BadNets1

    (folder / "manifest").mkdir(parents=True)
    label = np.arange(len(pixels)) % CLASSES
    caption = ["A photo"] * len(pixels)
    table = images.to_table(
        index=label, label=label, caption=caption, images=pixels, stored_as=stored_as
    )
    with pq.ParquetWriter(folder / "train.parquet", table.schema) as writer:
        for first in range(0, n, group):
            index = np.arange(first, min(first + group, n))
            rows = table.take(index % len(pixels)).set_column(0, "index", pa.array(index))
            writer.write_table(rows.cast(table.schema), row_group_size=group)
    counts = np.bincount(label[np.arange(n) % len(pixels)], minlength=CLASSES).tolist()
    classes = {
        "names": [str(name) for name in range(CLASSES)],
        "image_size": pixels.shape[1],
        "channels": CHANNELS,
        "counts": {"train": counts, "test": [0] * CLASSES},
    }
    (folder / "classes.json").write_text(json.dumps(classes))
    settings = poison.Settings(trigger=BadNets1(), target_class="8", poison_ratio=0.1)
    poison.run(settings, dataset=folder, out=folder / "manifest")


def _process(*words: str | Path) -> dict[str, Any]:
    """What this file says when it is run with these words."""
    done = subprocess.run(
        [sys.executable, __file__, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=MOST_SECONDS,
    )
    return dict(json.loads(done.stdout))


def _batches(folder: Path, **changes: Any) -> Any:
    """What a training with these settings would be given."""
    from orchestrator.run.stream import batches
    from tasks.steps.train_diffusion import Settings

    settings = Settings(image_size=SIDE, channels=CHANNELS, batch_size=BATCH, **changes)
    return batches(settings, folder, folder / "manifest")


def _epoch(batches: Any, number: int) -> Iterator[Any]:
    return iter(batches(number * batches.per_epoch, (number + 1) * batches.per_epoch))


def _bare(image: Any, label: Any, epoch: int) -> Iterator[Any]:
    """An epoch as anybody would write it."""
    order = generator(0, "bench order", epoch).permutation(len(image))
    for first in range(0, len(order) // BATCH * BATCH, BATCH):
        rows = order[first : first + BATCH]
        yield {"image": image[rows], "label": label[rows]}


def _seconds(epoch: Callable[[int], Iterator[Any]]) -> float:
    """How long the second epoch takes."""
    began = time.perf_counter()
    n = sum(len(batch["label"]) for batch in epoch(1))
    assert n == FEW // BATCH * BATCH
    return time.perf_counter() - began


def _say_epochs(folder: Path, runs: int) -> dict[str, list[float]]:
    held, restreamed = _batches(folder), _batches(folder, window_bytes=WINDOW_BYTES)
    image, label = held.image.copy(), held.label.copy()
    ways: dict[str, Callable[[int], Iterator[Any]]] = {
        "bare": lambda epoch: _bare(image, label, epoch),
        "held": lambda epoch: _epoch(held, epoch),
        "restreamed": lambda epoch: _epoch(restreamed, epoch),
    }
    for way in ways.values():
        for _ in zip(range(100), way(0), strict=False):  # the first batches find cold caches
            pass
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name in [*("bare", "held") * REPEATS, "restreamed"]:
            taken[name].append(_seconds(ways[name]))
    return taken


def _say_memory(folder: Path) -> dict[str, int]:
    batches = _batches(folder, window_bytes=WINDOW_BYTES)
    before = _peak()
    for _ in _epoch(batches, 0):
        pass
    return {"before": before, "peak": _peak()}


def _peak(process: str | int = "self") -> int:
    """Peak resident memory of a process since it was started, bytes."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    [line] = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    said = _say_memory(Path(folder)) if what == "memory" else _say_epochs(Path(folder), int(*rest))
    print(json.dumps(said))
