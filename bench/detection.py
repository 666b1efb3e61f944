"""Cognitive Distillation of whole batches at once, against smaller ones: images a second."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.studies.scales import LAPTOP, Scale

BATCHES = (256, 32, 1)
"""Images whose masks are optimized at once; the first is the studies'."""
ALONE = 8
"""Images of a timed run one at a time: enough, and it takes long."""


@dataclass
class Distilling:
    """Images a second by batch size, measured in turns."""

    steps: int
    """Updates of a mask."""
    rates: dict[int, list[float]] = field(default_factory=lambda: {size: [] for size in BATCHES})
    """By batch size, one a round."""

    def speedup(self, batch: int) -> list[float]:
        """The studies' batch over ``batch``, round by round."""
        pairs = zip(self.rates[BATCHES[0]], self.rates[batch], strict=True)
        return [one / other for one, other in pairs]

    def rate(self, batch: int) -> float:
        """Median images a second."""
        return statistics.median(self.rates[batch])


def distilling(
    runs: int, enough: Callable[[], bool] = lambda: False, scale: Scale = LAPTOP
) -> Distilling:
    """Score a scale's training images with its untrained classifier, ``runs`` times in turns.

    On one thread, as every worker computes; a first, untimed round warms up.

    Args:
        runs: Timed rounds.
        enough: Asked after every round; True ends it.
        scale: Whose images and classifier; the laptop's by default.
    """
    from models.device import one_thread
    from tasks.detectors import CognitiveDistillation

    detector = CognitiveDistillation()
    found = Distilling(steps=detector.steps)
    with one_thread():
        score = _scoring(detector, scale)
        for turn in range(runs + 1):
            for size in BATCHES:
                rate = _rate(score, size, ALONE if size == 1 else BATCHES[0])
                if turn:
                    found.rates[size].append(rate)
            if turn and enough():
                break
    return found


def _scoring(detector, scale: Scale) -> Callable[[int, int], object]:  # type: ignore[no-untyped-def]
    """A function that scores images first .. last - 1."""
    import numpy as np

    from models import classifiers, randomness
    from models.device import choose

    split = next(iter(scale.dataset.blocks("train")))
    settings = scale.classifier
    shape = classifiers.Shape(
        network=settings.network,
        classes=settings.classes,
        image_size=settings.image_size,
        channels=settings.channels,
    )
    with randomness.torch_seeded(0, "bench"):
        network = classifiers.build(shape).eval()
    classifier = classifiers.Classifier(network, shape, choose())
    state = detector.prepare(split.images, split.labels, classifier)

    def score(first: int, last: int) -> np.ndarray:
        rows = slice(first, last)
        given = split.images[rows], split.labels[rows], split.index[rows]
        return np.asarray(detector.suspicion(*given, state))

    return score


def _rate(score: Callable[[int, int], object], size: int, images: int) -> float:
    began = time.perf_counter()
    for first in range(0, images, size):
        score(first, first + size)
    return images / (time.perf_counter() - began)
