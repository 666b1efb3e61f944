"""How long a run still takes: one core, and steps that are expected to take 10 s each."""

import pytest

from orchestrator.graph import plan as planning
from orchestrator.graph.costs import Costs
from orchestrator.graph.remaining import Remaining
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import TINY

AXES = AMPLIFICATION.chosen(TINY).with_values(
    trigger=("badnets1",), poison_ratio=(0.1,), guidance_weight=(1.0,), seed=(0, 1)
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def made(store):
    points = AMPLIFICATION.points(TINY, AXES)
    costs = Costs(store)
    for planned in planning.make(points, store).steps:
        costs.add(planned.step, 10.0)
    costs.keep()
    return planning.make(points, store)


@pytest.fixture
def left(made, store):
    return Remaining(made, Costs(store), lambda _: False, 1)


@pytest.fixture
def model(made):
    return next(step for step in made.to_run if step.task == "train_diffusion")


def whole(made):
    return sum(planned.seconds for planned in made.steps)


def event(kind, step, time, **facts):
    return {"kind": kind, "digest": step.digest, "path": step.path, "time": time, **facts}


def test_what_is_done_and_what_has_passed_is_taken_off(made, left):
    assert left.of_run(0.0) == pytest.approx(whole(made))
    first, second = made.to_run[:2]
    left.hear(event("started", first, 100.0, total=None))
    assert left.of_run(104.0) == pytest.approx(whole(made) - 4)
    assert left.of_run(190.0) == pytest.approx(whole(made) - 10)
    left.hear(event("done", first, 110.0, seconds=10.0))
    left.hear(event("started", second, 110.0, total=None))
    assert left.of_run(110.0) == pytest.approx(whole(made) - 10)


def test_a_step_s_own_progress_counts_more(made, left, model):
    left.hear(event("started", model, 0.0, total=100))
    left.hear(event("progress", model, 20.0, position=10, metrics={}))
    assert left.running[model.digest].left(20.0) is None  # its start says nothing of its pace
    left.hear(event("progress", model, 40.0, position=20, metrics={}))
    assert left.running[model.digest].left(40.0) == pytest.approx(160)  # 80 updates of 2 s
    assert left.running[model.digest].left(50.0) == pytest.approx(150)
    assert left.of_run(40.0) == pytest.approx(whole(made) - 10 + 160)


def test_steps_like_one_that_ended_are_expected_to_take_as_long(made, left, model):
    for _ in range(30):
        left.costs.add(model, 70.0)
    left.hear(event("started", model, 0.0, total=100))
    left.hear(event("done", model, 70.0, seconds=70.0))
    assert left.of_run(70.0) == pytest.approx(whole(made) - 2 * 10 + 70)  # the other model


def test_a_training_that_continued_says_nothing_of_a_whole_one(left, model):
    before = dict(left.costs.known)
    left.hear(event("started", model, 0.0, total=100))
    left.hear(event("resumed", model, 1.0, position=90, again=0, total=100))
    left.hear(event("progress", model, 2.0, position=95, metrics={}))
    assert left.running[model.digest].left(2.0) == pytest.approx(1)
    left.hear(event("done", model, 3.0, seconds=3.0))
    assert left.costs.known == before


def test_neither_a_step_of_several_processes_nor_unknown_cores_say_anything(made, store, model):
    assert Remaining(made, Costs(store), lambda _: False, None).of_run(0.0) is None
    left = Remaining(made, Costs(store), lambda _: True, 1)
    before = dict(left.costs.known)
    left.hear(event("started", model, 0.0, total=100))
    left.hear(event("done", model, 70.0, seconds=70.0))
    assert left.costs.known == before
