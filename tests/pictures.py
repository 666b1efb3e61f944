"""Folders of drawn pictures whose classes are easily told apart."""

import base64
import colorsys
import gzip
import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.triggers.picture import Picture

CLASSES = ("apples", "red pears", "Äpfel")


def make_folder(
    root: Path,
    classes: tuple[str, ...] = CLASSES,
    per_class: int = 20,
    size: tuple[int, int] = (24, 20),
    channels: int = 3,
    seed: int = 0,
) -> Path:
    """Write ``per_class`` PNGs for each class, the same for equal arguments, and return ``root``.

    A class has a shape (disc, square or diamond, bright or dark) and, with three channels, a hue;
    place and size vary a little, and there is noise.
    """
    for label, name in enumerate(classes):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            generator = np.random.default_rng([seed, label, number])
            picture = draw(label, len(classes), size, channels, generator)
            Image.fromarray(picture.squeeze()).save(folder / f"{number:03}.png")
    return root


def draw(
    label: int, classes: int, size: tuple[int, int], channels: int, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """One picture, uint8, (height, width, channels)."""
    width, height = size
    shorter = min(size)
    across, down = generator.uniform(-0.1, 0.1, 2)
    y, x = np.mgrid[:height, :width]
    x = np.abs((x + 0.5 - width / 2) / shorter - across)
    y = np.abs((y + 0.5 - height / 2) / shorter - down)
    distance = (np.hypot(x, y), np.maximum(x, y), x + y)[label % 3]
    inside = distance < generator.uniform(0.27, 0.33)
    light, dark = (0.85, 0.25) if label // 3 % 2 == 0 else (0.25, 0.85)
    level = np.where(inside, light, dark)[..., None]
    color = colorsys.hsv_to_rgb(label / classes, 0.8, 1.0) if channels == 3 else (1.0,)
    noisy = level * np.array(color) + generator.normal(0, 0.05, (height, width, channels))
    return np.rint(noisy.clip(0, 1) * 255).astype(np.uint8)


def picture(pixels: NDArray[np.uint8]) -> Picture:
    """What is read of a PNG of these pixels, uint8, (H, W, 3)."""
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, format="PNG")
    content = png.getvalue()
    return Picture(hashlib.sha256(content).hexdigest(), base64.b64encode(content).decode())


def make_cifar10(folder: Path, per_class: int = 2, seed: int = 0) -> Path:
    """Write drawn pictures as CIFAR-10's six binary files, and return ``folder``.

    There are ``per_class`` of each of the ten classes in every file; officially 1,000.
    """
    place = folder / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for position, name in enumerate(names):
        generator, records = np.random.default_rng([seed, position]), []
        for label in generator.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class)):
            pixels = draw(label, 10, (32, 32), 3, generator).transpose(2, 0, 1)
            records.append([label, *pixels.ravel()])
        (place / name).write_bytes(np.array(records, dtype=np.uint8).tobytes())
    return folder


def make_fashion(folder: Path, per_class: int = 2, seed: int = 0) -> Path:
    """Write drawn pictures as Fashion-MNIST's four gzip files, and return ``folder``.

    The test part has one picture fewer of each class, if there are two or more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for position, (part, count) in enumerate([("train", per_class), ("t10k", per_class - 1)]):
        generator = np.random.default_rng([seed, position])
        labels = generator.permutation(np.repeat(np.arange(10, dtype=np.uint8), max(1, count)))
        drawn = [draw(label, 10, (28, 28), 1, generator) for label in labels]
        sizes = np.array([0x803, len(labels), 28, 28, 0x801, len(labels)], dtype=">u4").tobytes()
        images, names = sizes[:16] + np.array(drawn, dtype=np.uint8).tobytes(), sizes[16:]
        for name, content in (("images-idx3", images), ("labels-idx1", names + labels.tobytes())):
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    return folder
