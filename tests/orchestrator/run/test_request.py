"""What is asked for: its label, and the command that asks for it again."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cli.commands import app
from orchestrator.run import report
from orchestrator.run.request import Failure, Request, Result, by_message, log_of
from orchestrator.store.store import Store, open_store
from orchestrator.studies import AMPLIFICATION, COMPOSITION, DETECTION
from orchestrator.studies.scales import LAPTOP, TINY, chosen_axes
from orchestrator.studies.study import Axes
from tasks.steps.sample import SAMPLERS
from tasks.triggers import TRIGGERS


def request_for(axes, scale=TINY, root=Path("store")):
    return Request(study=AMPLIFICATION, scale=scale, axes=axes, store=Store(root))


def subsets(options):
    return st.lists(st.sampled_from(options), min_size=1, unique=True).map(tuple)


axes = st.builds(
    Axes,
    trigger=subsets([trigger.name for trigger in TRIGGERS]),
    poison_ratio=st.lists(st.floats(0, 0.8), min_size=1, unique=True).map(tuple),
    guidance_weight=st.lists(st.floats(0, 999), min_size=1, unique=True).map(tuple),
    sampler=subsets(SAMPLERS),
    seed=st.lists(st.integers(0, 2**31 - 1), min_size=1, unique=True).map(tuple),
    target_class=st.sampled_from(TINY.dataset.class_names),
)


@settings(deadline=None)  # it parses a command line, which a busy machine does slowly
@given(axes, st.sampled_from([TINY, LAPTOP]))  # which share their classes
def test_the_command_on_a_page_asks_for_the_same_axes(chosen, scale):
    words = shlex.split(report.command(request_for(chosen, scale)))
    assert words[:3] == ["castlewalls", "run", "amplification"]
    given_words = typer.main.get_command(app).commands["run"].make_context("run", words[2:]).params
    assert given_words["scale"] == scale.name
    typed = {axis: given_words[axis] for axis in vars(chosen)}
    assert chosen_axes(scale, **typed) == chosen


def test_the_scale_s_own_axes_need_no_flags():
    command = report.command(request_for(LAPTOP.axes, LAPTOP))
    assert command == "castlewalls run amplification --scale laptop"


def test_detectors_are_an_axis_of_studies_that_detect():
    axes = replace(DETECTION.axes(TINY), detector=("strip", "cd"))
    asked = Request(study=DETECTION, scale=TINY, axes=axes, store=Store(Path("store")))
    command = report.command(asked)
    assert command == "castlewalls run detection --scale tiny --detector strip,cd"
    assert DETECTION.swept(axes)["detector"] == ("strip", "cd")
    assert "detector" not in AMPLIFICATION.swept(axes)


def test_what_detection_uses_is_no_part_of_other_reports_names():
    shorter = replace(LAPTOP, diffusion=replace(LAPTOP.diffusion, steps=77))
    axes = COMPOSITION.axes(shorter)
    asked = Request(study=COMPOSITION, scale=shorter, axes=axes, store=Store(Path("store")))
    assert asked.label == "composition-laptop-caf78455"
    other = replace(shorter, classifier=replace(shorter.classifier, steps=77))
    assert replace(asked, scale=other).label == asked.label
    both = [replace(asked, study=DETECTION, scale=scale).label for scale in (shorter, other)]
    assert both[0] != both[1]


def test_the_page_s_settings_are_those_that_the_study_uses(tmp_path):
    axes = replace(DETECTION.axes(TINY), detector=("cd", "strip"), sampler=("ddim", "sde"))
    asked = Request(study=DETECTION, scale=TINY, axes=axes, store=Store(tmp_path))
    shown = report.settings(asked.points())
    assert shown["detect cd: steps"] == 5
    assert shown["detect strip: overlays"] == 5
    assert not any("fct" in name for name in shown)
    assert "sample: steps" in shown
    assert "sample: sampler" not in shown  # the two differ


def test_other_axes_are_another_report(tmp_path):
    own = request_for(TINY.axes, root=tmp_path)
    other = request_for(replace(TINY.axes, seed=(1,)), root=tmp_path)
    assert own.label == "amplification-tiny"
    assert other.label == f"amplification-tiny-{other.axes.digest}"


class TestLogs:
    def test_the_log_of_a_failed_point_is_its_first_unfinished_step_s(self, tmp_path, tiny_points):
        store = Store(tmp_path)
        point = tiny_points[0]
        assert log_of(point, store) == ""
        path = store.log_path(point.measure.inputs["generations"])
        path.parent.mkdir()
        path.write_text("Traceback")
        assert log_of(point, store) == str(path)

    def test_in_a_bucket_it_has_an_address(self, remote_address, tiny_points):
        store = open_store(remote_address)
        failed = tiny_points[0].measure.inputs["generations"]
        store.write_log(failed, "Traceback")
        assert log_of(tiny_points[0], store) == store.log_address(failed)
        assert store.log_address(failed).startswith("s3://castle/")


@pytest.fixture(scope="module")
def reported(tiny_store, copied):
    request = replace(request_for(TINY.axes), store=copied(tiny_store))
    return request, report.reported(request, Result(points=request.points()))


class TestReports:
    def test_a_study_may_write_its_own_page(self, reported):
        request, result = reported

        def page(asked, result, points, folder):
            path = folder / "own.html"
            path.write_text(f"{len(points)} of {len(result.points)} points")
            return path

        own = replace(request, study=replace(request.study, page=page))
        written = report.reported(own, Result(points=own.points())).page
        assert written.read_text() == "12 of 12 points"
        assert report.reported(replace(own, store=Store(Path("none"))), result).page == result.page

    def test_a_page_a_table_and_figures_are_made_from_what_is_finished(self, reported):
        request, result = reported
        folder = request.store.root / "reports" / "amplification-tiny"
        assert result.page == folder / "index.html"
        assert (folder / "results.csv").exists()
        assert list(folder.rglob("*.svg"))

    def test_the_table_has_a_row_a_point_and_nothing_of_this_machine(self, reported):
        request, result = reported
        text = (result.page.parent / "results.csv").read_text()
        header, *rows = text.splitlines()
        assert len(rows) == len(request.points()) == 12
        assert header.startswith("study,scale,trigger,poison_ratio,target_class,guidance_weight")
        assert str(request.store.root) not in text

    def test_made_again_it_is_the_same_bytes(self, reported):
        request, result = reported
        path = result.page.parent / "results.csv"
        before = path.read_bytes()
        report.reported(request, Result(points=request.points()))
        assert path.read_bytes() == before

    def test_an_altered_row_is_left_out(self, tiny_store, copied):
        request = replace(request_for(TINY.axes), store=copied(tiny_store))
        altered = request.points()[0]
        path = request.store.folder(altered.measure) / "metrics.json"
        path.write_text(path.read_text().replace("0.", "1."))
        names = [point.name for point in report.finished(request)]
        assert altered.name not in names
        assert len(names) == 11


def test_one_reason_is_one_failure_however_many_points_it_fails(tiny_points):
    failures = [Failure(point, "no such file") for point in tiny_points[:3]]
    failures.append(Failure(tiny_points[3], "NaN"))
    assert by_message(failures) == {
        "no such file": list(tiny_points[:3]),
        "NaN": [tiny_points[3]],
    }
