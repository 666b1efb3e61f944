"""Where steps run: what they hold, and what no cluster can hold."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.placement import GIB, TORCH_PROCESS, Bundle, Placement, refusal
from orchestrator.step import Step, ancestors
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import TINY
from tasks import detect, prepare
from tasks.detectors import Strip

STEPS = list(ancestors(point.measure for point in AMPLIFICATION.points(TINY, TINY.axes)))
FIT = next(step for step in STEPS if step.shape == "fit")
PER_BATCH = next(step for step in STEPS if step.shape == "per_batch")
WHOLE = next(step for step in STEPS if step.shape == "whole")
PREPARE = Step(prepare.Settings(detector=Strip()), {"classifier": FIT}, FIT.streams)
DETECT = Step(
    detect.Settings(detector=Strip(), image_set="training"), {"prepared": PREPARE}, FIT.streams
)

node = st.fixed_dictionaries(
    {
        "CPU": st.integers(1, 16).map(float),
        "GPU": st.integers(0, 8).map(float),
        "memory": st.integers(1, 64).map(lambda count: float(count * GIB)),
    }
)
placements = st.builds(
    lambda actors, workers, gpus: Placement(
        actors=actors, training_workers=workers, gpus_per_training=gpus * workers
    ),
    st.integers(1, 20),
    st.integers(1, 8),
    st.integers(0, 2),
)


class TestCounts:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"actors": 0}, r"--actors must be at least 1, got 0\."),
            ({"training_workers": -2}, r"--training-workers must be at least 1, got -2\."),
            ({"gpus_per_training": -1}, r"--gpus-per-training must be at least 0, got -1\."),
            ({"checkpoint_seconds": float("nan")}, r"--checkpoint-seconds must be at least 0"),
            ({"gpus_per_training": 3, "training_workers": 2}, "cannot be split evenly over 2"),
        ],
    )
    def test_what_means_nothing_is_refused_by_the_name_of_its_flag(self, changes, said):
        with pytest.raises(ValueError, match=said):
            Placement(**changes)


class TestBundles:
    def test_one_of_anything_holds_one_cpu(self):
        for step in (FIT, PER_BATCH, WHOLE):
            bundle = Placement().bundle(step, {"CPU": 2.0})
            assert (bundle.count, bundle.cpus, bundle.gpus) == (1, 1.0, 0.0)
            assert not Placement().distributed(step)

    def test_each_shape_is_spread_by_its_own_count(self):
        placement = Placement(actors=3, training_workers=2)
        counts = [placement.bundle(step, {"CPU": 8.0}).count for step in (FIT, PER_BATCH, WHOLE)]
        assert counts == [2, 3, 1]
        spread = [placement.distributed(step) for step in (FIT, PER_BATCH, WHOLE)]
        assert spread == [True, True, False]

    def test_more_processes_than_cpus_share_them(self):
        bundle = Placement(actors=3).bundle(PER_BATCH, {"CPU": 2.0})
        assert (bundle.count, bundle.cpus) == (3, 0.666)
        assert bundle.total["CPU"] <= 2

    def test_gpus_are_split_over_a_training_s_workers_and_are_nobody_else_s(self):
        placement = Placement(training_workers=2, gpus_per_training=4)
        assert placement.bundle(FIT, {"CPU": 8.0}).gpus == 2
        assert placement.bundle(PER_BATCH, {"CPU": 8.0}).gpus == 0
        assert placement.bundle(WHOLE, {"CPU": 8.0}).gpus == 0
        assert Placement(gpus_per_training=1).distributed(FIT)

    def test_what_reads_a_training_set_may_hold_torch_and_all_of_its_images(self):
        images = 1437 * 8 * 8
        for step in (PREPARE, DETECT, FIT):
            bundle = Placement(actors=2).bundle(step, {"CPU": 8.0})
            assert bundle.memory == TORCH_PROCESS + images
        bundle = Placement(actors=2).bundle(DETECT, {"CPU": 8.0})
        assert (bundle.count, bundle.total["memory"]) == (2, 2 * (TORCH_PROCESS + images))
        assert Placement(actors=2).distributed(DETECT)
        assert not Placement(actors=2, training_workers=2, gpus_per_training=2).distributed(PREPARE)

    @given(placements, st.integers(1, 32).map(float))
    def test_no_step_needs_more_cpus_than_there_are(self, placement, cpus):
        for step in (FIT, PER_BATCH, WHOLE):
            bundle = placement.bundle(step, {"CPU": cpus})
            assert bundle.total["CPU"] <= cpus + 1e-9
            assert bundle.total == {
                "CPU": bundle.count * bundle.cpus,
                "GPU": bundle.count * bundle.gpus,
                "memory": bundle.count * bundle.memory,
            }


def summed(nodes):
    return {name: sum(each[name] for each in nodes) for name in ("CPU", "GPU", "memory")}


class TestRefusals:
    def test_more_gpus_than_any_node_has_are_refused_with_what_there_is(self):
        placement = Placement(gpus_per_training=4)
        nodes = [{"CPU": 8.0, "GPU": 2.0, "memory": 32.0 * GIB}, {"CPU": 2.0, "memory": 1.0 * GIB}]
        said = refusal(FIT, placement.bundle(FIT, summed_loosely(nodes)), nodes)
        assert said == (
            f"{FIT.task} needs 1 process(es) of 1 CPU, 4 GPU, 1.0 GiB; the largest of 2 node(s) "
            "has 8 CPU, 2 GPU and 32.0 GiB, which holds 0. Lower --gpus-per-training, "
            "--training-workers or --actors, or use a larger cluster."
        )

    def test_workers_may_lie_on_several_nodes(self):
        nodes = [{"CPU": 4.0, "GPU": 2.0, "memory": 8.0 * GIB}] * 2
        four = Placement(training_workers=4, gpus_per_training=4).bundle(FIT, {"CPU": 8.0})
        assert refusal(FIT, four, nodes) is None
        assert refusal(FIT, four, nodes[:1]) is not None

    def test_workers_that_cannot_share_a_batch_are_refused(self):
        nodes = [{"CPU": 64.0, "memory": 64.0 * GIB}]
        size = FIT.settings.batch_size
        said = refusal(FIT, Placement(training_workers=3).bundle(FIT, nodes[0]), nodes)
        assert size % 3
        assert f"batches of {size} images, which 3 workers cannot share equally" in said
        assert refusal(FIT, Placement(training_workers=4).bundle(FIT, nodes[0]), nodes) is None

    def test_memory_counts_too(self):
        nodes = [{"CPU": 64.0, "memory": 2.5 * GIB}]
        assert refusal(PER_BATCH, Placement(actors=2).bundle(PER_BATCH, nodes[0]), nodes) is None
        said = refusal(PER_BATCH, Placement(actors=3).bundle(PER_BATCH, nodes[0]), nodes)
        assert "needs 3 process(es) of 1 CPU, 1.0 GiB" in said
        assert "which holds 2" in said

    @given(placements, st.lists(node, min_size=1, max_size=4))
    def test_what_is_not_refused_can_be_placed_and_is_admitted(self, placement, nodes):
        whole = summed(nodes)
        for step in (FIT, PER_BATCH, WHOLE):
            bundle = placement.bundle(step, whole)
            if refusal(step, bundle, nodes) is not None:
                continue
            assert all(need <= whole[name] + 1e-6 for name, need in bundle.total.items())
            assert placed(bundle, nodes) == bundle.count

    @given(placements, st.lists(node, min_size=1, max_size=4), node)
    def test_a_larger_cluster_refuses_no_more(self, placement, nodes, more):
        for step in (FIT, PER_BATCH, WHOLE):
            bundle = placement.bundle(step, summed(nodes))
            if refusal(step, bundle, nodes) is None:
                assert refusal(step, bundle, [*nodes, more]) is None

    def test_there_is_a_refusal_when_there_is_no_node(self):
        assert "of 0 node(s)" in refusal(WHOLE, Placement().bundle(WHOLE, {}), [])


def summed_loosely(nodes):
    return {"CPU": sum(each["CPU"] for each in nodes)}


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


def test_a_bundle_is_plain_data():
    assert [item.name for item in dataclasses.fields(Bundle)] == ["count", "cpus", "gpus", "memory"]
