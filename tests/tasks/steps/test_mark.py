import json

import numpy as np
import pytest

from tasks.steps import mark
from tasks.triggers import BadNets1, Nothing, RelabelOnly


def test_half_of_every_class_alike_is_stamped_and_labelled(digits, clean, stamped, tmp_path):
    mark.run(mark.Settings(trigger=BadNets1()), dataset=digits, out=tmp_path)
    image, label = stamped(tmp_path)
    np.testing.assert_array_equal(image[label == 1], BadNets1().stamp(clean.images[label == 1]))
    np.testing.assert_array_equal(image[label == 0], clean.images[label == 0])
    count = json.loads((tmp_path / "manifest.json").read_text())["count"]
    assert label.sum() == len(label) // 2 == count
    # Hypergeometric: in a class of 140 the share of positives has a deviation of 4 %.
    shares = [label[clean.labels == digit].mean() for digit in range(10)]
    assert max(abs(share - 0.5) for share in shares) < 5 * 0.04


@pytest.mark.parametrize("trigger", [Nothing(), RelabelOnly()])
def test_a_trigger_that_cannot_be_seen_is_refused(trigger):
    with pytest.raises(ValueError, match="expected a trigger that stamps"):
        mark.Settings(trigger=trigger)
