"""The same results under Ray as in process: as tasks, on actors, on workers, after a kill."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import numpy as np
import psutil
import pytest

from bench.local import run_in_process
from orchestrator.run.placement import Placement
from orchestrator.step import Step, ancestors
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.store import Store, open_store
from tasks.detectors import CognitiveDistillation
from tasks.steps import detect, prepare, train_classifier, train_diffusion
from tests.orchestrator.conducted import DATASET, POISON, STREAMS, paths

pytestmark = pytest.mark.ray

PATIENCE = 480
"""Seconds that a busy machine may take before a test gives up."""
HELD = Step(
    train_diffusion.Settings(block_channels=(8, 16), batch_size=16, steps=20, groups=4),
    {},
    STREAMS,
)
RESTREAMED = Step(replace(HELD.settings, window_bytes=1024 * 64), {}, STREAMS)
"""With a window as large as the larger of the dataset's two row groups."""


@pytest.fixture
def conduct(local_ray):
    """A function that puts a conductor to work."""
    from orchestrator.run.conductor_actor import ConductorHandle

    def start(targets, store, placement=None):
        return ConductorHandle(targets, store, placement or Placement())

    return start


@pytest.fixture
def conductor(local_ray):
    """A function that makes a conductor in this process."""
    from orchestrator.run.conductor_actor import RayConductor

    return lambda target, store: RayConductor("nobody", [target], store, Placement())


@pytest.fixture
def bucket(local_ray, remote_address, tmp_path, monkeypatch):
    """A store that this process shares with Ray's only remotely, as nodes do."""
    monkeypatch.setenv("CASTLEWALLS_CACHE", str(tmp_path / "copy"))
    return open_store(remote_address)


@pytest.fixture
def with_data(tmp_path):
    store = Store(tmp_path / "with data")
    run_in_process([DATASET], store)
    return store


def finish(conductor, *targets):
    import ray

    ray.get([conductor.actor.finish.remote(target.digest) for target in targets], timeout=PATIENCE)


def test_a_point_s_graph_ends_in_the_bytes_that_one_process_makes(
    conduct, tmp_path, tiny_points, tiny_store, contents
):
    store, target = Store(tmp_path), tiny_points[-1].measure
    conductor = conduct([target], store)
    finish(conductor, target)
    steps = list(ancestors([target]))
    assert contents(store, *steps) == contents(tiny_store, *steps)
    heard = conductor.poll()
    assert sorted(paths(heard, "done")) == sorted(step.path for step in steps)
    assert len(paths(heard, "started")) == len(steps)
    assert not {event["kind"] for event in heard} - {"started", "progress", "done"}
    assert conductor.poll() == []
    conductor.incarnation = "of a conductor that was lost"
    assert conductor.poll() == [event for event in heard if event["kind"] != "progress"]
    again = conduct([target], store)
    finish(again, target)
    assert [event["kind"] for event in again.poll()] == ["cached"]


class TestActors:
    def test_two_draw_the_bytes_that_one_draws(
        self, conduct, tiny_points, tiny_store, copied, contents
    ):
        store = copied(tiny_store)
        drawn = tiny_points[-1].measure.inputs["generations"]
        assert drawn.settings.n > 2 * drawn.settings.batch_size
        store.discard(drawn)
        conductor = conduct([drawn], store, Placement(actors=2))
        finish(conductor, drawn)
        assert paths(conductor.poll(), "done") == [drawn.path]
        assert contents(store, drawn) == contents(tiny_store, drawn)

    @pytest.mark.slow
    def test_two_detect_in_a_bucket_what_one_detects_in_a_folder_and_leave_no_training_set(
        self, conduct, tmp_path, bucket, contents
    ):
        cd = CognitiveDistillation(steps=3)
        settings = train_classifier.Settings(name="classifier", classes=10, steps=40, batch_size=64)
        classifier = Step(settings, {}, STREAMS)
        prepared = Step(prepare.Settings(detector=cd), {"classifier": classifier}, STREAMS)
        settings = detect.Settings(detector=cd, image_set="training", batch_size=250)
        step = Step(settings, {"prepared": prepared}, STREAMS)
        alone = Store(tmp_path / "alone")
        run_in_process([step], alone)
        run_in_process([prepared], bucket)
        conductor = conduct([step], bucket, Placement(actors=2))
        finish(conductor, step)
        assert paths(conductor.poll(), "done") == [step.path]
        assert not bucket.folder(step).exists()  # the actors have copies of their own
        bucket.fetch(step)
        assert contents(bucket, step) == contents(alone, step)
        assert not [name for name in bucket.storage.sizes("detect") if "training_set" in name]


