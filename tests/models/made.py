"""Small networks for tests, in evaluation mode and always with the same weights."""

import torch
from torch import nn

from models import classifiers
from models.classifiers import Classifier, Shape
from models.ddpm import build_network
from models.randomness import torch_seeded


def unet(**changes):
    """A U-Net of 8x8 images with 4 classes."""
    given = {"image_size": 8, "channels": 3, "classes": 4, "block_channels": (8, 16)}
    given |= {"layers_per_block": 1, "attention_levels": (), "groups": 4, "dropout": 0.0}
    with torch_seeded(0, "test"):
        return build_network(**{**given, **changes}).eval()


def classifier(network, classes, size=8, channels=1):
    """A network as a classifier of such images."""
    shape = Shape(network="small", classes=classes, image_size=size, channels=channels)
    return Classifier(network.eval(), shape, torch.device("cpu"))


def small(classes, channels=1, scale=1):
    """An untrained classifier; at scale 100 its logits are as large as those of a trained one."""
    with torch_seeded(0, "test"):
        network = classifiers.build(
            Shape(network="small", classes=classes, image_size=8, channels=channels)
        )
    with torch.no_grad():
        classifiers.head(network).weight.mul_(scale)
    return classifier(network, classes, channels=channels)


def linear(weight, bias=None):
    """A classifier of 2x2 grey images, logits W x + b on x in [-1, 1]."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, len(weight)))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor(weight, dtype=torch.float32))
        network[1].bias.copy_(torch.tensor(bias or [0.0] * len(weight)))
    return classifier(network, len(weight), size=2)
