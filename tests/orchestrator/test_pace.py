"""What steps cost on this machine: from a measured step, where one was measured."""

from dataclasses import replace

import pytest

from orchestrator import pace
from orchestrator import plan as planning
from orchestrator.step import ancestors
from orchestrator.store import Store
from orchestrator.studies.amplification import points
from orchestrator.studies.scales import TINY

AXES = replace(TINY.axes, trigger=("badnets1",), guidance_weight=(1.0, 2.0))


def steps_of(scale=TINY, axes=AXES):
    return list(ancestors(point.measure for point in points(scale, axes)))


@pytest.fixture
def said():
    return []


class TestKeys:
    def test_how_much_is_computed_does_not_matter(self):
        longer = replace(TINY, diffusion=replace(TINY.diffusion, steps=777))
        names = {pace.key(step) for step in steps_of() + steps_of(longer)}
        # A diffusion model, two judges, and the samples of one shape; guidance is no other shape.
        assert len(names - {None}) == 4

    def test_what_is_computed_does(self):
        wider = replace(TINY, diffusion=replace(TINY.diffusion, block_channels=(16, 16)))
        ours, theirs = ({pace.key(step) for step in steps_of(scale)} for scale in (TINY, wider))
        assert len(theirs - ours) == 2  # the model, and sampling from it

    def test_units_are_training_steps_and_evaluated_images(self):
        by_task = {
            (step.task, step.settings.label): pace.units(step)
            for step in steps_of()
            if pace.key(step)
        }
        assert by_task["train_diffusion", "ddpm-8x16-100steps-seed0"] == 100
        assert by_task["sample", "class8-w1-ddim10-n60-seed0"] == 60 * 10
        assert by_task["sample", "class8-w2-ddim10-n60-seed0"] == 60 * 10 * 2


class TestRates:
    def test_a_kept_rate_is_there_for_the_next_command(self, tmp_path):
        store = Store(tmp_path)
        step = next(step for step in steps_of() if step.task == "train_diffusion")
        assert pace.Rates(store).seconds(step) is None
        pace.Rates(store).keep({pace.key(step): 0.25})
        assert pace.Rates(store).seconds(step) == pace.START_SECONDS + 0.25 * 100
        assert planning.Pace(store).seconds(step) == pace.START_SECONDS + 25

    @pytest.mark.slow
    def test_everything_is_timed_once_and_never_again(self, tmp_path, said):
        store = Store(tmp_path)
        pace.measure(steps_of(), store, said.append)
        assert said == ["timing a step of 4 kinds on this machine, once ..."]
        rates = pace.Rates(store)
        seconds = [rates.seconds(step) for step in steps_of() if pace.key(step)]
        assert len(seconds) >= 8
        assert all(pace.START_SECONDS < second < 600 for second in seconds)
        pace.measure(steps_of(), store, said.append)
        assert len(said) == 1

    def test_what_cannot_be_timed_is_said_and_guessed(self, tmp_path, said):
        store = Store(tmp_path)
        wrong = replace(TINY.content_judge, channels=2**40)  # no memory holds such images
        step = next(step for step in steps_of() if step.task == "train_classifier")
        pace.measure([replace(step, settings=wrong)], store, said.append)
        assert "could not be timed" in said[1]
        assert pace.Rates(store).known == {}
