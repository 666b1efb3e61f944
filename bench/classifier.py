"""The diffusion classifier: all filter ratios in one pass against one pass each, and elimination.

The model is a laptop's DDPM, trained on poisoned digits for as long as TRAINING_STEPS says: long
enough to be right about digits, short enough to wait for.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.studies.scales import LAPTOP, Scale

TRAINING_STEPS = 1000
"""As at scale laptop."""
POISON_RATIO = 0.05
TARGET_CLASS = "8"


@dataclass
class Way:
    """One way to classify the same images."""

    seconds: list[float] = field(default_factory=list)
    """One a round."""
    calls: int = 0
    """Network evaluations of one image, of all images together."""


@dataclass
class Classifying:
    """What each way takes, in turns."""

    images: int
    """Clean and triggered ones."""
    ratios: int
    draws: int
    together: Way = field(default_factory=Way)
    """All filter ratios in one pass; every class in every draw."""
    apart: Way = field(default_factory=Way)
    """A pass for each."""
    equal: float = 0.0
    """Share of the answers, of an image under a ratio, that are the same both ways."""
    more_images: int = 0
    """Clean and triggered ones, of the next two."""
    eliminated: Way = field(default_factory=Way)
    """One pass that drops classes which can no longer win."""
    whole: Way = field(default_factory=Way)
    """One pass, every class in every draw."""
    agreement: float = 0.0
    """Share of the answers that are the same both ways."""


def classifying(
    scratch: Path,
    images: int,
    more_images: int,
    steps: int = TRAINING_STEPS,
    enough: Callable[[], bool] = lambda: False,
    scale: Scale = LAPTOP,
) -> Classifying:
    """Classify test images of a scale, clean and triggered, in each way.

    On one thread, as every worker computes.

    Args:
        scratch: An empty folder.
        images: Clean ones, for all ratios in one pass against one pass each.
        more_images: Clean ones, for elimination against none: its agreement is a share of them.
        steps: Of the training.
        enough: Asked after the first comparison; True leaves the second out.
        scale: Whose data, network and settings.
    """
    from tasks import triggers

    asked = replace(
        scale.classify,
        trigger=triggers.from_name("badnets1")(),
        target_class=TARGET_CLASS,
        test_images=images,
    )
    given = _trained(scratch, scale, steps)
    found = Classifying(images=0, ratios=len(asked.filter_ratios), draws=asked.draws)
    every = replace(asked, stages=())
    one_pass = _answers(every, given, found.together)
    each = [
        _answers(replace(every, filter_ratios=(ratio,)), given, found.apart)
        for ratio in asked.filter_ratios
    ]
    found.images, found.equal = len(one_pass), _agreement(one_pass, np.concatenate(each, axis=1))
    for way in (found.together, found.apart):
        way.seconds = [sum(way.seconds)]
    if not enough():
        more = replace(asked, test_images=more_images)
        dropping = _answers(more, given, found.eliminated)
        whole = _answers(replace(more, stages=()), given, found.whole)
        found.more_images, found.agreement = len(whole), _agreement(dropping, whole)
    return found


def _agreement(one: np.ndarray, other: np.ndarray) -> float:
    return statistics.fmean((one == other).ravel().tolist())


def _answers(settings: Any, given: dict[str, Path], way: Way) -> np.ndarray:
    """What is said of every image, clean and triggered, under every ratio; (images, ratios)."""
    from tasks.steps import denoise_classify

    count, size = denoise_classify.count(settings, **given), settings.batch_size
    worker = denoise_classify.Worker(settings, **given)
    began = time.perf_counter()
    tables = [worker(first, min(first + size, count)) for first in range(0, count, size)]
    way.seconds.append(time.perf_counter() - began)
    said: list[list[int]] = []
    for table in tables:
        for name in ("calls", "calls_triggered"):
            way.calls += sum(table[name].drop_null().to_pylist())
        for name in ("said", "said_triggered"):
            said += table[name].drop_null().to_pylist()
    return np.array(said)


def _trained(scratch: Path, scale: Scale, steps: int) -> dict[str, Path]:
    """The inputs of ``denoise_classify``: the dataset, and a model trained on it, poisoned."""
    from tasks import triggers
    from tasks.data import datasets
    from tasks.steps import poison, train_diffusion
    from tasks.steps.batches import Held

    folders = {name: scratch / name for name in ("dataset", "manifest", "model")}
    for folder in folders.values():
        folder.mkdir()
    datasets.run(scale.dataset, out=folders["dataset"])
    attack = poison.Settings(
        trigger=triggers.from_name("badnets1")(),
        target_class=TARGET_CLASS,
        poison_ratio=POISON_RATIO,
    )
    poison.run(attack, dataset=folders["dataset"], out=folders["manifest"])
    split = datasets.read_split(folders["dataset"], "train")
    listed = poison.Manifest.read(folders["manifest"])
    image, label = poison.stamp(split.index, split.images, split.labels, listed)
    training = replace(scale.diffusion, steps=steps)
    batches = Held(
        index=split.index,
        image=image,
        label=label,
        batch_size=training.batch_size,
        seed=training.seed,
    )
    train_diffusion.fit(
        training, out=folders["model"], batches=batches, report=lambda *_: None, resume=None
    )
    return {name: folders[name] for name in ("model", "dataset")}
