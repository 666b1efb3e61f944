"""Floating-point operations of a forward pass through a training's network.

Torch counts them.  Counts of the scales' networks come along, so that
``plan`` starts at once (``bench/operations.py`` writes them); another network is counted once on
each machine.
"""

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from orchestrator.graph import kept
from orchestrator.store.copies import cache

SHIPPED = Path(__file__).with_name("operations.json")
UNET = ("image_size", "channels", "block_channels", "layers_per_block", "attention_levels")
CLASSIFIER = ("network", "image_size", "channels", "classes")
AUTOENCODER = ("image_size", "channels", "block_channels", "latent_channels")
TOLD = (
    *("latent_size", "latent_channels", "block_channels", "layers_per_block", "attention_levels"),
    *("text_width", "max_length"),
)
"""Settings that a count depends on; the last of a U-Net that is told a text."""


def forward(settings: Any) -> float:
    """Operations of one image's forward pass through the network of a training.

    A multiplication and the addition after it are two.
    """
    name = described(settings)
    if name not in known():
        own = cache() / "operations.json"
        found = kept.read(own, _is_count)
        if name not in found:
            found[name] = count(settings)
            kept.write(own, found)
        known()[name] = found[name]
    return float(known()[name])


def described(settings: Any) -> str:
    """What a count depends on, e.g. ``resnet18 32 3 10``."""
    kinds = {"text_width": TOLD, "latent_channels": AUTOENCODER, "block_channels": UNET}
    names = next((kinds[name] for name in kinds if hasattr(settings, name)), CLASSIFIER)
    return " ".join(json.dumps(getattr(settings, name)).replace('"', "") for name in names)


@lru_cache(maxsize=1)
def known() -> dict[str, int]:
    """Counts by ``described``: those that come along, and those that were asked for since."""
    return dict(json.loads(SHIPPED.read_text()))


def count(settings: Any) -> int:
    """Have torch count the operations of one image on shapes alone; some seconds to import it.

    Counted are convolutions, matrix products and attention, which take almost all of the time.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        _pass(settings)
    return int(counter.get_total_flops())


def _pass(settings: Any) -> None:
    """One image's forward pass through the network."""
    import torch

    from models import classifiers
    from models.latent import autoencoder, new
    from tasks.steps import train_diffusion

    if hasattr(settings, "text_width"):
        given = {name: getattr(settings, name) for name in TOLD if name != "max_length"}
        network = new.new_unet(**given, heads=1, groups=1)
        text = torch.zeros(1, settings.max_length, settings.text_width)
        side = settings.latent_size
        latent = torch.zeros(1, settings.latent_channels, side, side)
        network(latent, torch.zeros(1, dtype=torch.long), encoder_hidden_states=text)
        return
    image = torch.zeros(1, settings.channels, settings.image_size, settings.image_size)
    if hasattr(settings, "latent_channels"):
        given = {name: getattr(settings, name) for name in AUTOENCODER}
        autoencoder.new_autoencoder(**given, layers_per_block=1, groups=1)(image)
    elif hasattr(settings, "block_channels"):
        label = torch.zeros(1, dtype=torch.long)
        build = train_diffusion.build
        build(replace(settings, augmentation=0.0, recompute=False))(
            image, label, class_labels=label
        )
    else:
        shape = classifiers.Shape(**{name: getattr(settings, name) for name in CLASSIFIER})
        classifiers.build(shape).eval()(image)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value > 0
