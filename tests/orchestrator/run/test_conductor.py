"""Each step once, as soon as its sources are there and its whole need is free."""

import asyncio
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.local import run_in_process
from orchestrator.run.conductor import ATTEMPTS, REPAIRS, Conductor, StepFailed
from orchestrator.run.execute import Outcome
from orchestrator.run.placement import Placement
from orchestrator.step import Step, ancestors
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.store import Store
from tests.orchestrator.conducted import (
    DATASET,
    DONE,
    LASTING,
    MARK,
    PLENTY,
    TRAINING,
    TRANSIENT,
    Recorder,
    conduct,
    manifest,
    paths,
    resources,
    study,
)

graphs = st.builds(
    study,
    seeds=st.sets(st.integers(0, 3), min_size=1, max_size=2).map(tuple),
    ratios=st.sets(st.sampled_from([0.0, 0.05, 0.1]), min_size=1, max_size=2).map(tuple),
    weights=st.sets(st.sampled_from([1.0, 2.0]), min_size=1).map(tuple),
    triggers=st.sampled_from([("badnets1",), ("badnets1", "relabel_only")]),
)
placements = st.builds(
    Placement, actors=st.integers(1, 4), training_workers=st.sampled_from([1, 2, 4])
)
capacities = st.builds(resources, st.integers(4, 9), gib=st.integers(5, 12))
some_examples = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class TestAnyGraph:
    @some_examples
    @given(targets=graphs, placement=placements, capacity=capacities, turns=st.randoms())
    def test_runs_every_step_once_after_its_sources_and_within_the_capacity(
        self, tmp_path, targets, placement, capacity, turns
    ):
        recorder = Recorder(turns=lambda _: turns.randint(0, 5))
        _, ended = conduct(2 * targets, Store(tmp_path), recorder, placement, capacity)
        assert ended == 2 * len(targets) * [None]
        expected = sorted(step.digest for step in ancestors(targets))
        assert sorted(recorder.started) == expected
        assert sorted(recorder.finished) == expected
        assert all(recorder.peak[name] <= capacity[name] + 1e-6 for name in capacity)

    @some_examples
    @given(targets=graphs, turns=st.randoms(), data=st.data())
    def test_a_failed_step_fails_the_points_that_need_it_and_no_others(
        self, tmp_path, targets, turns, data
    ):
        broken = data.draw(st.sampled_from(list(ancestors(targets))))
        recorder = Recorder(lambda _: turns.randint(0, 5), {broken.digest: [LASTING]})
        _, ended = conduct(targets, Store(tmp_path), recorder)
        for target, failure in zip(targets, ended, strict=True):
            needs_it = broken.digest in {step.digest for step in ancestors([target])}
            assert isinstance(failure, StepFailed) == needs_it
            if needs_it:
                assert str(failure) == f"{broken.path}: a bad setting"
        assert recorder.started.count(broken.digest) == 1


class TestOrder:
    def test_of_those_that_wait_on_one_cpu_the_longest_way_to_the_end_is_first(self, tmp_path):
        recorder = Recorder(turns=lambda _: 20)
        conductor, _ = conduct(study(), Store(tmp_path), recorder, capacity=resources(1))
        assert recorder.peak["CPU"] == 1
        steps = [conductor.steps[digest] for digest in recorder.started]
        ways = [conductor.urgency[step.digest] for step in steps if step.task == "sample"]
        assert len(ways) == 6
        assert ways == sorted(ways, reverse=True)

    def test_a_step_that_waits_for_a_gpu_keeps_no_cpu_from_others(self, tmp_path):
        """One GPU, which trainings need one after the other; everything else runs meanwhile."""
        recorder = Recorder(turns=lambda step: 50 if step.shape == "fit" else 0)
        targets = study(seeds=(0, 1, 2), ratios=(0.1,), weights=(1.0,))
        placement, capacity = Placement(gpus_per_training=1), resources(4, gpus=1)
        conductor, ended = conduct(targets, Store(tmp_path), recorder, placement, capacity)
        assert ended == [None] * len(targets)
        assert recorder.peak["GPU"] == 1
        tasks = [conductor.steps[digest].task for digest in recorder.started]
        trainings = [at for at, task in enumerate(tasks) if task.startswith("train")]
        assert len(trainings) == 5
        assert any(at < trainings[-1] for at, task in enumerate(tasks) if task == "sample")

    def test_small_steps_do_not_overtake_a_large_one_for_ever(self, tmp_path):
        """Each training needs both CPUs; the many small steps that need one must let it by."""
        recorder = Recorder(turns=lambda step: 2 + int(step.digest[0], 16) % 5)
        targets = study(seeds=tuple(range(6)), ratios=(0.1,), weights=(1.0,))
        placement = Placement(training_workers=2)
        conductor, ended = conduct(targets, Store(tmp_path), recorder, placement, resources(2))
        assert ended == [None] * len(targets)
        tasks = [conductor.steps[digest].task for digest in recorder.started]
        last_training = max(at for at, task in enumerate(tasks) if task == "train_diffusion")
        assert last_training < tasks.index("generations_row")


