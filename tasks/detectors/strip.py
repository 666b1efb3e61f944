"""STRIP: strong intentional perturbation."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tasks.checks import check_counts
from tasks.data.images import to_float
from tasks.detectors.detector import Floats, Images, Numbers, Prepared, check_images

if TYPE_CHECKING:
    from models.classifiers import Classifier


@dataclass(frozen=True, kw_only=True)
class Strip:
    """STRIP: an answer that stays sure when other images are added is suspicious (Gao, 2019).

    The suspicion is minus the mean entropy of the answers, in nats: -log K .. 0 for K classes.  The
    overlays are training images as the defender has them: as published, some may show the trigger,
    and an image of the training set may be added to itself (algorithms: section 8.2).
    """

    name: ClassVar[str] = "strip"
    title: ClassVar[str] = "STRIP"
    about: ClassVar[str] = (
        "STRIP adds training images to each image, clips, and takes the entropy of the "
        "classifier's answers in nats. The suspicion is minus the mean entropy: a stamp keeps the "
        "answer sure. The overlays are drawn from the training set as the defender has it, so some "
        "of them carry the trigger themselves."
    )

    overlays: int = 100
    """Images added to each, >= 1."""
    pool: int = 5000
    """Most training images to draw overlays from, >= 1; as published for ImageNet."""
    seed: int = 0
    """Seeds the pool, and with an image's index its overlays, drawn with replacement."""

    def __post_init__(self) -> None:
        check_counts(self, "overlays", "pool")

    def prepare(self, images: Images, labels: Numbers, classifier: "Classifier") -> Prepared:  # noqa: ARG002
        """The classifier and at most ``pool`` images."""
        from models.strip import choose_pool

        pool = images[choose_pool(self.seed, len(images), self.pool)]
        return Prepared(classifier, {"pool": pool})

    def suspicion(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Floats:
        """Minus the mean entropy under overlays, in nats; float64, (B,).  Labels are not used."""
        from models.strip import choose_overlays, mean_entropy

        check_images(images, labels, index, state)
        pool = state.arrays["pool"]
        scores = np.empty(len(images))
        for place, (image, number) in enumerate(zip(to_float(images), index, strict=True)):
            chosen = choose_overlays(self.seed, int(number), overlays=self.overlays, pool=len(pool))
            scores[place] = -mean_entropy(state.classifier, image, to_float(pool[chosen]))
        return scores
