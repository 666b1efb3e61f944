"""The page of ``composition``."""

import re

from analysis.rows import frame
from orchestrator.studies.composition.page import sentence
from tests.elements import table_under, text_of


def test_every_trigger_has_its_claims_figures_and_big_number(html, written):
    for trigger in ("BadNets-1", "BadNets-2", "One color"):
        # Claims, composition, samplers; BadNets-1 was thresholded as well.
        headings = re.findall(f"<h3[^>]*>{trigger}, class 8</h3>", html)
        assert len(headings) == 3 + (trigger == "BadNets-1")
    assert "52 → 37%" in text_of(html)  # G1 of BadNets-1: 260 and 185 of 500
    names = {path.stem for path in written("composition").glob("figures/*.svg")}
    assert {f"{trigger}-g1-by-sampler" for trigger in ("badnets1", "blend", "unicolor")} <= names
    assert {"blend-sde-composition", "badnets1-ddim-static-composition"} <= names
    assert len(names) == 9 + 1 + 3 * 2 + 1


def test_the_sentence_has_the_span_over_the_samplers(composition_sweep):
    assert sentence(frame(composition_sweep)) == (
        "At p = 10% the models draw a trigger in 59 to 76% of their images for BadNets-1, 57 to "
        "66% of their images for one color and 56 to 60% of their images for BadNets-2, against "
        "p_t = 50.7%."
    )
    clean = [row for row in composition_sweep if row["trigger"] == "none"]
    assert sentence(frame(clean)) == "No poisoned point has been measured yet."


def test_thresholding_is_compared_with_the_usual_way(html):
    headers, lines = table_under(html, "What thresholding does to G1 and G2")
    assert headers[:4] == ["sampler", "p", "G1, unthresholded", "G1, clipped at each step"]
    line = next(line for line in lines if line[:2] == ["DDIM", "10%"])
    assert line[2].startswith("46.0%")
    assert line[3].startswith("38.0%−8.0 points")
    assert len(lines) == 3


def test_the_papers_numbers_stand_at_its_guidance_of_five(html):
    _, lines = table_under(html, "The paper's numbers beside ours")
    cifar = next(line for line in lines if line[1] == "CIFAR10, DDPM" and line[3] == "SDE")
    assert cifar[4:7] == ["10%", "50.0%ours 50.7%", "52.7%ours 37.0%"]
