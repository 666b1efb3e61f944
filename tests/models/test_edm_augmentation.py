"""The moves of Table 6, and that a network at labels 0 is the plain one."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from models.edm_augmentation import (
    LABELS,
    Moves,
    draw,
    label,
    move,
    unlabel,
    with_labels,
)
from models.randomness import generator, torch_seeded
from tests.models.made import unet

SIDE = 8
IMAGES = np.random.default_rng(0).normal(size=(3, 2, SIDE, SIDE)).astype(np.float32)
STILL = Moves(**{field.name: np.zeros(3) for field in fields(Moves)})
ONE = np.ones(3)


def moved_by(images, moves):
    return move(torch.from_numpy(images.copy()), moves).numpy()


def moved(**changes):
    own = {name: value * ONE for name, value in changes.items()}
    return moved_by(IMAGES, replace(STILL, **own))


def test_an_image_that_nothing_is_done_to_is_as_it_was():
    np.testing.assert_array_equal(moved(), IMAGES)
    np.testing.assert_array_equal(moved(direction=1.3), IMAGES)  # stretched along it by nothing


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"mirrored": 1}, IMAGES[..., ::-1]),
        ({"upended": 1}, IMAGES[..., ::-1, :]),
        ({"mirrored": 1, "upended": 1}, IMAGES[..., ::-1, ::-1]),
        ({"turned": math.pi / 2}, np.rot90(IMAGES, axes=(2, 3))),
        ({"turned": -math.pi / 2}, np.rot90(IMAGES, -1, axes=(2, 3))),
        ({"turned": math.pi}, IMAGES[..., ::-1, ::-1]),
        ({"mirrored": 1, "turned": math.pi / 2}, np.rot90(IMAGES[..., ::-1], axes=(2, 3))),
    ],
    ids=["mirrored", "upended", "both", "left", "right", "around", "mirrored, then turned"],
)
def test_flips_and_quarter_turns_are_numpys(changes, expected):
    np.testing.assert_allclose(moved(**changes), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "axis"), [({"moved_x": 1}, 3), ({"moved_y": 1}, 2)], ids=["right", "down"]
)
def test_an_eighth_of_the_side_moves_in_reflected(changes, axis):
    padded = np.pad(IMAGES, [(0, 0)] * axis + [(1, 0)] + [(0, 0)] * (3 - axis), mode="symmetric")
    expected = padded.take(range(SIDE), axis=axis)
    np.testing.assert_allclose(moved(**changes), expected, atol=1e-5)


@pytest.mark.parametrize(("direction", "wide"), [(0.0, True), (math.pi / 2, False)])
def test_stretching_widens_along_its_direction_and_narrows_across(direction, wide):
    """2 ** (0.2 * 5) is 2: a pixel of the middle half becomes two; scaling does so both ways."""
    rows = np.arange(SIDE, dtype=np.float32)
    ramp = np.broadcast_to(rows if wide else rows[:, None], (3, 1, SIDE, SIDE))
    moves = replace(STILL, stretched=5 * ONE, direction=direction * ONE)
    expected = 3.5 + (ramp - 3.5) / 2
    for given in (moves, replace(STILL, scaled=5 * ONE)):
        np.testing.assert_allclose(moved_by(ramp, given), expected, atol=1e-5)
    across = np.broadcast_to(rows[:, None] if wide else rows, (3, 1, SIDE, SIDE))
    middle = slice(2, 6)  # twice as far from the middle, still within the image
    found = moved_by(across, moves)[:, :, middle, middle]
    np.testing.assert_allclose(found, 3.5 + 2 * (across[:, :, middle, middle] - 3.5), atol=1e-5)


def test_labels_tell_what_was_done():
    assert STILL.labels().tolist() == [[0.0] * LABELS] * 3
    values = (1, 0, 0.5, math.pi / 2, math.pi, 2, -0.3, 0.7)
    moves = Moves(*(value * ONE for value in values))
    expected = np.array([1, 0, 0.5, -1, 1, -2, 0, -0.3, 0.7])
    np.testing.assert_allclose(moves.labels(), np.tile(expected, (3, 1)), atol=1e-6)


def test_moves_come_as_often_as_asked_and_mirroring_half_the_time():
    count = 40_000
    moves = draw(generator(0, "test"), whole=count, own=slice(0, count), probability=0.12)
    # A share of 40,000 is known to 0.25 % at 1/2 and to 0.16 % at 0.12.
    assert abs(moves.mirrored.mean() - 0.5) < 5 * 0.0025
    assert abs(moves.upended.mean() - 0.06) < 5 * 0.0012
    for values in (moves.scaled, moves.turned, moves.stretched, moves.moved_x, moves.moved_y):
        assert abs((values != 0).mean() - 0.12) < 5 * 0.0016
    np.testing.assert_array_equal(moves.moved_x != 0, moves.moved_y != 0)
    # 4,800 normal draws: a variance is known to 2 %.
    for values in (moves.scaled, moves.stretched, moves.moved_x, moves.moved_y):
        assert values[values != 0].var() == pytest.approx(1, abs=5 * 0.0205)
    assert np.abs(moves.turned).max() == pytest.approx(math.pi, rel=0.01)


def test_the_workers_together_draw_what_one_draws():
    def drawn(own):
        return draw(generator(0, "test"), whole=12, own=own, probability=0.5).labels()

    whole = drawn(slice(0, 12))
    parts = [drawn(slice(first, first + 4)) for first in (0, 4, 8)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@torch.no_grad()
def test_a_network_at_labels_zero_is_the_plain_one():
    network = unet(channels=1)
    names = set(network.state_dict())
    with torch_seeded(0, "test"):
        label(network)

    def output(condition):
        return network(torch.ones(3, 1, 8, 8), torch.tensor(0.3), class_labels=condition).sample

    classes = np.array([4, 0, 2])
    found = output(torch.from_numpy(with_labels(classes, STILL)))
    turned = output(torch.from_numpy(with_labels(classes, replace(STILL, turned=ONE))))
    torch.testing.assert_close(output(torch.from_numpy(classes)), found, rtol=0, atol=0)
    assert not torch.allclose(turned, found)
    unlabel(network)
    torch.testing.assert_close(output(torch.from_numpy(classes)), found, rtol=0, atol=0)
    assert set(network.state_dict()) == names
