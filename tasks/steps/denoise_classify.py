"""Classify test images with a diffusion model, clean ones and triggered ones (Tab. 5).

For every image, noise and class the model's denoising error, its largest values left out, decides
(paper, section 5; the authors' ``edm/pred.py``).  All filter ratios come from one pass.  Triggered
images are those of other classes than the target, stamped; they meet the very noise that they met
clean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data import datasets, images
from tasks.triggers import Trigger
from tasks.triggers.patches import Patched

if TYPE_CHECKING:
    from models.diffusion_classifier import Answers, Method

REDUCTIONS: Final = ("mean", "quantile")
"""What the kept values become: their mean, or the largest of them."""

ELIMINATED: Final = 0.45
"""Share of the network calls that elimination leaves, for the expected cost; measured on digits."""

SCHEMA: Final = pa.schema(
    [
        ("index", pa.int64()),
        ("label", pa.int64()),
        ("said", pa.list_(pa.int64())),
        ("said_triggered", pa.list_(pa.int64())),
        ("calls", pa.int64()),
        ("calls_triggered", pa.int64()),
        ("full_calls", pa.int64()),
        ("on_trigger_true", pa.list_(pa.float64())),
        ("on_trigger_target", pa.list_(pa.float64())),
        ("map_true", pa.list_(pa.float32())),
        ("map_target", pa.list_(pa.float32())),
    ]
)
"""One row a test image.

``said`` and ``said_triggered`` have a class a filter ratio, in the settings' order, ``calls`` count
network evaluations, ``full_calls`` those of one image without elimination.  What is ``triggered``,
and all that follows, is null of the target class and where nothing is stamped.  ``on_trigger_*``:
share of the dropped values that lie on the trigger, under the true and under the target class, a
number a ratio, null where nothing is dropped; null of a trigger that paints no patch.  ``map_*``:
weighted squared error, H * W, mean over channels; of the first triggered images only.  Shares and
maps are means over the draws of the first stage, which all classes have.
"""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Who attacks, what is filtered and how many draws decide."""

    revision: ClassVar[int] = 2
    """Add one when the same settings would now give other bytes."""

    trigger: Trigger
    """Stamped onto the test images of other classes; one that stamps nothing attacks nobody."""
    target_class: str
    """Name of the class that the poison was given."""
    filter_ratios: tuple[float, ...] = (0.0, 0.01, 0.05, 0.1, 0.2)
    """Shares of the values that are dropped, ascending, each in [0, 1)."""
    draws: int = 100
    """M, at least 1: noises of an image."""
    stages: tuple[int, ...] = (10, 20, 35)
    """Draws after which classes that can no longer win are dropped; none for none."""
    margin: float = 3.0
    """Standard errors that a class must lie behind, under every ratio, to be dropped; > 0.

    Chosen on training images of the digits: 50 draws and these stages left 45 % of the calls and
    changed 0.25 % of the answers.
    """
    reduction: str = "mean"
    """A name of REDUCTIONS."""
    p_mean: float = -1.2
    """Mean of log sigma; as EDM is trained."""
    p_std: float = 1.2
    """Its standard deviation, > 0."""
    sigma_data: float = 0.5
    """Of EDM's loss weight, > 0."""
    seed: int = 0
    """With an image's index and the number of the draw, draws sigma and noise."""
    test_images: int | None = None
    """How many are classified, the first so many by index; None for all."""
    batch_size: int = 32
    """Images at a time; part of the identity, as sums depend on it in the last bit."""
    rows_at_once: int = 1024
    """Images x classes x draws of one network evaluation; part of the identity likewise."""
    maps: int = 4
    """Triggered images whose loss maps are kept."""
    images: int = field(default=0, metadata={"identity": False})
    """Test images that there are, for the progress and the expected cost; 0 if not known."""
    classes: int = field(default=10, metadata={"identity": False})
    """Classes that there are, likewise."""

    def __post_init__(self) -> None:
        """Refuse what cannot be classified with."""
        _check_ratios(self.filter_ratios)
        ends = (0, *self.stages, self.draws)
        if any(later <= earlier for earlier, later in pairwise(ends)):
            raise ValueError(
                f"expected at least one of draws and ascending stages below it, got stages "
                f"{self.stages} of {self.draws} draws"
            )
        if self.reduction not in REDUCTIONS:
            raise ValueError(
                f"expected a reduction of {', '.join(REDUCTIONS)}, got {self.reduction!r}"
            )
        if not min(self.margin, self.p_std, self.sigma_data) > 0:
            raise ValueError(
                f"expected margin, p_std and sigma_data above 0, "
                f"got {self.margin:g}, {self.p_std:g} and {self.sigma_data:g}"
            )
        counts = (
            self.batch_size,
            self.rows_at_once,
            1 if self.test_images is None else self.test_images,
        )
        if min(counts) < 1 or self.maps < 0:
            raise ValueError(
                f"expected batch_size, rows_at_once and test_images of at least 1 and maps of at "
                f"least 0, got {self.batch_size}, {self.rows_at_once}, {self.test_images} "
                f"and {self.maps}"
            )

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``by-badnets1-100draws-seed0``."""
        return f"by-{self.trigger.name}-{self.draws}draws-seed{self.seed}"

    @property
    def n(self) -> int:
        """Test images that are classified, as far as is known."""
        return self.images if self.test_images is None else self.test_images

    @property
    def expected_calls(self) -> int:
        """Network calls at most: every image, class and draw; as if no image was of the target."""
        passes = 2 if self.trigger.stamps else 1
        return passes * self.n * self.classes * self.draws

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core, fitted to 8x8 pixels: 0.35 ms a call."""
        return 1.5 + 3.5e-4 * self.expected_calls * (ELIMINATED if self.stages else 1)

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 20_000 + (40 + 20 * len(self.filter_ratios)) * self.n