class TestRetries:
    def test_a_transient_error_is_tried_again_so_many_times_and_no_more(self, tmp_path):
        recorder = Recorder(ends={DATASET.digest: [TRANSIENT, DONE]})
        conductor, ended = conduct([MARK], Store(tmp_path), recorder)
        assert ended == [None]
        assert recorder.started == [DATASET.digest, DATASET.digest, MARK.digest]
        [retry] = [event for event in conductor.events if event["kind"] == "retry"]
        assert (retry["message"], retry["attempt"]) == ("its process was lost", 2)
        recorder = Recorder(ends={DATASET.digest: [TRANSIENT] * (ATTEMPTS + 5)})
        _, [failure] = conduct([MARK], Store(tmp_path), recorder)
        assert str(failure) == f"{DATASET.path}: its process was lost"
        assert recorder.started == [DATASET.digest] * ATTEMPTS
        assert conductor.free == PLENTY

    def test_sources_that_are_damaged_each_time_are_not_built_for_ever(self, tmp_path):
        damaged = Outcome(kind="damaged", message="gone", damaged=(DATASET.digest,))
        recorder = Recorder(ends={MARK.digest: [damaged] * 100})
        _, [failure] = conduct([MARK], Store(tmp_path), recorder)
        assert str(failure) == f"{MARK.path}: gone"
        assert recorder.started.count(MARK.digest) == REPAIRS + 1

    @pytest.mark.parametrize(
        ("positions", "count", "finished"),
        [
            ([None] * 10, ATTEMPTS, False),
            ([None, 10, None, 20, None, 30, "done"], 7, True),
            ([10] * 10, 1 + ATTEMPTS, False),
        ],
        ids=["no checkpoint", "each newer", "the same again"],
    )
    def test_a_training_that_gets_further_is_tried_as_often_again(
        self, tmp_path, positions, count, finished
    ):
        """Each attempt publishes a checkpoint at its position, if it has one, and is lost."""
        store, ahead = Store(tmp_path), iter(positions)

        async def start(step, bundle):
            position = next(ahead) if step.shape == "fit" else "done"
            if position == "done":
                return DONE
            if position is not None:
                Checkpoints(store, step).publish(
                    position, lambda folder: (folder / "weights").write_bytes(b"")
                )
            return TRANSIENT

        conductor, [failure] = conduct([TRAINING], store, start)
        assert paths(conductor.events, "started").count(TRAINING.path) == count
        assert (failure is None) == finished


def test_one_who_stops_waiting_does_not_stop_the_step(tmp_path):
    recorder = Recorder(turns=lambda _: 5)

    async def leave():
        conductor = Conductor([MARK], Store(tmp_path), Placement(), PLENTY, recorder)
        impatient = asyncio.ensure_future(conductor.finish(MARK.digest))
        patient = asyncio.ensure_future(conductor.finish(MARK.digest))
        await asyncio.sleep(0)
        impatient.cancel()
        await patient
        return impatient.cancelled()

    assert asyncio.run(leave())
    assert recorder.finished == [DATASET.digest, MARK.digest]


FEW, NONE = resources(1), resources(0, gib=0)


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


