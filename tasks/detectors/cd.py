"""CD: Cognitive Distillation."""

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from tasks.checks import check, check_counts
from tasks.data.images import to_float
from tasks.detectors.detector import Floats, Images, Masks, Numbers, Prepared, check_images

if TYPE_CHECKING:
    from models.classifiers import Classifier

REFERENCE_SIDE: Final = 32
"""Pixels a side of the images that the published ``gamma`` is for."""


@dataclass(frozen=True, kw_only=True)
class CognitiveDistillation:
    """Cognitive Distillation: an answer that rests on few pixels is suspicious (Huang, 2023).

    The suspicion is minus the area of the image's mask, in pixels: -H W .. 0.  The defaults are
    those of the authors' code (algorithms: section 8.1).
    """

    name: ClassVar[str] = "cd"
    title: ClassVar[str] = "CD"
    about: ClassVar[str] = (
        "Cognitive Distillation learns for each image a mask, the smallest that keeps the "
        "classifier's logits while the rest is painted in random colors: mean |f(x m + (1 − m) c) "
        "− f(x)| + γ |m| + β TV(m). The suspicion is minus the mask's area in pixels, because a "
        "stamp that decides alone needs a small mask. γ is the price of a pixel, 0.01 as published "
        "for 32 pixels a side and scaled here by (32/S)² for S pixels, so that a mask over a given "
        "part of an image costs the same at every size; the published code does not scale it, "
        "which at 512 pixels weighs the mask 256 times as much. β is the price of a ragged mask "
        "(TV is its total variation). A color is drawn at each step."
    )

    gamma: float = 0.01
    """Weight of the mask's area at 32x32 pixels, >= 0; for other sizes see ``area_weight``."""
    beta: float = 1.0
    """Weight of its total variation, >= 0; 1 in the authors' code, 10 in their README's example."""
    steps: int = 100
    """Updates of a mask, each against another random color, >= 1."""
    learning_rate: float = 0.1
    """Learning rate of Adam, > 0."""
    betas: tuple[float, float] = (0.1, 0.1)
    """Decays of Adam, in [0, 1)."""
    seed: int = 0
    """With an image's index, seeds its colors."""

    def __post_init__(self) -> None:
        check("gamma", self.gamma, "of at least 0", 0 <= self.gamma < inf)
        check("beta", self.beta, "of at least 0", 0 <= self.beta < inf)
        check_counts(self, "steps")
        check("learning_rate", self.learning_rate, "above 0", 0 < self.learning_rate < inf)
        decays = len(self.betas) == 2 and all(0 <= decay < 1 for decay in self.betas)
        check("betas", self.betas, "that are two numbers in [0, 1)", decays)

    def prepare(self, images: Images, labels: Numbers, classifier: "Classifier") -> Prepared:  # noqa: ARG002
        """The classifier as it is; nothing is learned from the training set."""
        return Prepared(classifier)

    def suspicion(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Floats:
        """Minus the area of each image's mask, in pixels; float64, (B,)."""
        return self.from_masks(self.masks(images, labels, index, state))

    def masks(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Masks:
        """What each answer rests on, float32, (B, H, W): 1 where the image is kept."""
        from models import cognitive_distillation as method

        check_images(images, labels, index, state)
        _, height, width, channels = images.shape
        return method.learn_masks(
            state.classifier,
            to_float(images),
            method.colors(self.seed, index, steps=self.steps, channels=channels),
            gamma=self.area_weight(height, width),
            **{name: getattr(self, name) for name in ("beta", "learning_rate", "betas")},
        )

    def from_masks(self, masks: Masks) -> Floats:
        """Minus the area of each mask, in pixels; float64, (B,)."""
        area: Floats = masks.sum(axis=(1, 2), dtype=np.float64)
        return -area

    def area_weight(self, height: int, width: int) -> float:
        """``gamma`` at this size: the area is a sum over pixels, the loss's other term is not."""
        return self.gamma * REFERENCE_SIDE**2 / (height * width)
