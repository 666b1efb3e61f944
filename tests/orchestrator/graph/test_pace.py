"""What a plan takes at the pace of timed steps."""

import io
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from orchestrator.cli.printing import print_pace
from orchestrator.graph import costs, pace, plan
from orchestrator.step import ancestors
from orchestrator.store.store import Store
from orchestrator.studies import STUDIES
from orchestrator.studies.scales import CIFAR10, TINY

AMPLIFICATION = next(study for study in STUDIES if study.name == "amplification")


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now


CLOCK = Clock()


@dataclass(frozen=True)
class Settings:
    """Of a training whose first steps take 10 s, and others 2 s."""

    steps: int = 100
    batch_size: int = 4
    image_size: int = 8
    channels: int = 1
    classes: int = 3


def fit(settings, *, out, batches, report, resume):
    for done, batch in enumerate(batches(0, settings.steps)):
        assert batch["image"].shape == (4, 8, 8, 1)
        CLOCK.now += 10.0 if done < pace.WARM else 2.0
    raise AssertionError("it is stopped before its end")


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize("seconds", [0.5, 5.0])
def test_a_step_is_timed_once_it_is_warm(monkeypatch, steps, seconds):
    monkeypatch.setattr(pace, "time", CLOCK)
    assert pace.step_seconds(Settings(steps), seconds) == 2.0


def steps_of(scale):
    points = AMPLIFICATION.points(scale, AMPLIFICATION.chosen(scale))
    return list(ancestors(point.measure for point in points))


def test_every_network_of_a_run_is_timed_and_its_steps_share_the_rate(monkeypatch):
    asked = []
    monkeypatch.setattr(pace, "step_seconds", lambda settings: asked.append(settings) or 0.5)
    steps = steps_of(TINY)
    found = pace.rates(steps)
    assert len(asked) == len(found) == 3  # diffusion model, content judge, trigger judge
    [model] = [settings for settings in asked if hasattr(settings, "block_channels")]
    trained = [step for step in steps if step.task == "train_diffusion"]
    [stage] = costs.by_stage(trained, found)
    assert stage.seconds == pytest.approx(0.5 * model.steps * len(trained))
    every = costs.total(costs.by_stage(steps, found))
    assert every.seconds == pytest.approx(
        sum(stage.seconds for stage in costs.by_stage(steps, found))
    )
    assert costs.total(costs.by_stage(steps)).seconds == 0


def test_a_plan_says_what_it_takes_here(tmp_path, monkeypatch):
    """The networks of the smallest scale, for a moment each."""
    really = pace.step_seconds
    monkeypatch.setattr(pace, "step_seconds", lambda settings: really(settings, 0.05))
    points = AMPLIFICATION.points(TINY, AMPLIFICATION.chosen(TINY))
    out = io.StringIO()
    made = plan.make(points, Store(tmp_path))
    print_pace(made, pace.rates(made.to_run), Console(file=out, width=120))
    lines = out.getvalue().splitlines()
    assert any(line.startswith("diffusion models") and line.endswith(" s") for line in lines)


def test_without_a_gpu_networks_for_gpus_are_not_guessed(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="expected a GPU that torch sees"):
        pace.rates(steps_of(CIFAR10))


def test_a_training_with_an_average_and_dropout_is_timed_without_writing_it():
    settings = replace(TINY.diffusion, steps=4, schedule="ramp", dropout=0.1)
    assert 0 < pace.step_seconds(settings, 0.05) < 10
