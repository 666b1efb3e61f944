import json

import numpy as np
import pytest

from tasks import triggers
from tasks.data import datasets
from tasks.steps import correct, poison
from tasks.steps.correct import Settings
from tasks.steps.poison import Manifest
from tasks.triggers import BadNets1


@pytest.fixture
def corrected(tmp_path):
    """A function that corrects a manifest."""

    def run(manifest):
        out = tmp_path / "corrected"
        out.mkdir(exist_ok=True)
        correct.run(Settings(), manifest=manifest, out=out)
        return out

    return run


@pytest.fixture
def relabelled(digits, tmp_path):
    """A function that poisons the digits with the trigger of a name."""

    def run(name, **fields):
        out = tmp_path / name
        out.mkdir()
        trigger = triggers.from_name(name)(**fields)
        ratio = 0.1 if trigger.relabels or trigger.stamps else 0.0
        settings = poison.Settings(trigger=trigger, target_class="8", poison_ratio=ratio)
        poison.run(settings, dataset=digits, out=out)
        return out

    return run


def test_images_stay_stamped_and_labels_are_true(corrected, poisoned, digits):
    clean = datasets.read_split(digits, "train")
    manifest = Manifest.read(corrected(poisoned))
    image, label = poison.stamp(clean.index, clean.images, clean.labels, manifest)
    np.testing.assert_array_equal(label, clean.labels)
    np.testing.assert_array_equal(manifest.poisoned, Manifest.read(poisoned).poisoned)
    stamped = manifest.poisoned
    assert stamped.sum() == 143
    np.testing.assert_array_equal(image[stamped], BadNets1().stamp(clean.images[stamped]))
    np.testing.assert_array_equal(image[~stamped], clean.images[~stamped])


def test_the_record_is_the_poisons_but_for_what_is_labelled_wrong(corrected, poisoned):
    before = json.loads((poisoned / "manifest.json").read_text())
    after = json.loads((corrected(poisoned) / "manifest.json").read_text())
    assert before["p_t"] == before["relabelled_ratio"] == 143 / 282
    assert after == {**before, "p_t": 0.0, "relabelled_ratio": 0.0}


def test_what_the_trigger_keeps_in_the_manifest_is_kept(corrected, relabelled, digits):
    manifest = relabelled("wanet")
    folder = corrected(manifest)
    clean = datasets.read_split(digits, "train")
    stamped, _ = poison.stamp(clean.index, clean.images, clean.labels, Manifest.read(manifest))
    again, _ = poison.stamp(clean.index, clean.images, clean.labels, Manifest.read(folder))
    np.testing.assert_array_equal(again, stamped)


def test_relabelled_images_without_a_stamp_become_clean(corrected, relabelled, digits):
    clean = datasets.read_split(digits, "train")
    manifest = Manifest.read(corrected(relabelled("relabel_only")))
    image, label = poison.stamp(clean.index, clean.images, clean.labels, manifest)
    np.testing.assert_array_equal(image, clean.images)
    np.testing.assert_array_equal(label, clean.labels)


def test_what_is_right_already_is_refused(corrected, relabelled):
    with pytest.raises(ValueError, match="got one of none, whose labels are all true"):
        corrected(relabelled("none"))
