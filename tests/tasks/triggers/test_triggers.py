"""Properties every trigger must have, whatever it draws."""

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks import triggers
from tasks.data import images
from tasks.triggers import TRIGGERS, BadNets1, CleanLabel
from tasks.triggers.blend import Blend
from tasks.triggers.image_patch import ImagePatch
from tasks.triggers.patch import Patched, template_match
from tasks.triggers.rectangle import Rectangle
from tasks.triggers.unicolor import Unicolor
from tasks.triggers.wanet import Wanet
from tests.pictures import picture

ROOT = Path(__file__).parents[3]
SIZES = [(8, 1), (32, 3), (512, 1)]
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
PATCHED = [kind for kind in TRIGGERS if isinstance(kind(), Patched)]

DIGESTS = {
    "none": "b8c9b0c07b38d856",
    "relabel_only": "b8c9b0c07b38d856",
    "badnets1": "bd30ff12542f89a4",
    "blend": "b83137746cb04152",
    "unicolor": "9ad9e5902c6e2860",
    "image_patch": "65bff1dca66e27e0",
    "rectangle": "6349a4a218815c1d",
    "wanet": "53fc62539c643bce",
    "clean_label": "bd30ff12542f89a4",
}
"""Of what each trigger of ours makes of ramps of levels, at 8, 32, 512 pixels, 1, 3 channels."""


def digests():
    """As `DIGESTS`, of all triggers."""
    found = {kind.name: hashlib.sha256() for kind in TRIGGERS}
    for side, channels in itertools.product((8, 32, 512), (1, 3)):
        ramp = (np.arange(2 * side * side * channels) % 251).astype(np.uint8)
        for kind in TRIGGERS:
            found[kind.name].update(kind().stamp(ramp.reshape(2, side, side, channels)).tobytes())
    return {name: total.hexdigest()[:16] for name, total in found.items()}


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}px-{size[1]}ch")
def pictures(request):
    side, channels = request.param
    return np.random.default_rng(1).integers(1, 255, (3, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("kind", TRIGGERS, ids=lambda kind: kind.name)
class TestEveryTrigger:
    def test_stamps_a_copy_of_each_image_alone(self, kind, pictures):
        before = pictures.copy()
        stamped = kind().stamp(pictures)
        one_by_one = np.concatenate([kind().stamp(picture[None]) for picture in pictures])
        np.testing.assert_array_equal(stamped, one_by_one)
        assert (stamped.shape, stamped.dtype) == (pictures.shape, np.uint8)
        stamped[:] = 0
        np.testing.assert_array_equal(pictures, before)

    def test_changes_every_image_exactly_if_it_stamps(self, kind, pictures):
        changed = (kind().stamp(pictures) != pictures).any(axis=(1, 2, 3))
        assert changed.tolist() == [kind.stamps] * len(pictures)

    def test_stamps_a_gray_image_as_the_luminance_of_the_color_one(self, kind, pictures):
        gray = pictures[..., :1]
        in_color = kind().stamp(np.repeat(gray, 3, axis=3))
        difference = images.luminance(in_color).astype(int) - kind().stamp(gray)
        # A blend is rounded once in gray and once a channel in color.
        assert np.abs(difference).max() <= (1 if kind is Blend else 0)


@pytest.mark.parametrize("kind", PATCHED, ids=lambda kind: kind.name)
class TestEveryPatch:
    def test_nothing_but_the_patch_is_touched(self, kind, pictures):
        patch = kind().patch(*pictures.shape[1:])
        outside = np.ones(pictures.shape, dtype=bool)
        outside[patch.place] = False
        stamped = kind().stamp(pictures)
        np.testing.assert_array_equal(stamped[outside], pictures[outside])
        for image in stamped[patch.place]:
            np.testing.assert_array_equal(image, patch.pixels)

    def test_a_template_match_sees_every_stamp(self, kind, pictures):
        assert template_match(kind(), kind().stamp(pictures)).tolist() == [True] * len(pictures)


@pytest.mark.parametrize(
    ("large", "expected"),
    [
        *((kind(side=9), "at least 9 pixels, got 8") for kind in (BadNets1, Unicolor, ImagePatch)),
        (Rectangle(width=9), r"at least 1 x 9 pixels, got \(8, 8\)"),
    ],
    ids=lambda item: getattr(item, "name", ""),
)
def test_an_image_without_room_for_a_patch_is_refused(large, expected):
    with pytest.raises(ValueError, match=expected):
        template_match(large, np.zeros((1, 8, 8, 1), dtype=np.uint8))


@pytest.mark.parametrize(
    "trigger",
    [
        *(kind() for kind in TRIGGERS),
        Unicolor(side=2, color=(1, 2, 3)),
        ImagePatch(position="center", picture=picture(PIXELS[:9, :8])),
        Wanet(grid_size=4, strength=0.5, seed=3),
    ],
    ids=lambda trigger: trigger.name,
)
def test_a_trigger_comes_back_from_its_record(trigger):
    record = json.loads(json.dumps(triggers.to_record(trigger)))
    again = triggers.from_record(record)
    assert again == trigger
    assert hash(again) == hash(trigger)
    assert record["name"] == trigger.name


def test_another_process_stamps_the_same_bytes():
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import json; from {__name__} import digests as of; print(json.dumps(of()))",
        ],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
    )
    elsewhere = json.loads(finished.stdout)
    assert elsewhere == digests()
    assert elsewhere == elsewhere | DIGESTS


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(ValueError, match="did you mean badnets1"):
        triggers.from_name("badnet1")


class TestCleanLabel:
    def test_a_test_image_is_attacked_with_the_square_alone(self):
        pictures = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
        np.testing.assert_array_equal(
            CleanLabel(side=3, epsilon=99).stamp(pictures), BadNets1(side=3).stamp(pictures)
        )

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"epsilon": 8.5}, "in whole gray levels, 1"),
            ({"epsilon": 8, "step_size": 9}, "in whole gray levels, 1"),
            ({"steps": 0}, "steps of at least 1"),
            ({"of": "class"}, "of all, target, got 'class'"),
        ],
    )
    def test_settings_that_mean_nothing_are_refused(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            CleanLabel(**wrong)
