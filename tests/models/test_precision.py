"""What bits networks compute in, and what does not change with them."""

import numpy as np
import pytest
import torch
from torch import nn

from models import precision
from tasks.data import images

CPU = torch.device("cpu")
CONV = nn.Conv2d(1, 8, 3, padding=1)
X = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32))
EVERY = np.resize(np.arange(256, dtype=np.uint8), (2, 8, 8, 3))
"""Images with every level."""


def computed(name):
    with precision.computing(name, CPU), torch.no_grad():
        return CONV(X)


def test_bf16_is_within_its_rounding_of_fp32_and_the_others_are_fp32_on_a_cpu():
    exact = CONV(X).detach()
    for name in ("fp32", "tf32"):
        torch.testing.assert_close(computed(name), exact, rtol=0, atol=0)
    found = computed("bf16")
    assert found.dtype == torch.bfloat16
    # Eight bits of each of nine products' two factors and of the sum: 3 x 2 ** -9 of their sizes.
    size = torch.conv2d(X.abs(), CONV.weight.abs(), CONV.bias.abs(), padding=1).detach()
    assert ((found.float() - exact).abs() <= 3 * 2.0**-9 * size).all()
    assert not torch.equal(found.float(), exact)


def test_what_was_set_before_is_set_again_afterwards():
    backend = torch.backends.cudnn.conv
    before = backend.fp32_precision
    with precision.computing("fp32", CPU):
        assert backend.fp32_precision == "ieee"
        with precision.computing("tf32", CPU):
            assert backend.fp32_precision == "tf32"
        assert backend.fp32_precision == "ieee"
    assert backend.fp32_precision == before


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision of fp32, tf32, bf16, got 'fp16'"):
        precision.refuse_unable("fp16", CPU)


def test_images_become_the_same_numbers_in_torch_as_in_numpy():
    found = precision.to_float(torch.from_numpy(EVERY))
    expected = images.to_float(EVERY)
    assert found.is_contiguous()
    np.testing.assert_array_equal(found.numpy(), expected)


def test_nothing_is_rearranged_or_compiled_on_a_cpu():
    network = nn.Sequential(nn.Conv2d(3, 8, 3))
    many = precision.COMPILED_FROM
    assert precision.arranged(network, CPU, precision="fp32", passes=many) is network
    assert network[0].weight.is_contiguous()
    assert network._compiled_call_impl is None


@pytest.mark.gpu
def test_a_gpu_gets_channels_last_and_a_compiled_network_with_the_same_names():
    gpu = torch.device("cuda")
    network = nn.Sequential(nn.Conv2d(3, 8, 3)).to(gpu)
    names = [*network.state_dict()]
    precision.arranged(network, gpu, precision="tf32", passes=precision.COMPILED_FROM)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert [*network.state_dict()] == names
    x = torch.ones(2, 3, 8, 8, device=gpu)
    torch.testing.assert_close(network(x), network[0](x))


@pytest.mark.gpu
def test_images_become_the_same_numbers_on_a_gpu():
    found = precision.to_float(precision.on_device(EVERY, torch.device("cuda")))
    assert found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(found.cpu().numpy(), images.to_float(EVERY))
