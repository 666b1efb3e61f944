"""Detectors: which images of a set are likely poisoned?

A detector sees images, their labels and the classifier that was trained on the poisoned training
set, and nothing else: no manifest, no true labels.  It says how suspicious each image is; higher
means more likely poisoned, in a unit of its own.

It is a frozen dataclass with two methods.  ``prepare`` runs once, on the training set as the
defender has it; ``suspicion`` on the images of any set, some at a time.  What it says of an image
depends on the image, its index and its own fields, not on which others are scored with it, up to
rounding.  Every draw is by (seed, index): the results are the same however a set is cut and shared.

The caller sets the number of threads (``models.device.one_thread``).

Adding one: write the dataclass here, list it in ``DETECTORS`` below, and the property tests in
``tests/tasks/detectors/test_detectors.py`` pick it up.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasks.data.images import to_float

if TYPE_CHECKING:
    import torch

    from models.classifiers import Classifier

Images = NDArray[np.uint8]
"""(N, H, W, C)."""
Numbers = NDArray[np.int64]
"""Labels, or indices; (N,)."""
Floats = NDArray[np.float64]
"""Suspicions; (N,)."""
Masks = NDArray[np.float32]
"""(N, H, W), in [0, 1]."""

REFERENCE_SIDE: Final = 32
"""Pixels; the side of the images that the published ``gamma`` belongs to."""

_ARRAYS: Final = "arrays.safetensors"


@dataclass(frozen=True, eq=False)
class Prepared:
    """What ``prepare`` returns, the state that ``suspicion`` works with."""

    classifier: "Classifier"
    """The one to score with; of FCT its fine-tuned copy."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Anything else, by name; of STRIP its pool."""

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors``, ``network.json`` and ``arrays.safetensors``."""
        from safetensors.numpy import save_file

        from models import classifiers

        classifiers.save(folder, self.classifier.network, self.classifier.shape)
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        save_file(arrays, folder / _ARRAYS)

    @classmethod
    def load(cls, folder: Path, device: "torch.device") -> Self:
        """Open what ``save`` wrote."""
        import torch
        from safetensors.numpy import load_file

        from models.classifiers import Classifier

        classifier = Classifier.load(folder, device)
        # The same weights in another order in memory, in which convolutions take a sixth less time.
        classifier.network.to(memory_format=torch.channels_last)
        return cls(classifier, load_file(folder / _ARRAYS))


class Detector(Protocol):
    """Anything that can say how suspicious images are."""

    name: ClassVar[str]
    """What flags, files and columns call it."""

    def prepare(self, images: Images, labels: Numbers, classifier: "Classifier") -> Prepared:
        """Get ready, once.

        Args:
            images: uint8, (N, H, W, C). The training set as the defender has it, poison included.
            labels: int64, (N,). As observed; of poisoned images the target class.
            classifier: Trained on just that; not changed.
        """
        ...

    def suspicion(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Floats:
        """How suspicious each image is, float64, (B,); higher means more likely poisoned.

        Args:
            images: uint8, (B, H, W, C). Of any set.
            labels: int64, (B,). As observed; of a generation the class asked for.
            index: int64, (B,). The images' numbers in their set.
            state: What ``prepare`` returned.
        """
        ...


@runtime_checkable
class Masking(Protocol):
    """A detector whose suspicion is read off a mask of each image, which can be shown."""

    def masks(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Masks:
        """Float32, (B, H, W), in [0, 1]; arguments as of ``suspicion``."""
        ...

    def from_masks(self, masks: Masks) -> Floats:
        """The suspicion that belongs to masks, float64, (B,)."""
        ...


@dataclass(frozen=True, kw_only=True)
class CognitiveDistillation:
    """Cognitive Distillation: an answer that rests on few pixels is suspicious (Huang, 2023).

    The suspicion is minus the area of the image's mask, in pixels: -H W .. 0.  The defaults are
    those of the authors' code (algorithms: section 8.1).
    """

    name: ClassVar[str] = "cd"

    gamma: float = 0.01
    """Weight of the mask's area at 32x32 pixels, >= 0; at other sizes see ``area_weight``."""
    beta: float = 1.0
    """Weight of its total variation, >= 0; 1 in the authors' code, 10 in their README's example."""
    steps: int = 100
    """Updates of a mask, each against another random color, >= 1."""
    learning_rate: float = 0.1
    """Of Adam, > 0."""
    betas: tuple[float, float] = (0.1, 0.1)
    """Decays of Adam, in [0, 1)."""
    seed: int = 0
    """With an image's index, draws its colors."""

    def __post_init__(self) -> None:
        """Refuse what cannot be minimized."""
        _refuse("gamma", self.gamma, "of at least 0", 0 <= self.gamma < inf)
        _refuse("beta", self.beta, "of at least 0", 0 <= self.beta < inf)
        _refuse("steps", self.steps, "of at least 1", self.steps >= 1)
        _refuse("learning_rate", self.learning_rate, "above 0", 0 < self.learning_rate < inf)
        decays = len(self.betas) == 2 and all(0 <= decay < 1 for decay in self.betas)
        _refuse("betas", self.betas, "that are two numbers in [0, 1)", decays)

    def prepare(
        self,
        images: Images,  # noqa: ARG002 - nothing is learned from the training set
        labels: Numbers,  # noqa: ARG002
        classifier: "Classifier",
    ) -> Prepared:
        """The classifier as it is."""
        return Prepared(classifier)

    def suspicion(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Floats:
        """Minus the area of each image's mask, in pixels; float64, (B,)."""
        return self.from_masks(self.masks(images, labels, index, state))

    def masks(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Masks:
        """What each answer rests on: 1 where the image is kept, 0 where it may be painted over.

        All masks of the batch are learned at once.  The labels are not looked at.

        Returns:
            float32, (B, H, W).
        """
        from models import cognitive_distillation as method

        check(images, labels, index, state)
        _, height, width, channels = images.shape
        return method.learn_masks(
            state.classifier,
            to_float(images),
            method.colors(self.seed, index, steps=self.steps, channels=channels),
            gamma=self.area_weight(height, width),
            beta=self.beta,
            learning_rate=self.learning_rate,
            betas=self.betas,
        )

    def from_masks(self, masks: Masks) -> Floats:
        """Minus the area of each mask, in pixels; float64, (B,)."""
        area: Floats = masks.sum(axis=(1, 2), dtype=np.float64)
        return -area

    def area_weight(self, height: int, width: int) -> float:
        """The gamma used at this size: ``gamma`` times 32^2 / (H W).

        The area is a sum over pixels and the loss beside it is not.  So scaled, a mask that covers
        a given part of the image costs the same at every size; unscaled, gamma would be 16 times
        weaker at 8 pixels than at 32, and 256 times stronger at 512.
        """
        return self.gamma * REFERENCE_SIDE**2 / (height * width)


@dataclass(frozen=True, kw_only=True)
class Strip:
    """STRIP: an answer that other images laid over this one leave sure is suspicious (Gao, 2019).

    The suspicion is minus the mean entropy of the answers, in nats: -log K .. 0 for K classes.  The
    overlays are training images as the defender has them: as published, some may show the trigger,
    and an image of the training set may be laid over itself (algorithms: section 8.2).
    """

    name: ClassVar[str] = "strip"

    overlays: int = 100
    """Images laid over each, >= 1."""
    pool: int = 5000
    """Training images kept to lay over others, at most, >= 1; as published for ImageNet."""
    seed: int = 0
    """Draws the pool, and with an image's index its overlays, with repetition."""

    def __post_init__(self) -> None:
        """Refuse to lay nothing over an image."""
        _refuse("overlays", self.overlays, "of at least 1", self.overlays >= 1)
        _refuse("pool", self.pool, "of at least 1", self.pool >= 1)

    def prepare(
        self,
        images: Images,
        labels: Numbers,  # noqa: ARG002 - overlays are of any class
        classifier: "Classifier",
    ) -> Prepared:
        """The classifier as it is, and of the training set at most ``pool`` images, drawn by seed.

        Raises:
            ValueError: There is no image.
        """
        if not len(images):
            raise ValueError("expected a training set to lay over images, got no image")
        from models.strip import choose_pool

        return Prepared(
            classifier, {"pool": images[choose_pool(self.seed, len(images), self.pool)]}
        )

    def suspicion(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Floats:
        """Minus the mean entropy under overlays, in nats; float64, (B,).  No label is looked at."""
        from models.strip import choose_overlays, mean_entropy

        check(images, labels, index, state)
        pool = state.arrays["pool"]
        scores = np.empty(len(images))
        for place, (image, number) in enumerate(zip(to_float(images), index, strict=True)):
            chosen = choose_overlays(self.seed, int(number), overlays=self.overlays, pool=len(pool))
            scores[place] = -mean_entropy(state.classifier, image, to_float(pool[chosen]))
        return scores


@dataclass(frozen=True, kw_only=True)
class FeatureConsistency:
    """FCT: features that move far when the image is turned and moved are suspicious (Chen, 2022).

    The suspicion is the mean squared change of the penultimate features, in squared units of these
    features, >= 0.  They are of a copy that is fine-tuned to push the classes apart.  Its base is
    the fully trained classifier, as in the Cognitive Distillation authors' code; that of Chen et
    al. was trained for two epochs only.  They draw one transform an image, as the figures of the
    paper's Tab. 3 do; here several are averaged unless ``draws`` is 1 (algorithms: section 8.3).
    """

    name: ClassVar[str] = "fct"

    epochs: int = 10
    """Of fine-tuning, >= 0."""
    batch_size: int = 128
    """Images of a batch of fine-tuning, >= 2."""
    learning_rate: float = 0.01
    """Of SGD, constant, > 0."""
    momentum: float = 0.9
    """Of SGD, in [0, 1)."""
    weight_decay: float = 5e-4
    """Of SGD, added to the gradient, >= 0."""
    draws: int = 5
    """Transforms of each image, >= 1; 1 as published."""
    degrees: float = 180.0
    """Most an image is turned, either way, in 0..180."""
    translation: float = 0.2
    """Most it is then moved, either way, as a fraction of its side, in [0, 1]; in whole pixels."""
    seed: int = 0
    """With the epoch, draws the order; with an image's index, its transforms."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained or drawn."""
        _refuse("epochs", self.epochs, "of at least 0", self.epochs >= 0)
        _refuse("batch_size", self.batch_size, "of at least 2", self.batch_size >= 2)
        _refuse("learning_rate", self.learning_rate, "above 0", 0 < self.learning_rate < inf)
        _refuse("momentum", self.momentum, "in [0, 1)", 0 <= self.momentum < 1)
        _refuse("weight_decay", self.weight_decay, "of at least 0", 0 <= self.weight_decay < inf)
        _refuse("draws", self.draws, "of at least 1", self.draws >= 1)
        _refuse("degrees", self.degrees, "in 0..180", 0 <= self.degrees <= 180)
        _refuse("translation", self.translation, "in [0, 1]", 0 <= self.translation <= 1)

    def prepare(self, images: Images, labels: Numbers, classifier: "Classifier") -> Prepared:
        """A fine-tuned copy of the classifier; the one given is not changed.

        Raises:
            FloatingPointError: Fine-tuning diverged.
        """
        from models.fct import fine_tuned

        copy = fine_tuned(
            classifier,
            self._batches(images, labels),
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
        )
        return Prepared(copy)

    def suspicion(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Floats:
        """Mean squared change of the features; float64, (B,).  The labels are not looked at."""
        from models.fct import inconsistency, moves

        check(images, labels, index, state)
        angles, shifts = moves(
            self.seed,
            index,
            draws=self.draws,
            degrees=self.degrees,
            pixels=self.translation * images.shape[1],
        )
        return inconsistency(state.classifier, to_float(images), angles, shifts)

    def _batches(
        self, images: Images, labels: Numbers
    ) -> Iterator[tuple[NDArray[np.float32], Numbers]]:
        """Every batch of the fine-tuning; the last one of an epoch may be smaller."""
        from models.fct import order

        for epoch in range(self.epochs):
            rows = order(self.seed, epoch, len(images))
            for first in range(0, len(rows), self.batch_size):
                chosen = rows[first : first + self.batch_size]
                yield to_float(images[chosen]), labels[chosen]


DETECTORS: tuple[type[Detector], ...] = (CognitiveDistillation, Strip, FeatureConsistency)


def from_name(name: str) -> type[Detector]:
    """The class of DETECTORS called ``name``.

    Raises:
        ValueError: There is none.
    """
    known = {kind.name: kind for kind in DETECTORS}
    if name not in known:
        guess = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {guess[0]}?" if guess else ""
        raise ValueError(f"expected a detector of {', '.join(known)}, got {name!r}{hint}")
    return known[name]


def _refuse(what: str, given: object, expected: str, holds: bool) -> None:
    if not holds:
        raise ValueError(f"expected {what} {expected}, got {given}")


def check(images: Images, labels: Numbers, index: Numbers, state: Prepared) -> None:
    """Look at what ``suspicion`` is given.

    Raises:
        ValueError: Images that the classifier was not made for, or without a label or an index.
    """
    shape = state.classifier.shape
    expected = (shape.image_size, shape.image_size, shape.channels)
    if images.dtype != np.uint8 or images.shape[1:] != expected:
        raise ValueError(
            f"expected uint8 images of shape (N, {', '.join(map(str, expected))}), as the "
            f"classifier was trained on, got {images.dtype} {images.shape}"
        )
    if not len(images) == len(labels) == len(index):
        raise ValueError(
            f"expected a label and an index for each of {len(images)} images, "
            f"got {len(labels)} labels and {len(index)} indices"
        )
