"""The page of a folder's most suspicious images, from rankings made by hand."""

import asyncio
import csv
import io
import re

import numpy as np
import pytest

from analysis.page.page import MissingPoint, Report, Stage
from analysis.page.suspects import COLUMNS, Ranking, pairs, suspects, to_csv, top
from analysis.page.suspects_page import histogram, number, write
from analysis.rows import frame
from tests import browser
from tests.elements import (
    check_that_it_is_whole,
    check_that_it_loads_nothing,
    table_under,
    text_of,
)
from tests.test_pages import WINDOWS, look

CLASSES = ('apples, "red"', "<b>pears</b>", "Äpfel")
N = 60
ODD = ["a/with, comma.png", 'a/"quoted".png', "a/two\nlines\r.png", "a/<script>.png"]


def ranking(detector, order, suspicion=None, masks=False, **row):
    """Images 0..N-1 in some order; image i is of class i % 3."""
    order = np.asarray(order)
    names = [*ODD, *(f"c/{place:03}.png" for place in range(len(ODD), N))]
    labels = order % 3
    pictures = {"most_suspicious": _pictures(24)}
    pictures |= {f"class_{label}": _pictures(6) for label in range(3)}
    if masks:
        pictures |= {f"{name}_masks": some[..., :1] for name, some in pictures.items()}
    score = np.linspace(3, -2, N) if suspicion is None else np.asarray(suspicion, np.float64)
    measured = {"training_accuracy": 0.95, "largest_class_share": 1 / 3, "answers_kept": None}
    measured |= {"suspicion_min": score.min(), "suspicion_median": np.median(score)}
    measured |= {"suspicion_max": score.max(), "distinct": len(np.unique(score)), **row}
    return Ranking(
        detector=detector,
        row=measured,
        files=[names[place] for place in order],
        labels=labels,
        suspicion=score,
        pictures=pictures,
    )


def _pictures(count):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


STRAIGHT, REVERSED = range(N), range(N - 1, -1, -1)
MIXED = [0, 1, *range(20, N), *range(2, 20)]


RANKINGS = [
    ranking("cd", STRAIGHT, masks=True, answers_kept=0.625),
    ranking("strip", MIXED, [0.0] * 30 + [-1.0] * 30),
    ranking("fct", REVERSED),
]


def reported(**more):
    title = "The most suspicious images of my <i>pictures</i>"
    given = {"study": "detect", "scale": "tiny", "title": title, "rows": frame([])}
    return Report(**given, question="left out as broken: 2 files", class_names=CLASSES, **more)


