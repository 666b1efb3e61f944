"""``castlewalls verify``: a line for every claim of the paper, in all its forms."""

import csv
import io
import json
import shlex
from dataclasses import asdict

import pytest
from rich.console import Console

from orchestrator.cli import verify as verifying
from orchestrator.cli.parsing import find_scale
from orchestrator.run.report import claims_of
from orchestrator.studies import STUDIES, studies_at
from orchestrator.studies.scales import SCALES
from tests.elements import check_that_it_loads_nothing

CLAIMS = [(study.name, claim.name) for study in STUDIES for claim in claims_of(study)]


@pytest.fixture(scope="module")
def finished(tiny_store):
    """The studies at ``tiny``: one is finished, and some points of it are other studies' too."""
    return verifying.verify("tiny", str(tiny_store.root))


@pytest.mark.parametrize("scale", [scale.name for scale in SCALES])
def test_an_empty_store_tests_nothing_and_says_what_would(scale, tmp_path):
    lines = verifying.every_line(verifying.verify(scale, str(tmp_path)))
    there = {study.name for study in studies_at(find_scale(scale))}
    expected = [(study, claim) for study, claim in CLAIMS if study in there]
    assert [(line.study, line.claim) for line in lines] == expected
    for line in lines:
        assert (line.verdict, line.ours, line.evidence) == ("not tested", "", "")
        words = shlex.split(line.command)
        assert words == [
            "castlewalls",
            "run",
            line.study,
            "--scale",
            scale,
            "--store",
            str(tmp_path),
        ]
        assert line.statement
        assert line.rule
        assert line.source


def test_finished_points_are_judged_and_the_rest_is_not(finished):
    lines = verifying.every_line(finished)
    assert {(line.study, line.claim) for line in lines} == {*CLAIMS}
    tested = {line.study for line in lines if line.verdict != "not tested"}
    assert tested == {one.study.name for one in finished if len(one.rows)}
    assert tested & {"amplification", "detection"} == {"amplification"}
    assert all(bool(line.command) == (line.verdict == "not tested") for line in lines)
    verifying.print_claims(finished, Console(file=(out := io.StringIO()), width=200))
    printed = out.getvalue()
    assert f"Of {len(lines)} verdicts " in printed
    for line in lines:
        assert not line.command or f"to test more:  {line.command}\n" in printed


def test_files_hold_what_is_printed(finished, tmp_path):
    lines = verifying.every_line(finished)
    verifying.write_csv(tmp_path / "claims.csv", lines)
    verifying.write_json(tmp_path / "claims.json", lines)
    with (tmp_path / "claims.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == json.loads((tmp_path / "claims.json").read_text())
    assert rows == [asdict(line) for line in lines]
    verifying.write_markdown(tmp_path / "results", finished, "tiny")
    written = {path.stem for path in (tmp_path / "results").iterdir()}
    assert written == {one.study.name for one in finished if len(one.rows)}
    own = [line for line in lines if line.study == "amplification"]
    text = (tmp_path / "results" / "amplification.md").read_text(encoding="utf-8")
    assert text.count("\n- **") == len(own)
    assert text.count("\n| ") == 1 + len(finished[0].rows)


def test_the_page_has_every_claim_and_loads_nothing(finished, tmp_path):
    text = verifying.write_page(tmp_path / "verify", finished, "tiny").read_text(encoding="utf-8")
    for study in STUDIES:
        assert study.title in text
    lines = verifying.every_line(finished)
    assert text.count("<summary>rule</summary>") == sum(bool(line.rule) for line in lines)
    assert "<dt>G1, G2, G3, G4</dt>" in text
    untested = sum(not line.ours for line in lines)
    assert text.count("To test it: castlewalls run ") == untested
    check_that_it_loads_nothing(text)
