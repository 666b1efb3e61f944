"""What a step holds, counted anew on the networks themselves; bench/memory.py measures it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from models import classifiers
from models.latent import new
from orchestrator.run import memory
from orchestrator.step import Step
from tasks.data import datasets
from tasks.latent import new_pipeline, train_autoencoder
from tasks.steps import train_classifier, train_diffusion

DIGITS = Step(datasets.Digits())
SMALL = train_diffusion.Settings(steps=3, schedule="ramp")
PAPER = train_diffusion.Settings(
    image_size=32,
    channels=3,
    block_channels=(64, 128, 128, 128),
    layers_per_block=2,
    attention_levels=(0, 1, 2, 3),
    attention_heads=1,
    groups=32,
)
NARROW = replace(PAPER, block_channels=(32, 64, 64, 64), groups=16)
CLASSIFIER = train_classifier.Settings(name="content", classes=10, channels=3)


def kept(network, call):
    """Numbers that autograd keeps of a call, short of the weights, on torch's meta device."""
    weights = {tensor.untyped_storage()._cdata for tensor in network.parameters()}
    found = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            found[storage._cdata] = storage.nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        call()
    return sum(size for size, _ in found.values()) / 4


def trained(settings):
    return Step(settings, {}, {"dataset": DIGITS})


@pytest.mark.parametrize(
    "settings",
    [SMALL, NARROW, replace(SMALL, image_size=16, block_channels=(32,), noise_model="edm")],
    ids=["small", "like the paper's", "one level"],
)
def test_a_u_net_is_counted_as_it_is(settings):
    network = train_diffusion.build(settings).train()
    label = torch.zeros(2, dtype=torch.long)
    image = torch.zeros(2, settings.channels, settings.image_size, settings.image_size)

    def call():
        return network(image, label, class_labels=label).sample.square()

    stated = memory.u_net(settings)
    assert stated.parameters == network.num_parameters()
    assert stated.kept == pytest.approx(kept(network, call) / 2, rel=0.08)


@pytest.mark.parametrize(
    "changes",
    [{}, {"attention_levels": (0, 1), "layers_per_block": 2, "latent_size": 16}],
    ids=["small", "attention at two levels"],
)
def test_a_u_net_that_is_told_a_text_is_counted_as_it_is(changes):
    settings = new_pipeline.Settings(**changes)
    names = ("latent_size", "latent_channels", "text_width", "block_channels")
    names += ("attention_levels", "layers_per_block", "heads", "groups")
    network = new.new_unet(**{name: getattr(settings, name) for name in names})
    latent = torch.zeros(2, 4, settings.latent_size, settings.latent_size)
    text = torch.zeros(2, settings.max_length, settings.text_width)

    def call():
        return network(latent, torch.zeros(2), encoder_hidden_states=text).sample.square()

    stated = memory.u_net(settings)
    assert stated.parameters == network.num_parameters()
    assert stated.kept == pytest.approx(kept(network, call) / 2, rel=0.08)


def test_stable_diffusion_s_u_net_has_its_parameters():
    """As its authors count them, 859.5 million."""
    sizes = {"latent_size": 64, "latent_channels": 4, "text_width": 768, "layers_per_block": 2}
    levels = {"block_channels": (320, 640, 1280, 1280), "attention_levels": (0, 1, 2)}
    assert memory.u_net(SimpleNamespace(**sizes, **levels)).parameters == 859_520_964


@pytest.mark.parametrize("side", [16, 32])
def test_an_autoencoder_is_counted_about_as_it_is(side):
    settings = train_autoencoder.Settings(image_size=side)
    network = train_autoencoder.build(settings).train()
    image, noise = torch.zeros(2, 3, side, side), torch.zeros(2, 4, side // 2, side // 2)

    def call():
        return network(image, noise)[0].square()

    stated = memory.autoencoder(settings, side)
    numbers = sum(tensor.numel() for tensor in network.parameters())
    assert stated.parameters == pytest.approx(numbers, rel=0.3)
    assert stated.kept == pytest.approx(kept(network, call) / 2, rel=0.3)


@pytest.mark.parametrize(
    ("network", "side"),
    [*((network, 32) for network in train_classifier.NETWORKS), ("small", 8), ("resnet18", 64)],
)
def test_a_classifier_is_counted_as_it_is(network, side):
    settings = replace(CLASSIFIER, network=network, image_size=side)
    shape = classifiers.Shape(network=network, classes=10, image_size=side, channels=3)
    # VGG-16 draws its weights, which takes a second; its layers are torchvision's.
    built = classifiers.build(shape).to("meta")
    image = torch.zeros(2, 3, side, side, device="meta")
    stated = memory.classifier(trained(settings))
    numbers = sum(tensor.numel() for tensor in built.parameters())
    assert stated.parameters == pytest.approx(numbers, rel=0.002)
    assert stated.kept == pytest.approx(kept(built, lambda: built(image)) / 2, rel=0.03)


def test_data_parallel_workers_share_the_activations_and_not_the_weights():
    step, weights = trained(PAPER), 4 * memory.u_net(PAPER).parameters
    one, two, four = (memory.expected(step, workers) for workers in (1, 2, 4))
    batch = one - 5 * weights
    assert two == pytest.approx(6 * weights + batch / 2)  # gradients once more, to be sent
    assert four == pytest.approx(6 * weights + batch / 4)
