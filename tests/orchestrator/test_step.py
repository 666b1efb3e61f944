"""What is and is not part of a result's identity."""

import dataclasses
import hashlib
import io
import math
import pickle
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from orchestrator.cli.differing import word
from orchestrator.cli.printing import explanation, print_plan
from orchestrator.graph import plan as planning
from orchestrator.run.placement import Placement
from orchestrator.step import Step, ancestors, brief, canonical, difference
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import SCALES, TINY
from tasks.detectors import CognitiveDistillation
from tasks.steps import (
    conditions,
    detect,
    mark,
    poison,
    prepare,
    sample,
    train_classifier,
    train_diffusion,
)
from tasks.triggers import BadNets1
from tasks.triggers.blend import Blend
from tasks.triggers.picture import Picture
from tests.orchestrator.conducted import DATASET, manifest


def training(streams=None, **changes):
    settings = train_diffusion.Settings(**changes)
    return Step(settings, {}, streams or {"dataset": DATASET, "manifest": manifest()})


def classifier(streams=None):
    settings = train_classifier.Settings(name="classifier", classes=10)
    return Step(settings, {}, streams or {"dataset": DATASET, "manifest": manifest()})


def detection(image_set="training", streams=None, n=0):
    """A prepared detector and what it says of a set of images."""
    streams = streams or {"dataset": DATASET, "manifest": manifest(poison_ratio=0.05)}
    cd = CognitiveDistillation()
    prepared = Step(
        prepare.Settings(detector=cd, n=n), {"classifier": classifier(streams)}, streams
    )
    settings = detect.Settings(detector=cd, image_set=image_set, n=n)
    if image_set == "training":
        return prepared, Step(settings, {"prepared": prepared}, streams)
    asked = Step(conditions.Settings(), {"manifest": streams["manifest"]})
    generations = Step(
        sample.Settings(conditions=(), guidance_weight=5.0, n=1437),
        {"model": training(streams), "conditions": asked},
    )
    return prepared, Step(settings, {"generations": generations, "prepared": prepared})


def every_step():
    yield from detection("training")
    yield from ancestors(detection("generation"))
    for scale in SCALES:
        yield from ancestors(
            point.measure for point in AMPLIFICATION.points(scale, AMPLIFICATION.chosen(scale))
        )


