"""Ask a detector how suspicious every image of a set is.

The set is the training set as the defender has it, or a model's generations.  What the detector
says is written as it is: no threshold, nothing scaled or turned around.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data import images
from tasks.detectors import (
    CognitiveDistillation,
    Detector,
    FeatureConsistency,
    Masking,
    Prepared,
    Strip,
)
from tasks.steps.poison import slug

IMAGE_SETS = ("training", "generation")
"""What can be looked at."""

SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("label", pa.int64()),
        ("suspicion", pa.float64()),
        ("mask", pa.binary()),
        ("kept", pa.float64()),
    ]
)
"""Of a detector with masks, else null: ``mask`` is a PNG, 8-bit grey, (H, W), 255 where it is 1;
``kept`` the share of KEPT_COLORS random colors around the mask that leave the classifier's answer.
"""

KEPT_COLORS = 10
"""Drawn by an image's index alone."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Who looks at what; whose images they are is in the inputs and streams."""

    revision: ClassVar[int] = 1
    """Add one when the same settings would now give other bytes."""

    detector: Detector
    """Looks."""
    image_set: str
    """One of IMAGE_SETS."""
    batch_size: int = 256
    """Images looked at together; part of the identity, as sums depend on it in the last bit."""
    n: int = field(default=0, metadata={"identity": False})
    """Images, for the progress and the expected cost; 0 if that is not known."""

    def __post_init__(self) -> None:
        """Refuse unknown sets and empty batches."""
        if self.image_set not in IMAGE_SETS:
            raise ValueError(
                f"expected an image_set of {', '.join(IMAGE_SETS)}, got {self.image_set!r}"
            )
        if self.batch_size < 1:
            raise ValueError(f"expected a batch_size of at least 1, got {self.batch_size}")

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``cd-on-training``."""
        return f"{slug(self.detector.name)}-on-{self.image_set}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core, fitted to measured ones of 8x8 pixels."""
        return 1.5 + seconds_an_image(self.detector) * self.n

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 5_000 + (150 if isinstance(self.detector, Masking) else 20) * self.n


def seconds_an_image(detector: Detector) -> float:
    """Rough cost on one core at 8x8 pixels; of a detector that is not ours, a guess."""
    if isinstance(detector, CognitiveDistillation):
        return 1.9e-4 * detector.steps
    if isinstance(detector, Strip):
        return 6.5e-5 * detector.overlays
    if isinstance(detector, FeatureConsistency):
        return 5.6e-4 * detector.draws
    return 1e-2


def count(
    settings: Settings,
    *,
    prepared: Path,  # noqa: ARG001 - the shape of per_batch
    training_set: Path | None = None,
    generations: Path | None = None,
) -> int:
    """How many images there are to look at.

    Raises:
        ValueError: Not the set of images that the settings name.
    """
    folder = chosen(settings, training_set, generations)
    rows: int = pq.read_metadata(folder / "rows.parquet").num_rows
    return rows


def chosen(settings: Settings, training_set: Path | None, generations: Path | None) -> Path:
    """The folder of the set that the settings name.

    Raises:
        ValueError: It is not the one that was given, or both were.
    """
    given = {"training": training_set, "generation": generations}
    folder = given.pop(settings.image_set)
    if folder is None or any(given.values()):
        raise ValueError(
            f"expected the images of image_set {settings.image_set} and no others: a training set "
            f"as streams, generations as the input generations"
        )
    return folder


class Worker:
    """Holds the prepared detector and the images; looks at one range of rows at a time."""

    def __init__(
        self,
        settings: Settings,
        *,
        prepared: Path,
        training_set: Path | None = None,
        generations: Path | None = None,
    ) -> None:
        """Read both.

        Raises:
            ValueError: Not the set of images that the settings name.
        """
        from models.device import choose

        self.detector = settings.detector
        folder = chosen(settings, training_set, generations)
        self.rows = pq.read_table(folder / "rows.parquet", columns=["index", "label", "image"])
        self.state = Prepared.load(prepared, choose())

    def __call__(self, first: int, last: int) -> pa.Table:
        """What the detector says of rows ``first`` .. ``last - 1``, in ``SCHEMA``.

        Raises:
            FloatingPointError: It says NaN or infinity.
            ValueError: It does not say one number, and if it has masks one mask, of each image.
        """
        from models.device import one_thread

        rows = self.rows.slice(first, last - first)
        # Copies, as Arrow's own are read-only, which torch warns of.
        index, label = rows["index"].to_numpy().copy(), rows["label"].to_numpy().copy()
        given = images.from_column(rows["image"]), label, index, self.state
        pngs: Sequence[bytes | None] = [None] * rows.num_rows
        kept: Sequence[float | None] = [None] * rows.num_rows
        with one_thread():
            if isinstance(self.detector, Masking):
                masks = self.detector.masks(*given)
                self._check_masks(masks, given[0].shape[:3], index)
                suspicion = self.detector.from_masks(masks)
                pngs = images.encode(np.rint(255 * masks).astype(np.uint8)[..., None])
                kept = self._kept(given[0], masks, index).tolist()
            else:
                suspicion = self.detector.suspicion(*given)
        self._check("suspicion", suspicion, (rows.num_rows,), index)
        return pa.Table.from_arrays(
            [
                rows["index"].combine_chunks(),
                rows["label"].combine_chunks(),
                pa.array(suspicion, pa.float64()),
                pa.array(pngs, pa.binary()),
                pa.array(kept, pa.float64()),
            ],
            schema=SCHEMA,
        )

    def _kept(
        self, pictures: NDArray[np.uint8], masks: NDArray[np.float32], index: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Whether masks explain anything: float64, (N,), a share of KEPT_COLORS colors."""
        from models.cognitive_distillation import answers_kept, colors

        # No detector's seed is negative: these are other colors than those it learned from.
        drawn = colors(-1, index, steps=KEPT_COLORS, channels=pictures.shape[3])
        return answers_kept(self.state.classifier, images.to_float(pictures), masks, drawn)

    def _check_masks(
        self, masks: NDArray[np.float32], shape: tuple[int, ...], index: NDArray[np.int64]
    ) -> None:
        self._check("mask", masks, shape, index)
        if masks.min() < 0 or masks.max() > 1:
            raise ValueError(
                f"expected masks of detector {self.detector.name} in 0..1, "
                f"got {masks.min():g}..{masks.max():g}"
            )

    def _check(
        self,
        what: str,
        said: NDArray[np.floating],
        shape: tuple[int, ...],
        index: NDArray[np.int64],
    ) -> None:
        """Refuse what is not one finite ``what`` of each image."""
        name = self.detector.name
        if np.shape(said) != shape:
            raise ValueError(
                f"expected detector {name} to give a {what} of each image, an array of shape "
                f"{shape}, got {np.shape(said)}"
            )
        finite = np.isfinite(said).reshape(len(index), -1).all(axis=1)
        if not finite.all():
            raise FloatingPointError(
                f"expected a finite {what} of every image, got NaN or infinity from detector "
                f"{name} for image {index[~finite][0]} and {(~finite).sum() - 1} others of its "
                f"batch of {len(index)}; check its constants and the classifier"
            )
