import json

import numpy as np
import pytest

from tasks.steps import correct
from tasks.steps.correct import Settings
from tasks.triggers import BadNets1
from tasks.triggers.wanet import Wanet


@pytest.fixture
def corrected(tmp_path):
    """A function that corrects a manifest."""

    def run(manifest):
        out = tmp_path / "corrected"
        out.mkdir(exist_ok=True)
        correct.run(Settings(), manifest=manifest, out=out)
        return out

    return run


@pytest.mark.parametrize("trigger", [BadNets1(), Wanet()])
def test_images_stay_stamped_and_labels_are_true(corrected, poisoned_by, clean, stamped, trigger):
    manifest = poisoned_by(trigger)
    image, label = stamped(corrected(manifest))
    np.testing.assert_array_equal(label, clean.labels)
    np.testing.assert_array_equal(image, stamped(manifest)[0])


def test_the_record_is_the_poisons_but_for_what_is_labelled_wrong(corrected, poisoned):
    before = json.loads((poisoned / "manifest.json").read_text())
    after = json.loads((corrected(poisoned) / "manifest.json").read_text())
    assert before["p_t"] == before["relabelled_ratio"] == 143 / 282
    assert after == {**before, "p_t": 0.0, "relabelled_ratio": 0.0}
