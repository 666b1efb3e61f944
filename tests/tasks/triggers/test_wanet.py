"""WaNet's warp against torch and scipy, and by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.randomness import generator
from tasks.triggers.wanet import Wanet, enlarged

WARPS = [Wanet(), Wanet(grid_size=4, strength=0.5), Wanet(grid_size=4, strength=40, seed=7)]


def noise(side, channels, count=2):
    draws = np.random.default_rng(2)
    return draws.integers(0, 256, (count, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (32, 32), (9, 40), (512, 512)])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_the_grid_is_enlarged_as_torch_does_it(size, height, width):
    grid = np.random.default_rng(0).normal(size=(size, size))
    theirs = functional.interpolate(
        torch.from_numpy(grid)[None, None], (height, width), mode="bicubic", align_corners=True
    )
    np.testing.assert_allclose(enlarged(grid, height, width), theirs[0, 0], atol=1e-12)


@pytest.mark.parametrize("warp", WARPS, ids=["paper", "original", "strong"])
def test_it_is_the_authors_grid_sample_but_for_their_truncation(warp):
    """Their formula with torch, on the same numbers; they have width before height."""
    side = 32
    size = warp.grid_size or side
    drawn = generator(warp.seed, "warp").uniform(-1, 1, (2, size, size))
    drawn = torch.from_numpy(drawn / np.abs(drawn).mean())[None]
    moved = functional.interpolate(drawn, side, mode="bicubic", align_corners=True)[0]
    steps = torch.linspace(-1, 1, side, dtype=torch.float64)
    identity = torch.stack(torch.meshgrid(steps, steps, indexing="ij"))
    grid = (identity + warp.strength * moved / side).clamp(-1, 1)
    images = noise(side, 3)
    theirs = functional.grid_sample(
        torch.from_numpy(images.transpose(0, 3, 1, 2) / 255),
        torch.stack((grid[1], grid[0]), dim=-1)[None].expand(len(images), -1, -1, -1),
        align_corners=True,
    )
    theirs = 255 * theirs.permute(0, 2, 3, 1).numpy()
    # The field is kept as float32.
    assert np.abs(warp.stamp(images) - theirs).max() <= 0.5 + 1e-3
    truncated = (theirs + 1e-6).astype(np.uint8)
    assert 0.2 < (truncated != warp.stamp(images)).mean() < 0.8


def test_levels_are_rounded_halves_up():
    """Columns 0 and 1 in turn, half a pixel to the right: 0.5 everywhere but at the border."""

    class Half(Wanet):
        def field(self, height, width):
            return np.broadcast_to(np.float32([0, 0.5]), (height, width, 2))

    image = np.tile(np.array([[10, 11]], dtype=np.uint8), (4, 2))[None, ..., None]
    assert Half().stamp(image)[0, ..., 0].tolist() == [[11, 11, 11, 11]] * 4
    image[0, :, 1::2] = 12
    assert Half().stamp(image)[0, ..., 0].tolist() == [[11, 11, 11, 12]] * 4


def test_a_seed_is_a_grid_and_a_fresh_warp_differs_in_its_seed_alone():
    first, again = (Wanet(grid_size=4, strength=0.5, seed=3) for _ in range(2))
    fresh = first.fresh()
    assert fresh == Wanet(grid_size=4, strength=0.5, seed=fresh.seed)
    np.testing.assert_array_equal(first.field(32, 32), again.field(32, 32))
    assert (first.field(32, 32) != fresh.field(32, 32)).mean() > 0.9


class TestRefusing:
    @pytest.mark.parametrize("strength", [0, float("nan"), float("inf")])
    def test_a_strength_that_moves_nothing_or_leads_nowhere(self, strength):
        with pytest.raises(ValueError, match="strength above 0 that is finite"):
            Wanet(strength=strength)

    @pytest.mark.parametrize("shape", [(8, 8), (8, 40), (40, 8)])
    def test_a_grid_larger_than_the_image(self, shape):
        with pytest.raises(ValueError, match=r"grid_size of at most 8, .* got 9"):
            Wanet(grid_size=9).stamp(np.zeros((1, *shape, 1), dtype=np.uint8))
