import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.guidance import guided

NULL = 10
X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
CONDITION = torch.tensor([0, 3, 8, 9])
WEIGHTS = st.floats(0, 50)


class Affine:
    """Predicts x times the condition plus t, and remembers how many images it was asked about."""

    def __init__(self):
        self.batches = []

    def __call__(self, x_t, t, condition):
        self.batches.append(len(x_t))
        return x_t * condition[:, None, None, None] + t


def guide(predict, weight):
    t = torch.tensor(7)
    return guided(predict, X, t, CONDITION, null_condition=NULL, weight=weight)


@given(WEIGHTS)
def test_guidance_extrapolates_and_the_authors_convention_is_one_less(weight):
    unconditional = X * NULL + 7
    conditional = X * CONDITION[:, None, None, None] + 7
    found = guide(Affine(), weight)
    expected = unconditional + weight * (conditional - unconditional)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)
    theirs = weight - 1  # what their DDPM code calls it
    expected = (1 + theirs) * conditional - theirs * unconditional
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("weight", "batches"), [(1, [4]), (0.0, [8]), (2.0, [8])])
def test_one_forward_pass_that_skips_the_unconditional_half_if_it_can(weight, batches):
    model = Affine()
    guide(model, weight)
    assert model.batches == batches


def guide_image(denoise, weight, null_condition=NULL):
    sigma = torch.tensor([0.1, 1.0, 2.0, 30.0])
    return guided(denoise, X, sigma, CONDITION, null_condition=null_condition, weight=weight)


class Denoiser(Affine):
    """x minus sigma times the noise, which is the condition."""

    def __call__(self, x, sigma, condition):
        self.batches.append(len(x))
        return x - (sigma * condition)[:, None, None, None]


@given(WEIGHTS)
def test_guiding_the_image_is_guiding_the_noise(weight):
    noise = NULL + weight * (CONDITION - NULL)
    expected = X - (torch.tensor([0.1, 1.0, 2.0, 30.0]) * noise)[:, None, None, None]
    found = guide_image(Denoiser(), weight)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_guidance_without_a_null_condition_is_refused(weight):
    with pytest.raises(ValueError, match=f"weight of 1, got {weight:g}: .* null_probability above"):
        guide_image(Denoiser(), weight, null_condition=None)
    expected = guide_image(Denoiser(), 1.0)
    torch.testing.assert_close(guide_image(Denoiser(), 1.0, None), expected, rtol=0, atol=0)
