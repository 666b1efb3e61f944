"""What a run shows: bars to a person, lines to a log."""

import io
import os
import re
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from orchestrator.cli.options import as_it_is
from orchestrator.cli.printing import between, duration, explanation
from orchestrator.graph.plan import Pace, Plan, Planned
from orchestrator.graph.remaining import Remaining
from orchestrator.graph.seen import Cost
from orchestrator.run.conductor import extent
from orchestrator.run.local import run_in_process
from orchestrator.run.placement import Placement
from orchestrator.run.progress import Bars, Lines, Watch, display
from orchestrator.run.request import NoCluster
from orchestrator.step import Step, ancestors
from orchestrator.store.store import Store
from tasks.data import datasets
from tasks.steps import poison
from tasks.triggers import BadNets1

DATASET = Step(datasets.Digits())
POISON = Step(
    poison.Settings(trigger=BadNets1(), target_class="8", poison_ratio=0.1), {"dataset": DATASET}
)


def event(kind, step=POISON, **facts):
    return {"kind": kind, "digest": step.digest, "path": step.path, "time": 0.0, **facts}


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False)


class Heard:
    """A display that remembers."""

    def __init__(self):
        self.calls = []

    def start(self):
        self.calls.append("start")

    def show(self, seen):
        self.calls.append(seen["kind"])

    def tick(self, now):
        pass

    def stop(self):
        self.calls.append("stop")


def fail(seen):
    raise AssertionError(seen)


class TestDisplays:
    def test_a_terminal_gets_bars_and_a_pipe_gets_lines(self):
        assert isinstance(display(console(True), 3), Bars)
        assert isinstance(display(console(False), 3), Lines)

    def test_a_terminal_without_a_cursor_and_colors_in_a_file_get_lines(self):
        dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
        assert isinstance(display(dumb, 3), Lines)
        told = "from orchestrator.cli import options; from orchestrator.run import progress; "
        told += "print(type(progress.display(words.console, 3)).__name__)"
        done = subprocess.run(
            [sys.executable, "-c", told],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"},
        )
        assert done.stdout == "Lines\n"

    def test_a_running_step_has_a_line_every_thirty_seconds(self):
        """1000 updates of 0.1 s, each fifth told of: lines at 30, 60 and 90 s."""
        pipe = console(False)
        lines = display(pipe, 1)
        lines.show(event("started", attempt=1, total=1000))
        for half in range(1, 201):
            told = {"position": 5 * half, "metrics": {"loss": 1 / half}}
            lines.show(event("progress", **told) | {"time": half / 2})
            lines.tick(half / 2)
        lines.show(event("done", seconds=100.0) | {"time": 100.0})
        lines.tick(200.0)
        said = [line.split("  ") for line in pipe.file.getvalue().splitlines()]
        assert [line[-1] for line in said[1:-1]] == [
            "300 of 1000, loss 0.0167",
            "600 of 1000, loss 0.00833",
            "900 of 1000, loss 0.00556",
        ]
        assert all(POISON.path in line[-2] and "running" in line for line in said[1:-1])

    def test_a_step_that_never_says_how_far_it_is_has_lines_too(self):
        pipe = console(False)
        lines = display(pipe, 1)
        lines.show(event("started", total=None))
        for second in range(1, 95):
            lines.tick(float(second))
        said = pipe.file.getvalue().splitlines()[1:]
        assert [line.split("  ")[-1] for line in said] == ["for 30 s", "for 60 s", "for 90 s"]

    def test_a_line_says_how_long_the_step_and_the_run_still_take(self, tmp_path):
        """An update a second, and another step of 100 s to come on the same core."""
        costs = [Planned(step, True, "", Cost(0, 100, 0)) for step in (DATASET, POISON)]
        left = Remaining(Plan([], costs), Pace(Store(tmp_path)), Placement(), 1)
        pipe = console(False)
        lines = display(pipe, 2, left)
        for seen in (
            event("started", DATASET, total=100),
            event("progress", DATASET, position=10, metrics={}) | {"time": 1.0},
            event("progress", DATASET, position=40, metrics={}) | {"time": 31.0},
        ):
            left.hear(seen)
            lines.show(seen)
        lines.tick(41.0)
        said = pipe.file.getvalue()
        assert said.endswith("  40 of 100, 50 s left, about 2 min left in all\n")

    @pytest.mark.parametrize("terminal", [True, False], ids=["bars", "lines"])
    def test_no_word_of_a_user_becomes_a_picture_or_an_order(self, terminal):
        path = "train_diffusion/:package:-[red]x[/red]-0123456789ab"
        shown = as_it_is(
            file=io.StringIO(), force_terminal=terminal, force_interactive=terminal, width=200
        )
        view = display(shown, 1)
        view.start()
        view.show(event("started", attempt=1, total=10) | {"path": path})
        view.show(event("failed", message="in :warning: [b]") | {"path": path})
        view.stop()
        said = shown.file.getvalue()
        assert f"failed   {path}  in :warning: [b]" in said
        assert (":package:-[red]x[/red] " if terminal else f"started  {path}") in said

    def test_a_line_says_when_what_and_how_far(self, tmp_path):
        pipe = console(False)
        lines = display(pipe, 2)
        lines.start()
        for seen in run_in_process([POISON], Store(tmp_path)):
            lines.show(seen)
        said = pipe.file.getvalue().splitlines()
        assert [line.split()[2] for line in said] == ["started", "done", "started", "done"]
        assert said[-1].split()[3:5] == [POISON.path, "(2/2,"]

    @pytest.mark.parametrize("terminal", [True, False], ids=["bars", "lines"])
    @pytest.mark.parametrize("kind", ["failed", "retry", "damaged", "waiting"])
    def test_a_message_is_shown_as_it_is(self, terminal, kind):
        """Brackets are a message's own, and no orders to the terminal."""
        message = "must be in [0, 1), [red]got[/red] 10 [/x] [Errno 28]"
        shown = console(terminal)
        view = display(shown, 1)
        view.start()
        view.show(event("started", attempt=1, total=10))
        view.show(event("progress", position=5, metrics={"loss": 0.5}))
        view.show(event(kind, message=message))
        view.stop()
        assert message in " ".join(shown.file.getvalue().split())

    def test_bars_fit_a_terminal_and_cut_neither_path_nor_numbers(self):
        path = "train_diffusion/ddpm-8x16-800steps-seed0-badnets1-p0.02-target_class-seed0"
        narrow = Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False)
        view = display(narrow, 83)
        view.show(event("started", attempt=1, total=1000) | {"path": f"{path}-0123456789ab"})
        view.show(event("progress", position=500, metrics={"loss": 0.123}))
        narrow.print(view.progress.get_renderable())
        whole, *step = re.sub(r"\x1b\[[0-9;]*m", "", narrow.file.getvalue()).splitlines()
        assert max(map(len, (whole, *step))) <= 80
        assert whole.split() == ["steps", "━" * 8, "0/83", "0:00:00"]
        bar = step[0].index("━")
        assert step[0][bar:].split() == ["━━━━╺━━━", "500/1000", "loss", "0.123", "0:00:00"]
        assert "".join(line[:bar].strip() for line in step) == path

    @pytest.mark.parametrize("terminal", [True, False], ids=["bars", "lines"])
    def test_a_training_that_is_taken_up_says_where_and_what_is_done_again(self, terminal):
        shown = console(terminal)
        view = display(shown, 1)
        view.start()
        view.show(event("resumed", position=450, again=0, total=1000))
        view.show(event("resumed", position=500, again=62, total=1000))
        view.stop()
        said = " ".join(shown.file.getvalue().split())
        assert f"resumed {POISON.path} at 450 of 1000" in said
        assert f"resumed {POISON.path} at 500 of 1000, 62 done again" in said

    def test_progress_of_a_step_that_nobody_saw_start_is_no_error(self):
        view = display(console(True), 1)
        view.start()
        view.show(event("progress", position=5, metrics={}))
        view.show(event("cached"))
        view.show(event("done", seconds=1.0))
        view.stop()

    def test_the_extent_of_a_step_is_in_its_own_units(self, tiny_points):
        steps = {step.task: step for step in ancestors(point.measure for point in tiny_points)}
        assert extent(steps["train_diffusion"]) == 100
        assert extent(steps["sample"]) == 60
        assert extent(steps["generations_row"]) is None