def whole(folder):
    """The page of three detectors; a fourth failed."""
    report = reported(
        failures=[MissingPoint("mine", "expected finite, got <NaN>", "/store/log")],
        stages=[Stage("rank", "cd", 1.0, False, None)],
        settings={"classifier: steps": 100},
        environment={"torch": "2"},
        command="castlewalls detect --images x",
    )
    return write(folder, report, RANKINGS)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return whole(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def html(page):
    return page.read_text(encoding="utf-8")


def test_the_page_is_whole_loads_nothing_and_is_the_same_every_time(html, tmp_path):
    check_that_it_is_whole(html)
    check_that_it_loads_nothing(html)
    assert whole(tmp_path).read_text(encoding="utf-8") == html


@pytest.mark.parametrize("window", WINDOWS)
def test_the_page_has_no_flaw_in_a_browser(window, page):
    program = browser.find()
    if program is None:
        pytest.skip("no browser to open pages in")
    with browser.running(program) as address:
        assert asyncio.run(look(address, page, *WINDOWS[window])) == []


def test_what_people_call_their_files_and_classes_stays_words(html):
    assert "<script>" not in html
    assert "<b>pears" not in html
    assert "<i>" not in html
    said = text_of(html)
    for name in ("a/<script>.png", r"a/two\nlines\r.png", "<b>pears</b>", "my <i>pictures</i>"):
        assert name in said


def test_the_page_says_what_was_trained_and_what_it_does_not_say(html):
    said = text_of(html)
    assert "trained on all 60 images" in said
    assert "57 of them (95.0%)" in said  # 0.95 x 60
    assert 'apples, "red", the largest class, would be right on 33.3%' in said
    assert said.count("The first 30 images are equally suspicious") == 1
    assert said.count("Of all images, each with its mask") == 1
    assert "still gives the same answer 62.5% of the time" in said
    assert "left out as broken: 2 files" in said
    assert "mine: expected finite, got <NaN> /store/log" in said


def cells_of(html, detector):
    """(number of pictures, file names) of a detector's section."""
    section = html[html.index(f'id="detector-{detector}"') :]
    section = section[: section.index("</section>")]
    return section.count("<img"), re.findall(r'<p class="small">(.*?)</p>', section)


def test_a_detector_shows_its_first_24_and_the_first_six_of_each_class(html):
    for detector, order in (("strip", MIXED), ("fct", REVERSED)):
        pictures, files = cells_of(html, detector)
        assert pictures == len(files) == 24 + 3 * 6
        by_class = [[place for place in order if place % 3 == label][:6] for label in range(3)]
        expected = [*list(order)[:24], *by_class[0], *by_class[1], *by_class[2]]
        for file, place in zip(files, expected, strict=True):
            assert place < len(ODD) or file == f"c/{place:03}.png"


def test_every_image_is_in_the_file_once_for_each_detector_and_names_come_back():
    header, *lines = csv.reader(io.StringIO(to_csv(RANKINGS, CLASSES), newline=""))
    assert tuple(header) == COLUMNS
    found = [(one, file, label, float(score), int(rank)) for one, file, label, score, rank in lines]
    assert found == [
        (made.detector, file, CLASSES[label], score, rank)
        for made in RANKINGS
        for rank, (file, label, score) in enumerate(
            zip(made.files, made.labels, made.suspicion, strict=True), 1
        )
    ]


def test_the_top_is_a_hundredth_but_not_fewer_than_ten():
    assert [top(n) for n in (6, 60, 1000, 1001, 50_000)] == [6, 10, 10, 11, 500]


def test_what_detectors_share_is_counted_by_hand():
    straight, mixed, back = (
        ranking(name, order) for name, order in (("a", STRAIGHT), ("b", MIXED), ("c", REVERSED))
    )
    # Near the top are 0..9; 0, 1, 20..27; and 59..50.
    found = pairs([straight, mixed, back])
    shared = [(one, other, count) for one, other, _, count, _ in found]
    assert shared == [("a", "b", 2), ("a", "c", 0), ("b", "c", 0)]
    assert found[0][-1] == pytest.approx(100 / 60)
    assert found[1][2] == -1
    assert suspects([straight, mixed, back]) == [(ODD[0], (1, 1, 60)), (ODD[1], (2, 2, 59))]
    # All three share 0 only, and it comes first; two of them share 1, and two others 2..9.
    third = ranking("c", [5, 6, 7, 8, 9, 2, 3, 4, 10, 0, 1, *range(11, N)])
    found = suspects([straight, mixed, third])
    assert found[0][0] == ODD[0]
    assert len(found) == 1 + 1 + 8


def test_the_tables_say_what_was_counted(html):
    headers, lines = table_under(html, "Do the detectors agree?")
    assert headers[0] == "detectors"
    assert [line[0] for line in lines] == ["CD and STRIP", "CD and FCT", "STRIP and FCT"]
    assert lines[1][1:] == ["−1", "0", "1.667"]
    _, lines = table_under(html, "Images near the top of several detectors")
    assert lines[0] == [ODD[0], CLASSES[0], "1", "1", "60"]
    headers, lines = table_under(html, "Classes near the top")
    assert headers[:3] == ["class", "of all images", "of the top, CD"]
    # Of 0..9 four are of class 0; of 0, 1, 20..27 four too: 0, 21, 24, 27; of 50..59 three.
    assert lines[0] == [CLASSES[0], "2033.3%", "440.0%", "440.0%", "330.0%"]


def test_one_detector_alone_agrees_with_nobody(tmp_path):
    html = write(tmp_path, reported(), RANKINGS[2:]).read_text(encoding="utf-8")
    check_that_it_is_whole(html)
    assert "Do the detectors agree" not in html
    assert "Which classes are near the top?" in html


def test_numbers_have_a_true_minus_sign_and_zero_has_none():
    said = [number(value) for value in (-0.0, -12.3456, 0.000123456)]
    assert said == ["0", "−12.35", "0.0001235"]


@pytest.mark.parametrize("scores", [[7.0] * N, [1e9, *[-1e9] * (N - 1)], np.linspace(1e-9, 0, N)])
def test_any_suspicions_make_a_histogram(scores):
    svg = histogram(ranking("cd", STRAIGHT, scores), 10).svg
    assert svg.count("<svg") == 1
    assert "dashed: the 10 most suspicious begin" in svg
