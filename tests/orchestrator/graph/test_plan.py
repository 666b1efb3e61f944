"""What a plan says is what a run does."""

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.local import run_in_process
from orchestrator.graph import plan
from orchestrator.step import ancestors
from orchestrator.store.store import RECORD, Store
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import TINY

QUICK = ("poison", "mark", "judge_accuracy", "sample", "dissect", "generations_row")
"""Tasks that are made again in a fraction of a second."""

CELL = {"poison_ratio": 0.1, "guidance_weight": 1.0, "sampler": "ddim", "seed": 0}


def targets(points):
    return [point.measure for point in points]


def graph(points):
    return list(ancestors(targets(points)))


def with_axes(**changes):
    return AMPLIFICATION.points(TINY, AMPLIFICATION.chosen(TINY).with_values(**changes))


def made_by_running(points, store):
    """Run as the command does, which first removes what was planned for being damaged."""
    for step in plan.make(points, store).to_run:
        store.discard(step)
    events = run_in_process(targets(points), store)
    return [event["path"] for event in events if event["kind"] == "done"]


def planned(points, store):
    return [step.path for step in plan.make(points, store).to_run]


def data_file(folder):
    return next(path for path in sorted(folder.iterdir()) if path.name != RECORD)


VISIBLE = (
    shutil.rmtree,
    lambda folder: (folder / RECORD).unlink(),
    lambda folder: (folder / RECORD).write_text("{"),
    lambda folder: data_file(folder).unlink(),
    lambda folder: os.truncate(data_file(folder), data_file(folder).stat().st_size // 2),
)
"""Harm that a plan sees."""


class TestAgainstRunning:
    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
        derandomize=True,
    )
    @given(data=st.data())
    def test_whatever_is_lost_what_the_plan_says_runs_is_what_runs(
        self, tiny_points, tiny_store, copied, contents, data
    ):
        store = copied(tiny_store)
        quick = [step for step in graph(tiny_points) if step.task in QUICK]
        harmed = data.draw(st.lists(st.sampled_from(quick), max_size=5, unique_by=lambda s: s.path))
        for step in harmed:
            data.draw(st.sampled_from(VISIBLE))(store.folder(step))
        said = planned(tiny_points, store)
        done = made_by_running(tiny_points, store)
        assert sorted(done) == sorted(said)
        assert planned(tiny_points, store) == []
        again = {step.digest for step in harmed if step.path in said}
        assert {step.digest for step in graph(tiny_points) if store.has(step)} >= again
        for step in harmed:
            if step.digest in again:
                assert contents(store, step) == contents(tiny_store, step)

    def test_an_altered_row_is_found_by_the_plan(self, tiny_points, tiny_store, copied):
        store = copied(tiny_store)
        row = tiny_points[0].measure
        path = store.folder(row) / "metrics.json"
        path.write_text(path.read_text().replace("0", "1"))
        [entry] = [entry for entry in plan.make(tiny_points, store).steps if entry.runs]
        assert entry.step.digest == row.digest
        assert entry.why == "metrics.json was altered after it was written"
        assert made_by_running(tiny_points, store) == [row.path]

    def test_what_lies_behind_a_finished_step_is_not_needed_again(
        self, tiny_points, tiny_store, copied
    ):
        store = copied(tiny_store)
        for step in graph(tiny_points):
            if step.task != "generations_row":
                store.discard(step)
        made = plan.make(tiny_points, store)
        assert not made.to_run
        assert not made.unfinished()
        assert {entry.why for entry in made.steps} == {"cached"}
        assert made.expected_seconds(2) == made.expected_bytes == 0
        assert made_by_running(tiny_points, store) == []


def trainings(point):
    return frozenset(step.digest for step in ancestors([point.measure]) if step.shape == "fit")


@given(order=st.randoms())
@settings(max_examples=20, deadline=None)
def test_every_distinct_training_comes_once_before_any_comes_twice(order):
    points = list(with_axes(seed=(0, 1), guidance_weight=(1.0, 2.0, 5.0)))
    order.shuffle(points)
    ordered = plan.trainings_first(points)
    assert sorted(point.name for point in ordered) == sorted(point.name for point in points)
    distinct = len({trainings(point) for point in points})
    assert len({trainings(point) for point in ordered[:distinct]}) == distinct
    turns = [
        [trainings(before) for before in ordered[:at]].count(trainings(point))
        for at, point in enumerate(ordered)
    ]
    assert turns == sorted(turns)


def test_one_core_takes_the_sum_and_many_the_longest_way(tmp_path, tiny_points):
    made = plan.make(tiny_points, Store(tmp_path))
    ways = {}
    for step in made.to_run:
        before = max((ways[source.digest] for source in step.sources), default=0.0)
        ways[step.digest] = before + step.settings.expected_seconds
    assert made.expected_seconds(10**6) == pytest.approx(max(ways.values()))
    assert min(step.settings.expected_seconds for step in made.to_run) > 0
    total = sum(step.settings.expected_seconds for step in made.to_run)
    assert made.expected_seconds(1) == pytest.approx(total)
    assert made.expected_seconds(2) <= total
