"""Augmentation that leaks nothing into the samples (Karras et al. 2022, appendix F.2, Table 6).

An image is flipped, scaled, rotated, stretched or moved, and nine labels tell the network what was
done to it.  At labels 0 the network is asked for images as they are, so what moved in training
stays in its place: a trigger in a corner is learned there.

The labels add a linear map without bias to the class embedding: with labels 0 exactly nothing, so a
network without it is published.  Karras et al. sample the moved image through a wavelet filter at
twice the resolution; here it is interpolated bilinearly.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from diffusers import UNet2DModel
from numpy.typing import NDArray
from torch import Tensor, nn

LABELS: Final = 9
"""Numbers that tell what was done to an image."""
SCALE: Final = 2**0.2
"""Factor of the size, to the power of a standard normal draw."""
ANISOTROPY: Final = 2**0.2
"""Factor of the stretch, likewise."""
TRANSLATION: Final = 1 / 8
"""Of the side, times a standard normal draw."""


@dataclass(frozen=True)
class Moves:
    """a_0 .. a_7 of Table 6 for each image, float64, (B,); 0 where nothing is done."""

    mirrored: NDArray[np.float64]
    """a_0: 1 for left to right."""
    upended: NDArray[np.float64]
    """a_1: 1 for upside down."""
    scaled: NDArray[np.float64]
    """a_2: powers of SCALE."""
    turned: NDArray[np.float64]
    """a_3: radians."""
    direction: NDArray[np.float64]
    """a_4: radians, of the stretch."""
    stretched: NDArray[np.float64]
    """a_5: powers of ANISOTROPY."""
    moved_x: NDArray[np.float64]
    """a_6: units of TRANSLATION, to the right."""
    moved_y: NDArray[np.float64]
    """a_7: units of TRANSLATION, downwards."""

    def labels(self) -> NDArray[np.float32]:
        """What the network is told, float32, (B, LABELS); the last column of Table 6."""
        columns = (
            self.mirrored,
            self.upended,
            self.scaled,
            np.cos(self.turned) - 1,
            np.sin(self.turned),
            self.stretched * np.cos(self.direction),
            self.stretched * np.sin(self.direction),
            self.moved_x,
            self.moved_y,
        )
        return np.stack(columns, axis=1).astype(np.float32)

    def sources(self) -> NDArray[np.float64]:
        """Where each pixel comes from: affine maps, float64, (B, 2, 3), edges at -1 and 1.

        The moves are applied in the order of the fields, so their inverses multiply in that order.
        """
        size, stretch = SCALE**-self.scaled, ANISOTROPY**-self.stretched
        return np.asarray(
            _scaling(1 - 2 * self.mirrored, 1 - 2 * self.upended)
            @ _scaling(size, size)
            @ _rotation(self.turned)
            @ _rotation(self.direction)
            @ _scaling(stretch, 1 / stretch)
            @ _rotation(-self.direction)
            @ _translation(-2 * TRANSLATION * self.moved_x, -2 * TRANSLATION * self.moved_y)
        )[:, :2]


def draw(generator: np.random.Generator, *, whole: int, own: slice, probability: float) -> Moves:
    """Moves of this worker's images, ``own`` of the ``whole`` global batch that is drawn for.

    Each kind of move has this probability by itself, but for mirroring, which always has 1/2.
    """

    def sometimes(values: NDArray[np.float64]) -> NDArray[np.float64]:
        happens = generator.random(whole) < probability
        return np.where(happens, values, 0.0)[own]

    def normal(*shape: int) -> NDArray[np.float64]:
        return generator.standard_normal((*shape, whole))

    def angle() -> NDArray[np.float64]:
        return generator.uniform(-math.pi, math.pi, whole)

    moves = {
        "mirrored": generator.integers(2, size=whole).astype(np.float64)[own],
        "upended": sometimes(generator.integers(2, size=whole).astype(np.float64)),
        "scaled": sometimes(normal()),
        "turned": sometimes(angle()),
        "direction": angle()[own],
        "stretched": sometimes(normal()),
    }
    x, y = normal(2)[:, own]
    happens = sometimes(np.ones(whole))
    return Moves(**moves, moved_x=happens * x, moved_y=happens * y)


def move(images: Tensor, moves: Moves) -> Tensor:
    """Images float32 (B, C, H, H) after their moves; what comes in from outside is reflected.

    An image that nothing is done to comes back as it was, bit for bit.
    """
    sources = torch.from_numpy(moves.sources().astype(np.float32)).to(images.device)
    grid = nn.functional.affine_grid(sources, list(images.shape), align_corners=False)
    moved = nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    touched = torch.from_numpy(moves.labels().any(axis=1)).to(images.device)
    return torch.where(touched[:, None, None, None], moved, images)


class LabeledEmbedding(nn.Module):
    """A class embedding that is told of the augmentation too, while a network is trained."""

    def __init__(self, plain: nn.Embedding) -> None:
        """Wrap ``plain``; the weights of the labels come from torch's own generator."""
        super().__init__()
        self.plain = plain
        self.labels = nn.Linear(LABELS, plain.embedding_dim, bias=False)

    def forward(self, condition: Tensor) -> Tensor:
        """Embeddings, (B, D), of classes, int64, (B,), or float32 with labels, (B, 1 + LABELS)."""
        if condition.ndim == 1:
            plain: Tensor = self.plain(condition)
            return plain
        told: Tensor = self.plain(condition[:, 0].long()) + self.labels(condition[:, 1:])
        return told


def with_labels(condition: NDArray[np.int64], moves: Moves) -> NDArray[np.float32]:
    """What ``LabeledEmbedding`` takes, float32, (B, 1 + LABELS)."""
    return np.concatenate([condition[:, None].astype(np.float32), moves.labels()], axis=1)


def _scaling(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return _matrices([x, 0, 0], [0, y, 0])


def _rotation(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """By ``angle`` from x towards y."""
    return _matrices([np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0])


def _translation(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return _matrices([1, 0, x], [0, 1, y])


def _matrices(*rows: list[Any]) -> NDArray[np.float64]:
    """Affine maps, (B, 3, 3), of two rows of numbers or (B,)."""
    cells = np.broadcast_arrays(*rows[0], *rows[1], 0.0, 0.0, 1.0)
    return np.stack(cells, axis=-1).reshape(-1, 3, 3)


def label(network: UNet2DModel) -> None:
    """Let the network's class embedding take labels, from now on."""
    network.class_embedding = LabeledEmbedding(network.class_embedding)


def unlabel(network: UNet2DModel) -> None:
    """Give the network its plain class embedding back; at labels 0 that changes nothing."""
    network.class_embedding = network.class_embedding.plain
