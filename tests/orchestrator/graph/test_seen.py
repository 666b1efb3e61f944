"""What steps took is remembered, and says how long a run still takes."""

from dataclasses import replace

import pytest

from orchestrator.graph import plan as planning
from orchestrator.graph.remaining import Remaining
from orchestrator.graph.seen import KEPT, Seen, spread
from orchestrator.run.placement import Placement
from orchestrator.step import ancestors
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import TINY

AXES = AMPLIFICATION.chosen(TINY).with_values(
    trigger=("badnets1",), poison_ratio=(0.1,), guidance_weight=(1.0,)
)


def points(**changes):
    return AMPLIFICATION.points(TINY, replace(AXES, **changes))


def step_of(task, made=None):
    steps = ancestors(point.measure for point in made or points())
    return next(step for step in steps if step.task == task)


def whole(made):
    return sum(planned.seconds for planned in made.steps)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


class TestSeen:
    def test_what_a_step_took_is_what_the_next_one_is_expected_to_take(self, store):
        seen = Seen(store)
        assert seen.cost(step_of("train_diffusion")) is None
        for task, seconds in [("train_diffusion", 50.0), ("generations_row", 0.3)]:
            seen.add(step_of(task), seconds)
        seen.keep()
        speed = planning.Pace(store)
        other = points(seed=(1,), poison_ratio=(0.05,))
        assert speed.cost(step_of("train_diffusion", other)) == pytest.approx((50, 50, 50))
        assert speed.seconds(step_of("generations_row", other)) == pytest.approx(0.3)

    def test_half_as_many_updates_take_half_as_long(self, store):
        seen = Seen(store)
        step = step_of("train_diffusion")
        seen.add(step, 50.0)
        half = replace(step, settings=replace(step.settings, steps=50))
        assert seen.cost(half).middle == pytest.approx(25)

    def test_another_network_is_another_kind(self, store):
        seen = Seen(store)
        step = step_of("train_diffusion")
        seen.add(step, 50.0)
        wider = replace(step, settings=replace(step.settings, block_channels=(16, 16)))
        assert seen.cost(wider) is None

    def test_the_range_is_what_was_seen_and_odd_steps_do_not_move_it(self):
        assert spread([3.0, 1.0, 2.0], 10) == (10, 20, 30)
        assert spread([4.0, 1.0, 3.0, 2.0], 1) == (2, 2.5, 3)
        assert spread([5.0, 6.0, 7.0, 5.5, 1e6, 6.5, 0.0], 1) == (5, 6, 7)

    def test_the_newest_are_kept(self, store):
        seen = Seen(store)
        for seconds in range(1, 3 * KEPT):
            seen.add(step_of("generations_row"), float(seconds))
        assert [len(taken) for taken in seen.known.values()] == [KEPT]
        assert seen.cost(step_of("generations_row")).middle == pytest.approx(
            3 * KEPT - 1 - (KEPT - 1) / 2
        )

    def test_without_any_a_run_may_take_twice_the_guess(self, store):
        plan = planning.make(points(), store)
        low, high = plan.expected_range(2)
        guess = plan.expected_seconds(2)
        around = planning.AROUND_SECONDS
        assert (low, high) == pytest.approx((around + guess, around + 2 * guess))


class TestRemaining:
    """One core, and trainings that are expected to take 10 s each."""

    @pytest.fixture
    def made(self, store):
        made = points(seed=(0, 1))
        seen = Seen(store)
        for step in ancestors(point.measure for point in made):
            seen.add(step, 10.0)
        seen.keep()
        return planning.make(made, store)

    def left(self, made, store, cores=1):
        return Remaining(made, planning.Pace(store), Placement(), cores)

    def event(self, kind, step, time, **facts):
        return {"kind": kind, "digest": step.digest, "path": step.path, "time": time, **facts}

    def test_at_first_it_is_the_sum_of_all(self, made, store):
        assert self.left(made, store).of_run(0.0) == pytest.approx(whole(made))

    def test_what_is_done_and_what_has_passed_is_taken_off(self, made, store):
        left = self.left(made, store)
        first, second = made.to_run[:2]
        left.hear(self.event("started", first, 100.0, total=None))
        assert left.of_run(104.0) == pytest.approx(whole(made) - 4)
        assert left.of_run(190.0) == pytest.approx(whole(made) - 10)
        left.hear(self.event("done", first, 110.0, seconds=10.0))
        left.hear(self.event("started", second, 110.0, total=None))
        assert left.of_run(110.0) == pytest.approx(whole(made) - 10)

    def test_a_step_s_own_progress_counts_more(self, made, store):
        left = self.left(made, store)
        step = next(step for step in made.to_run if step.task == "train_diffusion")
        left.hear(self.event("started", step, 0.0, total=100))
        left.hear(self.event("progress", step, 20.0, position=10, metrics={}))
        assert left.of_step(step.digest, 20.0) is None  # its start says nothing of its pace
        left.hear(self.event("progress", step, 40.0, position=20, metrics={}))
        assert left.of_step(step.digest, 40.0) == pytest.approx(160)  # 80 updates of 2 s
        assert left.of_step(step.digest, 50.0) == pytest.approx(150)
        assert left.of_run(40.0) == pytest.approx(whole(made) - 10 + 160)

    def test_steps_like_one_that_ended_are_expected_to_take_as_long(self, made, store):
        left = self.left(made, store)
        models = [step for step in made.to_run if step.task == "train_diffusion"]
        assert len(models) == 2
        for _ in range(30):
            left.pace.seen.add(models[0], 70.0)
        left.hear(self.event("started", models[0], 0.0, total=100))
        left.hear(self.event("done", models[0], 70.0, seconds=70.0))
        assert left.of_run(70.0) == pytest.approx(whole(made) - 2 * 10 + 70)

    def test_a_training_that_was_taken_up_says_nothing_of_a_whole_one(self, made, store):
        left = self.left(made, store)
        model = next(step for step in made.to_run if step.task == "train_diffusion")
        before = dict(left.pace.seen.known)
        left.hear(self.event("started", model, 0.0, total=100))
        left.hear(self.event("resumed", model, 1.0, position=90, again=0, total=100))
        left.hear(self.event("progress", model, 2.0, position=95, metrics={}))
        assert left.of_step(model.digest, 2.0) == pytest.approx(1)
        left.hear(self.event("done", model, 3.0, seconds=3.0))
        assert left.pace.seen.known == before

    def test_where_nobody_knows_how_much_runs_at_once_nothing_is_said(self, made, store):
        assert self.left(made, store, cores=None).of_run(0.0) is None
