"""One step in this process: what it publishes, how it fails, how it goes on."""

import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from orchestrator.run.conductor import StepFailed
from orchestrator.run.execute import Outcome, build, is_transient
from orchestrator.run.local import run_in_process
from orchestrator.run.placement import Placement
from orchestrator.step import Step
from orchestrator.store.checkpoints import KEPT, Checkpoints, Reporter
from orchestrator.store.store import NOT_BUILT, Store
from tasks.data import datasets
from tasks.steps import (
    dissect,
    judge_accuracy,
    mark,
    poison,
    sample,
    train_classifier,
    train_diffusion,
)
from tasks.triggers import BadNets1

DATASET = Step(datasets.Digits())
POISON = Step(
    poison.Settings(trigger=BadNets1(), target_class="8", poison_ratio=0.1), {"dataset": DATASET}
)
MARK = Step(mark.Settings(trigger=BadNets1()), {"dataset": DATASET})
OFTEN = Placement(checkpoint_seconds=0)
"""A checkpoint at every report."""


def diffusion(**changes):
    chosen = {"block_channels": (8, 16), "batch_size": 16, "steps": 10, **changes}
    return Step(train_diffusion.Settings(**chosen), {}, {"dataset": DATASET, "manifest": POISON})


def classifier(manifest=None, **changes):
    chosen = {"name": "content", "classes": 10, "batch_size": 16, "steps": 10, **changes}
    streams = {"dataset": DATASET, **({"manifest": manifest} if manifest else {})}
    return Step(train_classifier.Settings(**chosen), {}, streams)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("made"))
    run_in_process([POISON, MARK], store)
    return store


@pytest.fixture
def store(made, tmp_path):
    shutil.copytree(made.root, tmp_path / "store")
    return Store(tmp_path / "store")


class Interrupted(BaseException):
    """Ends a step from outside, as Ctrl-C does."""


class Listener:
    """Hears how far a step is, and ends it at a position."""

    def __init__(self, end_at=None):
        self.end_at, self.heard = end_at, []

    def __call__(self, position, _metrics):
        self.heard.append(position)
        if position == self.end_at:
            raise Interrupted


def interrupt(step, store, at):
    with pytest.raises(Interrupted):
        build(step, store, OFTEN, note=Listener(at))


class TestGoingOn:
    @pytest.mark.parametrize(
        "step",
        [diffusion(steps=110), classifier(steps=110, erase=True)],
        ids=lambda step: step.task,
    )
    def test_interrupted_equals_uninterrupted(self, store, step, contents):
        assert build(step, store, Placement()).kind == "done"
        undisturbed = contents(store, step)
        store.discard(step)

        interrupt(step, store, at=100)
        assert store.damage(step) == NOT_BUILT
        listener = Listener()
        assert build(step, store, OFTEN, note=listener).kind == "done"
        assert listener.heard == [50, 100, 110]  # where it goes on from is said first
        assert contents(store, step) == undisturbed

    def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(self, store, contents, caplog):
        step = classifier(steps=160)
        build(step, store, Placement())
        undisturbed = contents(store, step)
        store.discard(step)

        interrupt(step, store, at=150)
        newest = Checkpoints(store, step).newest()
        assert newest.name == "000000100"
        os.truncate(newest / "training.pt", 100)
        listener = Listener()
        assert build(step, store, OFTEN, note=listener).kind == "done"
        assert listener.heard == [50, 100, 150, 160]
        assert "is passed over: training.pt has 100 bytes" in caplog.text
        assert contents(store, step) == undisturbed

    def test_checkpoints_go_when_the_step_is_published(self, store):
        step = classifier(steps=60)
        interrupt(step, store, at=60)
        assert Checkpoints(store, step).newest().name == "000000050"
        assert build(step, store, OFTEN).kind == "done"
        assert not (store.root / ".checkpoints" / step.digest).exists()
        assert not list(store.folder(step).parent.glob(".*"))

    def test_one_that_does_not_fit_is_named_in_one_line(self, store):
        step, other = diffusion(), diffusion(block_channels=(8, 8), steps=60)
        interrupt(other, store, at=60)
        foreign = Checkpoints(store, other).newest()
        misplaced = store.root / ".checkpoints" / step.digest / "attempt" / "000000005"
        shutil.copytree(foreign, misplaced)
        shutil.rmtree(foreign)
        outcome = build(step, store, Placement())
        assert outcome.kind == "failed"
        assert not outcome.transient
        assert outcome.message.startswith(f"the checkpoint {misplaced} does not fit this training")
        assert outcome.message.endswith("deleting it restarts the training")
        assert "\n" not in outcome.message
        shutil.rmtree(misplaced)
        assert build(step, store, Placement()).kind == "done"