def _check_ratios(ratios: Sequence[float]) -> None:
    """Refuse filter ratios that are none, or out of order."""
    for ratio in ratios:
        if not 0 <= ratio < 1:
            raise ValueError(
                f"expected filter ratios in [0, 1), got {ratio:g}; for one percent write 0.01"
            )
    if not ratios or list(ratios) != sorted(set(ratios)):
        raise ValueError(f"expected ascending filter ratios, at least one, got {tuple(ratios)}")


def count(
    settings: Settings,
    *,
    model: Path,  # noqa: ARG001 - the shape of per_batch
    dataset: Path,
) -> int:
    """How many test images there are to classify.

    Raises:
        ValueError: Fewer than asked for.
    """
    there: int = pq.read_metadata(dataset / "test.parquet").num_rows
    if settings.test_images is not None and settings.test_images > there:
        raise ValueError(
            f"expected at most {there} test images, all there are, got {settings.test_images}"
        )
    return there if settings.test_images is None else settings.test_images


class Worker:
    """Holds the model and the test images; classifies one range of them at a time."""

    def __init__(self, settings: Settings, *, model: Path, dataset: Path) -> None:
        """Read both.

        Raises:
            ValueError: A model without class conditions, with other classes or of other images
                than the dataset's, or a filter ratio that leaves no value of an image.
        """
        from models import denoiser
        from models.device import choose
        from models.diffusion_classifier import DiffusionClassifier

        self.settings = settings
        known = datasets.read_classes(dataset)
        self.target = known.position(settings.target_class)
        device = choose()
        opened = denoiser.load(model, device)
        expected = (len(known.names), (known.channels, known.image_size, known.image_size))
        if (opened.classes, opened.image_shape) != expected:
            raise ValueError(
                f"expected a model of {expected[0]} classes and images of shape {expected[1]}, "
                f"got {opened.classes} and {opened.image_shape}; train one on this dataset"
            )
        self.classifier = DiffusionClassifier(
            opened, _method(settings, math.prod(opened.image_shape)), device
        )
        table = pq.read_table(dataset / "test.parquet", columns=["index", "label", "image"])
        self.rows = table.sort_by("index")
        labels = self.rows["label"].to_numpy()
        mapped = np.flatnonzero(labels != self.target)[: settings.maps]
        self.mapped = set(mapped.tolist()) if settings.trigger.stamps else set()

    def __call__(self, first: int, last: int) -> pa.Table:
        """What the model says of test images ``first`` .. ``last - 1``, in ``SCHEMA``.

        Raises:
            FloatingPointError: The model gave NaN or infinity.
        """
        from models.device import one_thread

        rows = self.rows.slice(first, last - first)
        index, label = rows["index"].to_numpy(), rows["label"].to_numpy()
        pictures = images.from_column(rows["image"])
        others = np.flatnonzero(label != self.target)
        attacked = others if self.settings.trigger.stamps else others[:0]
        with one_thread():
            clean = self._classified(pictures, index, label)
            triggered = None
            if len(attacked):
                stamped = self.settings.trigger.stamp(pictures[attacked])
                triggered = self._classified(stamped, index[attacked], label[attacked])
        return pa.Table.from_pylist(
            [
                {
                    "index": int(index[row]),
                    "label": int(label[row]),
                    "said": clean.said[:, row].tolist(),
                    "calls": int(clean.calls[row]),
                    "full_calls": self.classifier.model.classes * self.settings.draws,
                    **_attack(
                        triggered, np.flatnonzero(attacked == row), first + row in self.mapped
                    ),
                }
                for row in range(len(index))
            ],
            schema=SCHEMA,
        )

    def _classified(
        self, pictures: NDArray[np.uint8], index: NDArray[np.int64], label: NDArray[np.int64]
    ) -> "Answers":
        from models.diffusion_classifier import Watch

        watch = Watch(
            np.stack([label, np.full_like(label, self.target)], axis=1),
            painted(self.settings.trigger, pictures.shape[1:]),
        )
        return self.classifier(images.to_float(pictures), index.tolist(), watch)


