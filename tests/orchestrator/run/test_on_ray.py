"""The same results under Ray as in process: as tasks, on actors, on workers, after a kill."""

import asyncio
from dataclasses import replace

import numpy as np
import psutil
import pytest

from orchestrator.run.local import run_in_process
from orchestrator.run.placement import Placement
from orchestrator.step import Step, ancestors
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.store import Store, open_store
from tasks.data import datasets
from tasks.detectors import CognitiveDistillation
from tasks.steps import detect, poison, prepare, train_classifier, train_diffusion
from tasks.triggers import BadNets1

pytestmark = pytest.mark.ray

DATASET = Step(datasets.Digits())
POISON = Step(
    poison.Settings(trigger=BadNets1(), target_class="8", poison_ratio=0.1), {"dataset": DATASET}
)
STREAMS = {"dataset": DATASET, "manifest": POISON}
WINDOW = 1024 * 64
"""Bytes: the larger of the dataset's two row groups, so that it is re-streamed."""
PATIENCE = 480
"""Seconds that a busy machine may take before a test gives up."""


@pytest.fixture
def conduct(local_ray):
    """A function that puts a conductor to work."""

    def start(targets, store, placement=None):
        return local_ray.Conducting(targets, store, placement or Placement())

    return start


@pytest.fixture
def bucket(local_ray, remote_address, tmp_path, monkeypatch):
    """A store that this process shares with Ray's only remotely, as nodes do."""
    monkeypatch.setenv("CASTLEWALLS_CACHE", str(tmp_path / "copy"))
    return open_store(remote_address)


def finish(conductor, *targets):
    import ray

    ray.get([conductor.actor.finish.remote(target.digest) for target in targets], timeout=PATIENCE)


def paths(events, kind):
    return [event["path"] for event in events if event["kind"] == kind]


class TestTheWholeGraph:
    def test_ends_in_the_bytes_that_one_process_makes(
        self, conduct, tmp_path, tiny_points, tiny_store, contents
    ):
        store = Store(tmp_path)
        targets = [point.measure for point in tiny_points]
        conductor = conduct(targets, store)
        finish(conductor, *targets)
        assert contents(store) == contents(tiny_store)
        events = conductor.poll()
        steps = list(ancestors(targets))
        assert sorted(paths(events, "done")) == sorted(step.path for step in steps)
        assert len(paths(events, "started")) == len(steps)
        assert not {event["kind"] for event in events} - {"started", "progress", "done"}
        assert conductor.poll() == []

    def test_asked_again_finds_everything_cached(self, conduct, tiny_points, tiny_store):
        targets = [point.measure for point in tiny_points]
        conductor = conduct(targets, tiny_store)
        finish(conductor, *targets)
        assert {event["kind"] for event in conductor.poll()} == {"cached"}


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
        assert not list(alone.folder(step).parent.glob(".*"))
        assert not [name for name in bucket.storage.sizes("detect") if "training_set" in name]


