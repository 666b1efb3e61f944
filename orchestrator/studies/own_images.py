"""Your own images: which network, and how long, follow from their size and number.

The rule at scale ``laptop``, for S pixels a side and N training images:

- U-Net: levels halve S down to 4 pixels, at most five; the first 32 wide, the others 64 (twice that
  from 64 pixels on, with two blocks a level instead of one); self-attention at the first level of
  at most 8 pixels, unless that is the full side.
- Its training: batches of 64 (16 from 128 pixels on), 45 passes over the images as the digits get,
  at least 1,000 steps; peak learning rate 1e-3, from 32 pixels on 5e-4, from 64 on 2e-4; averaged
  weights with decay 0.995, from 5,000 steps on 0.999.
- Judges, and the classifier that detectors score with: the small network up to 32 pixels, ResNet-18
  above; 27 passes in batches of 128, at least 300 steps.

``tiny`` and ``cifar10`` keep their own networks and lengths, and get the images' size, channels and
classes.  No batch is larger than the training set; above 32 pixels, detectors are given fewer
images at a time.  Of the default poison ratios those are kept that poison at least one image and
not more than lie outside the largest class.
"""

import math
from dataclasses import replace
from typing import Any

from orchestrator.studies.scales import Scale
from tasks.data.datasets import Dataset
from tasks.steps import denoise_classify, train_classifier, train_diffusion

PASSES, LEAST_STEPS = 45, 1000
"""Of the diffusion model over the training images; updates."""
JUDGE_PASSES, LEAST_JUDGE_STEPS = 27, 300
LARGE, HUGE = 64, 128
"""Pixels from which networks are wider, and from which batches are smaller."""
ROWS_PIXELS = 1024 * 32**2
"""Of the noised images that a diffusion classifier denoises at once, at most."""
LEAST_IMAGES = 10
"""To train on."""
PIXELS_AT_ONCE = 125 * 64**2
"""Of the images that are sampled at once, at most."""
PIXELS_SCORED = 256 * 32**2
"""Of the images that a detector is given at once, at most."""


def own_images(scale: Scale, dataset: Dataset) -> Scale:
    """The scale with another dataset, its networks and lengths chosen by the rule above.

    Args:
        scale: A scale as it stands in ``SCALES``.
        dataset: What to poison instead of the scale's own dataset.

    Raises:
        ValueError: Fewer than LEAST_IMAGES to train on.
    """
    size, n = dataset.image_size, sum(dataset.counts()["train"])
    if n < LEAST_IMAGES:
        raise ValueError(f"expected at least {LEAST_IMAGES} images to train on, got {n}; add some.")
    classes, channels = len(dataset.class_names), dataset.channels
    trained: dict[str, Any] = {}
    for name in ("diffusion", "edm", "content_judge", "trigger_judge", "classifier"):
        own: Any = getattr(scale, name)
        if scale.name == "laptop":
            own = (_network if name in ("diffusion", "edm") else _judge)(own, size, n)
        trained[name] = replace(
            own,
            image_size=size,
            channels=channels,
            classes=own.classes if name == "trigger_judge" else classes,
            batch_size=min(own.batch_size, n),
        )
    at_once = max(1, PIXELS_AT_ONCE // size**2)
    drawn: dict[str, Any] = {
        name: replace(own, batch_size=min(own.batch_size, at_once))
        for name, own in (("generations", scale.generations), ("others", scale.others))
    }
    return replace(
        scale,
        dataset=dataset,
        target_class=dataset.class_names[0],
        classify=_classifying(scale.classify, dataset),
        scored_at_once=min(scale.scored_at_once, max(1, PIXELS_SCORED // size**2)),
        **trained,
        **drawn,
    )


def sides(image_size: int) -> list[int]:
    """Side of every level of the U-Net, pixels: halved down to 4, at most five levels."""
    found = [image_size]
    while len(found) < 5 and found[-1] % 2 == 0 and found[-1] >= 8:
        found.append(found[-1] // 2)
    return found


def _network(settings: train_diffusion.Settings, size: int, n: int) -> train_diffusion.Settings:
    levels, width = sides(size), 64 if size >= LARGE else 32
    small = [level for level, side in enumerate(levels) if side <= 8 and level > 0]
    batch_size = 16 if size >= HUGE else 64
    steps = max(LEAST_STEPS, _rounded(PASSES * n / batch_size))
    return replace(
        settings,
        image_size=size,
        block_channels=(width, *[2 * width] * (len(levels) - 1)),
        layers_per_block=2 if size >= LARGE else 1,
        attention_levels=tuple(small[:1]) if size > 8 else (),
        steps=steps,
        batch_size=batch_size,
        learning_rate=1e-3 if size < 32 else 5e-4 if size < LARGE else 2e-4,
        ema_decay=0.995 if steps < 5000 else 0.999,
    )


def _judge(settings: train_classifier.Settings, size: int, n: int) -> train_classifier.Settings:
    return replace(
        settings,
        network="small" if size <= 32 else "resnet18",
        steps=max(LEAST_JUDGE_STEPS, _rounded(JUDGE_PASSES * n / settings.batch_size)),
    )


def _classifying(
    settings: denoise_classify.Settings, dataset: Dataset
) -> denoise_classify.Settings:
    """With what there is to classify, and no more of it at once than is sampled at once."""
    size, there = dataset.image_size, sum(dataset.counts()["test"])
    wanted = settings.test_images
    return replace(
        settings,
        images=there,
        classes=len(dataset.class_names),
        test_images=None if wanted is None or wanted >= there else wanted,
        rows_at_once=min(settings.rows_at_once, max(1, ROWS_PIXELS // size**2)),
    )


def _rounded(steps: float) -> int:
    """Steps to two digits, up."""
    unit = 10 ** max(0, math.floor(math.log10(steps)) - 1)
    return math.ceil(steps / unit) * unit
