"""Ask a detector how suspicious every image is of the defender's training set, or of generations.

Suspicions are written as the detector gives them, without threshold or scaling.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.checks import check, check_counts, check_name
from tasks.data import images
from tasks.detectors import CognitiveDistillation, FeatureConsistency, Strip
from tasks.detectors.detector import Detector, Masking, Prepared
from tasks.settings import TaskSettings
from tasks.steps.poison import slug

FOLDERS = {"training": "training_set", "generation": "generations"}
"""Sets that detectors look at, and the argument that has each."""
IMAGE_SETS = tuple(FOLDERS)

SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("label", pa.int64()),
        ("suspicion", pa.float64()),
        ("mask", pa.binary()),
        ("kept", pa.float64()),
    ]
)
"""For a detector with masks, else null: ``mask`` is a PNG, 8-bit gray, (H, W), 255 for 1; ``kept``
is the share of KEPT_COLORS random colors around the mask that keep the classifier's answer.
"""

KEPT_COLORS = 10
"""Colors seeded by an image's index alone."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Which detector looks at which set; the images are in the inputs and streams."""

    revision = 1

    detector: Detector
    """The detector."""
    image_set: str
    """One of IMAGE_SETS."""
    batch_size: int = 256
    """Images at once; part of the identity, as sums depend on it in the last bit."""
    n: int = field(default=0, metadata={"identity": False})
    """Images, for progress and expected cost; 0 if unknown."""

    def __post_init__(self) -> None:
        check_name("an image_set", self.image_set, IMAGE_SETS)
        check_counts(self, "batch_size")

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``cd-on-training``."""
        return f"{slug(self.detector.name)}-on-{self.image_set}"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core, fitted to measured ones of 8x8 pixels."""
        detector, each = self.detector, 1e-2  # a guess for one that is not measured
        if isinstance(detector, CognitiveDistillation):
            each = 1.9e-4 * detector.steps
        elif isinstance(detector, Strip):
            each = 6.5e-5 * detector.overlays
        elif isinstance(detector, FeatureConsistency):
            each = 5.6e-4 * detector.draws
        return 1.5 + each * self.n

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 5_000 + (150 if isinstance(self.detector, Masking) else 20) * self.n


def count(settings: Settings, **folders: Path) -> int:
    """Number of images."""
    rows: int = pq.read_metadata(folders[FOLDERS[settings.image_set]] / "rows.parquet").num_rows
    return rows


class Worker:
    """Loads the prepared detector and the images once; looks at a range of rows at a time."""

    def __init__(
        self,
        settings: Settings,
        *,
        prepared: Path,
        training_set: Path | None = None,
        generations: Path | None = None,
    ) -> None:
        """Read both; the images are those of the folder that ``settings.image_set`` names."""
        from models.device import choose

        self.detector = settings.detector
        folder = training_set if settings.image_set == "training" else generations
        assert folder is not None, f"no images of image_set {settings.image_set}"
        self.rows = pq.read_table(folder / "rows.parquet", columns=["index", "label", "image"])
        self.state = Prepared.load(prepared, choose())

    def __call__(self, first: int, last: int) -> pa.Table:
        """Suspicions of rows ``first`` .. ``last - 1``, in ``SCHEMA``.

        Raises FloatingPointError if the detector gives NaN or infinity, ValueError if it gives
        another number of suspicions or masks, or masks outside 0..1.
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
                self._check("mask", masks, given[0].shape[:3], index)
                low, high = float(masks.min()), float(masks.max())
                what = f"masks of detector {self.detector.name}"
                check(what, (low, high), "in 0..1", 0 <= low <= high <= 1)
                suspicion = self.detector.from_masks(masks)
                pngs = images.encode(np.rint(255 * masks).astype(np.uint8)[..., None])
                kept = answers_kept(self.state, given[0], masks, index).tolist()
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

    def _check(
        self,
        what: str,
        said: NDArray[np.floating],
        shape: tuple[int, ...],
        index: NDArray[np.int64],
    ) -> None:
        """Check that there is one finite ``what`` for each image."""
        name = self.detector.name
        shaped = f"of shape {shape}, one for each image"
        check(f"a {what} of detector {name}", np.shape(said), shaped, np.shape(said) == shape)
        finite = np.isfinite(said).reshape(len(index), -1).all(axis=1)
        if not finite.all():
            raise FloatingPointError(
                f"expected a finite {what} of every image, got NaN or infinity from detector "
                f"{name} for image {index[~finite][0]} and {(~finite).sum() - 1} others of its "
                f"batch of {len(index)}; check its constants and the classifier"
            )


def answers_kept(
    state: Prepared,
    pictures: NDArray[np.uint8],
    masks: NDArray[np.float32],
    index: NDArray[np.int64],
) -> NDArray[np.float64]:
    """How well masks explain the classifier's answers: float64, (N,), a share of KEPT_COLORS."""
    from models import cognitive_distillation as method

    # No detector's seed is negative, so these colors are new to the masks.
    colors = method.colors(-1, index, steps=KEPT_COLORS, channels=pictures.shape[3])
    return method.answers_kept(state.classifier, images.to_float(pictures), masks, colors)