class TestWorkers:
    STEP = Step(
        train_diffusion.Settings(block_channels=(8, 16), batch_size=16, steps=20, groups=4),
        {},
        STREAMS,
    )

    @pytest.mark.parametrize("way", ["held", "restreamed from a bucket"])
    def test_two_train_the_model_that_one_trains_but_for_the_order_of_sums(
        self, conduct, tmp_path, bucket, way
    ):
        """Two workers add up a batch in another order than one.

        A float32 sum of N terms is off by at most N 2^-24 of their size, in any order; N is the
        16 images times 64 pixels of a batch.  The losses may differ by that much, and what the
        network predicts by that much for each of the steps that made it.  Weights are not
        compared one by one: a bias in front of a normalization has a gradient of nothing but
        rounding, which Adam scales up to a whole step, and no effect.
        """
        rounding = 16 * 64 * 2.0**-24
        held = way == "held"
        step = self.STEP if held else TestRestreaming.STEP
        alone, shared = Store(tmp_path / "alone"), Store(tmp_path / "shared") if held else bucket
        run_in_process([step], alone)
        run_in_process([POISON], shared)
        conductor = conduct([step], shared, Placement(training_workers=2))
        finish(conductor, step)
        losses = [last_loss(store.fetch(step)) for store in (alone, shared)]
        assert losses[1] == pytest.approx(losses[0], rel=rounding)
        one, two = (predictions(store.folder(step)) for store in (alone, shared))
        np.testing.assert_allclose(two, one, rtol=0, atol=20 * rounding * np.abs(one).max())
        assert np.abs(one).max() > 0.01

    def test_of_what_the_workers_say_the_task_s_own_word_counts(self):
        """One worker's NaN takes the other's connection with it; only the NaN tells why."""
        from ray.exceptions import ActorDiedError, RayTaskError
        from ray.train import WorkerGroupError

        from orchestrator.run.distributed import _cause

        nan, lost = FloatingPointError("the loss is nan at step 2"), ActorDiedError()
        wrapped = RayTaskError("fit", "Traceback ...", nan)
        for told in (nan, wrapped):
            assert _cause(WorkerGroupError("workers failed", {0: lost, 1: told})) is nan
        assert _cause(WorkerGroupError("workers failed", {0: lost})) is lost


class TestRestreaming:
    STEP = Step(replace(TestWorkers.STEP.settings, window_bytes=WINDOW), {}, STREAMS)

    def test_ends_in_the_bytes_that_one_process_makes(self, conduct, tmp_path, contents):
        alone, store = Store(tmp_path / "alone"), Store(tmp_path / "store")
        run_in_process([self.STEP], alone)
        conductor = conduct([self.STEP], store)
        finish(conductor, self.STEP)
        assert contents(store, self.STEP) == contents(alone, self.STEP)

    def test_the_dataset_never_goes_to_the_object_store(self, local_ray, tmp_path):
        assert local_ray.nodes.alive()
        store = Store(tmp_path)
        run_in_process([DATASET], store)
        made = local_ray.RayConductor("nobody", [self.STEP], store, Placement())
        assert asyncio.run(made._rows(self.STEP)) is None
        assert made.reading == {}
        assert asyncio.run(made._rows(TestWorkers.STEP)) is not None

    def test_what_reads_a_training_set_s_file_is_handed_no_rows(self, local_ray, tmp_path):
        assert local_ray.nodes.alive()
        store = Store(tmp_path)
        run_in_process([DATASET], store)
        made = local_ray.RayConductor("nobody", [self.STEP], store, Placement())
        settings = prepare.Settings(detector=CognitiveDistillation())
        assert asyncio.run(made._rows(Step(settings, {"classifier": self.STEP}, STREAMS))) is None
        assert made.reading == {}


def last_loss(folder):
    *_, last = (folder / "history.csv").read_text().splitlines()
    return float(last.split(",")[1])


def predictions(folder):
    """What a trained model says of fixed noise at some times and conditions."""
    import torch

    from models.ddpm import Ddpm

    draws = np.random.default_rng(0).standard_normal((8, 1, 8, 8), np.float32)
    model = Ddpm.load(folder, torch.device("cpu"))
    with torch.no_grad():
        said = model.predict_noise(
            torch.from_numpy(draws), torch.arange(0, 800, 100), torch.arange(8)
        )
    return said.numpy()


class TestLosingAProcess:
    def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_bytes(
        self, conduct, tmp_path, contents
    ):
        settings = train_classifier.Settings(
            name="content", classes=10, batch_size=32, steps=400, erase=True
        )
        step = Step(settings, {}, STREAMS)
        undisturbed, store = Store(tmp_path / "undisturbed"), Store(tmp_path / "store")
        run_in_process([step], undisturbed)
        conductor = conduct([step], store, Placement(checkpoint_seconds=0))
        ending = conductor.actor.finish.remote(step.digest)
        checkpoints = Checkpoints(store, step)
        [first] = until(lambda: {attempt for attempt, _ in published(checkpoints)}, ending)
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


