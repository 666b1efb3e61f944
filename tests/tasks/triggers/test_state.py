"""What manifests keep of their triggers."""

import hashlib
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.steps import poison
from tasks.steps.poison import Manifest
from tasks.triggers import BadNets1, CleanLabel
from tasks.triggers.wanet import Wanet


@pytest.fixture(scope="module")
def noisy(poisoned_by, noise):
    return poisoned_by(CleanLabel(steps=10), 0.05, noise=noise)


def test_a_warp_that_is_drawn_differently_here_is_refused(poisoned_by, tmp_path):
    """As by another version of NumPy."""
    shutil.copytree(poisoned_by(Wanet()), tmp_path, dirs_exist_ok=True)
    record = json.loads((tmp_path / "manifest.json").read_text())
    field = Wanet().field(8, 8)
    assert record["warp"] == {"side": 8, "sha256": hashlib.sha256(field.tobytes()).hexdigest()}
    record["warp"]["sha256"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"NumPy .* draws another one from the same seed"):
        Manifest.read(tmp_path)


class TestNoise:
    def test_poisoned_images_have_theirs_and_then_the_square(self, noisy, noise, clean, stamped):
        listed = Manifest.read(noisy)
        image, label = stamped(noisy)
        index = pq.read_table(noise / "noise.parquet")["index"].to_pylist()
        of = dict(zip(index, np.load(noise / "noise.npy").astype(int), strict=True))
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

    def test_that_of_another_trigger_or_of_other_images_is_refused(
        self, poisoned_by, noise, tmp_path
    ):
        with pytest.raises(ValueError, match="expected the folder of perturb for trigger clean_la"):
            poisoned_by(CleanLabel(), 0.05)
        with pytest.raises(ValueError, match="with epsilon 8, got 16"):
            poisoned_by(CleanLabel(steps=10, epsilon=8), 0.05, noise=noise)
        shutil.copytree(noise, tmp_path, dirs_exist_ok=True)
        one = pq.read_table(noise / "noise.parquet").slice(138)
        pq.write_table(one, tmp_path / "noise.parquet")
        with pytest.raises(ValueError, match="for every poisoned image"):
            poisoned_by(CleanLabel(steps=10), 0.05, noise=tmp_path)

    def test_images_of_another_size_are_refused(self, noisy, clean):
        large = np.zeros((len(clean.index), 16, 16, 1), dtype=np.uint8)
        with pytest.raises(ValueError, match=r"\(8, 8, 1\), as the noise of .* \(16, 16, 1\)"):
            poison.stamp(clean.index, large, clean.labels, Manifest.read(noisy))
