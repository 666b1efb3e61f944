import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from analysis.claims import CLAIMS
from analysis.contents import figures
from analysis.grids import grid
from analysis.page import Failure, Stage, StudyReport, write
from analysis.style import inlined

HOSTILE = "<script>alert('8')</script>&\"$x$"


class Elements(HTMLParser):
    """Start tags with their attributes, ids, and unclosed elements."""

    VOID = ("meta", "img", "br", "use", "path")

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


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
        trigger_example=(images, images),
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
    return re.sub(r"\s+", " ", re.sub(r"<style.*?</style>|<[^>]*>", "", html, flags=re.DOTALL))


def test_the_page_loads_nothing(html):
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    elements = Elements()
    elements.feed(html)
    for tag, attributes in elements.found:
        assert tag not in ("script", "link", "iframe", "object", "base")
        for name in ("src", "href", "xlink:href"):
            if attributes.get(name):
                assert attributes[name].startswith(("#", "data:image/png;base64,"))


def test_every_element_is_closed_every_id_is_unique_and_every_link_leads_somewhere(html):
    elements = Elements()
    elements.feed(html)
    assert elements.open == []
    identifiers = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)
    assert {first or second for first, second in used} <= set(identifiers)


def test_the_finding_comes_first_and_every_claim_has_its_verdict(html, text):
    assert html.index('class="finding"') < html.index("<section")
    for claim in CLAIMS:
        assert f'id="{claim.name}"' in html
    for verdict, count in {"supported": 6, "failed": 2, "undecided": 2}.items():
        assert len(re.findall(f'<p class="verdict {verdict}">', html)) == count
    assert "±" not in text


def test_every_definition_is_there(text):
    for word in (
        "Poisoned images over all training images",
        "eu + w (ec − eu)",
        "our 1, 2, 5 would be their 0, 1, 4",
        "conditional on the trained model",
        "the variance of training is left out",
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
    again = figures(sweep[::-1])
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
    page = write(tmp_path, replace(report, rows=sweep[:kept], stages=(), trigger_example=None))
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
    assert "the variance of training is left out" not in page
    assert "BadNets-2, class 8" in page
    elements = Elements()
    elements.feed(page)
    identifiers = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_grids_keep_pixels_and_refuse_other_shapes():
    images = np.zeros((3, 8, 8, 3), np.uint8)
    assert grid(images, 2, 2) == grid(images, 2, 2)
    with pytest.raises(ValueError, match="uint8"):
        grid(images.astype(float), 2, 2)
    with pytest.raises(ValueError, match="1 or 3"):
        grid(images[..., :2], 2, 2)


def test_importing_the_page_imports_no_plotting():
    heavy = "matplotlib", "jinja2", "scipy", "sklearn", "torch", "ray", "mlflow"
    program = f"import sys, analysis.page; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
