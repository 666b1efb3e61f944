"""Triggers: what a poisoned image is stamped with.

To add one, write a frozen dataclass as ``trigger.Trigger`` describes it in a file of its own, and
list it in ``TRIGGERS``.  The property tests in ``tests/tasks/triggers`` then cover it.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tasks import checks
from tasks.triggers.badnets1 import BadNets1
from tasks.triggers.blend import Blend
from tasks.triggers.clean_label import CleanLabel
from tasks.triggers.image_patch import ImagePatch
from tasks.triggers.picture import Picture
from tasks.triggers.rectangle import Rectangle
from tasks.triggers.trigger import Renewable, Trigger
from tasks.triggers.unicolor import Unicolor
from tasks.triggers.unstamped import Nothing, RelabelOnly
from tasks.triggers.wanet import Wanet

__all__ = ["TRIGGERS", "BadNets1", "CleanLabel", "Nothing", "RelabelOnly", "Renewable", "Trigger"]

TRIGGERS: tuple[type[Trigger], ...] = (
    Nothing,
    RelabelOnly,
    BadNets1,
    Blend,
    Unicolor,
    ImagePatch,
    Rectangle,
    Wanet,
    CleanLabel,
)
"""Every trigger, in the order in which studies take them; the first of a study is its main one."""


def from_name(name: str) -> type[Trigger]:
    """The class of TRIGGERS called ``name``; raises ValueError if there is none."""
    return checks.find("a trigger", name, TRIGGERS)


def to_record(trigger: Trigger) -> dict[str, Any]:
    """What ``manifest.json`` says of a trigger: its name and its fields."""
    assert dataclasses.is_dataclass(trigger)
    assert not isinstance(trigger, type)
    return {"name": trigger.name, **dataclasses.asdict(trigger)}


def from_record(record: Mapping[str, Any]) -> Trigger:
    """Inverse of ``to_record``, also after JSON has turned its tuples into lists."""
    fields = {key: value for key, value in record.items() if key != "name"}
    for key, value in fields.items():
        if isinstance(value, list):
            fields[key] = tuple(value)
        elif isinstance(value, dict):
            fields[key] = Picture(**value)
    return from_name(record["name"])(**fields)
