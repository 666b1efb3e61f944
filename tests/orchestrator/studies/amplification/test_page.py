"""The page of ``amplification``, and with it what every page has."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from analysis.page.page import write
from analysis.page.style import inlined
from analysis.rows import frame
from orchestrator.studies.amplification.claims import CLAIMS
from orchestrator.studies.amplification.page import page
from tests import made_up
from tests.elements import check_that_it_is_whole, table_under, text_of

HOSTILE = "<script>alert('8')</script>&\"$x$"


@pytest.fixture(scope="session")
def report(sweep):
    return made_up.report_of("amplification", sweep)


def page_in(folder, report):
    return write(folder, report, page(report)).read_text(encoding="utf-8")


def test_the_finding_comes_first_then_every_claim_with_its_verdict(html, sweep):
    assert html.index('class="finding"') < html.index('id="claims"') < html.index("<svg")
    for claim in CLAIMS:
        assert f'id="{claim.name}"' in html
    for verdict, count in {"supported": 6, "failed": 2, "undecided": 3}.items():
        assert len(re.findall(f'<span class="verdict {verdict}">[a-z]', html)) == count
    # 356 of 500 against 14 / 153, ..., and 237 of 500 against 143 / 282.
    assert "×7.78 at 1%, ×4.04 at 2%, ×1.92 at 5% and ×0.93 at 10%" in text_of(html)


def test_failures_steps_settings_and_definitions_are_there(html):
    for words in (
        "1 failed and is missing",
        "NaN loss at step 3",
        "2 min 8 s",
        "300 MiB",
        "1 made now, 1 found in the store",
        "castlewalls run amplification",
        "Poisoned images over all training images",
        "eu + w (ec − eu)",
    ):
        assert words in text_of(html), words


def test_our_numbers_stand_beneath_the_papers(html):
    headers, lines = table_under(html, "The paper's numbers beside ours")
    assert headers[:6] == ["source", "data", "trigger", "sampler", "p", "w"]
    pie = next(line for line in lines if line[0] == "Fig. 2, A7" and line[2] == "BadNets-1")
    assert pie[3:8] == ["DDIM", "10%", "5", "49.6%ours 50.7%", "54.0%ours 21.4%"]
    assert pie[-2:] == ["73.4%ours 47.4%", "×1.48ours ×0.93"]


def test_the_template_match_stands_beside_the_judge(html):
    headers, lines = table_under(html, "Every number")
    assert headers[-2:] == ["by template match", "they agree"]
    strongest = next(line for line in lines if line[:3] == ["BadNets-1", "10%", "5"])
    # 107 + 130 by the judge; 4 fewer by the template match, so it disagrees on 4 of 500.
    assert [cell[:5] for cell in strongest[-4:]] == ["47.4%", "×0.93", "46.6%", "99.2%"]
    assert len(table_under(html, "A template match that was not trained")[1]) == len(lines)


def test_without_a_template_match_the_page_is_silent_about_it(report, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "template_match.svg").write_text("<svg/>")  # of an earlier page
    html = page_in(tmp_path, report)
    assert "template match" not in text_of(html).replace("no template match", "")
    assert not (tmp_path / "figures" / "template_match.svg").exists()


def test_pictures_of_every_group_are_there_and_a_missing_group_says_none(html, sweep):
    filled = sum(row[f"g{number}_count"] > 0 for row in sweep for number in (1, 2, 3, 4))
    assert html.count('<img src="data:image/png') == filled + 2 * 6
    assert html.count('<p class="none">none</p>') == 4 * len(sweep) - filled


def test_figures_are_files_with_the_same_bytes_every_time(written):
    again = {figure.name: figure.svg for figure in page(made_up.amplification_report()).figures()}
    folder = written("amplification")
    files = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("figures/*.svg")}
    assert files == again
    assert len(files) == 3 + 4 + 3 + 1
    assert "Guidance w = 5</text>" in files["badnets1-ddim-composition-w5"]
    assert not re.search(r"\d{4}-\d\d-\d\d|Matplotlib|DejaVu", "".join(files.values()))


def test_inlined_colors_follow_the_page_and_fall_back_to_print(written):
    file = written("amplification") / "figures" / "badnets1-ddim-composition-w2.svg"
    element = inlined(file.read_text(encoding="utf-8"), 'a "b" <c>')
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in element
    assert "var(--g1, #c2413b)" in element
    assert "http" not in element


def test_hostile_names_stay_words(sweep, tmp_path):
    rows = [{**row, "target_class": HOSTILE, "sampler": HOSTILE} for row in sweep[:6]]
    report = made_up.report_of("amplification", rows, title=HOSTILE, settings={HOSTILE: HOSTILE})
    html = page_in(tmp_path, report)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert all(path.parent == tmp_path / "figures" for path in (tmp_path / "figures").iterdir())


@pytest.mark.parametrize("kept", [0, 3, 4], ids=["nothing", "controls only", "one point"])
def test_an_unfinished_sweep_still_has_a_page(report, sweep, tmp_path, kept):
    unfinished = replace(report, rows=frame(sweep[:kept]), judgments=[], trigger_examples={})
    assert ("No poisoned point" in page_in(tmp_path, unfinished)) == (kept < 4)


def test_seeds_are_joined_and_triggers_told_apart(row, tmp_path):
    rows = [
        row(trigger, ratio, 2.0, (20 + 9 * seed, 60, 3, 417 - 9 * seed), seed=seed)
        for trigger in ("badnets1", "blend")
        for ratio in (0.01, 0.1)
        for seed in (0, 1, 2)
    ]
    html = page_in(tmp_path, made_up.report_of("amplification", rows))
    assert "sd 1.8" in html
    check_that_it_is_whole(html)
    # Composition, amplification, transition and claims.
    assert len(re.findall("<h3[^>]*>BadNets-2, class 8, DDIM</h3>", html)) == 4


def test_importing_a_page_imports_no_plotting():
    heavy = "matplotlib", "jinja2", "scipy", "sklearn", "torch", "ray", "mlflow", "pandas"
    program = (
        "import sys, orchestrator.studies.amplification.page, orchestrator.studies.amplification."
        f"claims; print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
