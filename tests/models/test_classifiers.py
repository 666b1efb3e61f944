import numpy as np
import pytest
import torch
from torch import nn

from models import classifiers, networks
from models.classifiers import NETWORKS, Classifier, Shape

FEATURES = {"small": 1024, "resnet18": 512, "resnet50": 2048, "vgg16": 4096, "densenet121": 1024}


@pytest.mark.parametrize(
    ("network", "size", "channels"),
    [
        *((*known, channels) for known in (("small", 8), ("small", 32)) for channels in (1, 3)),
        *(("resnet18", 32, channels) for channels in (1, 3)),
        *((name, 8, 1) for name in ("resnet50", "vgg16", "densenet121")),
    ],
)
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

    def test_its_logits_are_a_linear_map_of_its_features(self, shape):
        network = classifiers.build(shape).eval()
        classifier = Classifier(network, shape, torch.device("cpu"))
        side = shape.image_size
        images = np.random.default_rng(0).random((7, shape.channels, side, side), np.float32)
        features = classifier.features(images, batch_size=3)
        assert features.shape == (7, FEATURES[shape.network])
        weight, bias = (value.detach().numpy() for value in classifiers.head(network).parameters())
        with torch.inference_mode():
            logits = network(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(features @ weight.T + bias, logits, rtol=1e-3, atol=1e-5)

    def test_keeps_no_running_statistics(self, shape):
        assert not list(classifiers.build(shape).buffers())


def test_resnet_has_its_usual_stem_on_large_images():
    shape = Shape(network="resnet18", classes=5, image_size=64, channels=3)
    network = classifiers.build(shape)
    assert network.conv1.kernel_size == (7, 7)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize("network", ["small", "resnet18"])
@pytest.mark.parametrize("size", [8, 9, 16, 24, 32, 64])
def test_every_size_gives_a_logit_a_class(network, size):
    shape = Shape(network=network, classes=5, image_size=size, channels=3)
    logits = classifiers.build(shape)(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=f"{', '.join(NETWORKS)}, got 'vgg'"):
        classifiers.build(Shape(network="vgg", classes=2, image_size=8, channels=1))


@pytest.mark.parametrize("side", [2, 3, 4, 5, 6, 8, 12, 16, 24, 32])
@pytest.mark.parametrize("smaller", [4, 6, 8, 16])
def test_pooling_has_the_bytes_of_adaptive_pooling(side, smaller):
    x = torch.randn(3, 8, side, side, generator=torch.Generator().manual_seed(0))
    found = []
    for pool in (networks.pooled(side, smaller), nn.AdaptiveAvgPool2d(smaller)):
        given = x.clone().requires_grad_(True)
        out = pool(given)
        (gradient,) = torch.autograd.grad(out.sin().sum(), given)
        found.append((out.detach().numpy().tobytes(), gradient.numpy().tobytes()))
    assert found[0] == found[1]


def test_frozen_weights_ask_for_no_gradients_and_afterwards_those_that_did_do_again():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].bias.requires_grad_(False)
    with classifiers.frozen(network) as same:
        assert same is network
        assert not any(weights.requires_grad for weights in network.parameters())
    asked = [weights.requires_grad for weights in network.parameters()]
    assert asked == [True, False, True, True]


def test_a_network_without_a_linear_layer_has_no_features():
    with pytest.raises(ValueError, match="ends in a linear layer, got Sequential without"):
        classifiers.penultimate(nn.Sequential(nn.Flatten()), torch.zeros(1, 4))
