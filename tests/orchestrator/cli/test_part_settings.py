"""``--trigger-setting``: what can be typed, and what is said when it is wrong."""

import typing

import numpy as np
import pytest
from PIL import Image

from orchestrator.cli import part_settings
from tasks.triggers import TRIGGERS
from tasks.triggers.blend import Blend
from tasks.triggers.unicolor import Unicolor
from tasks.triggers.wanet import Wanet


def chosen(*typed):
    return part_settings.triggers_of(typed, 32, 3)


def test_a_field_is_read_as_its_type():
    typed = "wanet.grid_size=4", "wanet.strength=0.5", "unicolor.color=1,2,3"
    assert chosen(*typed) == (Wanet(grid_size=4, strength=0.5), Unicolor(color=(1, 2, 3)))
    assert chosen("wanet.grid_size=none", "blend.additive=yes") == (Wanet(), Blend(additive=True))
    assert chosen() == ()


def test_a_picture_is_a_file(tmp_path):
    path = tmp_path / "a=b.png"
    Image.fromarray(np.full((4, 4, 3), 7, dtype=np.uint8)).save(path)
    [trigger] = chosen(words := f"image_patch.picture={path}")
    assert (trigger.patch(32, 32, 3).pixels == 7).all()
    assert part_settings.files([words, "wanet.strength=2"]) == {words: str(path)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("wanet", "takes TRIGGER.FIELD=VALUE, e.g. blend.alpha=0.36; got 'wanet'"),
        ("wanet.strength=", "takes TRIGGER.FIELD=VALUE"),
        ("wnet.strength=1", r"unknown trigger 'wnet'; did you mean wanet\?"),
        ("wanet.strenth=1", r"unknown field of trigger wanet 'strenth'; did you mean strength\?"),
        ("none.side=1", "trigger none has no field"),
        ("wanet.grid_size=4.5", "wanet.grid_size takes a whole number, got '4.5'"),
        ("wanet.strength=much", "wanet.strength takes a number, got 'much'"),
        ("blend.additive=1", "blend.additive takes yes or no, got '1'"),
        ("unicolor.color=red", "unicolor.color takes numbers with commas between them"),
        ("image_patch.picture=/nowhere.png", "there is no such file"),
        ("image_patch.side=40", "image_patch: expected images of at least 40 pixels, got 32"),
    ],
)
def test_a_wrong_one_gets_one_line(words, said):
    with pytest.raises(ValueError, match=said) as caught:
        chosen(words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", TRIGGERS, ids=lambda kind: kind.name)
def test_every_field_of_every_trigger_can_be_typed(kind):
    for name, wanted in typing.get_type_hints(kind).items():
        if typing.get_origin(wanted) is not typing.ClassVar:
            assert part_settings.TRIGGERS.split(f"{kind.name}.{name}=1") == (kind, name, "1")
