"""Where steps run: what they hold, and what no cluster can hold."""

import dataclasses
from bisect import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.run import memory
from orchestrator.run.nodes import summed
from orchestrator.run.placement import ACTOR_SECONDS, CORES_OF_A_GPU, GIB, Placement, refusal
from orchestrator.run.placement import PLAIN_PROCESS as PLAIN
from orchestrator.run.placement import TORCH_PROCESS as TORCH
from orchestrator.step import Step, ancestors
from tasks.detectors import Strip
from tasks.steps import attack, detect, prepare
from tasks.triggers import BadNets1
from tests.orchestrator.conducted import resources, study

STEPS = list(ancestors(study()))
FIT = next(step for step in STEPS if step.shape == "fit")
PER_BATCH = next(step for step in STEPS if step.shape == "per_batch")
WHOLE = next(step for step in STEPS if step.shape == "whole")
PREPARE = Step(prepare.Settings(detector=Strip()), {"classifier": FIT}, FIT.streams)
ATTACK = Step(
    attack.Settings(trigger=BadNets1(), target_class="8"),
    {"classifier": FIT, "dataset": FIT.streams["dataset"]},
)
DETECT = Step(
    detect.Settings(detector=Strip(), image_set="training"), {"prepared": PREPARE}, FIT.streams
)

ALL = [*STEPS, PREPARE, DETECT, ATTACK]

node = st.builds(resources, st.integers(1, 16), st.integers(0, 8), st.integers(1, 64))
placements = st.builds(
    lambda actors, workers, gpus: Placement(
        actors=actors, training_workers=workers, gpus_per_training=gpus * workers
    ),
    st.integers(1, 20),
    st.integers(1, 8),
    st.integers(0, 2),
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"actors": 0}, r"--actors must be at least 1, got 0\."),
        ({"gpus_per_actor": -1}, r"--gpus-per-actor must be at least 0, got -1\."),
        ({"checkpoint_seconds": float("nan")}, r"--checkpoint-seconds must be at least 0"),
        ({"gpus_per_training": 3, "training_workers": 2}, "cannot be split evenly over 2"),
    ],
)
def test_what_means_nothing_is_refused_by_the_name_of_its_flag(changes, said):
    with pytest.raises(ValueError, match=said):
        Placement(**changes)


class TestBundles:
    def test_each_shape_is_spread_by_its_own_count(self):
        for placement, counts in (
            (Placement(actors=3, training_workers=2), [2, 3, 1]),
            (Placement(), [1, 1, 1]),
        ):
            bundles = [placement.bundle(step, {"CPU": 8.0}) for step in (FIT, PER_BATCH, WHOLE)]
            assert [bundle.count for bundle in bundles] == counts
            assert {(bundle.cpus, bundle.gpus) for bundle in bundles} == {(1.0, 0.0)}
            spread = [placement.distributed(step) for step in (FIT, PER_BATCH, WHOLE)]
            assert spread == [count > 1 for count in counts]
        bundle = Placement(training_workers=64, gpus_per_training=64).bundle(FIT, {"CPU": 2.0})
        assert (bundle.count, bundle.cpus, bundle.gpus) == (64, 1.0, 1.0)  # a CPU for each GPU

    def test_what_computes_with_a_network_has_the_other_gpus(self):
        placement = Placement(gpus_per_actor=1)
        held = {step.task: placement.bundle(step, {"CPU": 8.0}).gpus for step in ALL}
        assert {task for task, gpus in held.items() if gpus} == {
            *("sample", "dissect", "detect", "prepare", "judge_accuracy", "attack")
        }
        assert not placement.distributed(PER_BATCH)
        split = Placement(training_workers=2, gpus_per_training=4)
        gpus = [split.bundle(step, {"CPU": 8.0}).gpus for step in (FIT, PER_BATCH, WHOLE)]
        assert gpus == [2, 0, 0]

    def test_a_process_with_torch_counts_for_more(self):
        held = {step.task: Placement().bundle(step, {"CPU": 1.0}).memory for step in ALL}
        for task in ("judge_accuracy", "attack", "sample", "dissect"):
            assert TORCH < held[task] < 1.2 * TORCH, task
        assert held["poison"] == held["generations_row"] == PLAIN
        images = 1437 * 8 * 8
        for step in (PREPARE, DETECT, FIT):
            assert held[step.task] == TORCH + images + memory.expected(step)


