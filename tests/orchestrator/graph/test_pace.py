"""What steps cost on this machine: from a measured step, where one was measured."""

import shutil
from dataclasses import replace

import pytest

from orchestrator.graph import pace
from orchestrator.graph import plan as planning
from orchestrator.step import ancestors
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION, DETECTION
from orchestrator.studies.amplification import points
from orchestrator.studies.scales import CIFAR10, TINY

AXES = AMPLIFICATION.chosen(TINY).with_values(trigger=("badnets1",), guidance_weight=(1.0, 2.0))


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


class TestDetecting:
    def steps(self, scale):
        return {
            (step.task, step.settings.detector.name): step
            for step in ancestors(point.measure for point in DETECTION.points(scale, AXES))
            if step.task in ("prepare", "detect")
        }

    def test_with_the_digits_classifier_it_costs_what_its_settings_say(self):
        for step in self.steps(TINY).values():
            assert pace.estimate(step) == pytest.approx(step.settings.expected_seconds)

    def test_with_another_classifier_as_many_times_more_as_its_updates_cost(self):
        large = replace(TINY.classifier, image_size=16)  # four times the pixels
        for name, step in self.steps(replace(TINY, classifier=large)).items():
            assert pace.estimate(step) == pytest.approx(4 * step.settings.expected_seconds), name

    def test_a_measured_update_counts_more_than_the_settings_guess(self):
        steps = self.steps(TINY)
        classifier = steps["prepare", "cd"].inputs["classifier"]
        rates = {pace.key(classifier): 3 * 1.2e-4 * classifier.settings.batch_size}
        for step in steps.values():
            expected = 3 * step.settings.expected_seconds
            assert pace.estimate(step, rates) == pytest.approx(expected)

    def test_other_steps_cost_what_their_settings_say(self):
        for step in steps_of():
            assert pace.estimate(step) == step.settings.expected_seconds

    def test_samples_of_a_network_that_is_known_cost_its_operations(self):
        costs = {
            step.task: pace.estimate(step)
            for step in ancestors(
                point.measure
                for point in AMPLIFICATION.points(CIFAR10, AMPLIFICATION.chosen(CIFAR10))
            )
        }
        # 1,000 images of 50 steps with guidance, each some 5 billion operations: hours of a core.
        assert 3600 < costs["sample"] < 10 * 3600
        assert 10 < costs["dissect"] < 120  # 1,000 images, two judges of a billion each

    def test_a_generation_set_is_measured_with_the_samples(self):
        drawn = [
            step
            for step in ancestors(point.measure for point in DETECTION.points(TINY, AXES))
            if step.task == "sample"
        ]
        assert {pace.key(step) for step in drawn} <= {pace.key(step) for step in steps_of()}
        assert {pace.units(step) for step in drawn} == {200 * 10, 200 * 10 * 2}


class TestRates:
    def test_a_kept_rate_is_there_for_the_next_command(self, tmp_path):
        store = Store(tmp_path)
        step = next(step for step in steps_of() if step.task == "train_diffusion")
        assert pace.Rates(store).seconds(step) is None
        pace.Rates(store).keep({pace.key(step): 0.25})
        assert pace.Rates(store).seconds(step) == pace.START_SECONDS + 0.25 * 100
        assert planning.Pace(store).seconds(step) == pace.START_SECONDS + 25

    @pytest.mark.parametrize("content", ["", "[]", "{", '{"a": null}', '{"a": NaN}', b"\xff"])
    @pytest.mark.parametrize("words", [(), ("seen",)], ids=["timed", "seen"])
    def test_a_file_that_cannot_be_read_is_made_anew_with_a_line(
        self, tmp_path, capsys, content, words
    ):
        """A full disk or a power cut leaves it empty."""
        store = Store(tmp_path)
        path = pace.place(store, *words)
        path.parent.mkdir()
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        new = planning.make(points(TINY, AXES), Store(tmp_path / "new"))
        assert planning.make(points(TINY, AXES), store).steps == new.steps
        [line] = capsys.readouterr().err.splitlines()
        assert line == f"castlewalls: {path} cannot be read; it is made anew."

    def test_a_file_that_cannot_be_written_is_no_reason_to_stop(self, tmp_path, capsys):
        (tmp_path / ".pace").write_text("in the way")
        pace.Rates(Store(tmp_path)).keep({"a": 1.0})
        assert "cannot keep" in capsys.readouterr().err

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

    @pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has a GPU")
    def test_without_a_gpu_what_is_meant_for_one_is_not_timed(self, tmp_path, said):
        targets = AMPLIFICATION.points(CIFAR10, AMPLIFICATION.chosen(CIFAR10))
        pace.measure((point.measure for point in targets), Store(tmp_path), said.append)
        assert said == []
        assert list(tmp_path.iterdir()) == []

    def test_what_cannot_be_timed_is_said_and_guessed(self, tmp_path, said):
        store = Store(tmp_path)
        wrong = replace(TINY.content_judge, channels=2**40)  # no memory holds such images
        step = next(step for step in steps_of() if step.task == "train_classifier")
        pace.measure([replace(step, settings=wrong)], store, said.append)
        assert "could not be timed" in said[1]
        assert pace.Rates(store).known == {}
