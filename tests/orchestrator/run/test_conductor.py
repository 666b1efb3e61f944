"""Each step once, as soon as its sources are there and its whole need is free."""

import asyncio
import os
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.run.conductor import ATTEMPTS, REPAIRS, Conductor, StepFailed, extent
from orchestrator.run.execute import Outcome, build
from orchestrator.run.local import run_in_process
from orchestrator.run.placement import Placement
from orchestrator.step import Step, ancestors
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import TINY
from tasks.detectors import Strip
from tasks.steps import detect, prepare, train_classifier
from tests.orchestrator.conducted import (
    DATASET,
    DONE,
    LASTING,
    MARK,
    PLENTY,
    TRANSIENT,
    Recorder,
    conduct,
    manifest,
    paths,
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
capacities = st.fixed_dictionaries(
    {
        "CPU": st.integers(4, 9).map(float),
        "GPU": st.just(0.0),
        "memory": st.integers(5, 12).map(lambda count: count * 2.0**30),
    }
)


def test_a_need_beyond_the_whole_capacity_fails_instead_of_waiting_for_ever(tmp_path):
    # Four workers hold 0.8 GiB each and the images.
    placement = Placement(training_workers=4)
    capacity = {"CPU": 4.0, "GPU": 0.0, "memory": 3 * 2.0**30}
    _, ended = conduct(study()[:1], Store(tmp_path), Recorder(), placement, capacity)
    assert [type(failure) for failure in ended] == [StepFailed]
    assert "more memory than there is" in str(ended[0])


class TestAnyGraph:
    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(targets=graphs, placement=placements, capacity=capacities, turns=st.randoms())
    def test_runs_every_step_once_after_its_sources_and_within_the_capacity(
        self, tmp_path, targets, placement, capacity, turns
    ):
        recorder = Recorder(turns=lambda _: turns.randint(0, 5))
        _, ended = conduct(targets, Store(tmp_path), recorder, placement, capacity)
        assert ended == [None] * len(targets)
        expected = sorted(step.digest for step in ancestors(targets))
        assert sorted(recorder.started) == expected
        assert sorted(recorder.finished) == expected
        assert all(recorder.peak[name] <= capacity[name] + 1e-6 for name in capacity)

    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(targets=graphs, turns=st.randoms(), data=st.data())
    def test_a_failed_step_fails_the_points_that_need_it_and_no_others(
        self, tmp_path, targets, turns, data
    ):
        steps = list(ancestors(targets))
        broken = data.draw(st.sampled_from(steps))
        recorder = Recorder(lambda _: turns.randint(0, 5), {broken.digest: [LASTING]})
        _, ended = conduct(targets, Store(tmp_path), recorder)
        for target, failure in zip(targets, ended, strict=True):
            needs_it = broken.digest in {step.digest for step in ancestors([target])}
            assert isinstance(failure, StepFailed) == needs_it
            if needs_it:
                assert str(failure) == f"{broken.path}: a bad setting"
        assert recorder.started.count(broken.digest) == 1

    def test_with_one_cpu_runs_one_step_at_a_time(self, tmp_path):
        recorder = Recorder(turns=lambda _: 3)
        capacity = {"CPU": 1.0, "GPU": 0.0, "memory": 2.0**40}
        conduct(study(), Store(tmp_path), recorder, capacity=capacity)
        assert recorder.peak["CPU"] == 1

    def test_with_many_cpus_runs_what_it_can_side_by_side(self, tmp_path):
        recorder = Recorder(turns=lambda _: 20)
        conduct(study(seeds=(0, 1, 2)), Store(tmp_path), recorder)
        assert recorder.peak["CPU"] > 5


class TestOrder:
    def test_a_step_that_waits_for_a_gpu_keeps_no_cpu_from_others(self, tmp_path):
        """One GPU, which trainings need one after the other; everything else runs meanwhile."""
        capacity = {"CPU": 4.0, "GPU": 1.0, "memory": 2.0**40}
        placement = Placement(gpus_per_training=1)
        recorder = Recorder(turns=lambda step: 50 if step.shape == "fit" else 0)
        targets = study(seeds=(0, 1, 2), ratios=(0.1,), weights=(1.0,))
        conductor, ended = conduct(targets, Store(tmp_path), recorder, placement, capacity)
        assert ended == [None] * len(targets)
        assert recorder.peak["GPU"] == 1
        tasks = [conductor.steps[digest].task for digest in recorder.started]
        trainings = [at for at, task in enumerate(tasks) if task.startswith("train")]
        assert len(trainings) == 5
        assert any(at < trainings[-1] for at, task in enumerate(tasks) if task == "sample")

    def test_all_targets_are_started_though_nobody_asks_for_them_yet(self, tmp_path):
        recorder = Recorder()
        targets = study()

        async def ask_for_the_last_one():
            conductor = Conductor(targets, Store(tmp_path), Placement(), PLENTY, recorder)
            conductor.begin()
            conductor.begin()
            await conductor.finish(targets[-1].digest)
            await asyncio.gather(*conductor.runs.values())

        asyncio.run(ask_for_the_last_one())
        assert sorted(recorder.finished) == sorted(step.digest for step in ancestors(targets))

    def test_a_step_that_needs_much_is_not_passed_by_small_ones_for_ever(self, tmp_path):
        """Each training needs both CPUs; the many small steps that need one must let it by."""
        capacity = {"CPU": 2.0, "GPU": 0.0, "memory": 2.0**40}
        placement = Placement(training_workers=2)
        recorder = Recorder(turns=lambda step: 2 + int(step.digest[0], 16) % 5)
        targets = study(seeds=tuple(range(6)), ratios=(0.1,), weights=(1.0,))
        conductor, ended = conduct(targets, Store(tmp_path), recorder, placement, capacity)
        assert ended == [None] * len(targets)
        tasks = [conductor.steps[digest].task for digest in recorder.started]
        last_training = max(at for at, task in enumerate(tasks) if task == "train_diffusion")
        assert last_training < tasks.index("generations_row")

    def test_of_those_that_wait_the_longest_way_to_the_end_is_first(self, tmp_path):
        capacity = {"CPU": 1.0, "GPU": 0.0, "memory": 2.0**40}
        recorder = Recorder(turns=lambda _: 20)
        targets = study(ratios=(0.1,))
        conductor, _ = conduct(targets, Store(tmp_path), recorder, capacity=capacity)
        steps = [conductor.steps[digest] for digest in recorder.started]
        ways = [conductor.urgency[step.digest] for step in steps if step.task == "sample"]
        assert len(ways) == 3
        assert ways == sorted(ways, reverse=True)

    def test_the_way_to_the_end_counts_every_step_on_it(self, tmp_path):
        [target] = study(ratios=(0.1,), weights=(1.0,))
        conductor = Conductor([target], Store(tmp_path), Placement(), PLENTY, Recorder())
        for step in conductor.steps.values():
            own = step.settings.expected_seconds
            for source in step.sources:
                assert conductor.urgency[source.digest] >= (
                    conductor.urgency[step.digest] + source.settings.expected_seconds - 1e-9
                )
            assert conductor.urgency[step.digest] >= own


class TestRetries:
    def test_a_transient_error_is_tried_again(self, tmp_path):
        recorder = Recorder(ends={DATASET.digest: [TRANSIENT, DONE]})
        conductor, ended = conduct([MARK], Store(tmp_path), recorder)
        assert ended == [None]
        assert recorder.started == [DATASET.digest, DATASET.digest, MARK.digest]
        [retry] = [event for event in conductor.events if event["kind"] == "retry"]
        assert (retry["message"], retry["attempt"]) == ("its process was lost", 2)

    def test_it_is_tried_so_many_times_and_no_more(self, tmp_path):
        recorder = Recorder(ends={DATASET.digest: [TRANSIENT] * (ATTEMPTS + 5)})
        _, [failure] = conduct([MARK], Store(tmp_path), recorder)
        assert str(failure) == f"{DATASET.path}: its process was lost"
        assert recorder.started == [DATASET.digest] * ATTEMPTS

    def test_a_lasting_error_is_not_tried_again(self, tmp_path):
        recorder = Recorder(ends={DATASET.digest: [LASTING, DONE]})
        conductor, [failure] = conduct([MARK], Store(tmp_path), recorder)
        assert isinstance(failure, StepFailed)
        assert recorder.started == [DATASET.digest]
        assert paths(conductor.events, "failed") == [DATASET.path]

    def test_sources_that_are_damaged_each_time_are_not_built_for_ever(self, tmp_path):
        damaged = Outcome(kind="damaged", message="gone", damaged=(DATASET.digest,))
        recorder = Recorder(ends={MARK.digest: [damaged] * 100})
        _, [failure] = conduct([MARK], Store(tmp_path), recorder)
        assert str(failure) == f"{MARK.path}: gone"
        assert recorder.started.count(MARK.digest) == REPAIRS + 1

    def test_what_was_admitted_is_given_back_when_a_step_fails(self, tmp_path):
        ends = {DATASET.digest: [TRANSIENT, TRANSIENT, LASTING]}
        conductor, _ = conduct([MARK], Store(tmp_path), Recorder(ends=ends))
        assert conductor.free == PLENTY


class TestWhoAsks:
    def test_asking_many_times_at_once_runs_a_step_once(self, tmp_path):
        recorder = Recorder(turns=lambda _: 3)
        _, ended = conduct([MARK] * 20, Store(tmp_path), recorder)
        assert ended == [None] * 20
        assert recorder.started == [DATASET.digest, MARK.digest]

    def test_one_who_stops_waiting_does_not_stop_the_step(self, tmp_path):
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

    def test_a_finished_step_is_not_run_and_its_sources_are_not_looked_for(self, tmp_path):
        store = Store(tmp_path)
        run_in_process([MARK], store)
        store.discard(DATASET)
        recorder = Recorder()
        conductor, _ = conduct([MARK], store, recorder)
        assert recorder.started == []
        assert [event["kind"] for event in conductor.events] == ["cached"]


def test_how_far_a_step_goes_is_said_if_it_is_known():
    streams = {"dataset": DATASET, "manifest": manifest()}
    training = Step(train_classifier.Settings(name="c", classes=10, steps=70), {}, streams)
    prepared = Step(prepare.Settings(detector=Strip(), n=1437), {"classifier": training}, streams)
    known, unknown = (
        Step(
            detect.Settings(detector=Strip(), image_set="training", n=n),
            {"prepared": prepared},
            streams,
        )
        for n in (1437, 0)
    )
    said = [extent(step) for step in (training, prepared, known, unknown, MARK)]
    assert said == [70, None, 1437, None, None]


class TestRealSteps:
    def test_a_second_run_finds_everything_done(self, tmp_path):
        store = Store(tmp_path)
        first = run_in_process([MARK, manifest()], store)
        assert Counter(event["kind"] for event in first) == {"started": 3, "done": 3}
        second = run_in_process([MARK, manifest()], store)
        assert paths(second, "cached") == [MARK.path, manifest().path]
        assert len(second) == 2

    @pytest.mark.parametrize("harm", ["missing", "truncated", "altered", "record"])
    def test_a_damaged_source_is_said_and_built_again(self, tmp_path, contents, harm):
        store = Store(tmp_path)
        run_in_process([DATASET], store)
        good = contents(store, DATASET)
        path = store.folder(DATASET) / ("record.json" if harm == "record" else "train.parquet")
        whole = path.read_bytes()
        if harm == "missing":
            path.unlink()
        elif harm == "altered":
            path.write_bytes(whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:])
        else:
            os.truncate(path, len(whole) // 2)
        events = run_in_process([MARK], store)
        if harm == "altered":
            [said] = [event for event in events if event["kind"] == "damaged"]
            assert said["path"] == MARK.path
            assert said["message"] == (
                f"{DATASET.path}: train.parquet was altered after it was written"
            )
        assert paths(events, "done") == [DATASET.path, MARK.path]
        assert store.damage(DATASET, content=True) is None
        assert contents(store, DATASET) == good

    def test_damage_two_steps_deep_is_mended(self, tmp_path, contents):
        """The altered manifest is found first; building it again finds the altered dataset."""
        store = Store(tmp_path)
        training = AMPLIFICATION.points(TINY, AMPLIFICATION.chosen(TINY))[-1].measure
        [trained] = [
            step
            for step in ancestors([training])
            if step.task == "train_classifier" and step.streams.get("manifest")
        ]
        short = Step(replace(trained.settings, steps=10, batch_size=16), {}, trained.streams)
        marked, dataset = short.streams["manifest"], short.streams["dataset"]
        run_in_process([marked], store)
        good = contents(store)
        for step, name in ((marked, "manifest.json"), (dataset, "classes.json")):
            path = store.folder(step) / name
            path.write_text(path.read_text().upper())
        events = run_in_process([short], store)
        assert paths(events, "done") == [dataset.path, marked.path, short.path]
        assert {name: data for name, data in contents(store).items() if name in good} == good

    def test_the_outcome_of_a_finished_step_is_done_at_once(self, tmp_path):
        store = Store(tmp_path)
        run_in_process([DATASET], store)
        before = store.record(DATASET)
        assert build(DATASET, store, Placement()) == DONE
        assert store.record(DATASET) == before
