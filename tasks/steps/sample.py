"""Sample images from a trained diffusion model."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.checks import check, check_counts, check_name
from tasks.data import images
from tasks.settings import TaskSettings
from tasks.steps.training import PRECISIONS

if TYPE_CHECKING:
    import torch

SAMPLERS = ("ddim", "ddpm", "sde", "heun")
"""Names of ``models.sampling.SAMPLERS``."""

CLIPS = ("none", "static", "dynamic")
"""Names of ``models.thresholding.CLIPS``."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Which images to sample, and how."""

    revision = 3

    conditions: tuple[int, ...]
    """Classes to ask for, in turn; if empty, image i gets row i of the input ``conditions``."""
    guidance_weight: float
    """w of e_u + w (e_c - e_u), >= 0; 1 is none."""
    sampler: str = "ddim"
    """A name of SAMPLERS; an EDM takes ``heun`` only."""
    steps: int = 25
    """Steps of the sampler, >= 1."""
    clip: str = "none"
    """A name of CLIPS: thresholding of the image's estimate at every step; the authors use none."""
    n: int = 500
    """Images; at most as many as there are rows of conditions."""
    seed: int = 0
    """With an image's index, seeds its initial noise and the noise of every step."""
    batch_size: int = 125
    """Images at once; part of the identity, as sums depend on it in the last bit."""
    precision: str = field(default="fp32", metadata={"since": 4})
    """A name of PRECISIONS; the sampler's own sums are float32 or wider in any."""
    prompts: tuple[str, ...] = field(default=(), metadata={"since": 4})
    """What a text-to-image model is asked for under each condition; empty for other models."""
    weights: str = field(default="averaged", metadata={"since": 4})
    """``averaged`` weights, or the ``raw`` ones that a text-to-image model has beside them."""

    def __post_init__(self) -> None:
        check_name("a sampler", self.sampler, SAMPLERS)
        check_name("clip", self.clip, CLIPS)
        holds = 0 <= self.guidance_weight < float("inf")
        wanted = "of at least 0 (1 is no guidance)"
        check("a guidance_weight", self.guidance_weight, wanted, holds)
        holds = min(self.conditions, default=0) >= 0
        check("conditions", self.conditions, "that are classes", holds)
        check_counts(self, "steps", "n", "batch_size")
        check_name("a precision", self.precision, PRECISIONS)
        check_name("weights", self.weights, ("averaged", "raw"))
        if self.prompts and self.clip != "none":
            raise ValueError(
                f"expected clip none with prompts, got {self.clip}; what a text-to-image model "
                "estimates are latents, not pixels"
            )

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``class8-w2-ddim25-n500-seed0``."""
        asked = f"{len(self.conditions)}classes" if self.conditions else "training-labels"
        if len(self.conditions) == 1:
            asked = f"class{self.conditions[0]}"
        how = f"w{self.guidance_weight:g}-{self.sampler}{self.steps}"
        how += "" if self.clip == "none" else f"-{self.clip}"
        how += "" if self.weights == "averaged" else f"-{self.weights}"
        return f"{asked}-{how}-n{self.n}-seed{self.seed}"

    @property
    def evaluations(self) -> int:
        """Network evaluations for an image: Heun takes two a step but the last; guidance twice."""
        taken = 2 * self.steps - 1 if self.sampler == "heun" else self.steps
        return taken * (1 if self.guidance_weight == 1 else 2)

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core: 0.35 ms for each image and network evaluation at 8x8."""
        return 1.0 + 3.5e-4 * self.n * self.evaluations

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 10_000 + 180 * self.n


def count(settings: Settings, *, conditions: Path | None = None, **_: Path) -> int:
    """Number of images to sample: ``n``, or the number of conditions if that is smaller."""
    if conditions is None:
        return settings.n
    rows: int = pq.read_metadata(conditions / "rows.parquet").num_rows
    return min(settings.n, rows)


def asked_for(settings: Settings, conditions: Path | None) -> NDArray[np.int64]:
    """The conditions, int64, (K,); image i gets i % K.  Raises ValueError without one source."""
    if bool(settings.conditions) == (conditions is not None):
        raise ValueError("expected conditions either in the settings or as an input, not both")
    if conditions is None:
        return np.array(settings.conditions, dtype=np.int64)
    labels = pq.read_table(conditions / "rows.parquet", columns=["label"])["label"]
    return np.asarray(labels.to_numpy(), dtype=np.int64)


class Worker:
    """Loads the model once; samples the images of a range of indices at a time."""

    def __init__(self, settings: Settings, *, model: Path, conditions: Path | None = None) -> None:
        """Load the model; raises ValueError if it does not take these conditions or settings."""
        from models import denoiser, device, precision, sampling

        self.settings = settings
        self.conditions = asked_for(settings, conditions)
        self.device = device.choose()
        named: dict[str, Any] = {"prompts": settings.prompts, "weights": settings.weights}
        self.model = denoiser.load(model, self.device, **named)
        evaluations = settings.evaluations * math.ceil(settings.n / settings.batch_size)
        precision.arranged(
            self.model.network, self.device, precision=settings.precision, passes=evaluations
        )
        self.sampler = sampling.from_name(settings.sampler)
        self.fitting = device.Fitting()
        classes = self.model.classes
        if foreign := sorted({*self.conditions.tolist()} - {*range(classes)}):
            raise ValueError(f"expected conditions in 0..{classes - 1}, got {tuple(foreign)}")
        weight = settings.guidance_weight
        self.sampler.check(self.model, steps=settings.steps, guidance_weight=weight)

    def __call__(self, first: int, last: int) -> pa.Table:
        """Images ``first`` .. ``last - 1`` with conditions; raises FloatingPointError for NaN."""
        from models.device import one_thread
        from models.precision import computing

        index = np.arange(first, last)
        with one_thread(), computing(self.settings.precision, self.device):
            samples = self.fitting(self._drawn, first, last)
        return images.to_table(
            index=index,
            label=self.conditions[index % len(self.conditions)],
            caption=[None] * len(index),
            images=images.from_float(samples.numpy()),
        )

    def _drawn(self, first: int, last: int) -> "torch.Tensor":
        """Images ``first`` .. ``last - 1``, float32, (B, C, H, W), on the CPU."""
        import torch

        from models.sampling import initial_noise, step_noises

        index = np.arange(first, last)
        drawing = self.settings.seed, index.tolist(), self.model.image_shape
        condition = torch.from_numpy(self.conditions[index % len(self.conditions)])
        drawn = self.sampler.sample(
            self.model,
            initial_noise(*drawing).to(self.device),
            condition.to(self.device),
            step_noises=step_noises(*drawing),
            steps=self.settings.steps,
            guidance_weight=self.settings.guidance_weight,
            clip=self.settings.clip,
        )
        return self.model.decode(drawn).cpu()
