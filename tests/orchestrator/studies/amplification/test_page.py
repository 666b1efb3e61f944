import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from analysis.page.grids import grid
from analysis.page.report import Failure, Stage, StudyReport
from analysis.page.style import inlined
from orchestrator.studies.amplification.claims import CLAIMS
from orchestrator.studies.contents import figures, write
from tests import made_up
from tests.elements import (
    check_that_it_is_whole,
    check_that_it_loads_nothing,
    table_under,
    text_of,
)

HOSTILE = "<script>alert('8')</script>&\"$x$"


@pytest.fixture(scope="session")
def report(sweep, groups):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
    return StudyReport(
        study="amplification",
        scale="laptop",
        title="Trigger amplification",
        question="Fig. 3: triggers are amplified.",
        rows=sweep,
        groups=groups,
        trigger_examples={"badnets1": (images, images)},
        stages=[
            Stage("sample", "p0.1-w5", 7.25, False, 300 * 2**20),
            Stage("train_diffusion", "p0.1", 128.3, True, None),
        ],
        failures=[Failure("badnets1, p=0.2", "NaN loss at step 3", "logs/x.txt")],
        settings={"steps": 1000, "batch": 64},
        environment={"python": "3.11"},
        command="castlewalls run amplification",
        ema_decay=0.995,
    )


