"""Classify clean and triggered test images with a diffusion model (Tab. 5).

An image is taken for the class with the smallest denoising error, without the largest values
(paper, section 5; the authors' ``edm/pred.py``).  Triggered copies get the noise of clean ones.
"""

import math
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.checks import check, check_counts, check_name
from tasks.data import datasets, images
from tasks.settings import TaskSettings
from tasks.steps.training import PRECISIONS
from tasks.triggers.patch import Patched
from tasks.triggers.trigger import Trigger

if TYPE_CHECKING:
    from models.diffusion_classifier import Answers

REDUCTIONS: Final = ("mean", "quantile")
"""How the kept values are reduced: to their mean, or to the largest of them."""

ELIMINATED: Final = 0.45
"""Share of network calls left by elimination on training images of the digits.

Measured with 50 draws and the default stages and margin; 0.25% of the answers changed.
"""

SCHEMA: Final = pa.schema(
    [
        *((name, pa.int64()) for name in ("index", "label")),
        *((name, pa.list_(pa.int64())) for name in ("said", "said_triggered")),
        *((name, pa.int64()) for name in ("calls", "calls_triggered", "full_calls")),
        *((name, pa.list_(pa.float64())) for name in ("on_trigger_true", "on_trigger_target")),
        *((name, pa.list_(pa.float32())) for name in ("map_true", "map_target")),
    ]
)
"""One row for each test image.

``said`` and ``said_triggered`` have a class for each filter ratio.  ``calls`` counts network
evaluations, ``full_calls`` those without elimination.  ``on_trigger_*`` are the shares of the
dropped values that lie on the trigger, for each ratio; null where nothing is dropped and without a
patch.  ``map_*`` is the weighted squared error, (H * W,), averaged over channels, for the first
triggered images.  Shares and maps are means over the draws of the first stage, which all classes
have.  Columns of the triggered copy are null for images of the target class.
"""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """The attack, the filters and the draws."""

    revision = 2

    trigger: Trigger
    """Stamped onto test images of other classes, if it stamps."""
    target_class: str
    """Name of the class that poisoned images are labelled as."""
    filter_ratios: tuple[float, ...] = (0.0, 0.01, 0.05, 0.1, 0.2)
    """Shares of the values to drop, ascending, each in [0, 1)."""
    draws: int = 100
    """Noises for each image (M), at least 1."""
    stages: tuple[int, ...] = (10, 20, 35)
    """Draws after which classes that can no longer win are dropped; empty for never."""
    margin: float = 3.0
    """Standard errors that a class must lie behind, for every ratio, to be dropped; > 0."""
    reduction: str = "mean"
    """A name of REDUCTIONS."""
    p_mean: float = -1.2
    """Mean of log sigma, as in training an EDM."""
    p_std: float = 1.2
    """Standard deviation of log sigma, > 0."""
    sigma_data: float = 0.5
    """Sigma of the data in EDM's loss weight, > 0."""
    seed: int = 0
    """With an image's index and the number of the draw, seeds sigma and noise."""
    test_images: int | None = None
    """How many test images to classify, the first by index; None for all."""
    batch_size: int = 32
    """Images at once; part of the identity, as sums depend on it in the last bit."""
    rows_at_once: int = 1024
    """Images x classes x draws of one network evaluation; part of the identity likewise."""
    precision: str = field(default="fp32", metadata={"since": 3})
    """A name of PRECISIONS; errors are added up in float64 in any."""
    maps: int = 4
    """Triggered images to keep loss maps of, at least 0."""
    images: int = field(default=0, metadata={"identity": False})
    """Test images of the dataset, for progress and expected cost; 0 if unknown."""
    classes: int = field(default=10, metadata={"identity": False})
    """Classes of the dataset, likewise."""

    def __post_init__(self) -> None:
        ratios = self.filter_ratios
        wanted = "in [0, 1), ascending, at least one; for one percent write 0.01"
        holds = all(0 <= ratio < 1 for ratio in ratios) and list(ratios) == sorted({*ratios})
        check("filter ratios", ratios, wanted, holds and len(ratios) > 0)
        ends = (0, *self.stages, self.draws)
        wanted = f"below the {self.draws} draws, at least one of these, and ascending"
        check("stages", self.stages, wanted, all(a < b for a, b in pairwise(ends)))
        check_name("a reduction", self.reduction, REDUCTIONS)
        for name in ("margin", "p_std", "sigma_data"):
            check(name, getattr(self, name), "above 0", getattr(self, name) > 0)
        check_counts(self, "batch_size", "rows_at_once")
        check_name("a precision", self.precision, PRECISIONS)
        holds = self.test_images is None or self.test_images >= 1
        check("test_images", self.test_images, "of at least 1", holds)
        check("maps", self.maps, "of at least 0", self.maps >= 0)

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``by-badnets1-100draws-seed0``."""
        return f"by-{self.trigger.name}-{self.draws}draws-seed{self.seed}"

    @property
    def n(self) -> int:
        """Test images to classify, if known."""
        return self.images if self.test_images is None else self.test_images

    @property
    def expected_calls(self) -> int:
        """Most network calls: every image, clean and triggered, class and draw."""
        return (1 + self.trigger.stamps) * self.n * self.classes * self.draws

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core, fitted to 8x8 pixels: 0.35 ms a call."""
        return 1.5 + 3.5e-4 * self.expected_calls * (ELIMINATED if self.stages else 1)

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 20_000 + (40 + 20 * len(self.filter_ratios)) * self.n


