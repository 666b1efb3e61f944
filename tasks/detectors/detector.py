"""What a detector is, and the state that it prepares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from models.classifiers import Classifier

Images = NDArray[np.uint8]
"""(N, H, W, C)."""
Numbers = NDArray[np.int64]
"""Labels, or indices; (N,)."""
Floats = NDArray[np.float64]
"""Suspicions; (N,)."""
Masks = NDArray[np.float32]
"""(N, H, W), in [0, 1]."""

_ARRAYS: Final = "arrays.safetensors"


@dataclass(frozen=True, eq=False)
class Prepared:
    """What ``prepare`` returns and ``suspicion`` works with."""

    classifier: "Classifier"
    """The one to score with; for FCT its fine-tuned copy."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Other state by name; for STRIP the images to overlay."""

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors``, ``network.json`` and ``arrays.safetensors``."""
        from safetensors.numpy import save_file

        from models import classifiers

        classifiers.save(folder, self.classifier.network, self.classifier.shape)
        arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
        save_file(arrays, folder / _ARRAYS)

    @classmethod
    def load(cls, folder: Path, device: "torch.device") -> Self:
        """Read what ``save`` wrote."""
        import torch
        from safetensors.numpy import load_file

        from models.classifiers import Classifier

        classifier = Classifier.load(folder, device)
        # The same weights in another order in memory, in which convolutions take a sixth less time.
        classifier.network.to(memory_format=torch.channels_last)
        return cls(classifier, load_file(folder / _ARRAYS))


class Detector(Protocol):
    """Says how suspicious images are; a frozen dataclass.

    It sees images, their labels and the classifier that was trained on the poisoned training set:
    no manifest, no true labels.  The suspicion of an image depends on the image, its label, its
    index and the detector's fields, not on its batch, up to rounding.  Every random draw is seeded
    by (seed, index).  The caller sets the number of threads (``models.device.one_thread``).
    """

    name: ClassVar[str]
    """Its name in flags, files and columns."""
    title: ClassVar[str]
    """Its name on pages."""
    about: ClassVar[str]
    """One or more sentences for the glossary of a page."""

    def prepare(self, images: Images, labels: Numbers, classifier: "Classifier") -> Prepared:
        """Prepare, once, on the training set as the defender has it; ``classifier`` is not changed.

        The labels, int64, (N,), are the target class for poisoned images.
        """

    def suspicion(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Floats:
        """How suspicious images of any set are, float64, (B,); higher is more likely poisoned.

        A label is the observed one, for a generation the class that was asked for.
        """


@runtime_checkable
class Masking(Protocol):
    """A detector whose suspicion follows from a mask of each image, which pages can show."""

    def masks(self, images: Images, labels: Numbers, index: Numbers, state: Prepared) -> Masks:
        """Float32, (B, H, W), in [0, 1]; arguments as for ``suspicion``."""

    def from_masks(self, masks: Masks) -> Floats:
        """The suspicion that follows from masks, float64, (B,)."""


def check_images(images: Images, labels: Numbers, index: Numbers, state: Prepared) -> None:
    """Raise ValueError if images do not fit the classifier, or lack labels or indices."""
    shape = state.classifier.shape
    expected = (len(index), shape.image_size, shape.image_size, shape.channels)
    if images.dtype != np.uint8 or images.shape != expected or len(labels) != len(index):
        raise ValueError(
            f"expected uint8 images of shape {expected}, as the classifier was trained on, and as "
            f"many labels, got {images.dtype} {images.shape} and {len(labels)} labels"
        )
