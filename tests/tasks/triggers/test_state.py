"""What manifests keep of their triggers, and that it stamps the same bytes anywhere."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.data import datasets
from tasks.steps import perturb, poison
from tasks.steps.poison import Manifest
from tasks.triggers import TRIGGERS, BadNets1, CleanLabel
from tasks.triggers.wanet import Wanet

ROOT = Path(__file__).parents[3]

PRINT_DIGESTS = """
import hashlib, json, sys
from pathlib import Path
from tasks.data import datasets
from tasks.steps import poison

dataset, *folders = map(Path, sys.argv[1:])
clean = datasets.read_split(dataset, "train")
digests = []
for folder in folders:
    listed = poison.Manifest.read(folder)
    image, label = poison.stamp(clean.index, clean.images, clean.labels, listed)
    digests.append(hashlib.sha256(image.tobytes() + label.tobytes()).hexdigest())
print(json.dumps(digests))
"""


@pytest.fixture(scope="module")
def clean(digits):
    return datasets.read_split(digits, "train")


@pytest.fixture(scope="module")
def noise(digits, content_judge, tmp_path_factory):
    out = tmp_path_factory.mktemp("perturb")
    settings = perturb.Settings(target_class="8", steps=3)
    perturb.run(settings, dataset=digits, classifier=content_judge, out=out)
    return out


@pytest.fixture(scope="module")
def poisoned_by(digits, noise, tmp_path_factory):
    """A function that poisons the digits with a trigger and returns the manifest's folder."""

    def run(trigger, **inputs):
        out = tmp_path_factory.mktemp(trigger.name)
        settings = poison.Settings(
            trigger=trigger,
            target_class="8",
            poison_ratio=0.05 if trigger.stamps or trigger.relabels else 0,
        )
        if isinstance(trigger, CleanLabel):
            inputs = {"noise": noise, **inputs}
        poison.run(settings, dataset=digits, out=out, **inputs)
        return out

    return run


@pytest.fixture(scope="module")
def warped(poisoned_by):
    return poisoned_by(Wanet())


@pytest.fixture(scope="module")
def noisy(poisoned_by):
    return poisoned_by(CleanLabel(steps=3))


def test_another_process_makes_the_same_bytes_of_every_manifest(
    poisoned_by, warped, noisy, digits, clean
):
    made = {"wanet": warped, "clean_label": noisy}
    folders = [made.get(kind.name) or poisoned_by(kind()) for kind in TRIGGERS]
    finished = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS, str(digits), *map(str, folders)],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
    )
    found = dict(zip([kind.name for kind in TRIGGERS], json.loads(finished.stdout), strict=True))
    assert len(set(found.values())) == len(TRIGGERS)
    for kind, folder in zip(TRIGGERS, folders, strict=True):
        listed = Manifest.read(folder)
        image, label = poison.stamp(clean.index, clean.images, clean.labels, listed)
        assert found[kind.name] == sha256(image, label)


def sha256(image, label):
    return hashlib.sha256(image.tobytes() + label.tobytes()).hexdigest()


def test_a_warp_that_is_drawn_differently_here_is_refused_if_the_record_says_so(warped, tmp_path):
    """As by another version of NumPy."""
    shutil.copytree(warped, tmp_path, dirs_exist_ok=True)
    record = json.loads((tmp_path / "manifest.json").read_text())
    field = Wanet().field(8, 8)
    assert record["warp"] == {"side": 8, "sha256": hashlib.sha256(field.tobytes()).hexdigest()}
    record["warp"]["sha256"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"NumPy .* draws another one from the same seed"):
        Manifest.read(tmp_path)
    del record["warp"]  # as before manifests of this revision had it
    (tmp_path / "manifest.json").write_text(json.dumps(record))
    assert Manifest.read(tmp_path).trigger == Wanet()


class TestNoise:
    def test_poisoned_images_have_theirs_and_then_the_square(self, noisy, noise, clean):
        listed = Manifest.read(noisy)
        image, label = poison.stamp(clean.index, clean.images, clean.labels, listed)
        of = dict(
            zip(
                pq.read_table(noise / "noise.parquet")["index"].to_pylist(),
                np.load(noise / "noise.npy").astype(int),
                strict=True,
            )
        )
        for row in np.flatnonzero(listed.poisoned):
            expected = (clean.images[row] + of[clean.index[row]]).astype(np.uint8)
            expected = BadNets1().stamp(expected[None])[0]
            np.testing.assert_array_equal(image[row], expected)
        untouched = ~listed.poisoned
        np.testing.assert_array_equal(image[untouched], clean.images[untouched])
        np.testing.assert_array_equal(label, clean.labels)

    def test_the_record_has_the_shares_and_what_the_noise_did(self, noisy, noise):
        record = json.loads((noisy / "manifest.json").read_text())
        assert (record["count"], record["n_target"]) == (71, 139)
        assert (record["p_t"], record["relabelled_ratio"]) == (71 / 139, 0)
        assert record["noise"] == json.loads((noise / "perturb.json").read_text())

    def test_none_or_some_is_refused_for_a_trigger_that_needs_it_or_does_not(
        self, poisoned_by, noise
    ):
        with pytest.raises(ValueError, match="expected the folder of perturb for trigger clean_la"):
            poisoned_by(CleanLabel(steps=3), noise=None)
        with pytest.raises(ValueError, match="expected no noise for trigger badnets1"):
            poisoned_by(BadNets1(), noise=noise)

    @pytest.mark.parametrize(
        ("trigger", "said"),
        [
            (CleanLabel(), "with steps 20, got 3"),
            (CleanLabel(steps=3, epsilon=8), "with epsilon 8, got 16"),
            (CleanLabel(steps=3, step_size=1), "with step_size 1, got 2"),
        ],
    )
    def test_that_of_another_trigger_is_refused(self, poisoned_by, trigger, said):
        with pytest.raises(ValueError, match=said):
            poisoned_by(trigger)

    def test_that_of_other_images_is_refused(self, poisoned_by, noise, tmp_path):
        shutil.copytree(noise, tmp_path, dirs_exist_ok=True)
        one = pq.read_table(noise / "noise.parquet").slice(138)
        pq.write_table(one, tmp_path / "noise.parquet")
        with pytest.raises(ValueError, match="for every poisoned image"):
            poisoned_by(CleanLabel(steps=3), noise=tmp_path)

    def test_images_of_another_size_are_refused(self, noisy, clean):
        large = np.zeros((len(clean.index), 16, 16, 1), dtype=np.uint8)
        with pytest.raises(ValueError, match=r"\(8, 8, 1\), as the noise of .* \(16, 16, 1\)"):
            poison.stamp(clean.index, large, clean.labels, Manifest.read(noisy))

    def test_what_is_no_noise_is_refused(self, noisy, tmp_path):
        shutil.copytree(noisy, tmp_path, dirs_exist_ok=True)
        np.save(tmp_path / "noise.npy", np.zeros((71, 8, 8, 1), dtype=np.float32))
        with pytest.raises(ValueError, match="expected noise as int8"):
            Manifest.read(tmp_path)