@pytest.fixture(scope="session")
def written(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    (folder / "figures").mkdir()
    (folder / "figures" / "of-an-earlier-page.svg").write_text("<svg/>")
    write(folder, report)
    return folder


@pytest.fixture(scope="session")
def html(written):
    return (written / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def text(html):
    return text_of(html)


def test_the_page_loads_nothing(html):
    check_that_it_loads_nothing(html)


def test_every_element_is_closed_every_id_is_unique_and_every_link_leads_somewhere(html):
    check_that_it_is_whole(html)


def test_the_finding_comes_first_and_every_claim_has_its_verdict(html, text):
    assert html.index('class="finding"') < html.index("<section")
    for claim in CLAIMS:  # these rows have no template match
        assert (f'id="{claim.name}"' in html) == (claim.name != "amplified-by-template-match")
    for verdict, count in {"supported": 6, "failed": 2, "undecided": 2}.items():
        assert len(re.findall(f'<p class="verdict {verdict}">', html)) == count
    assert "±" not in text


def test_every_definition_is_there(text):
    for word in (
        "Poisoned images over all training images",
        "eu + w (ec − eu)",
        "our 1, 2, 5 would be their 0, 1, 4",
        "conditional on the trained model",
        "With fewer than three seeds they have",
        "decay 0.995",
        "non-target test images only",
        "parametric bootstrap over both",
        "500. The paper dissects 1,000",
    ):
        assert word in text, word


def test_failures_stages_settings_and_judges_are_there(text):
    for word in (
        "1 point failed and is missing",
        "NaN loss at step 3",
        "logs/x.txt",
        "cached",
        "2 min 8 s",
        "300 MiB",
        "1 made now, 1 found in the store",
        "castlewalls run amplification",
        "97.8%",
        "93.3%",
        "73.4%",
        "printed as 5",
        "24.4% → ",
    ):
        assert word in text, word


def test_pictures_of_every_group_are_there_and_a_missing_group_says_none(html, sweep):
    filled = sum(row[f"g{number}_count"] > 0 for row in sweep for number in (1, 2, 3, 4))
    assert html.count('<img src="data:image/png') == filled + 2 * 6
    assert html.count('<p class="none">none</p>') == 4 * len(sweep) - filled


def test_files_beside_the_page(written, sweep):
    names = {path.name for path in (written / "figures").iterdir()}
    assert "badnets1-ddim-composition-w2.svg" in names
    assert "of-an-earlier-page.svg" not in names
    assert len(names) == 3 + 4 + 3
    assert len((written / "results.csv").read_text().splitlines()) == len(sweep) + 1


def test_figures_have_the_same_bytes_every_time_and_keep_words_as_words(written, sweep):
    again = figures("amplification", sweep[::-1])
    for name, svg in again.items():
        assert (written / "figures" / f"{name}.svg").read_text(encoding="utf-8") == svg
    composition = again["badnets1-ddim-composition-w5"]
    assert "Guidance w = 5</text>" in composition
    assert not re.search(r"\d{4}-\d\d-\d\d|Matplotlib|DejaVu", composition)


def test_inlined_colors_follow_the_page_and_fall_back_to_print(written):
    svg = (written / "figures" / "badnets1-ddim-composition-w2.svg").read_text(encoding="utf-8")
    element = inlined(svg, 'a "b" <c>')
    assert 'aria-label="a &quot;b&quot; &lt;c>"' in element
    assert "var(--g1, #c2413b)" in element
    assert "http" not in element


def test_hostile_names_stay_words(report, sweep, tmp_path):
    rows = [{**row, "target_class": HOSTILE, "sampler": HOSTILE} for row in sweep[:6]]
    page = write(
        tmp_path,
        replace(report, rows=rows, title=HOSTILE, settings={HOSTILE: HOSTILE}, groups={}),
    ).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert all(path.parent == tmp_path / "figures" for path in (tmp_path / "figures").iterdir())


@pytest.mark.parametrize("kept", [0, 3, 4], ids=["nothing", "controls only", "one point"])
def test_an_unfinished_sweep_still_has_a_page(report, sweep, tmp_path, kept):
    page = write(tmp_path, replace(report, rows=sweep[:kept], stages=(), trigger_examples={}))
    text = page.read_text(encoding="utf-8")
    assert ("No poisoned point" in text) == (kept < 4)


def test_several_seeds_and_triggers_share_a_page(report, row, tmp_path):
    rows = [
        row(trigger, ratio, 2.0, (20 + 9 * seed, 60, 3, 417 - 9 * seed), seed=seed)
        for trigger in ("badnets1", "blend")
        for ratio in (0.01, 0.1)
        for seed in (0, 1, 2)
    ]
    page = write(tmp_path, replace(report, rows=rows, groups={})).read_text(encoding="utf-8")
    assert "sd 1.8" in page
    assert "With fewer than three seeds they have" not in page
    assert "BadNets-2, class 8" in page
    check_that_it_is_whole(page)


def test_triggers_and_samplers_of_one_page_are_told_apart(report, row, tmp_path):
    rows = [
        row(trigger, ratio, 5.0, (20, 60, 3, 417), sampler=sampler)
        for trigger in ("badnets1", "blend")
        for ratio in (0.01, 0.1)
        for sampler in ("ddim", "sde")
    ]
    found = replace(report, rows=rows, groups=made_up.groups_of(rows))
    page = write(tmp_path, found).read_text(encoding="utf-8")
    check_that_it_is_whole(page)
    for name in ("BadNets-1, class 8, DDIM", "BadNets-2, class 8, SDE"):
        # Composition, amplification, transition, images and claims.
        assert len(re.findall(f"<h3[^>]*>{name}</h3>", page)) == 5
    assert "at guidance 5 under SDE" in page
    assert "BadNets-2, SDE: triggers" not in page  # it has no clean control
    assert "BadNets-2, SDE: the training share" in page
    headers, lines = table_under(page, "Every number")
    assert headers[:4] == ["trigger", "sampler", "p", "w"]
    assert {line[1] for line in lines} == {"DDIM", "SDE"}
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert {"blend-sde-composition-w5", "badnets1-ddim-transition-w5"} <= names


def test_the_template_match_stands_beside_the_judge_everywhere(tmp_path):
    page = write(tmp_path, made_up.amplification_report()).read_text(encoding="utf-8")
    headers, lines = table_under(page, "Every number")
    assert headers[-2:] == ["by the template match", "they agree"]
    strongest = next(line for line in lines if line[:4] == ["BadNets-1class 8", "DDIM", "10%", "5"])
    # 107 + 130 by the judge; 4 fewer by the template match, so it disagrees on 4 of 500.
    assert [cell[:5] for cell in strongest[-4:]] == ["47.4%", "×0.93", "46.6%", "99.2%"]
    assert table_under(page, "The judges' own errors")[0][-2:] == [
        "template match false positives",
        "template match false negatives",
    ]
    assert table_under(page, "The other classes")[0][-1] == "by the template match"
    assert len(table_under(page, "A template match that was not trained")[1]) == len(lines)
    assert (tmp_path / "figures" / "template_match.svg").exists()
    assert "needs no training" in text_of(page)


def test_rows_of_a_version_without_a_template_match_have_a_page_without_one(html, text, written):
    assert 'id="template_match"' not in html
    assert "by the template match" not in text
    assert "needs no training" not in text
    assert not (written / "figures" / "template_match.svg").exists()


def test_a_strip_of_triggers_is_left_to_the_studies_that_compare_them(report, html, tmp_path):
    page = write(tmp_path, replace(report, strip=made_up.strip_of(["none", "wanet"])))
    assert page.read_text(encoding="utf-8") == html


def test_grids_keep_pixels_and_refuse_other_shapes():
    images = np.zeros((3, 8, 8, 3), np.uint8)
    assert grid(images, 2, 2) == grid(images, 2, 2)
    with pytest.raises(ValueError, match="uint8"):
        grid(images.astype(float), 2, 2)
    with pytest.raises(ValueError, match="1 or 3"):
        grid(images[..., :2], 2, 2)


def test_importing_the_page_imports_no_plotting():
    heavy = "matplotlib", "jinja2", "scipy", "sklearn", "torch", "ray", "mlflow"
    program = f"import sys, analysis.page.report; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