class TestAnotherDriver:
    def test_what_it_published_meanwhile_is_done_although_its_end_broke_this_one(self, store):
        """The first to publish removes every checkpoint, the other's too."""
        step = classifier(steps=60)

        def overtaken(_position, _metrics):
            assert build(step, store, Placement()).kind == "done"
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "training.pt")

        assert build(step, store, Placement(), note=overtaken) == Outcome(kind="done")
        assert store.damage(step, content=True) is None
        assert not store.log_path(step).exists()


class TestCheckpoints:
    def save(self, text):
        return lambda folder: (folder / "weights").write_text(text)

    def test_two_of_an_attempt_are_kept(self, tmp_path):
        checkpoints = Checkpoints(Store(tmp_path), DATASET)
        for position in range(10, 60, 10):
            checkpoints.publish(position, self.save(str(position)))
        assert sorted(path.name for path in checkpoints.attempt.iterdir()) == [
            "000000040",
            "000000050",
        ]
        assert KEPT == 2

    def test_the_newest_of_any_attempt_is_taken_up(self, tmp_path):
        early, late = (Checkpoints(Store(tmp_path), DATASET) for _ in range(2))
        assert early.newest() is None
        early.publish(1000, self.save("far"))
        late.publish(50, self.save("near"))
        assert (late.newest() / "weights").read_text() == "far"

    def test_a_crash_while_saving_leaves_the_one_before(self, tmp_path):
        checkpoints = Checkpoints(Store(tmp_path), DATASET)
        checkpoints.publish(50, self.save("whole"))

        def crash(folder):
            (folder / "weights").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(OSError, match="No space"):
            checkpoints.publish(100, crash)
        assert (checkpoints.newest() / "weights").read_text() == "whole"

    def test_none_is_taken_before_it_is_due(self, tmp_path):
        checkpoints = Checkpoints(Store(tmp_path), DATASET)
        heard = []
        reporter = Reporter(checkpoints, 3600.0, lambda *note: heard.append(note))
        reporter(50, {"loss": 1.0}, self.save("early"))
        assert heard == [(50, {"loss": 1.0})]
        assert checkpoints.newest() is None


