"""A color folder of your own through the whole of ``amplification``, at 16 and at 32 pixels."""

import json
import subprocess
import sys

import pytest

from tests.pictures import make_folder

AXES = {"trigger": "badnets1", "poison_ratio": "0,0.1", "guidance_weight": "2"}
PATIENCE = 240
"""Seconds that a command may take on a busy machine before the test gives up."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("own") / "meine Bilder", per_class=50)


def castlewalls(store, pictures, size, *more):
    axes = [word for axis, value in AXES.items() for word in (f"--{axis.replace('_', '-')}", value)]
    words = ["amplification", "--scale", "tiny", "--store", str(store), *axes]
    words += ["--images", str(pictures), "--image-size", str(size), *more]
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", "run", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def results(store):
    [path] = store.glob("reports/*/results.csv")
    return path.read_bytes()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 32])
def test_the_whole_study_runs_and_two_actors_change_nothing(size, pictures, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    done = castlewalls(one, pictures, size)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert b"badnets1" in results(one)

    # The models are handed over, so that only what actors share is made again.
    for task in ("datasets", "train_diffusion", "train_classifier"):
        (two / task).parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", one / task, two / task], check=True)
    done = castlewalls(two, pictures, size, "--actors", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results(one) == results(two)

    [page] = one.glob("reports/*/index.html")
    assert "apples" in page.read_text()
    [classes] = one.glob("datasets/*/classes.json")
    assert json.loads(classes.read_text())["channels"] == 3


@pytest.mark.ray
def test_a_broken_file_is_named_before_anything_is_trained(pictures, tmp_path):
    folder = tmp_path / "with a broken one"
    subprocess.run(["cp", "-r", pictures, folder], check=True)
    (folder / "apples" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    done = castlewalls(tmp_path / "store", folder, 16)
    assert done.returncode == 1
    [line, log] = done.stderr.splitlines()[:2]
    assert "2 points failed" in line
    assert "torn.png" in line
    assert "--skip-broken" in line
    assert "its log:" in log
    assert not list((tmp_path / "store").glob("train_*"))
