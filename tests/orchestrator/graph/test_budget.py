"""A budget of time as shorter trainings and fewer images."""

from dataclasses import replace

import pytest

from orchestrator.graph import budget, pace
from orchestrator.graph import plan as planning
from orchestrator.process import cores
from orchestrator.step import ancestors
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION, DETECTION
from orchestrator.studies.scales import LAPTOP, TINY

RATES = {"train_diffusion": 0.1, "sample": 0.001, "train_classifier": 0.0}
"""Seconds a unit of a made-up machine."""


def points_at(scale):
    return AMPLIFICATION.points(scale, AMPLIFICATION.chosen(LAPTOP))


def fitting(scale, seconds, store):
    return budget.fitting(AMPLIFICATION, scale, AMPLIFICATION.chosen(LAPTOP), seconds, store)


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    steps = ancestors(point.measure for point in points_at(LAPTOP))
    pace.Rates(made).keep({pace.key(step): RATES[step.task] for step in steps if pace.key(step)})
    return made


def cost(store, percent):
    plan = planning.from_nothing(points_at(budget.shortened(LAPTOP, percent)), planning.Pace(store))
    return planning.AROUND_SECONDS + plan.expected_seconds(cores())


def test_a_share_shortens_trainings_and_images_down_to_a_least():
    for percent, steps, n in [(100, 1000, 500), (42, 420, 210), (15, 150, 100), (1, 100, 100)]:
        shorter = budget.shortened(LAPTOP, percent)
        assert (shorter.diffusion.steps, shorter.generations.n, shorter.others.n) == (steps, n, n)
        assert shorter.content_judge == LAPTOP.content_judge
        assert shorter.classifier == LAPTOP.classifier


def test_a_share_shortens_a_generation_set_likewise():
    for percent, n in [(100, 1437), (42, 603), (1, 100)]:
        assert DETECTION.images_a_point(budget.shortened(LAPTOP, percent)) == n
    assert budget.shortened(LAPTOP, 100) == LAPTOP


def test_what_is_below_the_least_already_stays():
    tiny = replace(TINY, generation_set_n=90)
    assert budget.shortened(tiny, 1) == tiny


def test_the_study_fits_the_budget_and_one_percent_more_would_not(store):
    seconds = (cost(store, 1) + cost(store, 100)) / 2
    fitted = fitting(LAPTOP, seconds, store)
    percent = fitted.diffusion.steps // 10
    assert 20 < percent < 80
    assert cost(store, percent) <= seconds < cost(store, percent + 1)


def test_more_than_enough_changes_nothing(store):
    assert fitting(LAPTOP, 1e6, store) == LAPTOP


def test_too_little_says_what_the_least_is(store):
    said = r"^--budget 5\.0 s is too little: .* \(100 steps\) .* \(100 a point\) it takes about"
    with pytest.raises(ValueError, match=said) as caught:
        fitting(LAPTOP, 5.0, store)
    assert "Give more, or sweep less" in str(caught.value)


def test_the_same_budget_means_the_same_study_on_a_faster_day(store):
    seconds = (cost(store, 1) + cost(store, 100)) / 2
    before = fitting(LAPTOP, seconds, store)
    rates = pace.Rates(store)
    rates.keep({name: rate / 3 for name, rate in rates.known.items()})
    assert fitting(LAPTOP, seconds, store) == before
    assert fitting(LAPTOP, seconds + 1, store) != before


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"x": "40"}', '{"x": 400}'])
def test_an_answer_that_cannot_be_read_is_found_anew_with_a_line(store, capsys, content):
    before = fitting(LAPTOP, 1e6, store)
    path = store.root / ".pace" / "budgets.json"
    path.write_text(content)
    assert fitting(LAPTOP, 1e6, store) == before
    assert f"{path} cannot be read; it is made anew." in capsys.readouterr().err
    assert fitting(LAPTOP, 1e6, store) == before
    assert capsys.readouterr().err == ""