def count(settings: Settings, *, dataset: Path, **_: Path) -> int:
    """Number of test images to classify; raises ValueError if there are fewer."""
    there: int = pq.read_metadata(dataset / "test.parquet").num_rows
    asked = there if settings.test_images is None else settings.test_images
    check("test images", asked, f"of at most {there}, all there are", asked <= there)
    return asked


class Worker:
    """Loads the model and the test images once; classifies a range of them at a time."""

    def __init__(self, settings: Settings, *, model: Path, dataset: Path) -> None:
        """Read both; raises ValueError if a filter keeps nothing."""
        from models import denoiser
        from models.device import choose
        from models.diffusion_classifier import DiffusionClassifier, Method
        from models.precision import arranged

        self.settings, self.device = settings, choose()
        self.target = datasets.read_classes(dataset).position(settings.target_class)
        opened = denoiser.load(model, self.device)
        passes = settings.expected_calls // settings.rows_at_once
        arranged(opened.network, self.device, precision=settings.precision, passes=passes)
        values = math.prod(opened.image_shape)
        counts = tuple(kept(ratio, values) for ratio in settings.filter_ratios)
        names = ("draws", "stages", "margin", "reduction", "p_mean", "p_std", "sigma_data", "seed")
        given: dict[str, Any] = {name: getattr(settings, name) for name in (*names, "rows_at_once")}
        self.classifier = DiffusionClassifier(opened, Method(counts=counts, **given), self.device)
        table = pq.read_table(dataset / "test.parquet", columns=["index", "label", "image"])
        self.rows = table.sort_by("index")
        labels = self.rows["label"].to_numpy()
        mapped = np.flatnonzero(labels != self.target)[: settings.maps]
        self.mapped = set(mapped.tolist()) if settings.trigger.stamps else set()

    def __call__(self, first: int, last: int) -> pa.Table:
        """Verdicts on images ``first`` .. ``last - 1``; raises FloatingPointError for NaN."""
        from models.device import one_thread
        from models.precision import computing

        rows = self.rows.slice(first, last - first)
        index, label = rows["index"].to_numpy(), rows["label"].to_numpy()
        pictures = images.from_column(rows["image"])
        others = np.flatnonzero(label != self.target)
        attacked = others if self.settings.trigger.stamps else others[:0]
        with one_thread(), computing(self.settings.precision, self.device):
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
                    **_attack(triggered, row, attacked, first + row in self.mapped),
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


def kept(ratio: float, values: int) -> int:
    """int((1 - ratio) values), in decimals: how many a filter keeps; raises ValueError for none."""
    count = int((1 - Decimal(str(ratio))) * values)
    if count < 1:
        raise ValueError(
            f"expected a filter ratio that keeps at least one of {values} values, got {ratio:g}"
        )
    return count


def painted(trigger: Trigger, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Which values of an image, (C * H * W,), the trigger paints; None without a patch."""
    if not isinstance(trigger, Patched):
        return None
    painted = np.zeros((1, *shape), dtype=np.bool_)
    painted[trigger.patch(*shape).place] = True
    return painted.transpose(0, 3, 1, 2).reshape(-1)


def _attack(
    triggered: "Answers | None", row: int, attacked: NDArray[np.int64], mapped: bool
) -> dict[str, object]:
    """The columns of a triggered image; none if it was not stamped."""
    if triggered is None or row not in attacked:
        return {}
    at = int(np.searchsorted(attacked, row))
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
