"""``castlewalls detect`` short of Ray: what is asked for, which steps it takes, what is refused."""

from collections import Counter

import pytest
from PIL import Image

from orchestrator.cli import detect
from orchestrator.run import report
from orchestrator.run.conductor import StepFailed
from orchestrator.run.local import run_in_process
from orchestrator.step import ancestors
from orchestrator.studies.own_images import own_images
from orchestrator.studies.scales import LAPTOP
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
    counts = dict.fromkeys(once, 1) | dict.fromkeys(each, 3)
    assert Counter(step.task for step in steps) == counts
    assert steps[0].settings.counts() == {"train": (5, 5, 5), "test": (0, 0, 0)}


def test_no_step_is_given_a_manifest_and_detectors_see_no_file_name(asked):
    for step in steps_of(asked()):
        assert "manifest" not in {**step.inputs, **step.streams}
        if step.task in ("train_classifier", "prepare", "detect"):
            assert "dataset" in step.streams
            assert "dataset" not in step.inputs


def test_fields_of_detectors_can_be_set(asked):
    request = asked(detector="fct", detector_setting=["fct.draws=1"])
    assert request.scale.detector("fct").draws == 1
    assert "--detector-setting fct.draws=1" in report.command(request)
    plain = {point.measure.digest for point in asked(detector="fct").points()}
    assert plain.isdisjoint(point.measure.digest for point in request.points())


def test_a_point_is_a_detector_in_the_order_typed(asked):
    assert [point.name for point in asked(detector="fct,cd").points()] == ["fct", "cd"]
    assert [point.name for point in asked().points()] == ["cd", "strip", "fct"]


def test_the_classifier_is_the_one_that_the_scale_gives_to_these_images(asked):
    request = asked(scale="laptop", image_size=16)
    [trained] = [step.settings for step in steps_of(request) if step.task == "train_classifier"]
    assert trained == own_images(LAPTOP, request.scale.dataset).classifier
    assert (trained.classes, trained.image_size, trained.channels) == (3, 16, 3)
    assert asked(classifier_steps=77).scale.classifier.steps == 77


def test_a_folder_with_parts_is_looked_at_whole(tmp_path):
    for part in ("train", "test"):
        make_folder(tmp_path / "both" / part, per_class=3)
    request = detect.request(detect.DETECT, images=str(tmp_path / "both"), store=str(tmp_path))
    assert request.scale.dataset.counts()["train"] == (6, 6, 6)


def test_the_report_has_a_folder_of_its_own_for_other_images_and_detectors(asked, pictures):
    first = asked().label
    assert first.startswith("detect-laptop-")
    assert asked().label == first
    others = {asked(detector="cd").label, asked(image_size=16).label, asked(scale="tiny").label}
    (pictures / CLASSES[0] / "000.png").unlink()
    assert len({first, *others, asked().label}) == 5


def test_what_is_typed_again_is_what_was_typed(asked, pictures):
    request = asked(detector="strip", scale="tiny", image_size=16, channels=1, skip_broken=True)
    words = report.command(request)
    assert words.startswith("castlewalls detect --scale tiny ")
    for typed in ("--images", "--image-size 16", "--channels 1", "--skip-broken"):
        assert typed in words
    assert words.endswith("--detector strip")
    assert "--trigger" not in words


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("apples/000.png red*/* Ä*/*", "two images or more in class 'apples', got 1"),
        ("apples/*", "at least two class folders in .* got only 'apples'"),
        ("", "a folder"),
    ],
)
def test_a_folder_that_no_classifier_can_learn_is_refused(kept, said, asked, pictures):
    stay = {file for pattern in kept.split() for file in pictures.glob(pattern)}
    for file in [*pictures.glob("*/*")]:
        if file not in stay:
            file.unlink()
    for folder in [folder for folder in pictures.iterdir() if not any(folder.iterdir())]:
        folder.rmdir()
    with pytest.raises(ValueError, match=said):
        asked()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"detector": "cdd"}, "unknown detector 'cdd'; did you mean cd?"),
        ({"detector": "cd,,strip"}, "values with commas between them"),
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
    request = detect.request(
        detect.DETECT,
        images=str(tmp_path / "pictures"),
        store=str(tmp_path / "store"),
        detector="strip",
        scale="tiny",
        image_size=8,
        classifier_steps=10,
    )
    with pytest.raises(StepFailed, match=r"classifier that learned its training set, .* 6 of 12"):
        run_in_process([point.measure for point in request.points()], request.store)
