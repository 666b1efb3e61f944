import json

import numpy as np
import pytest
import torch

from models import classifiers
from models.classifiers import Classifier
from tasks.data import images
from tasks.detectors import CognitiveDistillation, FeatureConsistency, Strip
from tasks.detectors.detector import Prepared
from tasks.steps import prepare
from tasks.steps.prepare import Settings

CPU = torch.device("cpu")
SHAPE = classifiers.Shape(network="small", classes=3, image_size=8, channels=1)


class ReadsBrightness(torch.nn.Module):
    """Says class 0 of black images, class 1 of grey ones, class 2 of white ones."""

    def forward(self, x):
        level = x.mean(dim=(1, 2, 3))[:, None]
        return -((level - torch.tensor([-1.0, 0.0, 1.0])) ** 2)


READS_BRIGHTNESS = Classifier(ReadsBrightness(), SHAPE, CPU)


def flat(levels):
    """Images of one grey level each: 0, 1 and 2 are black, grey and white."""
    return np.repeat(np.array([0, 128, 255], np.uint8)[levels], 64).reshape(-1, 8, 8, 1)


class TestMeasuring:
    def test_right_answers_are_counted_by_hand(self):
        levels = np.array([0] * 300 + [1] * 200 + [2] * 100)
        labels = np.where(np.arange(600) % 10 == 0, (levels + 1) % 3, levels)
        counts = np.bincount(labels)
        assert prepare.measure(READS_BRIGHTNESS, flat(levels), labels) == {
            "training_accuracy": 540 / 600,
            "n": 600,
            "largest_class_share": counts.max() / 600,
        }

    @pytest.mark.parametrize(("right", "refused"), [(57, True), (64, False)])
    def test_one_that_may_be_no_better_than_the_largest_class_is_refused(self, right, refused):
        """Half of 100 images are of the largest class.

        By Wilson's equation with z = 1.96, 57 right of 100 may be 47.2 %, 64 no less than 54.2 %.
        """
        labels = np.repeat([0, 1, 2], [50, 25, 25])
        levels = np.where(np.arange(100) < right, labels, (labels + 1) % 3)
        if not refused:
            said = prepare.measure(READS_BRIGHTNESS, flat(levels), labels)
            assert said["training_accuracy"] == 0.64
            return
        message = r"learned its training set.* 57 of 100 .* at least 47\.2% .* class gives 50\.0%"
        with pytest.raises(ValueError, match=message):
            prepare.measure(READS_BRIGHTNESS, flat(levels), labels)


@pytest.mark.parametrize(
    "detector",
    [CognitiveDistillation(), Strip(), FeatureConsistency(epochs=1)],
    ids=lambda detector: detector.name,
)
def test_what_a_detector_needs_and_how_good_its_classifier_is_are_written(
    detector, classifier, training_set, stamped, poisoned, tmp_path
):
    given = {"classifier": classifier, "training_set": training_set}
    prepare.run(Settings(detector=detector), **given, out=tmp_path)
    names = ["arrays.safetensors", "classifier.json", "model.safetensors", "network.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    measured = json.loads((tmp_path / "classifier.json").read_text())
    image, label = stamped(poisoned)
    own = Classifier.load(classifier, CPU)
    said = own.probabilities(images.to_float(image), 1437).argmax(axis=1)
    assert measured == {
        "training_accuracy": (said == label).mean(),
        "n": 1437,
        "largest_class_share": (139 + 143) / 1437,
    }
    assert measured["training_accuracy"] > 0.9
    state = Prepared.load(tmp_path, CPU)
    tuned = (tmp_path / "model.safetensors").read_bytes()
    kept = tuned == (classifier / "model.safetensors").read_bytes()
    assert kept == (not isinstance(detector, FeatureConsistency))
    if isinstance(detector, Strip):
        np.testing.assert_array_equal(state.arrays["pool"], image)
