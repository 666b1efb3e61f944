"""Your own images: at scale ``laptop`` networks and lengths follow from their size and number."""

import math
from dataclasses import replace
from typing import Any

from orchestrator.studies.scales import NewPipeline, Scale
from tasks.data.datasets import Dataset
from tasks.steps import train_classifier, train_diffusion

PASSES, LEAST_STEPS = 45, 1000
"""Of the diffusion model over the training images, as the digits get; updates."""
JUDGE_PASSES, LEAST_JUDGE_STEPS = 27, 300
LARGE, HUGE = 64, 128
"""Pixels from which networks are wider, and from which batches are smaller."""
LEAST_IMAGES = 10
"""To train on."""
SAMPLED, SCORED, DENOISED = 125 * 64**2, 256 * 32**2, 1024 * 32**2
"""Most pixels that are sampled, given to a detector, and denoised to classify at once."""


def own_images(scale: Scale, dataset: Dataset) -> Scale:
    """One of ``SCALES`` with another dataset, and networks and lengths for it.

    Raises:
        ValueError: Fewer than LEAST_IMAGES to train on.
    """
    size, n = dataset.image_size, sum(dataset.counts()["train"])
    there, wanted = sum(dataset.counts()["test"]), scale.classify.test_images
    if n < LEAST_IMAGES:
        raise ValueError(f"expected at least {LEAST_IMAGES} images to train on, got {n}; add some.")
    classes, channels = len(dataset.class_names), dataset.channels
    chosen: dict[str, Any] = {}
    networks = ["content_judge", "trigger_judge", "classifier"]
    if scale.text is None:
        networks += ["diffusion", "edm"]
    else:
        _refuse_other_images(scale, size, channels)
        tuned = scale.diffusion
        chosen["diffusion"] = replace(tuned, batch_size=min(tuned.batch_size, n))
    for name in networks:
        own: Any = getattr(scale, name)
        if scale.name == "laptop":
            own = (_network if name in ("diffusion", "edm") else _judge)(own, size, n)
        chosen[name] = replace(
            own,
            image_size=size,
            channels=channels,
            classes=own.classes if name == "trigger_judge" else classes,
            batch_size=min(own.batch_size, n),
        )

    def at_once(usual: int, pixels: int) -> int:
        return min(usual, max(1, pixels // size**2))

    for name in ("generations", "others"):
        own = getattr(scale, name)
        chosen[name] = replace(own, batch_size=at_once(own.batch_size, SAMPLED))
    return replace(
        scale,
        dataset=dataset,
        target_class=dataset.class_names[0],
        classify=replace(
            scale.classify,
            images=there,
            classes=classes,
            test_images=None if wanted is None or wanted >= there else wanted,
            rows_at_once=at_once(scale.classify.rows_at_once, DENOISED),
        ),
        scored_at_once=at_once(scale.scored_at_once, SCORED),
        **chosen,
    )


def _refuse_other_images(scale: Scale, size: int, channels: int) -> None:
    """Raise ValueError for images that a scale's text-to-image pipeline does not draw."""
    base: Any = scale.text and scale.text.base
    if isinstance(base, NewPipeline):
        wanted = base.autoencoder.image_size
    else:
        wanted = base.latent_size * base.factor
    if (size, channels) != (wanted, 3):
        raise ValueError(
            f"expected color images of {wanted} pixels, as the models of scale {scale.name} draw, "
            f"got {size} pixels and {channels} channels; add --image-size {wanted} --channels 3."
        )


def sides(image_size: int) -> list[int]:
    """Side of every level of the U-Net, pixels: halved down to 4, at most five levels."""
    found = [image_size]
    while len(found) < 5 and found[-1] % 2 == 0 and found[-1] >= 8:
        found.append(found[-1] // 2)
    return found


def _network(settings: train_diffusion.Settings, size: int, n: int) -> train_diffusion.Settings:
    """With self-attention at the first level of at most 8 pixels, unless that is the full side."""
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
    """A judge, or the classifier that detectors score with."""
    return replace(
        settings,
        network="small" if size <= 32 else "resnet18",
        steps=max(LEAST_JUDGE_STEPS, _rounded(JUDGE_PASSES * n / settings.batch_size)),
    )


def _rounded(steps: float) -> int:
    """Steps to two digits, up."""
    unit = 10 ** max(0, math.floor(math.log10(steps)) - 1)
    return math.ceil(steps / unit) * unit