class TestRefusals:
    def test_more_gpus_than_any_node_has_are_refused_with_what_there_is(self):
        placement = Placement(gpus_per_training=4)
        nodes = [resources(8, 2, 32), {"CPU": 2.0, "memory": 1.0 * GIB}]
        said = refusal(FIT, placement.bundle(FIT, {"CPU": 10.0}), nodes)
        assert said == (
            f"{FIT.task} needs 1 process with 1 CPU, 4 GPUs and 0.9 GiB each; the largest of 2 "
            "nodes has 8 CPUs, 2 GPUs and 32.0 GiB, and together they have room for 0. What fits: "
            "--training-workers 2 --gpus-per-training 2."
        )

    def test_workers_that_cannot_share_a_batch_are_refused(self):
        nodes = [resources(64, 0, 64)]
        size = FIT.settings.batch_size
        said = refusal(FIT, Placement(training_workers=3).bundle(FIT, nodes[0]), nodes)
        assert size % 3
        assert f"batches of {size} images, which 3 workers cannot share equally" in said
        assert said.endswith("What fits: --training-workers 2 --gpus-per-training 0.")
        assert refusal(FIT, Placement(training_workers=4).bundle(FIT, nodes[0]), nodes) is None

    def test_a_training_that_no_node_holds_is_refused_with_what_would_fit(self):
        step = Step(HUGE, {}, FIT.streams)
        laptop = [resources(8, 0, 8)]
        said = refusal(step, Placement().bundle(step, laptop[0]), laptop)
        assert "needs 1 process with 1 CPU and 13.4 GiB each; the largest of 1 node has" in said
        assert "8.0 GiB, and together they have room for 0. Nothing smaller fits either" in said
        two = 2 * laptop
        said = refusal(step, Placement().bundle(step, two[0]), two)
        assert said.endswith("What fits: --training-workers 2 --gpus-per-training 0.")
        assert refusal(step, Placement(training_workers=2).bundle(step, summed(two)), two) is None
        gpu = [resources(8, 1, 8)]  # has the network in its own memory
        assert refusal(step, Placement().bundle(step, gpu[0]), gpu) is not None
        assert refusal(step, Placement(gpus_per_training=1).bundle(step, gpu[0]), gpu) is None

    @given(placements, st.lists(node, min_size=1, max_size=4), node)
    def test_what_is_not_refused_can_be_placed_on_these_nodes_and_on_more(
        self, placement, nodes, more
    ):
        whole = summed(nodes)
        for step in (FIT, PER_BATCH, WHOLE):
            bundle = placement.bundle(step, whole)
            if refusal(step, bundle, nodes) is None:
                assert all(need <= whole[name] + 1e-6 for name, need in bundle.total.items())
                assert placed(bundle, nodes) == bundle.count
                assert refusal(step, bundle, [*nodes, more]) is None

    @given(placements, st.lists(node, min_size=1, max_size=4))
    def test_what_is_said_to_fit_does(self, placement, nodes):
        for step in (FIT, PER_BATCH):
            said = refusal(step, placement.bundle(step, summed(nodes)), nodes)
            if said is None or "Nothing smaller" in said:
                continue
            words = said.rpartition(": ")[2].removesuffix(".").split()
            flags = zip(words[::2], words[1::2], strict=True)
            smaller = Placement(**{name[2:].replace("-", "_"): int(value) for name, value in flags})
            assert refusal(step, smaller.bundle(step, summed(nodes)), nodes) is None


