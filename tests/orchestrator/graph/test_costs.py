"""What steps cost: operations counted on the real networks, measured seconds, GPU-hours."""

import io
import json
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from bench.operations import counts
from models import classifiers, sampling
from models.ddpm import Ddpm, build_scheduler
from orchestrator.cli.printing import print_plan
from orchestrator.graph import costs, operations, plan
from orchestrator.step import Step, ancestors
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION, DETECTION, DIFFUSION_CLASSIFIER
from orchestrator.studies.scales import CIFAR10, LAPTOP, TINY
from tasks import detectors
from tasks.data.images import to_table
from tasks.steps import detect, train_diffusion


def counted(call):
    """Floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def steps_of(study, scale):
    return list(ancestors(point.measure for point in study.points(scale, study.chosen(scale))))


def tiny_steps(scale=TINY, **changes):
    axes = {"trigger": ("badnets1",), "poison_ratio": (0.1,), **changes}
    points = AMPLIFICATION.points(scale, AMPLIFICATION.chosen(TINY).with_values(**axes))
    return list(ancestors(point.measure for point in points))


def tiny(task, **changes):
    return next(step for step in tiny_steps(**changes) if step.task == task)


@pytest.fixture
def classifier():
    """A small one: how often it looks at an image is the same for any."""
    shape = classifiers.Shape(network="small", classes=2, image_size=8, channels=3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = classifiers.build(shape)
    return classifiers.Classifier(network.eval(), shape, torch.device("cpu"))


@pytest.fixture
def forward(classifier):
    """Operations of one image's forward pass through it."""
    return counted(lambda: classifier.network(torch.zeros(1, 3, 8, 8)))


FEW = [
    *(detectors.CognitiveDistillation(steps=3), detectors.Strip(overlays=7)),
    detectors.FeatureConsistency(draws=2, epochs=0),
]
PICTURES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1])


@pytest.fixture(scope="module")
def unet():
    with torch.device("meta"):
        return train_diffusion.build(CIFAR10.diffusion)


class TestNetworks:
    """On torch's meta device, which computes shapes and no numbers."""

    @pytest.mark.parametrize("side", [32, 64])
    def test_the_unet_of_the_paper_is_counted_as_by_hand(self, side):
        """Its linear layers take 1,441,792; convolutions go with the pixels, attention with their
        square: of 64, 128, 128 and 128 channels at full, half, a quarter and an eighth of the side.
        """
        settings = replace(CIFAR10.diffusion, image_size=side)
        pixels = side**2
        by_hand = 1_441_792 + 3_173_120 * pixels + 1450.75 * pixels**2
        assert operations.forward(settings) == by_hand

    @pytest.mark.parametrize("side", [32, 64])
    def test_resnet18_is_counted_as_by_hand(self, side):
        """From 64 pixels on its stem strides twice."""
        a_pixel = 1_084_800 if side < 64 else 72_288
        settings = replace(CIFAR10.classifier, image_size=side)
        assert operations.forward(settings) == 10_240 + side**2 * a_pixel
        step = Step(settings, {}, {"dataset": Step(CIFAR10.dataset)})
        trained = settings.batch_size * settings.steps
        assert costs.operations(step) == operations.forward(settings) * 3 * trained

    def test_a_backward_pass_is_two_forward_passes(self, unet):
        with torch.device("meta"):
            given = torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.long)
            labels = torch.zeros(2, dtype=torch.long)
            once = counted(lambda: unet(*given, class_labels=labels))
            whole = counted(lambda: unet(*given, class_labels=labels).sample.sum().backward())
        assert whole == pytest.approx((1 + costs.BACKWARD) * once, rel=0.002)

    def test_what_comes_along_is_what_is_counted_of_every_scale(self):
        assert json.loads(operations.SHIPPED.read_text()) == counts()

    def test_another_network_is_counted_once_a_machine(self, monkeypatch):
        odd = replace(TINY.diffusion, image_size=24)
        operations.known.cache_clear()
        found = operations.forward(odd)
        assert found == operations.count(odd) > 0
        monkeypatch.setattr(operations, "count", None)
        operations.known.cache_clear()
        assert operations.forward(odd) == found


