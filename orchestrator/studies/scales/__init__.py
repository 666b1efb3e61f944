"""Scales: one dial that sets the data, the networks and the lengths of everything."""

from orchestrator.studies.scales.class_conditional import (
    CIFAR10,
    CIFAR10_FAST,
    FASHION,
    LAPTOP,
    TINY,
)
from orchestrator.studies.scales.scale import NewPipeline, Scale, TextFamily, shortened
from orchestrator.studies.scales.text_to_image import LAPTOP_TEXT, TINY_TEXT

__all__ = [
    "CIFAR10",
    "CIFAR10_FAST",
    "FASHION",
    "LAPTOP",
    "LAPTOP_TEXT",
    "SCALES",
    "TINY",
    "TINY_TEXT",
    "NewPipeline",
    "Scale",
    "TextFamily",
    "shortened",
]

SCALES = (TINY, LAPTOP, FASHION, CIFAR10_FAST, CIFAR10, TINY_TEXT, LAPTOP_TEXT)
