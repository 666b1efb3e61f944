"""Image classifiers, of images float32, (B, C, H, W), in [-1, 1], to logits, (B, classes)."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.networks import IMAGENET_CLASSES, NETWORKS, Shape, build

__all__ = [
    "NETWORKS",
    "Classifier",
    "Shape",
    "begun",
    "build",
    "frozen",
    "head",
    "penultimate",
    "save",
]


def begun(shape: Shape, file: Path) -> nn.Module:
    """A classifier that starts from ImageNet weights, as task ``weights`` writes them.

    Its last layer too if it has ImageNet's number of classes; another one is drawn at random.
    """
    network = build(shape)
    inner = network.get_submodule("network")
    tensors = load_file(file)
    if shape.classes != IMAGENET_CLASSES:
        last = next(name for name, module in inner.named_modules() if module is head(network))
        own = inner.get_submodule(last).state_dict(prefix=f"{last}.")
        tensors |= own
    inner.load_state_dict(tensors)
    return network


def save(folder: Path, network: nn.Module, shape: Shape) -> None:
    """Write ``model.safetensors`` and ``network.json``."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "network.json").write_text(json.dumps(shape.record(), indent=1) + "\n")


@dataclass(frozen=True)
class Classifier:
    """A trained classifier, ready to judge."""

    network: nn.Module
    """In evaluation mode."""
    shape: Shape
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Classifier":
        """Open what ``save`` wrote."""
        shape = Shape(**json.loads((folder / "network.json").read_text()))
        network = build(shape)
        network.load_state_dict(load_file(folder / "model.safetensors"))
        return cls(network.to(device).eval(), shape, device)

    def probabilities(self, images: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
        """Class probabilities, (N, classes), of images (N, C, H, W) in [-1, 1], all float32."""
        return self._each(lambda x: self.network(x).softmax(dim=1), images, batch_size)

    def features(self, images: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
        """What the last linear layer reads, float32, (N, D); arguments as above."""
        return self._each(lambda x: penultimate(self.network, x), images, batch_size)

    @torch.inference_mode()
    def _each(
        self, compute: Callable[[Tensor], Tensor], images: NDArray[np.float32], batch_size: int
    ) -> NDArray[np.float32]:
        parts: list[Tensor] = []
        for first in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[first : first + batch_size]).to(self.device)
            parts.append(compute(batch).cpu())
        return torch.cat(parts).numpy()


def head(network: nn.Module) -> nn.Linear:
    """The last linear layer, of features to logits; raises ValueError if there is none."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ValueError(
            f"expected a network that ends in a linear layer, got {type(network).__name__} without"
        )
    return layers[-1]


def penultimate(network: nn.Module, x: Tensor) -> Tensor:
    """What the last linear layer is given for ``x``, (B, D); gradients flow through it.

    Of ``small`` the 4x4 grid of features, of ``vgg16`` the second hidden layer, behind its dropout,
    of the others the features after pooling.
    """
    given: list[Tensor] = []
    hook = head(network).register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        network(x)
    finally:
        hook.remove()
    return given[-1]


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Inside, no parameter asks for a gradient; afterwards, those do that did before."""
    asking = [weights for weights in network.parameters() if weights.requires_grad]
    network.requires_grad_(False)
    try:
        yield network
    finally:
        for weights in asking:
            weights.requires_grad_(True)
