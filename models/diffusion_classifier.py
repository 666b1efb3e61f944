"""A diffusion model as a classifier: the class under which it denoises an image best (Tab. 5).

Every class denoises the same noised images, so classes are compared draw by draw.  The denoising
error is filtered before it is averaged: the largest values of every image, draw and class are left
out, whichever they are (paper, section 5; Li et al. 2023 without the filter).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import randomness
from models.denoiser import Denoiser
from models.device import Fitting
from models.edm import loss_weight

DRAWS_AT_ONCE = 100
"""Noises of an image that are held at a time, however many it is to get."""

WATCHED = 2
"""Classes whose errors are looked at in detail: the true one and the target."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """How images are classified; see ``tasks.steps.denoise_classify.Settings`` for each."""

    counts: tuple[int, ...]
    """Values that each of R filters keeps."""
    draws: int
    stages: tuple[int, ...]
    margin: float
    reduction: str
    p_mean: float
    p_std: float
    sigma_data: float
    seed: int
    rows_at_once: int

    @property
    def ends(self) -> tuple[int, ...]:
        """Draws after which each stage ends, the last stage among them."""
        return (*self.stages, self.draws)


class Watch(NamedTuple):
    """Which errors are looked at in detail, over the draws of the first stage."""

    classes: NDArray[np.int64]
    """(B, 2). Of each image."""
    trigger: NDArray[np.bool_] | None
    """(C * H * W,). Which values the trigger painted; None if it paints no patch."""


class Answers(NamedTuple):
    """What the diffusion classifier says of B images under R filter ratios."""

    said: NDArray[np.int64]
    """(R, B). Classes."""
    calls: NDArray[np.int64]
    """(B,). Network evaluations."""
    on_trigger: NDArray[np.float64] | None
    """(R, B, 2). Of the dropped values, the share on the trigger; NaN where none is dropped."""
    maps: NDArray[np.float32]
    """(B, 2, H, W). Weighted squared error, mean over channels and draws."""


def reduced(errors: Tensor, counts: Sequence[int], reduction: str) -> Tensor:
    """Each row's mean of its smallest values, or the largest of those, for every count at once.

    Given errors, float32, (N, D), and R counts of kept values, 1..D.  ``reduction`` is ``mean``, or
    ``quantile`` for the count-th smallest value.  Returns float64, (R, N).
    """
    ordered = errors.sort(dim=1).values
    last = torch.tensor(counts, device=errors.device) - 1
    if reduction == "quantile":
        return ordered[:, last].double().T
    sums = ordered.cumsum(dim=1, dtype=torch.float64)[:, last]
    return (sums / (last + 1)).T


def dropped_on(errors: Tensor, mask: Tensor, counts: Sequence[int]) -> Tensor:
    """Share of each row's dropped values that lie where ``mask`` is; NaN where none is dropped.

    Given errors, float32, (N, D), a mask, bool, (D,), and R counts of kept values, 1..D.  Returns
    float64, (R, N).
    """
    largest_first = errors.argsort(dim=1, descending=True, stable=True)
    found = mask[largest_first].cumsum(dim=1, dtype=torch.float64)
    dropped = [errors.shape[1] - count for count in counts]
    nothing = torch.full((len(errors),), torch.nan, dtype=torch.float64, device=errors.device)
    return torch.stack([found[:, n - 1] / n if n else nothing for n in dropped])


def still_able(
    losses: NDArray[np.float64], alive: NDArray[np.bool_], margin: float
) -> NDArray[np.bool_]:
    """Which classes of an image can still win under some filter ratio; bool, (classes,).

    Given losses, float64, (R, draws, classes), and the classes that are ``alive``.  Under a ratio a
    class cannot win if its loss lies above the best class's by more than ``margin`` (> 0) standard
    errors of their difference, draw by draw.  The best ones stay.
    """
    classes = np.flatnonzero(alive)
    able = np.zeros_like(alive)
    for loss in losses[:, :, classes]:
        best = loss.mean(axis=0).argmin()
        behind = loss - loss[:, best : best + 1]
        error = behind.std(axis=0, ddof=1) / np.sqrt(len(loss)) if len(loss) > 1 else np.inf
        # An infinite margin times no error is NaN, and nothing lies above that: the class stays.
        with np.errstate(invalid="ignore"):
            able[classes] |= ~(behind.mean(axis=0) > margin * error)
        able[classes[best]] = True
    return able


class DiffusionClassifier:
    """Classifies with a model that was trained with class conditions."""

    def __init__(self, model: Denoiser, method: Method, device: torch.device) -> None:
        """Take the model, which lies on ``device``."""
        self.model, self.method, self.device = model, method, device
        self.values = math.prod(model.image_shape)
        self.fitting = Fitting()

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.float32], index: Sequence[int], watch: Watch) -> Answers:
        """Classify images, float32, (B, C, H, W), in [-1, 1], with draws by their B numbers alone.

        Raises FloatingPointError if the model gave NaN or infinity.
        """
        run = _Run(self, images, index, watch)
        begun = 0
        for end in self.method.ends:
            for first in range(begun, end, DRAWS_AT_ONCE):
                run.take(first, min(first + DRAWS_AT_ONCE, end))
            if end < self.method.draws:
                run.eliminate(end)
            begun = end
        return run.answers()


class _Run:
    """A classification in progress."""

    def __init__(
        self,
        of: DiffusionClassifier,
        images: NDArray[np.float32],
        index: Sequence[int],
        watch: Watch,
    ) -> None:
        self.of, self.watch, method = of, watch, of.method
        b, classes, ratios = len(images), of.model.classes, len(method.counts)
        self.images = torch.from_numpy(images).to(of.device)
        self.streams = [
            randomness.generator(method.seed, "classifier noise", number) for number in index
        ]
        self.alive = np.ones((b, classes), dtype=np.bool_)
        self.losses = np.full((ratios, method.draws, b, classes), np.inf)
        self.calls = np.zeros(b, dtype=np.int64)
        self.maps = np.zeros((b, WATCHED, *images.shape[2:]), dtype=np.float64)
        self.on_trigger = np.zeros((ratios, b, WATCHED))

    def take(self, begun: int, end: int) -> None:
        """Draw noise ``begun`` .. ``end - 1`` and denoise under every class that can still win."""
        undecided = self.alive & (self.alive.sum(axis=1, keepdims=True) > 1)
        shape = (end - begun, 1 + self.of.values)
        drawn = np.stack([stream.standard_normal(shape, np.float32) for stream in self.streams])
        asked = np.nonzero(np.broadcast_to(undecided, (end - begun, *undecided.shape)))
        size = self.of.method.rows_at_once
        for first in range(0, len(asked[0]), size):
            self._denoise(begun, drawn, *(part[first : first + size] for part in asked))
        self.calls += (end - begun) * undecided.sum(axis=1)

    def _denoise(
        self,
        begun: int,
        drawn: NDArray[np.float32],
        draw: NDArray[np.int64],
        image: NDArray[np.int64],
        condition: NDArray[np.int64],
    ) -> None:
        """Some draws of some images under some classes, each (N,); draws are counted from begun."""
        of, method = self.of, self.of.method
        x_0 = self.images[image]
        own = torch.from_numpy(drawn[image, draw]).to(of.device)
        sigma = torch.exp(method.p_mean + method.p_std * own[:, 0])
        noised = x_0 + sigma[:, None, None, None] * own[:, 1:].reshape(x_0.shape)
        asked = torch.from_numpy(condition).to(of.device)

        def denoised(first: int, last: int) -> Tensor:
            return of.model.denoise(noised[first:last], sigma[first:last], asked[first:last])

        errors = (of.fitting(denoised, 0, len(x_0)) - x_0).square().flatten(1)
        weight = loss_weight(sigma, sigma_data=method.sigma_data).double()
        losses = (reduced(errors, method.counts, method.reduction) * weight).cpu().numpy()
        if not np.isfinite(losses).all():
            raise FloatingPointError(
                "expected finite denoising losses, got NaN or infinity from the model; "
                "train it again with a lower learning rate"
            )
        self.losses[:, begun + draw, image, condition] = losses
        if begun < method.ends[0]:
            self._look(errors, weight, image, condition)

    def _look(
        self,
        errors: Tensor,
        weight: Tensor,
        image: NDArray[np.int64],
        condition: NDArray[np.int64],
    ) -> None:
        """Add to the maps and shares of the watched classes, in the first stage."""
        share = 1 / self.of.method.ends[0]
        for place in range(WATCHED):
            rows = np.flatnonzero(self.watch.classes[image, place] == condition)
            seen, whose = errors[rows], image[rows]
            weighted = seen * weight[rows, None].float()
            shape = (len(rows), *self.of.model.image_shape)
            # An image is in it once for every draw, which += would count as one.
            found = share * weighted.reshape(shape).mean(dim=1).cpu().numpy()
            np.add.at(self.maps[:, place], whose, found)
            if self.watch.trigger is not None:
                mask = torch.from_numpy(self.watch.trigger).to(seen.device)
                found = share * dropped_on(seen, mask, self.of.method.counts).cpu().numpy()
                for ratio, shares in enumerate(found):
                    np.add.at(self.on_trigger[ratio, :, place], whose, shares)

    def eliminate(self, draws: int) -> None:
        """Drop the classes that can no longer win, after so many draws."""
        for image in np.flatnonzero(self.alive.sum(axis=1) > 1):
            losses = self.losses[:, :draws, image]
            self.alive[image] = still_able(losses, self.alive[image], self.of.method.margin)

    def answers(self) -> Answers:
        """What came of it: the class with the lowest mean loss among those that were not dropped.

        The one class that is left of an image has no loss in the draws after that.
        """
        means = self.losses.mean(axis=1)
        decided = self.alive.sum(axis=1) == 1
        said = np.where(self.alive & ~decided[:, None], means, np.inf).argmin(axis=2)
        said[:, decided] = self.alive[decided].argmax(axis=1)
        return Answers(
            said=said.astype(np.int64),
            calls=self.calls,
            on_trigger=None if self.watch.trigger is None else self.on_trigger,
            maps=self.maps.astype(np.float32),
        )