def until(look, reference):
    """What ``look()`` finds, as soon as it finds anything; it must before the reference ends."""
    while not (found := look()):
        assert not ended(reference)
    return found


def kill_the_process_that_builds():
    family = psutil.Process().children(recursive=True)
    named = "ray::train_classifier/"
    [building] = [process for process in family if named in command_line(process)]
    building.kill()


def command_line(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class TestReading:
    @pytest.mark.parametrize("small_bytes", [0, 2**30], ids=["pipeline", "here"])
    def test_a_dataset_is_read_whole_either_way(self, local_ray, tmp_path, small_bytes):
        import pyarrow as pa

        from orchestrator.run import distributed
        from orchestrator.run.stream import ParquetRows, RayRows

        assert local_ray.nodes.alive()
        store = Store(tmp_path)
        run_in_process([DATASET], store)
        rows = RayRows(distributed.read(store, DATASET, small_bytes=small_bytes))
        read = pa.concat_tables(rows.tables()).sort_by("index")
        file = pa.concat_tables(ParquetRows(store.folder(DATASET)).tables()).sort_by("index")
        assert read.column_names == file.column_names
        assert read["label"].to_pylist() == file["label"].to_pylist()
        assert read["image"].to_pylist() == file["image"].to_pylist()


class TestRefusing:
    def test_more_gpus_than_any_node_has_are_refused_before_anything_starts(
        self, local_ray, tiny_points
    ):
        targets = [point.measure for point in tiny_points]
        steps = list(ancestors(targets))
        nodes = local_ray.nodes
        nodes.refuse_impossible(steps, Placement(), nodes.possible())
        with pytest.raises(ValueError, match=r"needs 1 process\(es\) of 1 CPU, 4096 GPU, 0\.9 GiB"):
            nodes.refuse_impossible(steps, Placement(gpus_per_training=4096), nodes.possible())


class TestFollowing:
    def test_what_happened_is_told_once_and_all_of_it_to_a_stranger(self, conduct, tmp_path):
        conductor = conduct([POISON], Store(tmp_path))
        finish(conductor, POISON)
        heard = conductor.poll()
        assert [event["kind"] for event in heard] == ["started", "done", "started", "done"]
        assert conductor.poll() == []
        conductor.incarnation = "of a conductor that was lost"
        assert conductor.poll() == heard


def test_a_conductor_forgets_a_dataset_that_it_could_not_read(local_ray, tmp_path):
    """What cannot be read is left to the step, and read again when it has been made anew."""
    assert local_ray.nodes.alive()
    made = local_ray.RayConductor("nobody", [POISON], Store(tmp_path), Placement())
    step = TestWorkers.STEP
    assert asyncio.run(made._rows(step)) is None
    assert made.reading == {}
    assert asyncio.run(made._rows(POISON)) is None


def test_a_conductor_that_could_not_look_for_nodes_says_so_and_finds_the_next_one(
    local_ray, tmp_path, monkeypatch
):
    """Of Ray's own look-ups one fails for a reason that is not Ray's; then a node has come."""
    import ray

    from orchestrator.run import conductor_actor

    made = local_ray.RayConductor("nobody", [POISON], Store(tmp_path), Placement())
    before, there = made.capacity["CPU"], ray.nodes()
    answers = [OSError("the autoscaler's file is half written"), [*there, *there]]

    def looked():
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def followed():
        following = asyncio.create_task(made._follow())
        while made.capacity["CPU"] == before and not following.done():
            await asyncio.sleep(0)
        assert not following.done()
        following.cancel()

    monkeypatch.setattr(ray, "nodes", looked)
    monkeypatch.setattr(conductor_actor, "FOLLOW_SECONDS", 0.01)
    asyncio.run(asyncio.wait_for(followed(), PATIENCE))
    assert made.capacity["CPU"] == 2 * before
    (event,) = made.events
    assert event["kind"] == "waiting"
    assert "OSError: the autoscaler's file is half written" in event["message"]