def test_digests_are_the_same_in_another_process(tiny_points):
    code = (
        "from orchestrator.studies import AMPLIFICATION as a; from orchestrator.studies.scales "
        "import TINY as t; print(*(p.measure.digest for p in a.points(t, a.chosen(t))))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.split() == [point.measure.digest for point in tiny_points]


def test_changing_an_ancestor_changes_its_descendants_and_no_others():
    before, after = manifest(seed=1), manifest(seed=2)
    assert before.digest != after.digest
    streams = [{"dataset": DATASET, "manifest": changed} for changed in (before, after)]
    assert training(streams[0]).digest != training(streams[1]).digest
    drawn = [
        Step(sample.Settings(conditions=(8,), guidance_weight=2.0), {"model": training(stream)})
        for stream in streams
    ]
    assert drawn[0].digest != drawn[1].digest
    assert before.inputs["dataset"].digest == after.inputs["dataset"].digest


def test_placement_is_no_part_of_any_identity():
    names = {item.name for item in dataclasses.fields(Placement)}
    for step in every_step():
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
    assert canonical(old()) != canonical(new(ema=True))
    other = dataclasses.make_dataclass("Other", [rate], frozen=True)
    assert canonical(other()) != canonical(old())


@pytest.mark.parametrize("value", [max, b"bytes", {1, 2}, poison.Settings, (1.0, math.nan)])
def test_what_has_no_form_that_is_the_same_in_every_process_is_refused(value):
    with pytest.raises((TypeError, ValueError), match=r"same in every process|NaN"):
        canonical({"setting": value})


@dataclass(frozen=True)
class Pair:
    rate: float
    count: int = 1


@given(st.integers(-(2**40), 2**40))
def test_one_and_one_point_zero_are_the_same_setting_of_a_float(number):
    assert canonical(Pair(number)) == canonical(Pair(float(number)))


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
nested = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(nested, nested)
def test_two_values_differ_somewhere_exactly_when_their_canonical_forms_do(old, new):
    old, new = canonical(old), canonical(new)
    assert bool(list(difference({"x": old}, {"x": new}))) == (old != new)


class TestLongSettings:
    PIXELS = "iVBORw0KGgo" * 1000

    def test_a_long_text_is_its_beginning_its_length_and_its_digest(self):
        digest = hashlib.sha256(self.PIXELS.encode()).hexdigest()
        said = f"iVBORw0KGgoiVBORw0KGgoiV... (11,000 characters, digest {digest[:12]})"
        assert brief(self.PIXELS) == said
        own = {"trigger": {"pattern": self.PIXELS, "alpha": 0.2}}
        assert brief(own) == {"trigger": {"pattern": said, "alpha": 0.2}}
        assert "... (1,000 values, digest " in brief(list(range(1000)))
        assert "(400 characters" in brief("\udcff" * 400)  # of no encoding
        [line] = difference({"pattern": self.PIXELS}, {"pattern": self.PIXELS + "="})
        assert line.startswith(f"pattern: '{said}' -> ")

    @given(st.text(max_size=300) | st.lists(st.integers(0, 9), max_size=90) | st.floats())
    def test_what_is_short_is_said_as_it_is(self, value):
        assert brief(value) is value

    def test_what_prints_settings_prints_no_pixels(self, tmp_path):
        """Plan, explain, compare, the page and MLflow; a study once took 438 KB."""
        own_picture = picture(tmp_path / "noise.png")
        own = replace(TINY, own_triggers=(Blend(pattern=own_picture),))
        axes = AMPLIFICATION.chosen(TINY).with_values(trigger=("blend",), poison_ratio=(0.1,))
        points = AMPLIFICATION.points(own, axes)
        store = Store(tmp_path)
        for step in ancestors([AMPLIFICATION.points(TINY, axes)[0].measure]):
            with store.publish(step):  # finished, as far as a plan looks
                pass
        out = io.StringIO()
        print_plan(planning.make(points, store), "own", Console(file=out))
        text = out.getvalue()
        lines = [line for line in text.splitlines() if "settings.trigger.pattern: None ->" in line]
        assert lines
        assert all(own_picture.sha256 in line for line in lines)
        assert len(out.getvalue()) < 10_000
        poisoned = next(s for s in ancestors([points[0].measure]) if s.task == "poison")
        assert max(map(len, explanation(store, poisoned))) < 300
        assert len(word(poisoned.identity["settings"]["trigger"]["pattern"])) < 100


def picture(path):
    """Pixels that no compression makes short, as a setting."""
    noise = np.arange(64 * 64 * 3) ** 3 % 251
    Image.fromarray(noise.reshape(64, 64, 3).astype(np.uint8)).save(path)
    return Picture.read(path)


@pytest.mark.parametrize(
    "inputs", [{}, {"dirty": DATASET}, {"dataset": DATASET, "more": DATASET}, {"out": DATASET}]
)
def test_wrong_inputs_fail_before_anything_runs(inputs):
    with pytest.raises(TypeError, match=r"^mark: "):
        Step(mark.Settings(trigger=BadNets1()), inputs)


def test_a_training_takes_streams_and_so_does_what_takes_a_training_set():
    with pytest.raises(TypeError, match=r"train_classifier: expected the streams .* got none"):
        Step(train_classifier.Settings(name="content", classes=10))
    with pytest.raises(TypeError, match=r"dataset and perhaps manifest, got dataset, poison"):
        Step(train_diffusion.Settings(), {}, {"dataset": DATASET, "poison": manifest()})
    with pytest.raises(TypeError, match=r"mark: its run takes no training_set, so .* no streams"):
        Step(mark.Settings(trigger=BadNets1()), {"dataset": DATASET}, {"dataset": DATASET})
    for step in detection():
        with pytest.raises(TypeError, match=rf"^{step.task}: .*"):
            Step(step.settings, step.inputs, {"manifest": manifest()})
    with pytest.raises(TypeError, match=r"^prepare: missing .* 'training_set'"):
        Step(prepare.Settings(detector=CognitiveDistillation()), {"classifier": classifier()})


@pytest.mark.parametrize(
    "step", [training(), *detection(), detection("generation")[1]], ids=lambda step: step.subject
)
def test_neither_trainings_nor_detectors_can_be_given_the_manifest_to_look_at(step):
    others = {"manifest": manifest(), "dataset": DATASET}
    if step.streams:  # which are its training set
        others["training_set"] = DATASET
    for more in ({name: other} for name, other in others.items()):
        with pytest.raises(TypeError, match=rf"^{step.task}: "):
            Step(step.settings, {**step.inputs, **more}, step.streams)


def test_what_is_written_for_a_detector_is_part_of_its_identity():
    clean = detection(streams={"dataset": DATASET, "manifest": manifest(seed=1)})
    for one, other in zip(clean, detection(), strict=True):
        assert set(one.identity["streams"]) == {"dataset", "manifest"}
        assert one.digest != other.digest


def test_how_many_images_there_are_is_no_part_of_a_detection():
    for one, other in zip(detection(n=0), detection(n=1437), strict=True):
        assert one.digest == other.digest
        assert one.settings.expected_seconds < other.settings.expected_seconds


def test_paths_are_readable_unique_and_safe():
    paths = {step.digest: step.path for step in every_step()}
    assert len(set(paths.values())) == len(paths)
    for digest, path in paths.items():
        assert re.fullmatch(r"[a-z_]+/[A-Za-z0-9.-]+(_[A-Za-z0-9.-]+)*", path), path
        assert path.endswith(f"-{digest}")
        assert len(path.partition("/")[2]) < 200
    assert manifest(poison_ratio=0.05).path.startswith("poison/badnets1-p0.05-8-seed0-")
    assert training(seed=3).path.startswith(
        "train_diffusion/ddpm-32x64-1000steps-seed3-badnets1-p0.1-8-seed0-"
    )


def test_paths_of_detections_say_who_looked_at_what():
    prepared, on_training = detection()
    _, on_generations = detection("generation")
    generations = on_generations.inputs["generations"]
    drawn, poisoned = "training-labels-w5-ddim25-n1437-seed0", "badnets1-p0.05-8-seed0"
    named = [step.path.rpartition("-")[0] for step in (prepared, on_training, on_generations)]
    assert named == [
        f"prepare/cd-{poisoned}",
        f"detect/cd-on-training-{poisoned}",
        f"detect/cd-on-generation-{drawn}-{poisoned}",
    ]
    assert generations.path.rpartition("-")[0] == f"sample/{drawn}-{poisoned}"
    asked = generations.inputs["conditions"]
    assert asked.path.rpartition("-")[0] == "conditions/training-labels-seed0"


def test_pickling_keeps_the_definition_and_derives_the_rest_again():
    for step in every_step():
        step.__dict__["digest"] = "000000000000"  # written down, and not trusted
        again = pickle.loads(pickle.dumps(step))
        del step.__dict__["digest"]
        assert (again.digest, again.path) == (step.digest, step.path)
        assert [source.digest for source in again.sources] == [
            source.digest for source in step.sources
        ]


def test_ancestors_come_before_their_descendants_and_each_once(tiny_points):
    tiny = list(ancestors(point.measure for point in tiny_points))
    assert len({step.digest for step in tiny}) == len(tiny)
    place = {step.digest: position for position, step in enumerate(tiny)}
    for step in tiny:
        assert all(place[source.digest] < place[step.digest] for source in step.sources)


def test_every_seed_and_a_new_revision_move_a_digest(monkeypatch):
    before = manifest().digest
    with monkeypatch.context() as patch:
        patch.setattr(poison.Settings, "revision", poison.Settings.revision + 1)
        assert manifest().digest != before
    for step in every_step():
        if hasattr(step.settings, "seed"):
            changed = replace(step.settings, seed=step.settings.seed + 1)
            assert Step(changed, step.inputs, step.streams).digest != step.digest
