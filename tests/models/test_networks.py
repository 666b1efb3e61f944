import json
from functools import cache

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from models import classifiers, networks
from models.classifiers import Shape
from models.networks import IMAGENET_MEAN, IMAGENET_SD, NETWORKS
from tasks.steps import weights

TORCHVISION = [name for name in NETWORKS if name != "small"]


def shaped(network, size, channels, **others):
    return Shape(network=network, classes=5, image_size=size, channels=channels, **others)


@cache
def built(network, size, channels):
    return classifiers.build(shaped(network, size, channels)).eval()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (32, 3), (64, 3)])
def test_every_image_gets_a_logit_a_class(network, size, channels):
    with torch.inference_mode():
        logits = built(network, size, channels)(torch.randn(2, channels, size, size))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()
    assert not torch.equal(*logits), "two images are told apart"


@pytest.mark.parametrize("network", TORCHVISION)
def test_small_images_are_halved_three_times_or_enlarged_and_large_ones_as_published(network):
    seen = []
    for size in (8, 32, 64):
        sides = []
        channels = 1 if size == 8 else 3
        hooks = [
            module.register_forward_hook(lambda _, __, out, into=sides: into.append(out.shape[-1]))
            for module in built(network, size, channels).modules()
            if isinstance(module, nn.Conv2d)
        ]
        with torch.inference_mode():
            built(network, size, channels)(torch.zeros(1, channels, size, size))
        for hook in hooks:
            hook.remove()
        seen.append((sides[0], sides[-1]))
    expected = [(32, 2), (32, 2), (64, 4)] if network == "vgg16" else [(8, 1), (32, 4), (32, 2)]
    assert seen == expected


@pytest.mark.parametrize("network", TORCHVISION)
def test_nothing_is_averaged_over_a_batch(network):
    modules = list(built(network, 8, 1).modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in modules)
    groups = [module for module in modules if isinstance(module, nn.GroupNorm)]
    expected = {"resnet18": 20, "resnet50": 53, "vgg16": 0, "densenet121": 121}
    assert len(groups) == expected[network]
    assert {module.num_groups for module in groups} <= {32}


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


@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_front_of_imagenet_weights_are_normalized_and_color(channels):
    x = torch.rand(4, channels, 64, 64) * 2 - 1
    found = networks.AsImageNet(64)(x)
    level = (x.expand(4, 3, 64, 64) + 1) / 2
    mean, sd = (torch.tensor(it)[:, None, None] for it in (IMAGENET_MEAN, IMAGENET_SD))
    torch.testing.assert_close(found, (level - mean) / sd, rtol=1e-5, atol=1e-5)
    assert found.shape == (4, 3, 64, 64)


def test_small_images_in_front_of_imagenet_weights_are_enlarged():
    black = networks.AsImageNet(8)(torch.full((1, 1, 8, 8), -1.0))
    assert black.shape == (1, 3, 64, 64)
    assert black.std(dim=(2, 3)).max() < 1e-5


def test_what_weights_expect_is_no_part_of_a_state():
    assert not networks.AsImageNet(8).state_dict()
