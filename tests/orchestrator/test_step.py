"""What is and is not part of a result's identity."""

import dataclasses
import hashlib
import math
import re
import subprocess
import sys
from dataclasses import field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.run.placement import Placement
from orchestrator.step import Step, ancestors, brief, canonical, difference
from orchestrator.studies import AMPLIFICATION, DETECTION
from orchestrator.studies.scales import SCALES, TINY
from tasks.steps import mark, poison, train_classifier, train_diffusion
from tasks.triggers import BadNets1
from tests.orchestrator.conducted import DATASET, manifest


def steps_of(study, scale):
    points = study.points(scale, study.chosen(scale))
    return list(ancestors(point.measure for point in points))


STEPS = [*steps_of(DETECTION, TINY), *(one for x in SCALES for one in steps_of(AMPLIFICATION, x))]
SEEING = {
    step.task + getattr(step.settings, "image_set", ""): step
    for step in STEPS
    if step.task in ("train_diffusion", "prepare", "detect")
}
"""A training, a prepared detector, and what it says of either set of images."""


def test_digests_are_the_same_in_another_process(tiny_points):
    code = (
        "from orchestrator.studies import AMPLIFICATION as a; from orchestrator.studies.scales "
        "import TINY as t; print(*(p.measure.digest for p in a.points(t, a.chosen(t))))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.split() == [point.measure.digest for point in tiny_points]


def test_changing_an_ancestor_changes_its_descendants_and_no_others():
    for step in STEPS:
        if "manifest" in step.streams:
            other = {**step.streams, "manifest": manifest(seed=77)}
            changed = Step(step.settings, step.inputs, other)
            assert changed.digest != step.digest
            assert changed.streams["dataset"].digest == step.streams["dataset"].digest


def test_placement_is_no_part_of_any_identity():
    names = {item.name for item in dataclasses.fields(Placement)}
    for step in STEPS:
        assert not names & set(step.identity["settings"])
        assert set(step.identity) == {"task", "revision", "settings", "inputs", "streams"}


def test_neither_a_field_added_later_nor_where_something_lies_moves_a_result():
    rate = ("rate", float, 0.1)
    ema = ("ema", bool, field(default=False, metadata={"since": 2}))
    place = ("place", str, field(default="", metadata={"identity": False}))
    old, new, placed = (
        dataclasses.make_dataclass("S", fields, frozen=True)
        for fields in ([rate], [rate, ema], [rate, place])
    )
    assert canonical(old()) == canonical(new()) == canonical(placed(place="/here"))
    assert repr(canonical(old(1))) == repr(canonical(old(1.0)))  # of a float they are the same
    assert canonical(old()) != canonical(new(ema=True))
    other = dataclasses.make_dataclass("Other", [rate], frozen=True)
    assert canonical(other()) != canonical(old())


@pytest.mark.parametrize("value", [max, b"bytes", {1, 2}, poison.Settings, (1.0, math.nan)])
def test_what_has_no_form_that_is_the_same_in_every_process_is_refused(value):
    with pytest.raises((TypeError, ValueError), match=r"same in every process|NaN"):
        canonical({"setting": value})


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
nested = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(nested, nested)
def test_two_values_differ_somewhere_exactly_when_their_canonical_forms_do(old, new):
    old, new = canonical(old), canonical(new)
    assert bool(list(difference({"x": old}, {"x": new}))) == (old != new)


def test_a_long_text_is_said_as_its_beginning_its_length_and_its_digest():
    pixels = "iVBORw0KGgo" * 1000
    digest = hashlib.sha256(pixels.encode()).hexdigest()
    said = f"iVBORw0KGgoiVBORw0KGgoiV... (11,000 characters, digest {digest[:12]})"
    own = {"trigger": {"pattern": pixels, "alpha": 0.2, "values": [1, 2]}}
    assert brief(own) == {"trigger": {"pattern": said, "alpha": 0.2, "values": [1, 2]}}
    assert "... (1,000 values, digest " in brief(list(range(1000)))
    assert "(400 characters" in brief("\udcff" * 400)  # of no encoding
    [line] = difference({"pattern": pixels}, {"pattern": pixels + "="})
    assert line.startswith(f"pattern: '{said}' -> ")


@pytest.mark.parametrize(
    "inputs", [{}, {"dirty": DATASET}, {"dataset": DATASET, "more": DATASET}, {"out": DATASET}]
)
def test_wrong_inputs_fail_before_anything_runs(inputs):
    with pytest.raises(TypeError, match=r"^mark: "):
        Step(mark.Settings(trigger=BadNets1()), inputs)


def test_a_training_takes_streams_and_so_does_what_takes_a_training_set():
    with pytest.raises(TypeError, match=r"train_classifier: expected the streams .* got none"):
        Step(train_classifier.Settings(name="content", classes=10))
    with pytest.raises(TypeError, match=r"perhaps manifest and stamped, got dataset, poison"):
        Step(train_diffusion.Settings(), {}, {"dataset": DATASET, "poison": manifest()})
    with pytest.raises(TypeError, match=r"mark: its run takes no training_set, so .* no streams"):
        Step(mark.Settings(trigger=BadNets1()), {"dataset": DATASET}, {"dataset": DATASET})
    for step in SEEING.values():
        with pytest.raises(TypeError, match=rf"^{step.task}: .*"):
            Step(step.settings, step.inputs, {"manifest": manifest()})
    with pytest.raises(TypeError, match=r"^prepare: missing .* 'training_set'"):
        Step(SEEING["prepare"].settings, SEEING["prepare"].inputs)


@pytest.mark.parametrize("step", SEEING.values(), ids=SEEING.keys())
def test_neither_trainings_nor_detectors_can_be_given_the_manifest_to_look_at(step):
    others = {"manifest": manifest(), "dataset": DATASET}
    if step.streams:  # which are its training set
        others["training_set"] = DATASET
    for more in ({name: other} for name, other in others.items()):
        with pytest.raises(TypeError, match=rf"^{step.task}: "):
            Step(step.settings, {**step.inputs, **more}, step.streams)


def test_paths_are_readable_unique_and_safe():
    paths = {step.digest: step.path for step in STEPS}
    assert len(set(paths.values())) == len(paths)
    for digest, path in paths.items():
        assert re.fullmatch(r"[a-z_]+/[A-Za-z0-9.-]+(_[A-Za-z0-9.-]+)*", path), path
        assert path.endswith(f"-{digest}")
        assert len(path.partition("/")[2]) < 200
    assert manifest(poison_ratio=0.05).path.startswith("poison/badnets1-p0.05-8-seed0-")


def test_every_seed_and_a_new_revision_move_a_digest(monkeypatch):
    before = manifest().digest
    with monkeypatch.context() as patch:
        patch.setattr(poison.Settings, "revision", poison.Settings.revision + 1)
        assert manifest().digest != before
    for step in STEPS:
        if hasattr(step.settings, "seed"):
            changed = replace(step.settings, seed=step.settings.seed + 1)
            assert Step(changed, step.inputs, step.streams).digest != step.digest
