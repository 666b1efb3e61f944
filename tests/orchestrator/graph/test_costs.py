"""What a plan costs on GPUs: operations counted on the real networks, and what is said of them."""

import io
import math
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.utils.flop_counter import FlopCounterMode

from models import classifiers, sampling
from models.ddpm import Ddpm, build_scheduler
from orchestrator.cli.printing import print_plan
from orchestrator.graph import costs, plan
from orchestrator.step import Step, ancestors
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION, DETECTION, DIFFUSION_CLASSIFIER
from orchestrator.studies.scales import CIFAR10, LAPTOP
from tasks import detectors
from tasks.detectors.detector import Masking
from tasks.steps import detect, prepare, train_diffusion

SIDES = (32, 64)


def counted(call):
    """Floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def steps_of(study, scale):
    return list(ancestors(point.measure for point in study.points(scale, study.axes(scale))))


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


PICTURES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1])


@pytest.fixture(scope="module")
def unet():
    with torch.device("meta"):
        return train_diffusion.build(CIFAR10.diffusion)


class TestNetworks:
    """On torch's meta device, which computes shapes and no numbers."""

    @pytest.mark.parametrize("side", SIDES)
    def test_the_unet_of_the_paper_is_counted_exactly(self, side, unet):
        with torch.device("meta"):
            given = torch.zeros(2, 3, side, side), torch.zeros(2, dtype=torch.long)
            labels = torch.zeros(2, dtype=torch.long)
            found = counted(lambda: unet(*given, class_labels=labels))
            whole = counted(lambda: unet(*given, class_labels=labels).sample.sum().backward())
        assert found / 2 == costs.U_NET.forward(side)
        assert whole == pytest.approx((1 + costs.BACKWARD) * found, rel=0.002)

    @pytest.mark.parametrize("side", SIDES)
    def test_the_classifier_is_counted_exactly(self, side):
        shape = classifiers.Shape(network="resnet18", classes=10, image_size=side, channels=3)
        with torch.device("meta"):
            network = classifiers.build(shape)
            images = torch.zeros(2, 3, side, side)
            found = counted(lambda: network(images))
            whole = counted(lambda: network(images).sum().backward())
        settings = replace(CIFAR10.classifier, image_size=side)
        step = Step(settings, {}, {"dataset": Step(CIFAR10.dataset)})
        trained = settings.batch_size * settings.steps
        assert costs.operations(step) == found / 2 * (1 + costs.BACKWARD) * trained
        assert whole == pytest.approx((1 + costs.BACKWARD) * found, rel=0.03)

    def test_grey_images_and_two_classes_are_within_a_percent(self):
        grey = replace(CIFAR10.diffusion, channels=1, classes=2)
        shape = classifiers.Shape(network="resnet18", classes=2, image_size=32, channels=1)
        with torch.device("meta"):
            network, judge = train_diffusion.build(grey), classifiers.build(shape)
            image, label = torch.zeros(1, 1, 32, 32), torch.zeros(1, dtype=torch.long)
            unet = counted(lambda: network(image, label, class_labels=label))
            resnet = counted(lambda: judge(image))
        assert costs.U_NET.forward(32) == pytest.approx(unet, rel=0.01)
        assert costs.RESNET18.forward(32) == pytest.approx(resnet, rel=0.01)


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
        drawn = counted(
            lambda: sampling.Ddim().sample(
                Ddpm(network, scheduler),
                noise,
                condition,
                step_noises=iter(()),
                steps=3,
                guidance_weight=weight,
                clip=False,
            )
        )
        assert drawn == pytest.approx(once * 2 * costs.evaluations(settings), rel=1e-9)

    @pytest.mark.parametrize(
        "detector",
        [
            detectors.CognitiveDistillation(steps=3),
            detectors.Strip(overlays=7),
            detectors.FeatureConsistency(draws=2, epochs=0),
        ],
        ids=lambda detector: detector.name,
    )
    def test_detecting_looks_at_an_image_as_often_as_the_detector_does(
        self, detector, classifier, forward
    ):
        state = detector.prepare(PICTURES, LABELS, classifier)

        def look():
            detector.suspicion(PICTURES, LABELS, np.arange(4), state)
            if isinstance(detector, Masking):
                masks = np.ones((4, 8, 8), np.float32)
                detect.answers_kept(state, PICTURES, masks, np.arange(4))

        # FCT multiplies a little to turn an image, too.
        assert counted(look) == pytest.approx(4 * forward * costs.looks(detector), rel=1e-3)

    def test_fine_tuning_is_counted_by_its_epochs(self, classifier, forward):
        detector = detectors.FeatureConsistency(epochs=2, batch_size=4)
        tuned = counted(lambda: detector.prepare(PICTURES, LABELS, classifier))
        data = {"dataset": Step(CIFAR10.dataset)}
        trained = Step(CIFAR10.classifier, {}, data)
        step = Step(prepare.Settings(detector=detector), {"classifier": trained}, data)
        passes = costs.operations(step) / (50_000 * costs.RESNET18.forward(32))
        # One more for the accuracy; no gradient reaches the image.
        assert passes - 1 == pytest.approx(tuned / (4 * forward), rel=0.05)

    def test_every_task_with_a_network_belongs_to_one_stage_and_no_other_does(self):
        staged = [task for tasks in costs.STAGES.values() for task in tasks]
        assert sorted(staged) == sorted(costs.COUNTED)
        studies = (DETECTION, AMPLIFICATION, DIFFUSION_CLASSIFIER)
        for step in [step for study in studies for step in steps_of(study, CIFAR10)]:
            reads_network = any(source.shape == "fit" for source in step.inputs.values())
            computes = step.shape != "whole" or reads_network
            assert (step.task in costs.COUNTED) == computes
            # Of the EDM's wider network there is no count: NaN.
            assert (costs.operations(step) != 0) == computes

    def test_stages_hold_every_operation_once(self):
        steps = steps_of(DETECTION, CIFAR10)
        stages = costs.by_stage(steps)
        whole = sum(costs.operations(step) for step in steps)
        assert costs.total(stages).operations == pytest.approx(whole)
        others = [name for name in costs.STAGES if name != "classifying"]
        assert [stage.name for stage in stages] == others
        assert not any(stage.unknown for stage in stages)

    def test_the_papers_pace_is_its_own_hours(self):
        model = next(
            step for step in steps_of(AMPLIFICATION, CIFAR10) if step.task == "train_diffusion"
        )
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


