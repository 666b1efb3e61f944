"""A budget of time as shorter trainings and fewer images."""

from dataclasses import replace

import pytest

from orchestrator.graph.budget import TooLittle, percent_within
from orchestrator.graph.costs import Costs
from orchestrator.graph.plan import AROUND_SECONDS, from_nothing
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import LAPTOP, TINY, shortened

CORES = 2


def points_at(percent):
    return AMPLIFICATION.points(shortened(LAPTOP, percent), AMPLIFICATION.chosen(LAPTOP))


def within(seconds, store):
    return percent_within(points_at, seconds, store, CORES)


def cost(store, percent):
    plan = from_nothing(points_at(percent), Costs(store).cost)
    return AROUND_SECONDS + plan.expected_seconds(CORES)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_share_shortens_trainings_and_images_down_to_a_least():
    for percent, steps, n, size in ((100, 1000, 500, 1437), (42, 420, 210, 603), (1, *[100] * 3)):
        shorter = shortened(LAPTOP, percent)
        assert (shorter.diffusion.steps, shorter.generations.n, shorter.others.n) == (steps, n, n)
        assert shorter.generation_set_size == size
        assert shorter.content_judge == LAPTOP.content_judge
    tiny = replace(TINY, generation_set_n=90)  # below the least already
    assert shortened(tiny, 1) == tiny


def test_the_study_fits_the_budget_and_stays_the_same_on_a_faster_day(store):
    seconds = (cost(store, 1) + cost(store, 100)) / 2
    percent = within(seconds, store)
    assert 20 < percent < 80
    assert cost(store, percent) <= seconds < cost(store, percent + 1)
    costs = Costs(store)
    for planned in from_nothing(points_at(100), costs.cost).steps:
        costs.add(planned.step, planned.seconds / 3)
    costs.keep()
    assert within(seconds, store) == percent
    assert within(seconds + 1, store) > percent


def test_too_little_says_what_the_least_is(store):
    with pytest.raises(TooLittle) as caught:
        within(5.0, store)
    assert caught.value.least == cost(store, 1)
    assert not (store.root / ".costs").exists()