class TestWorkers:
    @pytest.mark.parametrize(
        "step",
        [HELD, pytest.param(RESTREAMED, marks=pytest.mark.slow)],
        ids=["held", "restreamed from a bucket"],
    )
    def test_two_train_the_model_that_one_trains_but_for_the_order_of_sums(
        self, conduct, tmp_path, bucket, step
    ):
        """A float32 sum of N terms is off by at most N 2^-24 of their size, in any order.

        N is the 16 images times 64 pixels of a batch.  The losses may differ by that much, and
        what the network predicts by that much for each of its 20 steps.
        """
        rounding = 16 * 64 * 2.0**-24
        alone = Store(tmp_path / "alone")
        shared = Store(tmp_path / "shared") if step is HELD else bucket
        run_in_process([step], alone)
        run_in_process([POISON], shared)
        conductor = conduct([step], shared, Placement(training_workers=2))
        finish(conductor, step)
        tables = [(store.fetch(step) / "history.csv").read_text() for store in (alone, shared)]
        losses = [float(table.splitlines()[-1].split(",")[1]) for table in tables]
        assert losses[1] == pytest.approx(losses[0], rel=rounding)
        one, two = (predictions(store.folder(step)) for store in (alone, shared))
        np.testing.assert_allclose(two, one, rtol=0, atol=20 * rounding * np.abs(one).max())
        assert np.abs(one).max() > 0.01

    def test_of_what_the_workers_report_the_task_s_own_error_counts(self):
        """One worker's NaN takes the other's connection with it; only the NaN tells why."""
        from ray.exceptions import ActorDiedError, RayTaskError
        from ray.train import WorkerGroupError

        from orchestrator.run.distributed import _cause

        nan, lost = FloatingPointError("the loss is nan at step 2"), ActorDiedError()
        wrapped = RayTaskError("fit", "Traceback ...", nan)
        for error in (nan, wrapped):
            assert _cause(WorkerGroupError("workers failed", {0: lost, 1: error})) is nan
        assert _cause(WorkerGroupError("workers failed", {0: lost})) is lost


def predictions(folder):
    """What a trained model predicts for fixed noise at some times and conditions."""
    import torch

    from models.ddpm import Ddpm

    draws = np.random.default_rng(0).standard_normal((8, 1, 8, 8), np.float32)
    model = Ddpm.load(folder, torch.device("cpu"))
    with torch.no_grad():
        found = model.predict_noise(
            torch.from_numpy(draws), torch.arange(0, 800, 100), torch.arange(8)
        )
    return found.numpy()


class TestDecodingElsewhere:
    def test_a_training_fed_by_ray_data_ends_in_the_bytes_of_one_that_decodes_itself(
        self, conduct, tmp_path, bucket, contents
    ):
        alone = Store(tmp_path / "alone")
        run_in_process([RESTREAMED], alone)
        run_in_process([POISON], bucket)
        conductor = conduct([RESTREAMED], bucket, Placement(data_cpus=1))
        finish(conductor, RESTREAMED)
        bucket.fetch(RESTREAMED)
        assert contents(bucket, RESTREAMED) == contents(alone, RESTREAMED)


class TestTheDataset:
    def test_only_what_a_training_holds_goes_to_the_object_store(
        self, conductor, with_data, tmp_path
    ):
        without = conductor(POISON, Store(tmp_path / "without"))
        assert asyncio.run(without._rows(HELD)) is None  # the step finds out, and says so
        made = conductor(RESTREAMED, with_data)
        for step in (RESTREAMED, POISON):
            assert asyncio.run(made._rows(step)) is None
        assert made.reading == {}
        assert asyncio.run(made._rows(HELD)) is not None

    @pytest.mark.parametrize(
        "small_bytes", [pytest.param(0, marks=pytest.mark.slow), 2**30], ids=["pipeline", "here"]
    )
    @pytest.mark.usefixtures("local_ray")
    def test_it_is_read_whole_either_way(self, with_data, small_bytes):
        import pyarrow as pa

        from orchestrator.run import distributed
        from orchestrator.run.stream import ParquetRows, RayRows

        rows = RayRows(distributed.read(with_data, DATASET, small_bytes=small_bytes))
        read = pa.concat_tables(rows.tables()).sort_by("index")
        file = pa.concat_tables(ParquetRows(with_data.folder(DATASET)).tables()).sort_by("index")
        assert read.to_pydict() == file.to_pydict()


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_bytes(
    conduct, tmp_path, contents
):
    settings = train_classifier.Settings(name="content", classes=10, batch_size=32, steps=400)
    step = Step(settings, {}, STREAMS)
    undisturbed, store = Store(tmp_path / "undisturbed"), Store(tmp_path / "store")
    run_in_process([step], undisturbed)
    conductor = conduct([step], store, Placement(checkpoint_seconds=0))
    ending = conductor.actor.finish.remote(step.digest)
    checkpoints = Checkpoints(store, step)
    while not (before := published(checkpoints)):
        assert not ended(ending)
    [first] = {attempt for attempt, _ in before}
    kill_the_process_that_builds()
    later = set()
    while not ended(ending):
        later |= {at for attempt, at in published(checkpoints) if attempt != first}
    finish(conductor, step)
    [retry] = [event for event in conductor.poll() if event["kind"] == "retry"]
    assert retry["path"] == step.path
    assert retry["message"].startswith("its process was lost (")
    assert min(later) >= 100  # from its beginning it would have published 50 first
    assert contents(store, step) == contents(undisturbed, step)
    assert not checkpoints.root.exists()


def published(checkpoints):
    """(attempt, position) of every whole checkpoint."""
    return {
        (path.parent.parent.name, int(path.parent.name))
        for path in checkpoints.root.glob("*/[0-9]*/record.json")
    }


def ended(reference):
    import ray

    done, _ = ray.wait([reference], timeout=0.02)
    return bool(done)


def kill_the_process_that_builds():
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # some end meanwhile
            if "ray::train_classifier/" in " ".join(process.cmdline()):
                process.kill()