def printed(study, scale, store):
    points = study.points(scale, study.axes(scale))
    out = io.StringIO()
    print_plan(plan.make(points, store), "it", Console(file=out, width=120))
    return out.getvalue()


class TestPrinting:
    def test_a_plan_for_gpus_says_hours_by_stage_and_what_they_rest_on(self, tmp_path):
        said = printed(DETECTION, CIFAR10, Store(tmp_path))
        lines = {line.split("  ")[0]: line.split() for line in said.splitlines()}
        assert lines[""][-len(costs.GPUS) :] == list(costs.GPUS)
        for stage in costs.by_stage(steps_of(DETECTION, CIFAR10)):
            hours = [f"{stage.hours(gpu):,.1f}" for gpu in costs.GPUS]
            assert lines[stage.name][-len(hours) :] == hours
        assert "No GPU was measured" in said
        assert "4 A6000 for about 24 hours" in said
        assert "672 GPU-hours" in said  # 7 models of 96
        assert "60 other steps take a CPU core about" in said

    def test_a_plan_for_a_laptop_says_nothing_of_gpus(self, tmp_path):
        assert "GPU" not in printed(AMPLIFICATION, LAPTOP, Store(tmp_path))
        wider = replace(LAPTOP, diffusion=replace(LAPTOP.diffusion, block_channels=(32, 32)))
        assert not costs.for_gpus(steps_of(AMPLIFICATION, wider))

    @pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="it is timed on a GPU")
    def test_the_command_needs_neither_the_data_nor_torch_nor_a_clock(self, tmp_path):
        words = ["plan", "amplification", "--scale", "cifar10", "--data", str(tmp_path / "none")]
        code = (
            "import sys; from orchestrator.cli.commands import app\n"
            f"app({[*words, '--store', str(tmp_path / 'store')]!r}, standalone_mode=False)\n"
            "print('heavy:', {'torch', 'ray', 'mlflow', 'diffusers'} & set(sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "GPU-hours by stage" in done.stdout
        assert "heavy: set()" in done.stdout
        assert "timing" not in done.stdout
        assert not (tmp_path / "store").exists()
