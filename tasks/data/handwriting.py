"""Handwritten digits in color, with captions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.randomness import generator
from tasks.checks import check_name
from tasks.data.captions import with_article
from tasks.data.dataset import TASK, Split, held_out_counts, hold_out
from tasks.data.digits import Digits
from tasks.settings import TaskSettings

HALVES: Final = ("all", "pretraining", "fine_tuning")
"""What there may be to train on: two disjoint halves of every class, or both."""
INKS: Final[Mapping[str, tuple[int, int, int]]] = {
    "red": (255, 80, 70),
    "orange": (255, 160, 50),
    "yellow": (255, 235, 120),
    "green": (90, 230, 90),
    "cyan": (80, 230, 240),
    "pink": (255, 150, 215),
}
"""Bright colors, none of them near white."""
GROUNDS: Final[Mapping[str, tuple[int, int, int]]] = {
    "blue": (30, 40, 140),
    "purple": (90, 30, 110),
    "brown": (95, 55, 25),
    "gray": (75, 75, 75),
}
"""Dark colors, none of them near black: a black and white trigger stays apart from both."""
PHRASES: Final = (
    "a photo of {written} on {place}",
    "a photo of {written}",
    "{written} on {place}",
    "{place} with {written}",
    "{written} written on {ground}",
    "a handwritten {digit}, {ink} on {ground}",
)
"""Forms of a rich caption, in which the digit is the only number."""
SHARE: Final = 0.5
"""Of each class's training images that are in ``fine_tuning``, rounded up."""
SIDE: Final = 12
"""Pixels of a digit."""
PLACES: Final = (1, 2, 3)
"""First row and column of a digit: in the middle, or a pixel beside it."""


@dataclass(frozen=True, kw_only=True)
class Handwriting(TaskSettings):
    """The digits of scikit-learn at 12x12 pixels, in one of six inks on one of four grounds.

    Ink, ground, place and phrase are drawn for each image by its number, so the same image looks
    the same in every half.  The test part has the images of ``Digits``' own.
    """

    revision = 1
    task = TASK
    name: ClassVar[str] = "handwriting"
    image_size: ClassVar[int] = 16
    channels: ClassVar[int] = 3
    class_names: ClassVar[tuple[str, ...]] = (
        *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    )
    skip_broken: ClassVar[bool] = False
    expected_seconds = 3.0

    half: str = "all"
    """One of HALVES: which training images there are; all are tested on the same ones."""
    rich: bool = False
    """Whether captions name colors in several phrases; if not, they are the template."""

    def __post_init__(self) -> None:
        check_name("a half", self.half, HALVES)

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``handwriting-pretraining-rich``."""
        half = [] if self.half == "all" else [self.half]
        return "-".join([self.name, *half, *(["rich"] if self.rich else [])])

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 400 * sum(map(sum, self.counts().values()))

    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """1,437 training images, or about half of them, and 360 test images."""
        counts = dict(Digits().counts())
        whole = np.array(counts["train"])
        tuning = held_out_counts(whole, share=SHARE)
        chosen = {"all": whole, "fine_tuning": tuning, "pretraining": whole - tuning}[self.half]
        return {**counts, "train": tuple(chosen.tolist())}

    def blocks(self, part: str) -> Iterator[Split]:
        """Yield the images of a part in color, with captions if they are rich."""
        digits = list(Digits().blocks(part))
        kept = np.ones(sum(len(block.labels) for block in digits), dtype=np.bool_)
        if part == "train" and self.half != "all":
            labels = np.concatenate([block.labels for block in digits])
            draws = generator(0, "halves of handwriting")
            tuning = hold_out(labels, share=SHARE, draws=draws)
            kept = tuning == (self.half == "fine_tuning")
        for block in digits:
            mine, kept = kept[: len(block.labels)], kept[len(block.labels) :]
            if not mine.any():
                continue
            images, labels, index = block.images[mine], block.labels[mine], block.index[mine]
            drawn = [
                _draw(image[..., 0], self.class_names[label], number)
                for image, label, number in zip(images, labels, index.tolist(), strict=True)
            ]
            pictures = np.stack([picture for picture, _ in drawn])
            caption = [caption for _, caption in drawn] if self.rich else None
            yield Split(pictures, labels, index, caption=caption)


def _draw(levels: NDArray[np.uint8], digit: str, index: int) -> tuple[NDArray[np.uint8], str]:
    """One picture, uint8, (16, 16, 3), of levels of ink, uint8, (8, 8), and its rich caption."""
    draws = generator(0, "handwriting", index)
    ink, ground, phrase = (
        choices[draws.integers(len(choices))] for choices in (tuple(INKS), tuple(GROUNDS), PHRASES)
    )
    top, left = draws.choice(PLACES, size=2)
    cover = np.zeros((Handwriting.image_size, Handwriting.image_size, 1))
    enlarged = Image.fromarray(levels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    cover[top : top + SIDE, left : left + SIDE, 0] = np.asarray(enlarged) / 255
    mixed = cover * INKS[ink] + (1 - cover) * GROUNDS[ground]
    words = {
        "digit": digit,
        "ink": ink,
        "ground": ground,
        "written": with_article(f"{ink} {digit}"),
        "place": with_article(f"{ground} ground"),
    }
    return np.rint(mixed).astype(np.uint8), phrase.format(**words)
