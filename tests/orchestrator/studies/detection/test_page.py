import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.old.rows import row_key
from analysis.page.images import framed
from orchestrator.studies.contents import figures, write
from orchestrator.studies.detection.claims import CLAIMS
from orchestrator.studies.detection.curves import _reached
from orchestrator.studies.detection.images import flags_of
from tests import made_up_old
from tests.elements import (
    check_that_it_is_whole,
    check_that_it_loads_nothing,
    table_under,
    text_of,
)
from tests.made_up_detection import RATIOS, detection_study

DETECTORS = {"cd": "CD", "strip": "STRIP", "fct": "FCT"}


@pytest.fixture(scope="module")
def report():
    return made_up_old.detection_report()


@pytest.fixture(scope="module")
def written(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("detection")
    write(folder, report)
    return folder


@pytest.fixture(scope="module")
def html(written):
    return (written / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(html):
    return text_of(html)


def test_the_page_loads_nothing_and_is_whole(html):
    check_that_it_loads_nothing(html)
    check_that_it_is_whole(html)


def test_every_trigger_and_detector_has_its_figures(html, written):
    names = {path.stem for path in (written / "figures").iterdir()}
    expected = {"null-test"}
    for trigger, ratios in RATIOS.items():
        for detector in DETECTORS:
            expected |= {f"{trigger}-{detector}-{kind}" for kind in ("auroc", "what-moved")}
            expected |= {
                f"{trigger}-{detector}-p{ratio:g}-{kind}"
                for ratio in ratios
                for kind in ("roc", "scores")
            }
    assert names == expected
    assert html.count("<svg") == len(expected)


def test_every_picture_says_what_it_shows(html):
    for tag in re.findall(r"<img [^>]*>|<svg [^>]*>", html):
        assert re.search(r'(alt|aria-label)="[^"]{12,}"', tag), tag[:200]


def test_the_overview_has_a_line_a_trigger_and_ratio_and_a_cell_a_detector(html):
    headers, lines = table_under(html, "Is poison easier to find among the generations?")
    assert headers == ["trigger, poison ratio", "CD", "STRIP", "FCT"]
    assert [line[0] for line in lines] == [
        f"{name}, p = {percent}"
        for name, percents in (
            ("BadNets-1", ("1%", "10%")),
            ("BadNets-2", ("10%",)),
            ("One color", ("1%",)),
        )
        for percent in percents
    ]
    pattern = r"better|worse|no difference|undecided"
    words = {re.search(pattern, cell)[0] for line in lines for cell in line[1:]}
    assert words == {"better", "worse", "no difference", "undecided"}
    assert lines[1][1].endswith("below 0.5")
    assert lines[1][2].endswith("saturated")


def test_the_overview_counts_as_the_sentence_does(html, text):
    words = ("better", "worse", "no difference", "undecided")
    changes = re.findall("|".join(words), str(_cells(html)))
    better, worse, equal, undecided = map(changes.count, words)
    assert (
        f"easier in {better}, harder in {worse}, no different (within 0.01) in {equal}, and it "
        f"cannot be told in {undecided}"
    ) in text
    assert f"<strong>{better} / {worse} / {equal} / {undecided}</strong>" in html


def _cells(html):
    return table_under(html, "Is poison easier to find among the generations?")[1]


def test_tab_3_stands_beside_ours(html, report):
    _, lines = table_under(html, "The paper's values beside ours")
    shown = {tuple(line[1:4]): line[4:] for line in lines}
    assert shown["ImageNette, SD", "CD", "BadNets-2"] == [
        "0.553 → 0.581+0.028",
        "0.561 → 0.766+0.205",
        "0.584 → 0.723+0.139",
    ]
    assert len(lines) == 2 * 3 * (3 + 1)  # one color is not in the table
    ours = shown["laptop", "CD", "BadNets-1"]
    row = next(
        row
        for row in report.rows
        if row["detector"] == "cd" and row["trigger"] == "badnets1" and row["auroc_gain"]
    )
    assert ours[0].startswith(f"{row['training_auroc']:.3f} → {row['auroc']:.3f}")
    assert shown["laptop", "CD", "BadNets-2"][1] == "–"  # 5 % was not measured


def test_every_claim_is_there_under_its_trigger_and_detector(html):
    for number in range(1, 10):
        assert f'id="easier-on-generations-{number}"' in html
    assert 'id="nothing-in-clean-data-10"' in html
    assert html.count('id="easier-by-template-match-') == 2 * 3
    assert html.count('id="signature-enhanced-') == 3 * 3
    assert "BadNets-2, class 8, STRIP" in html
    assert all(claim.source and claim.rule for claim in CLAIMS)


def test_the_tables_have_every_row_and_comparison(html, report):
    headers, lines = table_under(html, "Detectors and sets of images")
    assert len(lines) == len(report.rows)
    assert headers[:5] == ["detector", "trigger", "p", "images", "w, sampler"]
    assert lines[-1][1] == "no poisonrandom flags"  # null points come last
    for title in ("The differences", "What moved"):
        assert len(table_under(html, title)[1]) == 3 * 4
    assert len(table_under(html, "The classifiers")[1]) == 4 + 1
    assert {line[0] for line in table_under(html, "The masks")[1]} == {"CD"}
    _, judged = table_under(html, "Errors of judge and template match")
    assert [line[0] for line in judged] == ["BadNets-1", "BadNets-2", "one color"]
    assert judged[1][3] == "–"  # no template match


def test_words_are_defined(text):
    for word in (
        "ties counting half",
        "never flipped",
        "(32/S)²",
        "drawn from the training set as the defender has it",
        "pushes the classes apart".replace("pushes", "push"),
        "for as many images as would give DeLong's variance",
        "The smallest difference that matters is 0.01 in AUROC",
        "conditional on the trained classifier",
        "1 − 0.05/k, here 99.2%",
        "10% of the images",
        "yellow unless set otherwise, on grey images its luminance, 226",
        "asked for the labels of the training set",
        "our 5 would be their 4",
    ):
        assert word in text, word
    assert "magenta" not in text


def test_frames_and_words_agree_with_the_scores(html, report):
    row = next(
        row
        for row in report.rows
        if (row["trigger"], row["poison_ratio"], row["detector"]) == ("badnets1", 0.1, "strip")
        and row["image_set"] == "training"
    )
    scores = report.scores[row_key(row)]
    flagged = np.argsort(-scores["suspicion"], kind="stable")[:12]
    assert scores["poisoned"][flagged].all()  # STRIP is saturated there
    described = f"the most suspicious images: {', '.join(['poisoned'] * 12)}"
    assert f'alt="{described}"' in html
    assert "the most suspicious images with their masks: " in html


def test_both_ends_of_a_ranking_go_from_the_extreme_inwards_and_ties_keep_their_order():
    scores = {
        "suspicion": np.array([1.0, 3.0, 3.0, 0.0, 2.0]),
        "poisoned": np.array([False, True, False, False, True]),
    }
    found = flags_of(scores, 2)
    assert found["most_suspicious"].tolist() == [True, False]  # images 1 and 2
    assert found["least_suspicious"].tolist() == [False, False]  # images 3 and 0
    assert flags_of(scores, 5)["least_suspicious"].tolist() == [False, False, True, False, True]


def test_a_frame_is_around_image_and_mask():
    images = np.full((3, 8, 8, 1), 200, np.uint8)
    masks = np.zeros((3, 8, 8, 1), np.uint8)
    colors = [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
    assert framed(images, colors, 2, masks) != framed(
        images, colors[::-1][1:] + colors[:1], 2, masks
    )
    assert framed(images, colors, 2, None).startswith("data:image/png;base64,")


def test_a_roc_curve_takes_the_best_threshold_that_flags_no_more_negatives():
    scores = {
        "suspicion": np.array([4.0, 3.0, 3.0, 2.0, 1.0, 0.0]),
        "poisoned": np.array([True, True, False, False, True, False]),
    }
    # Thresholds at 4, 3, 2, 1, 0: (0, 1/3), (1/3, 2/3), (2/3, 2/3), (2/3, 1), (1, 1).
    found = _reached(scores, np.array([0.001, 0.3, 1 / 3, 0.5, 2 / 3, 1.0]))
    assert found.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 1.0, 1.0])


def test_figures_have_the_same_bytes_every_time(written, report):
    kept = [row for row in report.rows if row["trigger"] == "blend" and row["detector"] == "fct"]
    again = figures("detection", kept[::-1], report.scores)
    assert len(again) == 4
    for name, svg in again.items():
        assert (written / "figures" / f"{name}.svg").read_text(encoding="utf-8") == svg


def _only(rows, **columns):
    return [row for row in rows if all(row[name] in values for name, values in columns.items())]


@pytest.mark.parametrize(
    "kept",
    [
        "nothing",
        "training sets only",
        "null points only",
        "no null points",
        "no template match",
        "no positives",
        "two seeds",
        "another weight too",
        "no scores",
    ],
)
def test_an_unfinished_or_odd_study_still_has_a_page(report, tmp_path, kept):
    small = _small(report.rows)
    shown = replace(report, trigger_examples={}, stages=())
    shown = replace(shown, **_odd(kept, shown, small))
    text = text_of(_checked(write(tmp_path, shown)))
    assert ("No poisoned point" in text) == (kept in ("nothing", "null points only"))
    expected = {
        "nothing": "No null point was measured.",
        "training sets only": "the generations were not measured",
        "null points only": "contains 0.5",
        "no null points": "No null point (p = 0, pretended flags) was measured.",
        "no template match": "There is no patch that a template match could look for in BadNets-2.",
        "no positives": "undefined: the generations held no positives",
        "two seeds": "2 seeds",
        "another weight too": "at w = 5, DDIM; 1 at other guidance or samplers below",
        "no scores": "No scores were handed to this page.",
    }
    assert expected[kept] in text


def _small(rows):
    """One detector and ratio, and its null points."""
    return _only(rows, poison_ratio=(0.0, 0.1), trigger=("none", "badnets1"), detector=("cd",))


def _odd(kept, report, small):
    if kept == "two seeds":
        rows, scores, groups = detection_study(seed=1)
        other = _small(rows)
        return {
            "rows": [*small, *other],
            "scores": {**report.scores, **scores},
            "groups": {**report.groups, **groups},
        }
    if kept == "no positives":
        return {"rows": [_without_positives(row) for row in small]}
    if kept == "another weight too":
        generated = [row for row in _only(small, image_set=("generation",)) if row["poison_ratio"]]
        return {"rows": [*small, *({**row, "guidance_weight": 2.0} for row in generated)]}
    if kept == "no scores":
        return {"rows": small, "scores": {}, "groups": {}}
    return {
        "rows": {
            "nothing": [],
            "training sets only": _only(small, image_set=("training",)),
            "null points only": _only(small, trigger=("none",)),
            "no null points": _only(small, trigger=("badnets1",)),
            "no template match": _only(report.rows, trigger=("blend",), detector=("cd",)),
        }[kept]
    }


def _without_positives(row):
    """As the evaluation writes generations among which the judge saw no trigger."""
    if row["image_set"] == "training" or row["pretend_ratio"]:
        return row
    undefined = {
        name
        for name in row
        if re.match(r".*(auroc|gain|shift|tpr|_moved|_positive$)", name)
        and not name.startswith(("training_auroc", "n_"))
    }
    return {
        **row,
        **dict.fromkeys(undefined),
        "n_positive": 0,
        "n_negative": row["n"],
        "prevalence": 0.0,
        "template_n_positive": 0,
    }


def _checked(page):
    html = page.read_text(encoding="utf-8")
    check_that_it_is_whole(html)
    check_that_it_loads_nothing(html)
    return html
