"""The parts of a dataset: what one is made of, how it is held out, how it is written."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.randomness import generator
from tasks.data import images

PARTS: Final = ("train", "test")
"""The second is never trained on."""

ROW_GROUP: Final = 1024
"""Rows of a Parquet row group: what a larger dataset is re-streamed and permuted by."""

TEST_SHARE: Final = 0.2
"""Fraction held out of a dataset that comes undivided, in every class alike."""


@dataclass(frozen=True)
class Split:
    """One part of a dataset."""

    images: NDArray[np.uint8]
    """(N, H, W, C)."""
    labels: NDArray[np.int64]
    """(N,). 0..classes-1."""
    index: NDArray[np.int64]
    """(N,). Unique over all parts, ascending."""
    path: Sequence[str] | None = None
    """N names of files, where the images come from a folder."""
    broken: tuple[tuple[str, str], ...] = ()
    """Names of the files that would be here if they decoded, and the reasons why not."""
    turned_grey: int = 0
    """Images of the N that had colors, in a grey dataset."""


@dataclass(frozen=True)
class Written:
    """What was written of one part."""

    counts: tuple[int, ...]
    """Images of each class."""
    broken: tuple[tuple[str, str], ...]
    """Files that are not among them, and the reasons why not."""
    turned_grey: int
    """Images that had colors, in a grey dataset."""


def hold_out(labels: NDArray[np.int64], *, share: float) -> NDArray[np.bool_]:
    """Choose a test part that is stratified, and the same for every seed of a study.

    Args:
        labels: int64, (N,).
        share: Fraction to hold out, 0..1.

    Returns:
        bool, (N,). True where the image is held out.
    """
    names, sizes = np.unique(labels, return_counts=True)
    counts = held_out_counts(sizes, share=share)
    draws = generator(0, "hold out")
    mask = np.zeros(len(labels), dtype=np.bool_)
    for name, count in zip(names, counts, strict=True):
        mask[draws.permutation(np.flatnonzero(labels == name))[:count]] = True
    return mask


def held_out_counts(sizes: NDArray[np.int64], *, share: float) -> NDArray[np.int64]:
    """How many images of each class ``hold_out`` holds out.

    Class sizes times ``share`` are rounded by largest remainder, so that the whole is
    ``ceil(share * N)`` exactly, as scikit-learn counts; but a class of two or more has an image in
    each part, even where that makes the whole larger.

    Args:
        sizes: int64, (classes,). Images of each class.
        share: Fraction to hold out, 0..1.

    Returns:
        int64, (classes,).
    """
    exact = share * sizes
    least, most = np.minimum(sizes // 2, 1), sizes - np.minimum(sizes // 2, 1)
    counts: NDArray[np.int64] = np.maximum(least, np.floor(exact).astype(np.int64))
    missing = max(0, math.ceil(share * int(sizes.sum())) - int(counts.sum()))
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return np.minimum(counts, most)


def held_out_of(sizes: Sequence[int]) -> Mapping[str, tuple[int, ...]]:
    """Counts of both parts of an undivided dataset."""
    whole = np.array(sizes, dtype=np.int64)
    test = held_out_counts(whole, share=TEST_SHARE)
    return {"train": tuple((whole - test).tolist()), "test": tuple(test.tolist())}


def write(
    blocks: Iterable[Split], file: Path, *, class_names: Sequence[str], captions: Sequence[str]
) -> Written:
    """Write a part to Parquet, a row group of at most ``ROW_GROUP`` images for each block.

    Args:
        blocks: By ascending index.
        file: Where to.
        class_names: Of the labels.
        captions: Of each class.
    """
    counts = np.zeros(len(captions), dtype=np.int64)
    broken: list[tuple[str, str]] = []
    turned_grey = 0
    with pq.ParquetWriter(file, images.schema(class_names)) as writer:
        for block in blocks:
            counts += np.bincount(block.labels, minlength=len(counts))
            broken.extend(block.broken)
            turned_grey += block.turned_grey
            if len(block.labels):
                table = images.to_table(
                    index=block.index,
                    label=block.labels,
                    caption=[captions[label] for label in block.labels],
                    images=block.images,
                    path=block.path,
                )
                writer.write_table(table, row_group_size=ROW_GROUP)
    return Written(tuple(counts.tolist()), tuple(broken), turned_grey)


def refusal(broken: Sequence[tuple[str, str]], *, of: int) -> ValueError:
    """What to raise over broken files, given with their reasons, ``of`` so many."""
    shown = ", ".join(f"{file!r} ({reason})" for file, reason in broken[:5])
    more = f" and {len(broken) - 5} more" if len(broken) > 5 else ""
    cure = "do that" if all("pip install" in reason for _, reason in broken) else "repair them"
    return ValueError(
        f"expected {of} images, but {len(broken)} of the files cannot be used: {shown}{more}; "
        f"{cure}, move them away, or leave them out with --skip-broken"
    )


def check_left(
    counts: Mapping[str, Sequence[int]],
    class_names: Sequence[str],
    *,
    of: Mapping[str, Sequence[int]],
) -> None:
    """See that every class has images left: one in each part, or two if there is one part only.

    Args:
        counts: Images of each class that decode, by part.
        class_names: Of the labels.
        of: Files of each class as listed, by part; a part without any is not looked at.

    Raises:
        ValueError: One has fewer.
    """
    parts = [part for part, sizes in of.items() if any(sizes)]
    least = 1 if len(parts) > 1 else 2
    for part in parts:
        for name, count in zip(class_names, counts[part], strict=True):
            if count < least:
                wanted = "an image" if least == 1 else "two images or more"
                left = "only one" if count else "none"
                raise ValueError(
                    f"expected {wanted} of class {name!r} in the {part} part, but {left} of its "
                    f"files there can be used; add images or move the class away"
                )
