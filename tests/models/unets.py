"""A small U-Net for tests."""

from models.ddpm import build_network
from models.randomness import torch_seeded


def unet(**changes):
    """One of 8x8 images with 4 classes, in evaluation mode; always with the same weights."""
    given = {"image_size": 8, "channels": 3, "classes": 4, "block_channels": (8, 16)}
    given |= {"layers_per_block": 1, "attention_levels": (), "groups": 4, "dropout": 0.0}
    with torch_seeded(0, "test"):
        return build_network(**{**given, **changes}).eval()
