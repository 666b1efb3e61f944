import numpy as np
import pytest
import torch

from models import classifiers
from models.classifiers import NETWORKS, Classifier, Shape


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("network", "size"), [("small", 8), ("small", 32), ("resnet18", 32)])
class TestEveryNetwork:
    @pytest.fixture
    def shape(self, network, size, channels):
        return Shape(network=network, classes=5, image_size=size, channels=channels)

    def test_comes_back_from_its_folder(self, shape, tmp_path):
        built = classifiers.build(shape).eval()
        classifiers.save(tmp_path, built, shape)
        loaded = Classifier.load(tmp_path, torch.device("cpu"))
        assert loaded.shape == shape
        side = shape.image_size
        images = np.random.default_rng(0).random((7, shape.channels, side, side), np.float32)
        with torch.inference_mode():
            expected = built(torch.from_numpy(images)).softmax(dim=1)
        found = loaded.probabilities(images, batch_size=3)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        assert found.dtype == np.float32

    def test_keeps_no_running_statistics(self, shape):
        assert not list(classifiers.build(shape).buffers())


def test_resnet_has_its_usual_stem_on_large_images():
    shape = Shape(network="resnet18", classes=5, image_size=64, channels=3)
    network = classifiers.build(shape)
    assert network.conv1.kernel_size == (7, 7)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("size", [8, 9, 16, 24, 32, 64])
def test_every_size_gives_a_logit_a_class(network, size):
    shape = Shape(network=network, classes=5, image_size=size, channels=3)
    logits = classifiers.build(shape)(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=f"{', '.join(NETWORKS)}, got 'vgg'"):
        classifiers.build(Shape(network="vgg", classes=2, image_size=8, channels=1))