HUGE = dataclasses.replace(FIT.settings, image_size=512, batch_size=64)
CPUS = [resources(2, 0, 16)]


def gpu_nodes(count):
    return [resources(8, 1, 64)] * count


def trainings(count, batch_size=128):
    settings = dataclasses.replace(FIT.settings, batch_size=batch_size)
    seeded = (dataclasses.replace(settings, seed=seed) for seed in range(count))
    return [Step(one, {}, FIT.streams) for one in seeded]


def fitted(steps, nodes, **flags):
    return Placement(**flags).fitted(steps, nodes, summed(nodes))


class TestFitting:
    @pytest.mark.parametrize(
        ("count", "batch_size", "gpus", "workers"),
        [(1, 128, 8, 8), (3, 128, 8, 2), (1, 128, 3, 2), (1, 125, 4, 1), (8, 128, 8, 1)],
        ids=["alone", "three share eight", "no even split", "odd batch", "as many"],
    )
    def test_gpus_that_no_training_has_yet_speed_those_up_that_there_are(
        self, count, batch_size, gpus, workers
    ):
        found = fitted(trainings(count, batch_size), gpu_nodes(gpus))
        assert (found.training_workers, found.gpus_per_training) == (workers, workers)

    def test_what_was_asked_for_stays_and_half_of_it_decides_the_other_half(self):
        steps = trainings(1)
        asked = {"actors": 3, "gpus_per_actor": 0, "training_workers": 2, "gpus_per_training": 4}
        assert vars(fitted(steps, gpu_nodes(8), **asked)).items() >= asked.items()
        assert fitted(steps, gpu_nodes(8), gpus_per_training=4).training_workers == 4
        assert fitted(steps, gpu_nodes(8), training_workers=2).gpus_per_training == 2
        assert fitted(steps, CPUS, training_workers=2).gpus_per_training == 0
        assert fitted(steps, gpu_nodes(8), gpus_per_training=0).training_workers == 1

    def test_a_long_sampling_is_spread_over_places_that_would_idle(self):
        many = [resources(16, 0, 64)]
        long, other = (sampling(10.5 * ACTOR_SECONDS, seed) for seed in (0, 1))
        assert processes(fitted([long], many), long) == 10
        assert processes(fitted([long, other], many), long) == 8  # sixteen CPUs for two
        assert processes(fitted([long], CPUS), long) == 2
        short = sampling(1.8 * ACTOR_SECONDS)
        assert processes(fitted([short, long], many), short) == 1
        # A GPU is given more work before there is another.
        enough = 1.1 * CORES_OF_A_GPU * ACTOR_SECONDS
        assert processes(fitted([sampling(enough)], gpu_nodes(4)), sampling(enough)) == 1
        long = sampling(3.2 * enough)
        assert processes(fitted([long], gpu_nodes(4)), long) == 3


def sampling(seconds, seed=0):
    """A sampling step of so many expected seconds, within two percent."""
    settings = dataclasses.replace(PER_BATCH.settings, seed=seed, batch_size=5, n=2000)

    def of(steps):
        return dataclasses.replace(settings, steps=steps)

    found = of(bisect(range(10**6), seconds, key=lambda steps: of(steps + 1).expected_seconds))
    assert found.expected_seconds == pytest.approx(seconds, rel=0.02)
    return Step(found, PER_BATCH.inputs)


def processes(placement, step):
    return placement.bundle(step, {"CPU": 64.0}).count


def placed(bundle, nodes):
    """Put processes on nodes one after the other, as a scheduler would."""
    rest = [dict(each) for each in nodes]
    one = {"CPU": bundle.cpus, "GPU": bundle.gpus, "memory": bundle.memory}
    count = 0
    for _ in range(bundle.count):
        for each in rest:
            if all(each[name] >= need - 1e-6 for name, need in one.items()):
                for name, need in one.items():
                    each[name] -= need
                count += 1
                break
    return count
