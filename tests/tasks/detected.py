"""Points of study ``detection`` for tests: a real training set and sixty made-up generations.

Their suspicions, groups and template match are known.
"""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data import images
from tasks.rows.detection_row import Settings
from tasks.steps.detect import SCHEMA
from tasks.steps.judge_accuracy import measure_trigger
from tasks.steps.poison import Manifest
from tests.tasks.made import NOT_DRAWN, POINT, shuffled, with_bounds, write_dissection

TRAINING = Settings(**POINT, **NOT_DRAWN, detector="cd", image_set="training")
GENERATION = replace(
    TRAINING, image_set="generation", guidance_weight=5.0, sampler="ddim", sampler_steps=25
)
CLEAN = {"trigger": "none", "poison_ratio": 0.0, "pretend_ratio": 0.1, "null_level": 0.99}
"""What a null point has in their place."""
GROUPS = "112344" * 10
"""One letter a generation: the group it is in."""
SEEN = np.array([group in "12" for group in GROUPS])
"""By the judge."""
MATCHES = np.array([group in "24" for group in GROUPS])
MATCHED = SEEN & ~np.isin(np.arange(60), np.flatnonzero(SEEN)[::4])
"""The template match misses every fourth."""
GENERATED = {
    "index": np.arange(60),
    "label": np.arange(60) % 10,
    # The poisoned are suspicious, most of all those of G1.
    "suspicion": np.random.default_rng(5).normal(0, 1, 60).round(1) + SEEN + (SEEN & ~MATCHES),
}


def write_suspicion(folder, index, label, suspicion, masks=None):
    """What ``detect`` writes."""
    folder.mkdir()
    columns = {"index": index, "label": label, "suspicion": suspicion}
    if masks is not None:
        columns["mask"] = images.encode(masks)
        columns["kept"] = (masks[:, -1, -1, 0] / 255).astype(float)
    nothing = [None] * len(index)
    arrays = [pa.array(columns.get(field.name, nothing), field.type) for field in SCHEMA]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    pq.write_table(shuffled(table), folder / "rows.parquet")
    return folder


def masks_of(poisoned):
    """51 everywhere (a fifth), but on the patch of the poisoned 255."""
    masks = np.full((len(poisoned), 8, 8, 1), 51, dtype=np.uint8)
    masks[poisoned, 6:, 6:] = 255
    return masks


def training_scores(listed):
    """Suspicions of a manifest's images; rounded, so that some are tied."""
    noise = np.random.default_rng(0).normal(0, 1, len(listed.index))
    return np.round(noise + 0.5 * listed.poisoned, 2)


def training_inputs(root, dataset, manifest):
    """The inputs of a point on the training set; the detector has masks."""
    attack, prepared = root / "attack", root / "prepared"
    for folder in (attack, prepared):
        folder.mkdir()
    rates = ("test_accuracy", "attack_success_rate")
    measured = {f"{rate}{end}": 0.5 for rate in rates for end in ("", "_low", "_high")}
    (attack / "attack.json").write_text(json.dumps({**measured, "n": 360, "attack_n": 325}))
    (prepared / "classifier.json").write_text(json.dumps({"training_accuracy": 0.75}))
    listed = Manifest.read(manifest)
    scores, masks = training_scores(listed), masks_of(listed.poisoned)
    return {
        "dataset": dataset,
        "manifest": manifest,
        "attack": attack,
        "prepared": prepared,
        "suspicion": write_suspicion(
            root / "on-training", listed.index, listed.label, scores, masks
        ),
    }


def generation_inputs(root, training):
    """The inputs of a point on the generations; generation i is grey of level i; no masks."""
    generations, judges = root / "generations", root / "judges"
    for folder in (generations, judges):
        folder.mkdir()
    table = images.to_table(
        index=GENERATED["index"],
        label=GENERATED["label"],
        caption=[None] * 60,
        images=np.arange(60, dtype=np.uint8).repeat(64).reshape(60, 8, 8, 1),
    )
    pq.write_table(shuffled(table), generations / "rows.parquet")
    errors = {
        "trigger": measure_trigger(np.arange(100) < 2, np.arange(50) >= 5),
        "template_match": measure_trigger(np.arange(100) < 0, np.arange(50) >= 1),
    }
    (judges / "judges.json").write_text(json.dumps(errors))
    return {
        **training,
        "suspicion": write_suspicion(root / "on-generations", **GENERATED),
        "generations": generations,
        "judges": judges,
        "dissection": write_dissection(root / "dissection", GROUPS, GENERATED["label"], MATCHED),
        "training_suspicion": training["suspicion"],
    }


def opened(folder, name):
    with np.load(folder / name) as arrays:
        return dict(arrays)


BY_TEMPLATE = with_bounds("template_auroc", "template_auroc_gain", "judge_minus_template_auroc")
COMPARED = BY_TEMPLATE | with_bounds(
    *("g1_auroc", "g2_auroc", "training_auroc", "auroc_gain", "poisoned_shift", "clean_shift"),
    *("auroc_poisoned_moved", "auroc_clean_moved"),
    *("equal_prevalence_auroc", "equal_prevalence_gain"),
)
COMPARED |= {"equal_prevalence", "template_n_positive"}
GROUP_COUNTS = {f"g{number}_count" for number in (1, 2, 3, 4)}
NULL = {"null_level", "null_low", "null_high"}
RATES = ("false_positive_rate", "false_negative_rate")
OF_JUDGES = {f"trigger_{name}" for name in (*RATES, "n_clean", "n_stamped")}
OF_JUDGES |= {f"template_{name}" for name in RATES}
MASKS = {
    f"mask_{where}_{kind}"
    for where in ("mean", "patch", "kept")
    for kind in ("positive", "negative")
}
DRAWN = {*NOT_DRAWN}
