"""What is asked for: its label, the command that asks for it again, its report and its logs."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.run import report
from orchestrator.run.request import Request, Result, log_of
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION, DETECTION
from orchestrator.studies.scales import LAPTOP, TINY


def asked(study=AMPLIFICATION, scale=TINY, root=Path("store"), **axes):
    chosen = study.chosen(scale).with_values(**axes)
    return Request(study=study, scale=scale, axes=chosen, store=Store(root))


def test_the_command_on_a_page_asks_for_the_same_axes():
    several = {"trigger": ("badnets1", "blend"), "sampler": ("ddim", "ddpm"), "seed": (0, 9)}
    numbers = {"poison_ratio": (0.0, 1e-07, 0.1 + 0.2), "guidance_weight": (1.0, 2.5, 999.0)}
    request = asked(**several, **numbers, target_class="3")
    command, run, study, *flags = shlex.split(report.command(request))
    assert (command, run, study) == ("castlewalls", "run", "amplification")
    typed = dict(zip(flags[::2], flags[1::2], strict=True))
    assert typed.pop("--scale") == "tiny"
    words = {flag.removeprefix("--").replace("-", "_"): text for flag, text in typed.items()}
    assert AMPLIFICATION.chosen(TINY, words) == request.axes


def test_the_study_s_own_axes_need_no_flags():
    assert report.command(asked(scale=LAPTOP)) == "castlewalls run amplification --scale laptop"
    detection = report.command(asked(DETECTION, detector=("strip", "cd")))
    assert detection == "castlewalls run detection --scale tiny --detector strip,cd"


def test_other_axes_or_lengths_that_the_study_uses_are_another_report():
    own, seeds = asked(scale=LAPTOP), asked(scale=LAPTOP, seed=(1,))
    shorter = replace(LAPTOP, diffusion=replace(LAPTOP.diffusion, steps=77))
    other = replace(LAPTOP, classifier=replace(LAPTOP.classifier, steps=77))
    assert own.label == asked(scale=other).label == "amplification-laptop"
    labels = [seeds.label, asked(scale=shorter).label, asked(DETECTION, other).label]
    assert len({own.label, "detection-laptop", *labels}) == 5


def test_the_log_of_a_failed_point_is_its_first_unfinished_step_s(tmp_path, tiny_points):
    store, point = Store(tmp_path), tiny_points[0]
    assert log_of(point, store) == ""
    store.write_log(point.measure.inputs["generations"], "Traceback")
    assert Path(log_of(point, store)).read_text() == "Traceback"


@pytest.fixture(scope="module")
def reported(tiny_store, copied):
    request = replace(asked(), store=copied(tiny_store))
    return request, report.reported(request, Result(points=request.points()))


class TestReports:
    def test_a_page_a_table_and_figures_are_made_of_what_is_finished(self, reported):
        request, result = reported
        folder = request.store.root / "reports" / "amplification-tiny"
        assert result.page == folder / "index.html"
        assert list(folder.rglob("*.svg"))
        table = (folder / "results.csv").read_text()
        header, *rows = table.splitlines()
        assert len(rows) == len(request.points()) == 12
        assert header.startswith("study,scale,trigger,poison_ratio,target_class,guidance_weight")
        assert str(request.store.root) not in table
        report.reported(request, Result(points=request.points()))
        assert (folder / "results.csv").read_text() == table

    def test_a_column_that_no_row_has_is_told(self, reported, copied):
        study = replace(reported[0].study, columns=("g1", "gg"))
        request = replace(reported[0], study=study, store=copied(reported[0].store))
        [remark] = report.reported(request, Result(points=request.points())).remarks
        assert "'gg'" in remark

    def test_an_altered_row_is_left_out(self, reported, copied):
        request = replace(reported[0], store=copied(reported[0].store))
        altered = request.points()[0]
        path = request.store.folder(altered.measure) / "metrics.json"
        path.write_text(path.read_text().replace("0.", "1."))
        names = [point.name for point in report.finished(request)]
        assert altered.name not in names
        assert len(names) == 11


def test_a_page_is_up_to_date_until_a_point_or_the_code_is_another(reported, monkeypatch, tmp_path):
    request, result = reported
    assert report.up_to_date(request) == result.page
    fewer = replace(request, axes=request.axes.with_values(guidance_weight=(2.0,)))
    assert report.up_to_date(fewer) is None
    renamed = replace(request, study=replace(request.study, title="Another title"))
    assert report.up_to_date(renamed) is None
    monkeypatch.setattr(report, "ROOT", tmp_path)
    assert report.up_to_date(request) is None
