"""Properties every detector must have, whatever it computes, and the constants of each."""

import dataclasses

import numpy as np
import pytest
import torch

from models.device import one_thread
from tasks import detectors
from tasks.detectors import DETECTORS, CognitiveDistillation, FeatureConsistency, Strip
from tasks.detectors.detector import Masking, Prepared
from tests.models import made

CPU = torch.device("cpu")
N, B, CLASSES = 30, 6, 4
OURS = (CognitiveDistillation, Strip, FeatureConsistency)
MASKING = [kind for kind in DETECTORS if isinstance(kind(), Masking)]


@pytest.fixture(autouse=True)
def alone():
    """Compute as the tasks do."""
    with one_thread():
        yield


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "color"])
def channels(request):
    return request.param


@pytest.fixture(scope="module")
def classifier(channels):
    """Untrained, with logits as large as those of a trained one."""
    return made.small(CLASSES, channels, scale=100)


@pytest.fixture(scope="module")
def training(channels):
    """Images and labels of a training set; the images are read-only, as Arrow's are."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (N, 8, 8, channels), dtype=np.uint8)
    images.flags.writeable = False
    return images, draw.integers(0, CLASSES, N)


@pytest.fixture(scope="module")
def given(channels):
    """Images, labels and indices of some other set."""
    draw = np.random.default_rng(1)
    images = draw.integers(0, 256, (B, 8, 8, channels), dtype=np.uint8)
    images.flags.writeable = False
    return images, draw.integers(0, CLASSES, B), np.arange(40, 40 + B)


def quick(kind, **given):
    """A detector, but for shorter computations with its default fields."""
    shorter = {"steps": 20, "overlays": 20, "epochs": 2}
    fields = {item.name for item in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in shorter.items() if name in fields}, **given)


def weights_of(classifier):
    return {
        name: value.numpy().tobytes() for name, value in classifier.network.state_dict().items()
    }


@pytest.fixture
def state(kind, training, classifier):
    return quick(kind).prepare(*training, classifier)


@pytest.mark.parametrize("kind", DETECTORS, ids=lambda kind: kind.name)
class TestEveryDetector:
    def test_gives_every_image_a_finite_number(self, kind, given, state):
        found = quick(kind).suspicion(*given, state)
        assert (found.shape, found.dtype) == ((B,), np.float64)
        assert np.isfinite(found).all()
        assert len(np.unique(found)) > 1

    def test_gives_the_same_bytes_twice_and_touches_no_global_state(
        self, kind, training, given, classifier, state
    ):
        first = quick(kind).suspicion(*given, state).tobytes()
        np.random.seed(3)  # noqa: NPY002 - what nothing may depend on
        torch.manual_seed(3)
        before = np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
        again = quick(kind).prepare(*training, classifier)
        assert quick(kind).suspicion(*given, again).tobytes() == first
        assert np.random.get_state()[1].tobytes() == before[0]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[1])

    def test_says_the_same_of_an_image_alone(self, kind, given, state):
        """Within a thousandth: convolutions may add in another order for another batch."""
        together = quick(kind).suspicion(*given, state)
        alone = [
            quick(kind).suspicion(*(rows[one : one + 1] for rows in given), state)[0]
            for one in range(B)
        ]
        np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-3)

    def test_changes_neither_images_nor_classifier(self, kind, training, given, classifier):
        def looked_at():
            return weights_of(classifier), [rows.tobytes() for rows in (*training, *given)]

        before = looked_at()
        state = quick(kind).prepare(*training, classifier)
        prepared = weights_of(state.classifier)
        quick(kind).suspicion(*given, state)
        assert looked_at() == before
        assert weights_of(state.classifier) == prepared

    def test_says_the_same_after_its_state_was_stored(self, kind, given, state, tmp_path):
        state.save(tmp_path)
        again, other = Prepared.load(tmp_path, CPU), Prepared.load(tmp_path, CPU)
        said = quick(kind).suspicion(*given, again)
        np.testing.assert_array_equal(said, quick(kind).suspicion(*given, other))
        # Weights lie in another order once they are loaded, and sums are rounded in another.
        np.testing.assert_allclose(said, quick(kind).suspicion(*given, state), rtol=1e-3, atol=1e-3)
        assert {path.suffix for path in tmp_path.iterdir()} == {".safetensors", ".json"}

    def test_refuses_images_of_another_size(self, kind, given, state, channels):
        _, labels, index = given
        images = np.zeros((B, 16, 16, channels), dtype=np.uint8)
        with pytest.raises(ValueError, match=rf"\({B}, 8, 8, {channels}\).* got uint8 \({B}, 16"):
            quick(kind).suspicion(images, labels, index, state)
        with pytest.raises(ValueError, match=f"and {B - 1} labels"):
            quick(kind).suspicion(given[0], labels[1:], index, state)


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.name)
class TestEveryDetectorOfThePaper:
    def test_draws_by_index_and_by_seed(self, kind, given, state):
        images, labels, index = given
        expected = quick(kind).suspicion(*given, state)
        assert (quick(kind).suspicion(images, labels, index + 1, state) != expected).all()
        assert (quick(kind, seed=1).suspicion(*given, state) != expected).all()

    def test_does_not_look_at_the_labels_of_what_it_scores(self, kind, given, state):
        images, labels, index = given
        other = quick(kind).suspicion(images, (labels + 1) % CLASSES, index, state)
        np.testing.assert_array_equal(other, quick(kind).suspicion(*given, state))


@pytest.mark.parametrize("kind", MASKING, ids=lambda kind: kind.name)
class TestEveryMask:
    def test_is_what_the_suspicion_is_read_off(self, kind, given, state):
        read_off = quick(kind).from_masks(quick(kind).masks(*given, state))
        np.testing.assert_array_equal(read_off, quick(kind).suspicion(*given, state))
        assert read_off.dtype == np.float64


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(ValueError, match="got 'ftc'; did you mean fct"):
        detectors.from_name("ftc")


class TestCognitiveDistillation:
    def test_a_whole_mask_costs_the_same_at_every_size(self):
        detector = CognitiveDistillation()
        weights = [detector.area_weight(side, side) for side in (8, 32, 64)]
        assert weights == pytest.approx([0.16, 0.01, 0.0025])

    def test_an_image_that_needs_only_its_corner_is_more_suspicious(self, training):
        """A classifier of 4x4 images that reads one pixel, against one that reads all 16."""
        images = training[0][:B, :4, :4, :1]
        index, areas = np.arange(B), []
        for read in (1, 16):
            network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
            with torch.no_grad():
                network[1].weight.zero_()[:, 16 - read :] = 20.0
            state = Prepared(made.classifier(network, 2, size=4))
            detector = CognitiveDistillation()
            areas.append(-detector.suspicion(images, index, index, state))
        # As many pixels as are read, within a half; at 4 pixels gamma is 0.64.
        np.testing.assert_allclose(areas[0], 1, atol=0.5)
        assert areas[1].min() > 3 * areas[0].max()


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (CognitiveDistillation, {"beta": float("inf")}, "beta of at least 0, got inf"),
        (CognitiveDistillation, {"betas": (0.1, 1.0)}, r"betas .* \[0, 1\), got \(0.1, 1.0\)"),
        (Strip, {"overlays": 0}, "overlays of at least 1, got 0"),
        (FeatureConsistency, {"batch_size": 1}, "batch_size of at least 2, got 1"),
        (FeatureConsistency, {"degrees": 181.0}, r"degrees in 0..180, got 181"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(**wrong)
