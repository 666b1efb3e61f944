"""What is asked of a detector and what is written of its answers, whatever it computes."""

# ruff: noqa: ARG002 - detectors are given more than these look at

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models import classifiers
from models.classifiers import Classifier
from tasks.data import images
from tasks.detectors import CognitiveDistillation, FeatureConsistency
from tasks.detectors.detector import Prepared
from tasks.steps import detect
from tasks.steps.detect import Settings, Worker
from tests.tasks.made import by_two_workers, write_images

N = 25
LABELS = np.arange(N) % 3
LEVELS = np.arange(N) * 10
PICTURES = np.repeat(LEVELS.astype(np.uint8), 64).reshape(-1, 8, 8, 1)
PICTURES[:, 2, 3] = 255
"""Image i has grey level 10 i but for one white pixel."""


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """Bright images are suspicious: by their mean grey level times ``factor``."""

    name: ClassVar[str] = "brightness"
    factor: float = 1.0

    def suspicion(self, images, labels, index, state):
        return self.factor * images.mean(axis=(1, 2, 3))


@dataclass(frozen=True, kw_only=True)
class BrightPixels:
    """A mask of where an image is bright, less suspicious the more there is of it."""

    name: ClassVar[str] = "bright pixels"
    offset: float = 0.0

    def suspicion(self, images, labels, index, state):
        raise AssertionError("the masks would be computed twice")

    def masks(self, images, labels, index, state):
        return images[..., 0].astype(np.float32) / 255 + np.float32(self.offset)

    def from_masks(self, masks):
        return -masks.sum(axis=(1, 2), dtype=np.float64)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A state with an untrained classifier."""
    folder = tmp_path_factory.mktemp("prepared")
    shape = classifiers.Shape(network="small", classes=3, image_size=8, channels=1)
    Prepared(Classifier(classifiers.build(shape), shape, torch.device("cpu"))).save(folder)
    return folder


@pytest.fixture(scope="module")
def generations(tmp_path_factory):
    """In several row groups."""
    folder = tmp_path_factory.mktemp("generations")
    write_images(folder / "rows.parquet", PICTURES, LABELS, row_group_size=10)
    return folder


@pytest.fixture
def detected(generations, prepared, finish, tmp_path):
    """A function that runs a detector over the generations and reads what was written."""

    def run(detector, batch_size=10):
        settings = Settings(detector=detector, image_set="generation", batch_size=batch_size)
        finish(detect, settings, tmp_path, generations=generations, prepared=prepared)
        return pq.read_table(tmp_path / "rows.parquet")

    return run


def test_every_image_is_suspected_by_what_the_detector_says(detected):
    rows = detected(Brightness(factor=2.0))
    assert rows["index"].to_pylist() == list(range(N))
    assert rows["label"].to_pylist() == LABELS.tolist()
    np.testing.assert_allclose(rows["suspicion"], 2 * (63 * LEVELS + 255) / 64, rtol=1e-12)
    assert rows["mask"].to_pylist() == rows["kept"].to_pylist() == [None] * N


def test_masks_are_kept_as_grey_pngs_and_the_suspicion_is_read_off_them(detected):
    rows = detected(BrightPixels())
    np.testing.assert_array_equal(images.decode(rows["mask"].to_pylist()), PICTURES)
    np.testing.assert_allclose(rows["suspicion"], -(63 * LEVELS + 255) / 255, rtol=1e-6)
    assert all(0 <= share <= 1 for share in rows["kept"].to_pylist())


@pytest.mark.parametrize(
    "detector",
    [Brightness(), BrightPixels(), CognitiveDistillation(steps=3), FeatureConsistency(draws=1)],
    ids=lambda detector: detector.name,
)
def test_whoever_looks_at_which_range_says_the_same(detector, generations, prepared):
    settings = Settings(detector=detector, image_set="generation", batch_size=10)
    given = {"generations": generations, "prepared": prepared}
    ranges = [(0, 10), (10, 20), (20, 25)]
    alone = Worker(settings, **given)
    whole = pa.concat_tables([alone(*edges) for edges in ranges])
    assert by_two_workers(detect, settings, ranges, **given).equals(whole)


def test_a_poisoned_training_set_is_looked_at_as_the_defender_has_it(
    training_set, clean, stamped, poisoned, prepared, finish, tmp_path
):
    settings = Settings(detector=Brightness(), image_set="training", batch_size=500)
    finish(detect, settings, tmp_path, training_set=training_set, prepared=prepared)
    rows = pq.read_table(tmp_path / "rows.parquet")
    image, label = stamped(poisoned)
    np.testing.assert_array_equal(rows["index"], clean.index)
    np.testing.assert_array_equal(rows["label"], label)
    np.testing.assert_array_equal(rows["suspicion"], image.mean(axis=(1, 2, 3)))


@dataclass(frozen=True, kw_only=True)
class Broken(Brightness):
    """Says ``value`` of images from ``first`` on, and drops ``dropped`` answers."""

    name: ClassVar[str] = "broken"
    value: float = float("nan")
    first: int = 13
    dropped: int = 0

    def suspicion(self, images, labels, index, state):
        said = super().suspicion(images, labels, index, state)
        return np.where(index >= self.first, self.value, said)[self.dropped :]


class TestRefusing:
    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_a_suspicion_that_is_no_number_by_the_detector_s_name(self, detected, value):
        with pytest.raises(FloatingPointError, match="NaN or infinity") as caught:
            detected(Broken(value=value))
        assert "detector broken for image 13 and 6 others of its batch of 10" in str(caught.value)

    def test_a_mask_that_is_not_between_0_and_1(self, detected):
        with pytest.raises(ValueError, match=r"detector bright pixels in 0..1, got \(0\.5, 1\.5\)"):
            detected(BrightPixels(offset=0.5))

    def test_other_answers_than_one_an_image(self, detected):
        with pytest.raises(ValueError, match=r"detector broken of shape \(10,\), .*got \(9,\)"):
            detected(Broken(dropped=1, first=N))