class TestNodesThatComeAndGo:
    def test_what_no_node_can_hold_fails_where_none_can_come(self, tmp_path):
        placement = Placement(training_workers=4)  # they hold 0.8 GiB each and the images
        for capacity, said in (
            (resources(4, gib=3), r"needs 3\.\d+ GiB, the cluster has 3 GiB"),
            ({**resources(4), "CPU": 0.5}, r"needs 1 CPU, the cluster has 0\.5"),
        ):
            _, [failure] = conduct(study()[:1], Store(tmp_path), Recorder(), placement, capacity)
            assert isinstance(failure, StepFailed)
            assert re.search(said, str(failure))

    def test_a_step_waits_for_a_node_that_is_lost_and_says_so_once(self, tmp_path):
        recorder = Recorder()

        async def lose_and_gain():
            conductor = Conductor([MARK], Store(tmp_path), Placement(), FEW, recorder, grows=True)
            conductor.resize(NONE)
            finished = asyncio.ensure_future(conductor.finish(MARK.digest))
            await until(lambda: conductor.queue)
            conductor.resize({**NONE, "CPU": 0.5})
            assert recorder.started == []
            said = [event for event in conductor.events if event["kind"] == "waiting"]
            conductor.resize(FEW)
            await finished
            return said, conductor

        [said], conductor = asyncio.run(asyncio.wait_for(lose_and_gain(), 30))
        assert said["path"] == DATASET.path
        assert said["message"] == "for a larger node: needs 1 CPU, the cluster has 0"
        assert recorder.finished == [DATASET.digest, MARK.digest]
        assert conductor.free == conductor.capacity == FEW

    def test_a_training_whose_images_are_decoded_elsewhere_makes_do_with_the_cpus_there_are(
        self, tmp_path
    ):
        """It asks for two beside its own; three CPUs are there, then two, then one."""
        streamed = Step(replace(TRAINING.settings, window_bytes=1024 * 64), {}, TRAINING.streams)
        held = []

        async def start(step, bundle):
            held.append(bundle.total["CPU"])
            return DONE

        async def lose():
            placement = Placement(training_workers=1, data_cpus=2)
            store, three = Store(tmp_path), resources(3)
            for left in (3, 2, 1):
                conductor = Conductor([streamed], store, placement, three, start, grows=True)
                conductor.resize(resources(0))
                finished = asyncio.ensure_future(conductor.finish(streamed.digest))
                await until(lambda conductor=conductor: conductor.queue)
                conductor.resize(resources(left))
                await finished

        asyncio.run(asyncio.wait_for(lose(), 30))
        assert held == [1, 3, 1, 2, 1, 1]  # the dataset, then the training

    def test_what_was_held_on_a_lost_node_is_not_free_twice(self, tmp_path):
        """Two CPUs, both held; one is lost, and its step ends with it: one is left, not two."""
        gate = asyncio.Event()
        running = Counter()

        async def start(step, bundle):
            if step.task == "datasets":
                return DONE
            running[step.digest] += 1
            await gate.wait()
            return DONE

        targets, two = [manifest(seed=seed) for seed in range(6)], resources(2)

        async def lose():
            conductor = Conductor(targets, Store(tmp_path), Placement(), two, start, grows=True)
            conductor.begin()
            await until(lambda: len(running) == 2)
            conductor.resize(FEW)
            assert conductor.free["CPU"] == -1
            gate.set()
            await asyncio.gather(*conductor.runs.values())
            return conductor

        conductor = asyncio.run(asyncio.wait_for(lose(), 30))
        assert conductor.free == FEW
        assert len(running) == 6

    def test_a_step_that_waits_for_a_node_keeps_nothing_from_others(self, tmp_path):
        recorder, placement = Recorder(), Placement(gpus_per_training=1)

        async def gain():
            conductor = Conductor(
                [MARK, TRAINING], Store(tmp_path), placement, resources(2), recorder, grows=True
            )
            conductor.begin()
            await conductor.finish(MARK.digest)
            assert TRAINING.digest not in recorder.started
            conductor.resize(resources(2, gpus=1))
            await conductor.finish(TRAINING.digest)

        asyncio.run(asyncio.wait_for(gain(), 30))


def test_a_damaged_source_is_said_and_built_again(tmp_path, contents):
    store = Store(tmp_path)
    run_in_process([DATASET], store)
    good = contents(store, DATASET)
    path = store.folder(DATASET) / "train.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
    events = run_in_process([MARK], store)
    [said] = [event for event in events if event["kind"] == "damaged"]
    assert said["path"] == MARK.path
    assert said["message"] == f"{DATASET.path}: train.parquet was altered after it was written"
    assert paths(events, "done") == [DATASET.path, MARK.path]
    assert contents(store, DATASET) == good
