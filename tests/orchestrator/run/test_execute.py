"""One step in this process: what it publishes, how it fails, how it goes on."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.local import run_in_process
from orchestrator.run.conductor import StepFailed
from orchestrator.run.execute import Outcome, build, is_transient
from orchestrator.run.placement import Placement
from orchestrator.step import Step
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.store import NOT_BUILT, Store
from tasks.steps import mark, train_classifier, train_diffusion
from tests.orchestrator.conducted import DATASET, DONE, MARK, POISON, STREAMS

OFTEN = Placement(checkpoint_seconds=0)
"""A checkpoint at every report."""


def diffusion(**changes):
    chosen = {"block_channels": (8,), "attention_levels": (), "batch_size": 4, "steps": 10}
    return Step(train_diffusion.Settings(**{**chosen, **changes}), {}, STREAMS)


def classifier(**changes):
    chosen = {"name": "content", "classes": 10, "batch_size": 16, "steps": 10, **changes}
    return Step(train_classifier.Settings(**chosen), {}, {"dataset": DATASET})


@pytest.fixture
def store(poisoned_store, copied):
    return copied(poisoned_store)


class Listener:
    """Hears how far a step is, and ends it at a position."""

    def __init__(self, end_at=None):
        self.end_at, self.heard = end_at, []

    def __call__(self, position, _metrics):
        self.heard.append(position)
        if position == self.end_at:
            raise KeyboardInterrupt


def interrupt(step, store, at):
    with pytest.raises(KeyboardInterrupt):
        build(step, store, OFTEN, note=Listener(at))


class TestGoingOn:
    @pytest.mark.parametrize(
        "step",
        [
            diffusion(steps=110),
            classifier(steps=110, erase=True),
            classifier(steps=110, window_bytes=1024 * 64),
        ],
        ids=["diffusion", "classifier", "restreamed"],
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
        assert not (store.root / ".checkpoints" / step.digest).exists()

    def test_one_that_does_not_fit_is_named_in_one_line(self, store):
        step, other = diffusion(), diffusion(block_channels=(16,), steps=60)
        interrupt(other, store, at=60)
        foreign = Checkpoints(store, other).newest()
        misplaced = store.root / ".checkpoints" / step.digest / "attempt" / "000000005"
        shutil.copytree(foreign, misplaced)
        shutil.rmtree(foreign)
        outcome = build(step, store, Placement())
        assert (outcome.kind, outcome.transient) == ("failed", False)
        assert outcome.message.startswith(f"the checkpoint {misplaced} does not fit this training")
        assert outcome.message.endswith("deleting it restarts the training")
        assert "\n" not in outcome.message


def test_what_another_driver_published_is_done_although_that_broke_this_one(store):
    """The first to publish removes every checkpoint, the other's too."""
    step = classifier(steps=60)

    def overtaken(_position, _metrics):
        assert build(step, store, Placement()).kind == "done"
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "training.pt")

    assert build(step, store, Placement(), note=overtaken) == DONE
    assert store.damage(step, content=True) is None
    assert store.log_address(step) is None


class TestCheckpoints:
    def save(self, text):
        return lambda folder: (folder / "weights").write_text(text)

    def test_two_of_an_attempt_are_kept_and_the_newest_of_any_is_taken_up(self, tmp_path):
        early, late = (Checkpoints(Store(tmp_path), DATASET) for _ in range(2))
        assert early.newest() is None
        early.publish(1000, self.save("far"))
        for position in (30, 40, 50):
            late.publish(position, self.save("near"))
        assert sorted(path.name for path in late.attempt.iterdir()) == ["000000040", "000000050"]
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


class TestFailing:
    def test_a_loss_that_is_nan_stops_the_step_and_nothing_else(self, store, contents):
        step, before = classifier(learning_rate=1e30), contents(store)
        with pytest.raises(StepFailed) as caught:
            run_in_process([POISON, step, MARK], store)
        message = str(caught.value)
        assert message.startswith(f"{step.path}: the loss is nan at step 2 of 10; nothing was ")
        assert message.endswith("Lower learning_rate, which is 1e+30")
        assert "\n" not in message
        assert store.damage(step) == NOT_BUILT
        log = Path(store.log_address(step))
        assert "Traceback" in log.read_text()
        name = log.relative_to(store.root).as_posix()
        assert contents(store) == {**before, name: log.read_bytes()}
        store.write_log(MARK, "an earlier failure")
        store.discard(MARK)
        assert build(MARK, store, Placement()) == DONE
        assert store.log_address(MARK) is None

    def test_a_full_store_is_said_in_one_line_and_not_tried_again(self, tmp_path):
        """A limit on file sizes stands for a full disk."""
        code = (
            "import resource, sys; from pathlib import Path\n"
            "from orchestrator.run.execute import build; from orchestrator.step import Step\n"
            "from orchestrator.run.placement import Placement; from tasks.data import datasets\n"
            "from orchestrator.store.store import Store\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
            "made = build(Step(datasets.Digits()), Store(Path(sys.argv[1])), Placement())\n"
            "print(made.transient, made.kind, made.message)"
        )
        full = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
        )
        [said] = full.stdout.splitlines()
        assert said.startswith("False failed cannot write to ")
        assert f" {tmp_path}: File too large" in said
        assert not list(tmp_path.glob("datasets/*"))

    def test_what_a_library_says_in_many_lines_becomes_one(self, store, monkeypatch):
        def run(settings, **given):
            raise RuntimeError("first line\n  second line")

        monkeypatch.setattr(mark, "run", run)
        store.discard(MARK)
        outcome = build(MARK, store, Placement())
        assert outcome == Outcome(kind="failed", message="RuntimeError: first line second line")


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionResetError("peer went away"), True),
        (TimeoutError("no answer"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (FileNotFoundError(errno.ENOENT, "No such file", "/store/.checkpoints/a/b/5/x"), True),
        (FileNotFoundError(errno.ENOENT, "No such file", "/store/train/x"), False),
        (ValueError("a bad setting"), False),
        (FloatingPointError("nan"), False),
        (KeyError("a bug"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_lost_connections_and_the_like_are_worth_another_try(error, transient):
    assert is_transient(error) == transient