class TestSteps:
    @pytest.mark.parametrize("weight", [1.0, 6.0])
    def test_sampling_looks_at_an_image_as_often_as_the_sampler_does(self, weight):
        small = {"block_channels": (8, 8), "groups": 4, "attention_levels": ()}
        model = replace(CIFAR10.diffusion, **small)
        network = train_diffusion.build(model).eval()
        scheduler = build_scheduler(steps=model.diffusion_steps, betas=model.betas)
        noise, condition = torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.long)
        once = counted(lambda: network(noise, 0, class_labels=condition)) / 2
        settings = replace(CIFAR10.generations, n=2, steps=3, guidance_weight=weight)
        how = {"steps": 3, "guidance_weight": weight, "clip": False, "step_noises": iter(())}
        ddpm = Ddpm(network, scheduler)
        drawn = counted(lambda: sampling.Ddim().sample(ddpm, noise, condition, **how))
        assert drawn == pytest.approx(once * settings.n * settings.evaluations, rel=1e-9)

    @pytest.mark.parametrize("detector", FEW, ids=lambda detector: detector.name)
    def test_detecting_looks_at_an_image_as_often_as_the_detector_does(
        self, detector, classifier, forward
    ):
        state = detector.prepare(PICTURES, LABELS, classifier)
        rows = to_table(index=np.arange(4), label=LABELS, caption=[None] * 4, images=PICTURES)
        worker = SimpleNamespace(rows=rows, detector=detector, state=state, _check=lambda *_: None)
        found = counted(lambda: detect.Worker.__call__(worker, 0, 4))
        # FCT multiplies a little to turn an image, too.
        assert found == pytest.approx(4 * forward * costs.looks(detector), rel=1e-3)

    def test_every_task_with_a_network_belongs_to_one_stage_and_no_other_does(self):
        staged = [task for tasks in costs.STAGES.values() for task in tasks]
        assert sorted(staged) == sorted(costs.PASSES)
        studies = (DETECTION, AMPLIFICATION, DIFFUSION_CLASSIFIER)
        steps = [step for study in studies for step in steps_of(study, CIFAR10)]
        for step in steps:
            reads_network = any(source.shape == "fit" for source in step.inputs.values())
            computes = step.shape != "whole" or reads_network
            assert (costs.operations(step) > 0) == computes
        stages = costs.by_stage(steps)
        whole = sum(costs.operations(step) for step in steps)
        assert costs.total(stages).operations == pytest.approx(whole)
        assert costs.total(stages).unknown == 0
        model = next(step for step in steps if step.task == "train_diffusion")
        [stage] = costs.by_stage([model])
        assert stage.paper_hours == pytest.approx(4 * 24, rel=0.005)

    def test_a_detector_that_is_not_ours_is_not_counted_and_said(self):
        @dataclass(frozen=True, kw_only=True)
        class Other:
            name: ClassVar[str] = "other"

        step = next(step for step in steps_of(DETECTION, CIFAR10) if step.task == "detect")
        foreign = replace(step, settings=replace(step.settings, detector=Other()))
        assert math.isnan(costs.operations(foreign))
        [stage] = costs.by_stage([step, foreign])
        assert (stage.steps, stage.unknown) == (2, 1)
        assert stage.operations == costs.operations(step)


class TestSeconds:
    @pytest.fixture
    def known(self, tmp_path):
        return costs.Costs(Store(tmp_path))

    def test_what_a_step_took_is_what_the_next_command_expects(self, known, tmp_path):
        for task, seconds in [("train_diffusion", 50.0), ("generations_row", 0.3)]:
            known.add(tiny(task), seconds)
        known.keep()
        again = costs.Costs(Store(tmp_path))
        assert again.cost(tiny("train_diffusion", seed=(1,))) == pytest.approx((50, 50, 50))
        assert again.cost(tiny("generations_row", seed=(1,))) == pytest.approx((0.3, 0.3, 0.3))

    def test_a_shorter_training_takes_its_share_and_another_network_this_machine_s_pace(
        self, known
    ):
        step = tiny("train_diffusion")
        seconds = step.settings.expected_seconds
        assert known.cost(step) == (seconds, seconds, 2 * seconds)  # nothing was measured yet
        known.add(step, 3 * seconds)
        half = replace(step, settings=replace(step.settings, steps=50))
        assert known.cost(half).middle == pytest.approx(3 * half.settings.expected_seconds)
        wider = replace(step, settings=replace(step.settings, block_channels=(16, 16)))
        expected = 3 * wider.settings.expected_seconds
        assert known.cost(wider) == pytest.approx((expected, expected, 2 * expected))

    def test_the_range_is_what_was_seen_and_odd_steps_do_not_move_it(self):
        assert costs.spread([3.0, 1.0, 2.0]) == (1, 2, 3)
        assert costs.spread([4.0, 1.0, 3.0, 2.0]) == (2, 2.5, 3)
        assert costs.spread([5.0, 6.0, 7.0, 5.5, 1e6, 6.5, 0.0]) == (5, 6, 7)

    @pytest.mark.parametrize("content", [b"", b'{"a": null}', b'{"a": [NaN]}', b"\xff"])
    def test_a_file_that_cannot_be_read_is_made_anew_with_a_line(self, known, caplog, content):
        known.path.parent.mkdir()
        known.path.write_bytes(content)
        store = Store(known.path.parents[1])
        assert costs.Costs(store).known == costs.Costs(store).known == {}
        assert caplog.messages == [f"{known.path} cannot be read; it is made anew."]


def test_a_plan_for_gpus_says_hours_by_stage_and_what_they_rest_on(tmp_path):
    points = DETECTION.points(CIFAR10, DETECTION.chosen(CIFAR10))
    out = io.StringIO()
    print_plan(plan.make(points, Store(tmp_path)), "it", Console(file=out, width=120))
    lines = {line.split("  ")[0]: line.split() for line in out.getvalue().splitlines()}
    for stage in costs.by_stage(steps_of(DETECTION, CIFAR10)):
        hours = [f"{stage.hours(gpu):,.1f}" for gpu in costs.GPUS]
        assert lines[stage.name][-len(hours) :] == hours
    assert "an order of magnitude" in out.getvalue()
    assert "672 GPU-hours" in out.getvalue()  # 7 models of 96
    wider = replace(LAPTOP, diffusion=replace(LAPTOP.diffusion, block_channels=(32, 32)))
    assert not costs.for_gpus(steps_of(AMPLIFICATION, wider))
