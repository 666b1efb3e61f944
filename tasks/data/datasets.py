"""Every dataset, the step that writes one to Parquet, and what reads it.

To add a dataset, write a class as ``dataset.Dataset`` describes it in a file of its own, and list
it in ``DATASETS``.  The property tests in ``tests/tasks/data/test_datasets.py`` then cover it.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data import images
from tasks.data.cifar10 import Cifar10
from tasks.data.dataset import PARTS, ROW_GROUP, Dataset, Split
from tasks.data.digits import Digits
from tasks.data.fashion_mnist import FashionMnist
from tasks.data.handwriting import Handwriting
from tasks.data.image_folder import ImageFolder

__all__ = [
    "DATASETS",
    "DOWNLOADS",
    "ROW_GROUP",
    "Cifar10",
    "Dataset",
    "Digits",
    "FashionMnist",
    "Handwriting",
    "ImageFolder",
]

DATASETS: tuple[type[Dataset], ...] = (Digits, ImageFolder, Cifar10, FashionMnist, Handwriting)
DOWNLOADS = "artifacts/downloads"
"""Where datasets that are downloaded are looked for by default."""


def caption(class_name: str) -> str:
    """The paper's prompt; always "a", whatever the class (section 3 and appendix A)."""
    return f"A photo of a {class_name}"


def run(settings: Dataset, *, out: Path) -> None:
    """Write ``train.parquet``, ``test.parquet`` and ``classes.json``; the second may have no rows.

    Files that ``skip_broken`` left out are listed in ``classes.json`` and ``skipped.csv``.  Raises
    ValueError if files are broken and not to be skipped, or a class has no images left.
    """
    counts: dict[str, list[int]] = {}
    broken: list[tuple[str, str]] = []
    turned_grey = 0
    captions = [caption(name) for name in settings.class_names]
    for part in PARTS:
        tally = np.zeros(len(captions), dtype=np.int64)
        schema = images.schema(settings.class_names)
        with pq.ParquetWriter(out / f"{part}.parquet", schema) as writer:
            for block in settings.blocks(part):
                tally += np.bincount(block.labels, minlength=len(tally))
                broken.extend(block.broken)
                turned_grey += block.turned_grey
                if len(block.labels):
                    table = images.to_table(
                        index=block.index,
                        label=block.labels,
                        caption=block.caption or [captions[label] for label in block.labels],
                        images=block.images,
                        path=block.path,
                        stored_as=getattr(settings, "stored_as", "png"),
                    )
                    writer.write_table(table, row_group_size=ROW_GROUP)
        counts[part] = tally.tolist()
    if broken and not settings.skip_broken:
        raise _refusal(broken, of=sum(map(sum, settings.counts().values())))
    classes: dict[str, Any] = {
        "names": list(settings.class_names),
        "image_size": settings.image_size,
        "channels": settings.channels,
        "counts": counts,
    }
    if broken:
        _check_left(counts, settings)
        classes["skipped"] = broken
        with (out / "skipped.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("file", "reason"), *broken])
    if turned_grey:
        classes["turned_grey"] = turned_grey
    (out / "classes.json").write_text(json.dumps(classes, indent=1) + "\n")


def _refusal(broken: Sequence[tuple[str, str]], *, of: int) -> ValueError:
    """The error for broken files, given with their reasons, among ``of`` files."""
    shown = ", ".join(f"{file!r} ({reason})" for file, reason in broken[:5])
    more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
    cure = "do that" if all("pip install" in reason for _, reason in broken) else "repair them"
    return ValueError(
        f"expected {of} images, but {len(broken)} of the files cannot be used: {shown}{more}; "
        f"{cure}, move them away, or leave them out with --skip-broken"
    )


def _check_left(counts: Mapping[str, Sequence[int]], settings: Dataset) -> None:
    """Check that every class has an image left in each part, or two if there is only one part."""
    parts = [part for part, sizes in settings.counts().items() if any(sizes)]
    least = 1 if len(parts) > 1 else 2
    for part in parts:
        for name, count in zip(settings.class_names, counts[part], strict=True):
            if count < least:
                raise ValueError(
                    f"expected images of class {name!r} in the {part} part, {least} or more, but "
                    f"{count} of its files there can be used; add images or move the class away"
                )


@dataclass(frozen=True)
class Classes:
    """What ``classes.json`` says."""

    names: tuple[str, ...]
    image_size: int
    channels: int
    counts: Mapping[str, tuple[int, ...]]
    skipped: tuple[tuple[str, str], ...] = ()
    """Files that were left out, and why."""
    turned_grey: int = 0
    """Images that lost their colors, in a gray dataset."""

    def position(self, name: str) -> int:
        """The label of class ``name``; raises ValueError if there is none."""
        if name not in self.names:
            raise ValueError(f"expected one of the classes {', '.join(self.names)}, got {name!r}")
        return self.names.index(name)


def read_classes(dataset: Path) -> Classes:
    """Read the class names, sizes and counts of a dataset's folder."""
    record = json.loads((dataset / "classes.json").read_text())
    return Classes(
        names=tuple(record["names"]),
        image_size=record["image_size"],
        channels=record["channels"],
        counts={part: tuple(counts) for part, counts in record["counts"].items()},
        skipped=tuple((file, reason) for file, reason in record.get("skipped", ())),
        turned_grey=record.get("turned_grey", 0),
    )


def read_split(dataset: Path, part: str, index: NDArray[np.int64] | None = None) -> Split:
    """Read part ``train`` or ``test`` of a dataset's folder, or some images by ascending index."""
    chosen = None if index is None else [("index", "in", index.tolist())]
    columns = ["index", "label", "image"]
    return _split(pq.read_table(dataset / f"{part}.parquet", columns=columns, filters=chosen))


def read_batches(file: Path, size: int) -> Iterator[Split]:
    """Read an image table in batches of at most ``size`` rows, in the order of the file."""
    with pq.ParquetFile(file) as opened:
        for rows in opened.iter_batches(size, columns=["index", "label", "image"]):
            yield _split(rows)


def _split(rows: pa.Table | pa.RecordBatch) -> Split:
    return Split(
        images.from_column(rows["image"]), rows["label"].to_numpy(), rows["index"].to_numpy()
    )