def _method(settings: Settings, values: int) -> "Method":
    """The settings that ``models`` has a use for."""
    from models.diffusion_classifier import Method

    return Method(
        counts=tuple(kept(ratio, values) for ratio in settings.filter_ratios),
        draws=settings.draws,
        stages=settings.stages,
        margin=settings.margin,
        reduction=settings.reduction,
        p_mean=settings.p_mean,
        p_std=settings.p_std,
        sigma_data=settings.sigma_data,
        seed=settings.seed,
        rows_at_once=settings.rows_at_once,
    )


def kept(ratio: float, values: int) -> int:
    """How many of so many values a filter keeps: the whole part of (1 - ratio) values, in decimals.

    Raises:
        ValueError: None at all.
    """
    count = int((1 - Decimal(str(ratio))) * values)
    if count < 1:
        raise ValueError(
            f"expected a filter ratio that keeps at least one of {values} values, got {ratio:g}"
        )
    return count


def painted(trigger: Trigger, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Which values of an image, C * H * W, the trigger paints; None if it paints no patch."""
    if not isinstance(trigger, Patched):
        return None
    painted = np.zeros((1, *shape), dtype=np.bool_)
    painted[trigger.patch(*shape).place] = True
    return painted.transpose(0, 3, 1, 2).reshape(-1)


def _attack(
    triggered: "Answers | None", place: NDArray[np.int64], mapped: bool
) -> dict[str, object]:
    """The columns of one triggered image; none if it was not stamped."""
    if triggered is None or not len(place):
        return {}
    at = int(place[0])
    found: dict[str, object] = {
        "said_triggered": triggered.said[:, at].tolist(),
        "calls_triggered": int(triggered.calls[at]),
    }
    for which, name in enumerate(("true", "target")):
        if triggered.on_trigger is not None:
            shares = triggered.on_trigger[:, at, which].tolist()
            found[f"on_trigger_{name}"] = [None if np.isnan(share) else share for share in shares]
        if mapped:
            found[f"map_{name}"] = triggered.maps[at, which].ravel().tolist()
    return found
