"""A color folder of your own through the whole of ``amplification``, at 16 and at 32 pixels."""

import html
import shutil

import pytest

from bench.local import run_in_process
from orchestrator.cli import parsing
from orchestrator.run import report
from orchestrator.run.conductor import StepFailed
from orchestrator.run.request import Result
from tasks.data.datasets import read_classes
from tests.pictures import make_folder

AXES = {"trigger": "badnets1", "poison_ratio": "0,0.1", "guidance_weight": "2"}
TARGET = f"-a 100% [of] 'them': {'ä' * 110}"
"""A class whose folder has a name of 242 bytes."""


def ask(store, **words):
    return parsing.request("amplification", scale="tiny", store=str(store), **words)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("own") / "meine Bilder"
    return make_folder(root, (TARGET, "red pears", "Äpfel"), per_class=50)


@pytest.fixture(scope="module", params=[16, 32])
def finished(request, pictures, tmp_path_factory):
    """The study, asked for as the command asks, made in this process and reported."""
    words = {"images": str(pictures), "image_size": request.param, "training_steps": 50}
    asked = ask(tmp_path_factory.mktemp("store"), **words, **AXES)
    run_in_process([point.measure for point in asked.points()], asked.store)
    return asked, report.reported(asked, Result(points=asked.points())).page


@pytest.mark.slow
def test_the_whole_study_ends_in_a_page(finished):
    asked, page = finished
    assert {TARGET} == {point.axes["target_class"] for point in asked.points()}
    rows = report.rows_of(asked).set_index("trigger")
    assert rows[["n", "n_train"]].to_numpy().tolist() == [[60, 120], [60, 120]]
    assert rows.loc["badnets1", "p_t"] == 12 / (12 + 40)
    assert TARGET in html.unescape(page.read_text())
    assert (page.parent / "results.csv").read_text().count("amplification,tiny") == 2
    classes = read_classes(asked.store.folder(_dataset(asked)))
    assert classes.counts == {"train": (40, 40, 40), "test": (10, 10, 10)}


def test_a_broken_file_is_named_before_anything_is_trained(pictures, tmp_path):
    folder = tmp_path / "with a broken one"
    shutil.copytree(pictures, folder)
    (folder / "red pears" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    asked = ask(tmp_path / "store", images=str(folder))
    with pytest.raises(StepFailed, match=r"1 of the files cannot be used: 'red pears/torn.png'"):
        run_in_process([point.measure for point in asked.points()], asked.store)
    assert not list(asked.store.root.glob("train_*"))

    skipping = ask(tmp_path / "store", images=str(folder), skip_broken=True)
    run_in_process([_dataset(skipping)], skipping.store)
    skipped = skipping.store.folder(_dataset(skipping)) / "skipped.csv"
    assert "red pears/torn.png" in skipped.read_text()
    [said] = report.left_out(skipping)
    assert said.startswith("left out as broken: 1 files, listed in datasets/images-3classes-32px")
    assert list(report.left_out(asked)) == []


def test_a_tiny_folder_without_its_broken_files_is_trained_on(tmp_path):
    folder = make_folder(tmp_path / "few", per_class=5, size=(8, 8))
    (folder / "apples" / "001.png").write_bytes(b"torn")  # of the training part
    words = {"images": str(folder), "image_size": 8, "skip_broken": True}
    asked = ask(tmp_path / "store", **words, **AXES)
    judge = asked.points()[0].measure.inputs["dissection"].inputs["content_judge"]
    assert judge.settings.batch_size == 12
    run_in_process([judge], asked.store)
    assert sum(read_classes(asked.store.folder(_dataset(asked))).counts["train"]) < 12


def _dataset(asked):
    return asked.points()[0].measure.inputs["manifest"].inputs["dataset"]