class TestFailing:
    @pytest.mark.parametrize(
        "step",
        [diffusion(learning_rate=1e30), classifier(learning_rate=1e30)],
        ids=lambda step: step.task,
    )
    def test_a_loss_that_is_nan_stops_the_step_and_nothing_else(self, store, step, contents):
        before = contents(store)
        with pytest.raises(StepFailed) as caught:
            run_in_process([POISON, step, MARK], store)
        message = str(caught.value)
        assert message.startswith(f"{step.path}: the loss is nan at step 2 of 10; nothing was ")
        assert message.endswith("Lower learning_rate, which is 1e+30")
        assert "\n" not in message
        assert store.damage(step) == NOT_BUILT
        log = store.log_path(step)
        assert "Traceback" in log.read_text()
        assert "FloatingPointError" in log.read_text()
        after = contents(store)
        assert {name: after[name] for name in before} == before
        assert set(after) - set(before) == {log.relative_to(store.root).as_posix()}

    def test_a_nan_is_not_tried_again(self, store):
        outcome = build(classifier(learning_rate=1e30), store, Placement())
        assert (outcome.kind, outcome.transient) == ("failed", False)

    def test_the_log_goes_when_the_step_is_made_after_all(self, store):
        path = store.log_path(MARK)
        path.parent.mkdir()
        path.write_text("an earlier failure")
        store.discard(MARK)
        assert build(MARK, store, Placement()) == Outcome(kind="done")
        assert not path.exists()

    def test_more_poison_than_there_are_images_says_how_much_there_can_be(self, store):
        too_much = Step(replace(POISON.settings, poison_ratio=0.95), POISON.inputs)
        outcome = build(too_much, store, Placement())
        assert outcome.message.startswith("cannot poison 1365 of 1437 images: only 1298 lie out")
        assert "lower poison_ratio to at most 0.903" in outcome.message
        largest = Step(replace(POISON.settings, poison_ratio=0.903), POISON.inputs)
        assert build(largest, store, Placement()).kind == "done"

    @pytest.mark.parametrize(
        ("content_rate", "said"),
        [
            (1e-9, r"content judge with at least 80% accuracy on clean test images, got \d"),
            (2e-3, r"trigger judge with at least 95% balanced accuracy on test images, got \d"),
        ],
        ids=["content", "trigger"],
    )
    def test_poor_judges_are_not_asked(self, store, content_rate, said):
        content = classifier(steps=40, learning_rate=content_rate)
        trigger = classifier(MARK, name="trigger", classes=2)
        judges = {"content_judge": content, "trigger_judge": trigger}
        assessed = Step(judge_accuracy.Settings(trigger=BadNets1()), {"dataset": DATASET, **judges})
        drawn = Step(
            sample.Settings(conditions=(8,), guidance_weight=1.0, steps=1, n=2),
            {"model": diffusion()},
        )
        inputs = {"generations": drawn, "judges": assessed, **judges}
        with pytest.raises(StepFailed, match=said) as caught:
            run_in_process([Step(dissect.Settings(trigger=BadNets1()), inputs)], store)
        assert str(caught.value).endswith("train it for more steps")
        assert store.has(assessed)
        assert store.has(drawn)

    @pytest.mark.parametrize("task", ["datasets", "train_classifier"])
    def test_a_full_store_is_said_in_one_line_and_not_tried_again(self, made, tmp_path, task):
        """A limit on file sizes stands for a full disk; a training meets it at a checkpoint."""
        code = (
            "import sys; from pathlib import Path; from orchestrator.run.execute import build\n"
            "from orchestrator.run.placement import Placement; from orchestrator.step import Step\n"
            "from orchestrator.store.store import Store; from tasks.data import datasets\n"
            "from tasks.steps import train_classifier\n"
            "import resource\n"
            "if sys.argv[2] == 'train_classifier': import models.training\n"
            "dataset = Step(datasets.Digits()); store = Store(Path(sys.argv[1]))\n"
            "training = train_classifier.Settings(name='c', classes=10, steps=60, batch_size=16)\n"
            "steps = [dataset, Step(training, {}, {'dataset': dataset})]\n"
            "[step] = [step for step in steps if step.task == sys.argv[2]]\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
            "outcome = build(step, store, Placement(checkpoint_seconds=0))\n"
            "print(outcome.transient, outcome.kind, outcome.message)"
        )
        store = Store(tmp_path)
        if task == "train_classifier":
            shutil.copytree(made.folder(DATASET), store.folder(DATASET))
        full = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), task],
            capture_output=True,
            text=True,
            check=True,
        )
        [said] = full.stdout.splitlines()
        assert said.startswith("False failed cannot write to ")
        assert f" {tmp_path}: File too large" in said
        assert not list(tmp_path.glob(f"{task}/*"))

    def test_what_a_library_says_in_many_lines_becomes_one(self, store):
        path = store.folder(DATASET) / "train.parquet"
        path.write_bytes(b"PAR1 no parquet PAR1")
        record = store.folder(DATASET) / "record.json"
        size = store.record(DATASET)["files"]["train.parquet"]["size"]
        path.write_bytes(path.read_bytes().ljust(size, b"\n"))
        digest = subprocess.run(
            ["sha256sum", str(path)], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        old = store.record(DATASET)["files"]["train.parquet"]["sha256"]
        record.write_text(record.read_text().replace(old, digest))
        store.discard(MARK)
        outcome = build(MARK, store, Placement())
        assert outcome.kind == "failed"
        assert outcome.message
        assert "\n" not in outcome.message


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionResetError("peer went away"), True),
        (TimeoutError("no answer"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (OSError(errno.EROFS, "Read-only file system"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (FileNotFoundError(errno.ENOENT, "No such file", "/store/.checkpoints/a/b/5/x"), True),
        (FileNotFoundError(errno.ENOENT, "No such file", "/store/train/x"), False),
        (ValueError("a bad setting"), False),
        (FloatingPointError("nan"), False),
        (MemoryError(), False),
        (KeyError("a bug"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_lost_connections_and_the_like_are_worth_another_try(error, transient):
    assert is_transient(error) == transient
