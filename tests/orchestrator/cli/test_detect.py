"""``castlewalls detect`` short of Ray: what is asked for, which steps it takes, what is refused."""

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.local import run_in_process
from orchestrator.cli import detect
from orchestrator.cli.options import flag_of
from orchestrator.run import report
from orchestrator.run.conductor import StepFailed
from orchestrator.step import ancestors
from orchestrator.studies.own_images import own_images
from orchestrator.studies.scales import LAPTOP
from tasks.detectors import DETECTORS
from tests.elements import check_that_it_is_whole, check_that_it_loads_nothing, text_of
from tests.pictures import CLASSES, make_folder


@pytest.fixture
def pictures(tmp_path):
    return make_folder(tmp_path / "pictures", per_class=5, size=(8, 8))


@pytest.fixture
def asked(pictures, tmp_path):
    """A function that asks for that folder."""

    def ask(**words):
        return detect.request(
            detect.DETECT, images=str(pictures), store=str(tmp_path / "store"), **words
        )

    return ask


def steps_of(request):
    return list(ancestors(point.measure for point in request.points()))


def test_one_classifier_is_trained_on_every_image_for_all_detectors(asked):
    steps = steps_of(asked())
    once, each = ("datasets", "train_classifier"), ("prepare", "detect", "rank")
    counts = dict.fromkeys(once, 1) | dict.fromkeys(each, len(DETECTORS))
    assert Counter(step.task for step in steps) == counts
    assert steps[0].settings.counts() == {"train": (5, 5, 5), "test": (0, 0, 0)}


def test_no_step_is_given_a_manifest_and_detectors_see_no_file_name(asked):
    for step in steps_of(asked()):
        assert "manifest" not in {**step.inputs, **step.streams}
        if step.task in ("train_classifier", "prepare", "detect"):
            assert "dataset" in step.streams
            assert "dataset" not in step.inputs


def test_the_classifier_is_the_one_that_the_scale_gives_to_these_images(asked):
    request = asked(scale="laptop", image_size=16)
    [trained] = [step.settings for step in steps_of(request) if step.task == "train_classifier"]
    assert trained == own_images(LAPTOP, request.scale.dataset).classifier
    assert (trained.classes, trained.image_size, trained.channels) == (3, 16, 3)
    assert asked(classifier_steps=77).scale.classifier.steps == 77


def test_a_folder_with_parts_is_looked_at_whole(tmp_path):
    for part in ("train", "test"):
        make_folder(tmp_path / "both" / part, per_class=3)
    words = {"images": str(tmp_path / "both"), "store": str(tmp_path)}
    asked = detect.request(detect.DETECT, **words)
    assert asked.scale.dataset.counts()["train"] == (6, 6, 6)


def test_the_report_has_a_folder_of_its_own_for_other_images_and_detectors(asked, pictures):
    first = asked().label
    assert first.startswith("detect-laptop-")
    others = {asked(detector="cd").label, asked(image_size=16).label, asked(scale="tiny").label}
    (pictures / CLASSES[0] / "000.png").unlink()
    assert len({first, *others, asked().label}) == 5


def test_what_is_typed_again_is_what_was_typed(asked, pictures):
    request = asked(detector="strip", scale="tiny", image_size=16, channels=1, skip_broken=True)
    words = f"--images {pictures} --image-size 16 --channels 1 --skip-broken --detector strip"
    assert report.command(request) == f"castlewalls detect --scale tiny {words}"


def test_a_folder_that_no_classifier_can_learn_is_refused(asked, pictures):
    for number in range(1, 5):
        (pictures / "apples" / f"{number:03}.png").unlink()
    with pytest.raises(ValueError, match="two images or more in class 'apples', got 1"):
        asked()
    for name in CLASSES[1:]:
        shutil.rmtree(pictures / name)
    with pytest.raises(ValueError, match=r"at least two class folders in .* got only 'apples'"):
        asked()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"detector": "cdd"}, "unknown detector 'cdd'; did you mean cd?"),
        ({"scale": "cifar10"}, "unknown scale 'cifar10'; there are: laptop, tiny"),
        ({"image_size": 7}, "multiple of 4, got 7"),
        ({"classifier_steps": 3}, "steps of at least 10"),
    ],
)
def test_words_that_make_no_sense_are_refused_before_anything_is_made(words, said, asked, tmp_path):
    with pytest.raises(ValueError, match=said):
        asked(**words)
    assert not (tmp_path / "store").exists()


def test_a_classifier_that_learned_nothing_is_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(6):
            picture = Image.new("L", (8, 8), 100)  # the same everywhere
            picture.save(tmp_path / "pictures" / name / f"{number}.png")
    words = {"images": str(tmp_path / "pictures"), "store": str(tmp_path / "store")}
    words |= {"detector": "strip", "scale": "tiny", "image_size": 8, "classifier_steps": 10}
    request = detect.request(detect.DETECT, **words)
    with pytest.raises(StepFailed, match=r"classifier that learned its training set, .* 6 of 12"):
        run_in_process([point.measure for point in request.points()], request.store)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """60 images, ranked, of which six plums with a patch are among the apples; and the words."""
    root = make_folder(
        tmp_path_factory.mktemp("own") / "my pictures",
        ("apples", "pears, ripe", "plums"),
        size=(16, 16),
    )
    names = ['new, "1".png', "new\n2.png", "new é.png", "=new.png", "new\r5.png", "new 6.png"]
    for number, name in enumerate(names):
        plum = root / "plums" / f"{number:03}.png"
        pixels = np.array(Image.open(plum))
        pixels[-5:, -5:] = 255
        Image.fromarray(pixels).save(root / "apples" / name)
        plum.unlink()
    store = str(tmp_path_factory.mktemp("store"))
    words = {"images": str(root), "store": store, "scale": "tiny", "image_size": 16}
    request = detect.request(detect.DETECT, **words)
    run_in_process([point.measure for point in request.points()], request.store)
    return root, [part for name, word in words.items() for part in (flag_of(name), str(word))]


@pytest.mark.slow
def test_every_file_is_ranked_by_every_detector_on_a_page_in_a_table_and_in_the_terminal(finished):
    root, words = finished
    command = [sys.executable, "-m", "orchestrator", "detect", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "everything was finished already; nothing was started." in lines
    table, page = (Path(line.partition(": ")[2]) for line in lines[-2:])
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    files = {path.relative_to(root).as_posix() for path in root.rglob("*.png")}
    assert len(files) == 60
    for name in ("cd", "strip", "fct"):
        own = [row for row in rows if row["detector"] == name]
        assert {row["file"] for row in own} == files
        assert [int(row["rank"]) for row in own] == list(range(1, 61))
        suspicion = [float(row["suspicion"]) for row in own]
        assert suspicion == sorted(suspicion, reverse=True)
        assert all(row["file"].startswith(row["label"] + "/") for row in own)
        first = lines.index(f"{name}: the 5 most suspicious of 60")
        assert [line.split()[0] for line in lines[first + 1 : first + 6]] == list("12345")
    html = page.read_text(encoding="utf-8")
    check_that_it_is_whole(html)
    check_that_it_loads_nothing(html)
    assert "The most suspicious images of my pictures" in text_of(html)
    [path] = Path(words[3]).glob("rank/fct-*/metrics.json")
    row = json.loads(path.read_text())
    assert (row["detector"], row["n"], row["classes"]) == ("fct", 60, 3)
    assert not {"auroc", "poisoned", "p_t", "n_positive"} & row.keys()
