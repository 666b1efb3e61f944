"""``castlewalls detect`` from the command line to the page, on a folder with some poison in it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli import detect as suspects
from orchestrator.run.local import run_in_process
from tests.elements import check_that_it_is_whole, check_that_it_loads_nothing, text_of
from tests.pictures import make_folder

CLASSES = ("apples", "pears, ripe", "plums")
DETECTORS = ("cd", "strip", "fct")
PATIENCE = 480
"""Seconds that a busy machine may take before a test gives up."""


def detect(*words):
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", "detect", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "COLUMNS": "100"},
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """60 images; six plums carry a white patch, odd names, and the label of apples."""
    root = make_folder(tmp_path_factory.mktemp("own") / "my pictures", CLASSES, size=(16, 16))
    names = ['new, "1".png', "new\n2.png", "new é.png", "=new.png", "new\r5.png", "new 6.png"]
    for number, name in enumerate(names):
        plum = root / "plums" / f"{number:03}.png"
        with Image.open(plum) as image:
            pixels = np.array(image)
        pixels[-5:, -5:] = 255
        Image.fromarray(pixels).save(root / "apples" / name)
        plum.unlink()
    return root


@pytest.fixture(scope="module")
def words(pictures, tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    return "--images", pictures, "--store", store, "--scale", "tiny", "--image-size", 16


@pytest.fixture(scope="module")
def done(words, pictures):
    """The command, which finds trained and scored in its store what needs torch.

    ``tests/orchestrator/run/test_on_ray.py`` has such steps on Ray; there each worker loads torch.
    """
    store = words[words.index("--store") + 1]
    asked = suspects.request(
        suspects.DETECT, images=str(pictures), store=str(store), scale="tiny", image_size=16
    )
    run_in_process([point.measure.inputs["suspicion"] for point in asked.points()], asked.store)
    return detect(*words)


def written(done, about):
    """A path that the command printed."""
    [line] = [line for line in done.stdout.splitlines() if line.startswith(f"{about}: ")]
    return Path(line.partition(": ")[2])


def rows_of(done):
    """The table that the command wrote."""
    with written(done, "every image").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.ray
@pytest.mark.slow
class TestOnAFolder:
    def test_every_file_is_in_the_table_once_for_each_detector(self, done, pictures):
        assert done.returncode == 0, done.stderr
        files = {path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png")}
        assert len(files) == 60
        rows = rows_of(done)
        assert len(rows) == 3 * 60
        for name in DETECTORS:
            own = [row for row in rows if row["detector"] == name]
            assert {row["file"] for row in own} == files
            assert [int(row["rank"]) for row in own] == list(range(1, 61))
            suspicion = [float(row["suspicion"]) for row in own]
            assert suspicion == sorted(suspicion, reverse=True)
            assert all(row["file"].startswith(row["label"] + "/") for row in own)

    def test_the_page_holds_together_and_the_folder_is_named(self, done):
        html = written(done, "page").read_text(encoding="utf-8")
        check_that_it_is_whole(html)
        check_that_it_loads_nothing(html)
        said = text_of(html)
        assert "The most suspicious images of my pictures" in said
        assert "trained on all 60 images" in said
        assert "castlewalls detect --scale tiny --images" in said
        for name in ("CD", "STRIP", "FCT"):
            assert f"{name}: the most suspicious images" in said

    def test_the_terminal_shows_five_files_a_detector(self, done):
        lines = done.stdout.splitlines()
        for name in DETECTORS:
            first = lines.index(f"{name}: the 5 most suspicious of 60")
            assert [line.split()[0] for line in lines[first + 1 : first + 6]] == list("12345")
        assert "3 steps to run" in done.stdout
        assert "MLflow" not in done.stdout  # which is said only if it lacks something

    def test_one_detector_of_them_is_there_already_and_its_row_has_no_poison(self, done, words):
        alone = detect(*words, "--detector", "strip")
        assert "nothing was started" in alone.stdout
        assert written(alone, "page") != written(done, "page")
        assert {row["detector"] for row in rows_of(alone)} == {"strip"}
        [path] = words[3].glob("rank/fct-*/metrics.json")
        row = json.loads(path.read_text())
        assert (row["detector"], row["n"], row["classes"]) == ("fct", 60, 3)
        assert not {"auroc", "poisoned", "p_t", "n_positive"} & row.keys()


BAD = [
    ([], "Missing option '--images'."),
    (["--images", "/nowhere/at all"], "got '/nowhere/at all': No such file or directory"),
    (["--images", ".", "--detector", "strpi"], "unknown detector 'strpi'; did you mean strip?"),
    (["--images", "PICTURES", "--actors", "0"], "--actors must be at least 1, got 0"),
    (["--images", ".", "--trigger", "blend"], "--trigger"),
]


@pytest.mark.parametrize(("given", "said"), BAD, ids=[" ".join(given) for given, _ in BAD])
def test_bad_usage_gets_one_line_and_code_2(given, said, pictures, tmp_path):
    given = [pictures if word == "PICTURES" else word for word in given]
    told = detect(*given, "--store", tmp_path / "store")
    assert told.returncode == 2
    assert told.stdout == ""
    [line] = told.stderr.splitlines()
    assert line.startswith("castlewalls: ")
    assert said in line
    assert not list(tmp_path.iterdir())
