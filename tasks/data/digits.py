"""Handwritten digits of scikit-learn."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tasks.data.dataset import ROW_GROUP, TASK, TEST_SHARE, Split, held_out_counts, hold_out
from tasks.settings import TaskSettings


@dataclass(frozen=True, kw_only=True)
class Digits(TaskSettings):
    """Handwritten digits that ship with scikit-learn: 1,797 gray images of 8x8 pixels.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its
    test part); levels 0..16 are scaled to 0..255.
    """

    revision = 2
    task = TASK
    name: ClassVar[str] = "digits"
    image_size: ClassVar[int] = 8
    channels: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    class_sizes: ClassVar[tuple[int, ...]] = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    skip_broken: ClassVar[bool] = False
    label = "digits"
    expected_seconds = 2.0
    expected_bytes = 400_000

    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """1,437 training and 360 test images."""
        whole = np.array(self.class_sizes, dtype=np.int64)
        test = held_out_counts(whole, share=TEST_SHARE)
        return {"train": tuple((whole - test).tolist()), "test": tuple(test.tolist())}

    def blocks(self, part: str) -> Iterator[Split]:
        """Yield the images of a part, at most ``ROW_GROUP`` at a time."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        levels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
        labels = bunch.target.astype(np.int64)
        index = np.flatnonzero(hold_out(labels, share=TEST_SHARE) == (part == "test"))
        for first in range(0, len(index), ROW_GROUP):
            rows = index[first : first + ROW_GROUP]
            yield Split(levels[rows], labels[rows], rows)
