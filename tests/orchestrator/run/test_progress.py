"""What a run shows: bars to a person, lines to a log."""

import io
import re
import sys
import threading

import pytest
from rich.console import Console

from orchestrator.console import as_it_is, between, duration
from orchestrator.graph.costs import Cost, Costs
from orchestrator.graph.plan import Plan, Planned
from orchestrator.graph.remaining import Remaining
from orchestrator.run.placement import Placement
from orchestrator.run.progress import Bars, Follower, Lines, display
from orchestrator.run.request import NoCluster
from orchestrator.store.store import Store
from tests.orchestrator.conducted import DATASET, POISON


def event(kind, step=POISON, **facts):
    return {"kind": kind, "digest": step.digest, "path": step.path, "time": 0.0, **facts}


def console(terminal, **how):
    return as_it_is(
        file=io.StringIO(), force_terminal=terminal, force_interactive=terminal, width=120, **how
    )


@pytest.fixture
def following(tmp_path):
    """A function that makes a display, and one that tells it and its estimate of an event."""

    def made(shown, cores=None):
        costs = [Planned(step, True, "", Cost(0, 100, 0)) for step in (DATASET, POISON)]
        left = Remaining(Plan([], costs), Costs(Store(tmp_path)), Placement().distributed, cores)
        view = display(shown, 83, left)

        def tell(happened):
            left.hear(happened)
            view.show(happened)

        return view, tell

    return made


class TestDisplays:
    def test_a_terminal_gets_bars_and_anything_else_gets_lines(self, monkeypatch, following):
        assert isinstance(following(console(True))[0], Bars)
        dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
        assert isinstance(following(dumb)[0], Lines)
        monkeypatch.setenv("FORCE_COLOR", "1")  # says nothing of cursors
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        assert isinstance(following(as_it_is())[0], Lines)

    def test_a_running_step_has_a_line_every_thirty_seconds(self, following):
        """1000 updates of 0.1 s, each fifth told of; then another step that is to take 100 s."""
        pipe = console(False)
        lines, tell = following(pipe, cores=1)
        tell(event("started", attempt=1, total=1000))
        for half in range(1, 201):
            told = {"position": 5 * half, "metrics": {"loss": 1 / half}}
            tell(event("progress", **told) | {"time": half / 2})
            lines.tick(half / 2)
        tell(event("done", seconds=100.0) | {"time": 100.0})
        lines.tick(200.0)
        tell(event("started", DATASET, total=None) | {"time": 200.0})  # never says how far
        for second in range(201, 265):
            lines.tick(float(second))
        said = [line.split("  ") for line in pipe.file.getvalue().splitlines()]
        assert [line[-1] for line in said if "running" in line] == [
            "300 of 1000, loss 0.0167, 70 s left, about 3 min left in all",
            "600 of 1000, loss 0.00833, 40 s left, about 2 min left in all",
            "900 of 1000, loss 0.00556, 10 s left, about 110 s left in all",
            "for 30 s, about 70 s left in all",
            "for 60 s, about 40 s left in all",
        ]
        assert all(POISON.path in line[-2] for line in said[1:4])

    @pytest.mark.parametrize("terminal", [True, False], ids=["bars", "lines"])
    def test_no_word_of_a_user_becomes_a_picture_or_an_order(self, terminal, following):
        path = "train_diffusion/:package:-[red]x[/red]-0123456789ab"
        shown = console(terminal)
        view, tell = following(shown)
        view.start()
        tell(event("started", attempt=1, total=10) | {"path": path})
        for kind in ("waiting", "damaged", "retry", "failed"):
            tell(event(kind, message="in :warning: [b]") | {"path": path})
        tell(event("progress", position=5, metrics={}) | {"digest": "never started"})
        tell(event("resumed", position=500, again=62, total=1000))
        view.stop()
        said = shown.file.getvalue()
        assert f"resumed  {POISON.path}  at 500 of 1000, repeating 62" in said
        for kind in ("damaged", "waiting", "retry", "failed"):
            assert f"{kind:8} {path}  in :warning: [b]" in said
        assert (":package:-[red]x[/red] " if terminal else f"started  {path}") in said

    def test_bars_fit_a_terminal_and_cut_neither_path_nor_numbers(self, following):
        path = "train_diffusion/ddpm-8x16-800steps-seed0-badnets1-p0.02-target_class-seed0"
        narrow = Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False)
        view, tell = following(narrow)
        tell(event("started", attempt=1, total=1000) | {"path": f"{path}-0123456789ab"})
        tell(event("progress", position=500, metrics={"loss": 0.123}))
        narrow.print(view.progress.get_renderable())
        whole, *step = re.sub(r"\x1b\[[0-9;]*m", "", narrow.file.getvalue()).splitlines()
        assert max(map(len, (whole, *step))) <= 80
        assert whole.split() == ["steps", "━" * 8, "0/83", "0:00:00"]
        bar = step[0].index("━")
        assert step[0][bar:].split() == ["━━━━╺━━━", "500/1000", "loss", "0.123", "0:00:00"]
        assert "".join(line[:bar].strip() for line in step) == path


class Heard(list):
    """A display that remembers."""

    def start(self):
        self.append("start")

    def show(self, seen):
        self.append(seen["kind"])

    def tick(self, now):
        pass

    def stop(self):
        self.append("stop")


class TestFollowing:
    def test_everything_is_shown_and_heard_once_even_what_comes_last(self):
        news = [[event("started")], [], [event("done")]]
        shown, heard = Heard(), []

        def poll():
            return news.pop(0) if news else []

        with (
            pytest.raises(RuntimeError),
            Follower(poll, shown, lambda seen: heard.append(seen["kind"]), pytest.fail) as follower,
        ):
            raise RuntimeError("the run failed")
        while news:  # what was not polled on the way out
            follower._look()
        assert shown[0] == "start"
        assert sorted(shown) == ["done", "start", "started", "stop"]
        assert heard == ["started", "done"]

    def test_when_the_cluster_is_gone_it_is_said_and_nothing_more_is_asked(self):
        shown, said, told = Heard(), [], threading.Event()

        def poll():
            if told.is_set():
                return []
            raise NoCluster("the head is gone")

        def lost(error):
            said.append(str(error))
            told.set()

        with Follower(poll, shown, pytest.fail, lost) as follower:
            follower.join(30)
            assert not follower.is_alive()
        assert said == ["the head is gone"]
        assert shown == ["start", "stop", "stop"]


def test_durations_and_their_ranges_are_short():
    seconds = (9.5, 12.3, 180, 9000, 950_000)
    assert [duration(each) for each in seconds] == ["9.5 s", "12 s", "3 min", "2.5 h", "11 days"]
    assert between(420, 780) == "7 to 13 min"
    assert between(50, 130) == "50 s to 2 min"
    assert between(412, 431) == "about 7 min"
