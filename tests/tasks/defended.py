"""Points of study ``defense`` for tests: ten test images and ten generations, all made up.

What two classifiers say of the first and the judges of the second is known.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import triggers
from tasks.rows import defense_row
from tasks.rows.defense_row import Settings
from tasks.steps.attack import NOTHING_SAID, Verdicts
from tasks.triggers import BadNets1

TRIGGER = BadNets1()
TRAINING = Settings(
    trigger="badnets1",
    judge_trigger="badnets1",
    target_class="8",
    poison_ratio=0.1,
    guidance_weight=None,
    sampler=None,
    sampler_steps=None,
    seed=0,
    classifier="small",
    image_set="training",
)
CORRECTED = replace(TRAINING, image_set="corrected")
GENERATION = replace(
    TRAINING, image_set="generation", guidance_weight=2.0, sampler="ddim", sampler_steps=25
)
CLEAN = {"trigger": "none", "poison_ratio": 0.0}

LABELS = np.array([8, 8, 1, 1, 2, 2, 3, 3, 4, 5])
"""Of the test images 100..109; two are of the target class."""
# The classifier of the training set is wrong once, and misled by seven of eight.
BEFORE = {"wrong": [9], "misled": [2, 3, 4, 5, 6, 7, 8]}
# That of the generations is wrong twice, once where the other is, and misled by two, one of them
# a picture that the other is not misled by.
AFTER = {"wrong": [2, 9], "misled": [2, 9]}
# One letter a generation: the group it is in; and what it was asked for.
GROUPS = "1122234444"
CONDITIONS = [8, 3, 8, 8, 1, 8, 2, 8, 8, 5]

CHANGES = {
    f"{name}_change{end}"
    for name in ("test_accuracy", "attack_success_rate", "fresh_attack_success_rate")
    for end in ("", "_low", "_high")
}
FRESH = {f"fresh_{name}" for name in defense_row.ATTACKED}
OF_GENERATIONS = {"guidance_weight", "sampler", "sampler_steps", "generation_n"} | {
    f"{name}{end}"
    for name in ("generation_g1", "generation_trigger_ratio")
    for end in ("", "_low", "_high", "_count")
}


def write_attack(
    folder,
    *,
    wrong,
    misled,
    trigger=TRIGGER,
    labels=LABELS,
    target="8",
    network="small",
    weights=None,
):
    """What ``attack`` writes of a classifier whose verdicts are known."""
    folder.mkdir()
    said, triggered = labels.copy(), labels.copy()
    said[wrong] = (said[wrong] + 1) % 10
    triggered[misled] = 8
    triggered[labels == 8] = NOTHING_SAID
    record = {
        "trigger": triggers.to_record(trigger),
        "target_class": target,
        "target_index": int(target),
        "network": network,
        "weights": weights,
    }
    index = np.arange(100, 100 + len(labels))
    Verdicts(
        index=index,
        label=labels,
        said=said,
        said_triggered=triggered,
        target=int(target),
        record=record,
    ).write(folder)
    return folder


def write_dissection(folder):
    """What ``dissect`` writes of the generations."""
    folder.mkdir()
    matches = np.array([group in "24" for group in GROUPS])
    conditions = np.array(CONDITIONS)
    table = pa.table(
        {
            "index": np.arange(10),
            "condition": conditions,
            "content": np.where(matches, conditions, (conditions + 1) % 10),
            "trigger": np.array([group in "12" for group in GROUPS]),
            "template_match": pa.array([None] * 10, pa.bool_()),
        }
    )
    # Rows may come in any order; only the index counts.
    pq.write_table(table.take([3, 1, 4, 0, 5, 9, 2, 6, 8, 7]), folder / "rows.parquet")
    return folder


def empty(row):
    """Names of the columns without a value."""
    return {name for name, value in row.items() if value is None}
