"""What a run shows: bars to a person, lines to a log."""

import io
import threading

import pytest
from rich.console import Console

from orchestrator.conductor import extent
from orchestrator.local import run_in_process
from orchestrator.progress import Bars, Lines, Watch, display
from orchestrator.request import NoCluster
from orchestrator.show import duration, explanation
from orchestrator.step import Step, ancestors
from orchestrator.store import Store
from tasks import datasets, poison
from tasks.patches import BadNets1

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

    def stop(self):
        self.calls.append("stop")


def fail(seen):
    raise AssertionError(seen)


class TestDisplays:
    def test_a_terminal_gets_bars_and_a_pipe_gets_lines(self):
        assert isinstance(display(console(True), 3), Bars)
        assert isinstance(display(console(False), 3), Lines)

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
        assert extent(steps["measure"]) is None


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
