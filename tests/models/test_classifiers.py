"""Classifiers: shapes on torch's meta device, where nothing is computed; numbers on small ones."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from models import classifiers, networks
from models.classifiers import Classifier, Shape
from models.networks import IMAGENET_MEAN, IMAGENET_SD, NETWORKS
from tasks.steps import weights

TORCHVISION = [name for name in NETWORKS if name != "small"]
FEATURES = {"small": 1024, "resnet18": 512, "resnet50": 2048, "vgg16": 4096, "densenet121": 1024}
HALVED = {8: (8, 1), 16: (16, 2), 32: (32, 4), 64: (32, 2)}


def shaped(network, size, channels, **others):
    return Shape(network=network, classes=5, image_size=size, channels=channels, **others)


@pytest.mark.parametrize(
    ("network", "sides"),
    [
        ("small", {8: (8, 4), 9: (9, 4), 16: (16, 4), 32: (32, 8), 64: (64, 16)}),
        *((name, HALVED) for name in ("resnet18", "resnet50", "densenet121")),
        ("vgg16", {8: (32, 2), 9: (32, 2), 32: (32, 2), 64: (64, 4)}),
    ],
)
def test_every_image_gets_a_logit_a_class_from_so_large_a_first_and_last_map(network, sides):
    for size, expected in sides.items():
        seen = []
        with torch.device("meta"):
            built = classifiers.build(shaped(network, size, 3))
            assert not list(built.buffers())  # nothing is averaged over a batch
            for module in built.modules():
                if isinstance(module, nn.Conv2d):
                    hook = partial(lambda into, _, __, out: into.append(out.shape[-1]), seen)
                    module.register_forward_hook(hook)
            x = torch.empty(2, 3, size, size)
            assert built(x).shape == (2, 5)
            assert classifiers.penultimate(built, x).shape == (2, FEATURES[network])
        assert (seen[0], seen[-1]) == expected


@pytest.mark.parametrize(
    ("network", "channels"), [("small", 1), ("small", 3), ("resnet18", 1), ("densenet121", 1)]
)
def test_a_classifier_comes_back_and_its_logits_are_a_linear_map_of_its_features(
    network, channels, tmp_path
):
    shape = shaped(network, 8, channels)
    built = classifiers.build(shape).eval()
    classifiers.save(tmp_path, built, shape)
    loaded = Classifier.load(tmp_path, torch.device("cpu"))
    assert loaded.shape == shape
    images = np.random.default_rng(0).random((7, channels, 8, 8), np.float32)
    with torch.inference_mode():
        logits = built(torch.from_numpy(images))
    found = loaded.probabilities(images, batch_size=3)
    np.testing.assert_allclose(found, logits.softmax(dim=1), rtol=1e-4, atol=1e-6)
    assert found.dtype == np.float32
    weight, bias = (value.detach().numpy() for value in classifiers.head(built).parameters())
    features = loaded.features(images, batch_size=3)
    np.testing.assert_allclose(features @ weight.T + bias, logits, rtol=1e-3, atol=1e-5)


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=f"{', '.join(NETWORKS)}, got 'vgg'"):
        classifiers.build(shaped("vgg", 8, 1))


@pytest.mark.parametrize(("side", "smaller"), [(4, 4), (8, 4), (16, 8), (12, 4), (5, 4), (3, 6)])
def test_pooling_has_the_bytes_of_adaptive_pooling(side, smaller):
    x = torch.randn(3, 8, side, side, generator=torch.Generator().manual_seed(0))
    found = []
    for pool in (networks.pooled(side, smaller), nn.AdaptiveAvgPool2d(smaller)):
        given = x.clone().requires_grad_(True)
        out = pool(given)
        (gradient,) = torch.autograd.grad(out.sin().sum(), given)
        found.append((out.detach().numpy().tobytes(), gradient.numpy().tobytes()))
    assert found[0] == found[1]


def test_the_weights_of_vgg16_let_the_signal_through_its_sixteen_layers():
    torch.manual_seed(0)
    network = classifiers.build(shaped("vgg16", 8, 1)).eval()
    with torch.inference_mode():
        logits = network(torch.randn(16, 1, 8, 8))
    assert 0.05 < logits.std() < 20


def test_a_record_of_random_weights_is_as_it_was_before_there_were_others():
    shape = shaped("resnet18", 8, 1)
    assert list(shape.record()) == ["network", "classes", "image_size", "channels"]
    given = shaped("resnet18", 8, 1, weights="0123456789ab")
    assert Shape(**json.loads(json.dumps(given.record()))) == given


@pytest.mark.parametrize("network", TORCHVISION)
def test_the_tensors_that_weights_must_have_are_those_of_torchvision_s_network(network):
    tensors = networks.imagenet_tensors(network)
    with torch.device("meta"):
        own = getattr(models, network)()
        ours = networks.from_imagenet(
            Shape(network=network, classes=1000, image_size=64, channels=3, weights="0" * 12)
        ).get_submodule("network")
    assert {name: tuple(value.shape) for name, value in ours.state_dict().items()} == tensors
    assert own.state_dict().keys() - tensors.keys() == {
        name for name in own.state_dict() if name.endswith("num_batches_tracked")
    }
    frozen = sum(isinstance(module, FrozenBatchNorm2d) for module in ours.modules())
    assert frozen == sum(isinstance(module, nn.BatchNorm2d) for module in own.modules())


def test_the_tasks_know_which_networks_are_torchvision_s():
    assert list(weights.NETWORKS) == TORCHVISION


@pytest.mark.parametrize(("channels", "size"), [(1, 64), (3, 64), (1, 8)])
def test_images_in_front_of_imagenet_weights_are_normalized_color_and_large(channels, size):
    x = torch.rand(4, channels, 1, 1).expand(4, channels, size, size) * 2 - 1
    front = networks.AsImageNet(size)
    level = (x[:, :, :1, :1].expand(4, 3, 64, 64) + 1) / 2
    mean, sd = (torch.tensor(it)[:, None, None] for it in (IMAGENET_MEAN, IMAGENET_SD))
    torch.testing.assert_close(front(x), (level - mean) / sd, rtol=1e-5, atol=1e-5)
    assert not front.state_dict()


def test_frozen_weights_ask_for_no_gradients_and_afterwards_those_that_did_do_again():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].bias.requires_grad_(False)
    with classifiers.frozen(network) as same:
        assert same is network
        assert not any(weights.requires_grad for weights in network.parameters())
    asked = [weights.requires_grad for weights in network.parameters()]
    assert asked == [True, False, True, True]
