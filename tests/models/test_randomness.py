import ast
from functools import cache
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st

from models.randomness import generator, torch_seeded

ROOT = Path(__file__).parents[2]

SEEDS = st.integers(0, 2**40)


def draw(*stream):
    return tuple(generator(*stream).integers(0, 2**63, 4))


def test_streams_of_other_seeds_purposes_and_positions_differ():
    streams = {
        draw(seed, purpose, *position)
        for seed in range(5)
        for purpose in ("noise", "time step")
        for position in ((), (0,), (1,), (0, 1), (1, 0), (10,))
    }
    assert len(streams) == 5 * 2 * 6


def test_torch_draws_repeat_and_leave_the_global_state_alone():
    torch.manual_seed(1)
    untouched = torch.randn(3)
    torch.manual_seed(1)
    with torch_seeded(0, "initialization"):
        first = torch.randn(3)
    np.testing.assert_array_equal(torch.randn(3), untouched)
    with torch_seeded(0, "initialization"):
        np.testing.assert_array_equal(torch.randn(3), first)
    with torch_seeded(1, "initialization"):
        assert (torch.randn(3) != first).all()


SOURCES = sorted(
    path
    for package in ("orchestrator", "tasks", "models", "analysis")
    for path in (ROOT / package).rglob("*.py")
)
MAKERS = {
    *("default_rng", "RandomState", "SeedSequence", "Philox", "PCG64", "MT19937", "SFC64"),
    *("manual_seed", "manual_seed_all", "fork_rng", "set_seed", "seed_all", "initial_seed"),
}
"""What makes or seeds a generator, in numpy, torch, accelerate and diffusers."""


@cache
def calls():
    return [
        (path, node, ast.unparse(node.func))
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]


def purposes():
    for path, node, name in calls():
        if name.rpartition(".")[2] in ("generator", "torch_seeded"):
            yield f"{path.relative_to(ROOT)}:{node.lineno}", node.args[1]


def test_no_other_file_makes_a_generator():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        for path, node, name in calls()
        if path != ROOT / "models/randomness.py"
        and (
            name.rpartition(".")[2] in MAKERS
            or name in ("torch.Generator", "np.random.Generator", "random.Random")
            or name.startswith("random.")
        )
    ]
    assert not found


def test_every_purpose_is_a_text_of_one_place_alone():
    said = {}
    for place, purpose in purposes():
        assert isinstance(purpose, ast.Constant), f"{place}: a purpose is written where it is used"
        assert said.setdefault(purpose.value, place) == place, f"{place}: {purpose.value!r} again"
    assert {"poisoning", "order of images", "marking", "initial noise", "noise"} <= set(said)