class TestWatching:
    def test_everything_is_shown_and_heard_once_even_what_comes_last(self):
        news = [[event("started")], [], [event("done")]]
        shown, heard = Heard(), []
        turn = threading.Lock()

        def poll():
            with turn:
                return news.pop(0) if news else []

        with Watch(poll, shown, lambda seen: heard.append(seen["kind"]), fail) as watch:
            pass
        while news:  # what was not polled on the way out
            watch._look()
        assert shown.calls[0] == "start"
        assert [kind for kind in shown.calls if kind in ("started", "done")] == ["started", "done"]
        assert heard == ["started", "done"]
        assert [seen["kind"] for seen in watch.events] == heard

    def test_when_the_cluster_is_gone_it_is_said_and_nothing_more_is_asked(self):
        shown, said = Heard(), []
        told = threading.Event()

        def poll():
            if told.is_set():
                return []
            raise NoCluster("the head is gone")

        def lost(error):
            said.append(str(error))
            told.set()

        with Watch(poll, shown, fail, lost) as watch:
            assert told.wait(30)
            watch.join(30)
            assert not watch.is_alive()
        assert said == ["the head is gone"]
        assert shown.calls == ["start", "stop", "stop"]

    def test_the_display_ends_when_the_run_fails(self):
        shown = Heard()
        with pytest.raises(RuntimeError), Watch(list, shown, lambda _: None, fail):
            raise RuntimeError("the run failed")
        assert shown.calls == ["start", "stop"]


class TestWords:
    @pytest.mark.parametrize(
        ("seconds", "said"),
        [
            (0.04, "0.0 s"),
            (9.5, "9.5 s"),
            (12.3, "12 s"),
            (180, "3 min"),
            (9000, "2.5 h"),
            (950_000, "11 days"),
        ],
    )
    def test_durations_are_short(self, seconds, said):
        assert duration(seconds) == said

    @pytest.mark.parametrize(
        ("low", "high", "said"),
        [
            (420, 780, "7 to 13 min"),
            (50, 130, "50 s to 2 min"),
            (412, 431, "about 7 min"),
            (9.5, 20, "9.5 to 20 s"),
        ],
    )
    def test_two_durations_are_a_range(self, low, high, said):
        assert between(low, high) == said

    def test_an_explanation_goes_down_to_what_a_step_waits_for(self, tmp_path):
        store = Store(tmp_path)
        assert [line.strip() for line in explanation(store, POISON)] == [
            f"{POISON.path}: not built",
            "the first of its task",
            f"{DATASET.path}: not built",
            "the first of its task",
        ]
        run_in_process([POISON], store)
        assert list(explanation(store, POISON)) == [f"{POISON.path}: finished"]
