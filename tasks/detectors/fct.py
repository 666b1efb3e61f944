"""FCT: feature consistency towards transformations."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.checks import check, check_counts
from tasks.data.images import to_float
from tasks.detectors.detector import Floats, Images, Numbers, Prepared, check_images

if TYPE_CHECKING:
    from models.classifiers import Classifier


@dataclass(frozen=True, kw_only=True)
class FeatureConsistency:
    """FCT: features that change a lot when the image is rotated and shifted are suspicious.

    The suspicion is the mean squared change of the penultimate features, >= 0 (Chen, 2022), of a
    copy of the classifier that is fine-tuned to push the classes apart.  It starts from the fully
    trained classifier, as in the Cognitive Distillation authors' code; that of Chen et al. was
    trained for two epochs only (algorithms: section 8.3).
    """

    name: ClassVar[str] = "fct"
    title: ClassVar[str] = "FCT"
    about: ClassVar[str] = (
        "Feature consistency towards transformations rotates and shifts each image and takes the "
        "mean squared change of the classifier's penultimate features, averaged over several "
        "draws (the original and the paper's Tab. 3 take one). The suspicion is that change: a "
        "moved stamp no longer works as a stamp. The features are those of a copy of the "
        "classifier, fine-tuned on the training set to push the classes apart."
    )

    epochs: int = 10
    """Epochs of fine-tuning, >= 0."""
    batch_size: int = 128
    """Images in a batch of fine-tuning, >= 2."""
    learning_rate: float = 0.01
    """Learning rate of SGD, constant, > 0."""
    momentum: float = 0.9
    """Momentum of SGD, in [0, 1)."""
    weight_decay: float = 5e-4
    """Weight decay of SGD, added to the gradient, >= 0."""
    draws: int = 5
    """Transforms of each image, >= 1; 1 as published."""
    degrees: float = 180.0
    """Largest rotation, either way, in 0..180."""
    translation: float = 0.2
    """Largest shift, either way, as a fraction of the side, in [0, 1]; in whole pixels."""
    seed: int = 0
    """With the epoch, seeds the order; with an image's index, its transforms."""

    def __post_init__(self) -> None:
        check("epochs", self.epochs, "of at least 0", self.epochs >= 0)
        check("batch_size", self.batch_size, "of at least 2", self.batch_size >= 2)
        check("learning_rate", self.learning_rate, "above 0", 0 < self.learning_rate < inf)
        check("momentum", self.momentum, "in [0, 1)", 0 <= self.momentum < 1)
        check("weight_decay", self.weight_decay, "of at least 0", 0 <= self.weight_decay < inf)
        check_counts(self, "draws")
        check("degrees", self.degrees, "in 0..180", 0 <= self.degrees <= 180)
        check("translation", self.translation, "in [0, 1]", 0 <= self.translation <= 1)

    def prepare(self, images: Images, labels: Numbers, classifier: "Classifier") -> Prepared:
        """A fine-tuned copy of the classifier; raises FloatingPointError if the tuning diverged."""
        from models.fct import fine_tuned, order

        def batches() -> Iterator[tuple[NDArray[np.float32], Numbers]]:
            for epoch in range(self.epochs):
                rows = order(self.seed, epoch, len(images))
                for first in range(0, len(rows), self.batch_size):
                    chosen = rows[first : first + self.batch_size]
                    yield to_float(images[chosen]), labels[chosen]

        names = ("learning_rate", "momentum", "weight_decay")
        sgd = {name: getattr(self, name) for name in names}
        return Prepared(fine_tuned(classifier, batches(), **sgd))

    def suspicion(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Floats:
        """Mean squared change of the features; float64, (B,).  Labels are not used."""
        from models.fct import inconsistency, moves

        check_images(images, labels, index, state)
        angles, shifts = moves(
            self.seed,
            index,
            draws=self.draws,
            degrees=self.degrees,
            pixels=self.translation * images.shape[1],
        )
        return inconsistency(state.classifier, to_float(images), angles, shifts)
