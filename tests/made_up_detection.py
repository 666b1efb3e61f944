"""A made-up `detection` study: scores drawn here, rows calculated from them, nothing measured."""

from itertools import product

import numpy as np

from analysis.rows import row_key
from analysis.statistics import shifts
from analysis.statistics.auroc import auroc
from analysis.statistics.intervals import Estimate
from tasks import columns

N = 1437
RATIOS = {"badnets1": (0.01, 0.1), "blend": (0.1,), "unicolor": (0.01,)}
DETECTORS = ("cd", "strip", "fct")
NULL_POINTS = 6

MOVED = {  # (detector, trigger): how far the poisoned lie above the clean, and both shifts
    ("cd", "badnets1"): (-0.9, 0.5, 0.0),
    ("cd", "blend"): (0.4, 0.5, 0.0),
    ("cd", "unicolor"): (-0.5, 0.0, 0.0),
    ("strip", "badnets1"): (5.0, 0.0, 0.2),
    ("strip", "blend"): (1.5, 0.6, 0.3),
    ("strip", "unicolor"): (2.2, -1.1, 0.2),
    ("fct", "badnets1"): (1.2, 0.5, 0.5),
    ("fct", "blend"): (0.9, 0.1, -0.5),
    ("fct", "unicolor"): (1.0, -0.1, 0.4),
}


def bounded(name, value, half=0.02):
    """A column with its bounds, ``half`` to either side; all None where ``value`` is."""
    known = value is not None
    return columns.bounded({name: Estimate(value, value - half, value + half) if known else None})


def make_detection_row(
    trigger="badnets1", ratio=0.1, detector="cd", image_set="training", auroc=0.9, **changes
):
    """One row with what every row has, as ``tasks.rows.detection_row`` writes it.

    ``auroc`` has bounds 0.02 to either side, or is None without positives.
    """
    n_poisoned, judge = int(ratio * N), "badnets1" if trigger == "none" else trigger
    row = {"study": "detection", "scale": "laptop", "trigger": trigger, "judge_trigger": judge}
    row |= {"poison_ratio": ratio, "target_class": "8", "guidance_weight": None, "sampler": None}
    row |= {"seed": 0, "detector": detector, "image_set": image_set, "n": N}
    row |= {"n_positive": n_poisoned, "n_train": N, "n_poisoned": n_poisoned}
    row |= bounded("auroc", auroc)
    row |= {"test_accuracy": 0.95, "test_n": 360, "attack_success_rate": min(1, 8 * ratio)}
    row |= {"attack_n": 320, "training_accuracy": 0.99}
    if image_set == "generation":
        row |= {"guidance_weight": 5.0, "sampler": "ddim"}
        row |= {"trigger_false_positive_rate": 0.0, "trigger_false_negative_rate": 1 / 360}
    return {**row, "trigger_n_clean": 360, "trigger_n_stamped": 360, **changes}


def detection_pair(before, after, half=0.02, **changes):
    """A training row, and the row of its generations, whose gain is ``after - before``."""
    gain = None if None in (before, after) else after - before
    generated = {**bounded("training_auroc", before), **bounded("auroc_gain", gain, half)}
    return [
        make_detection_row(image_set="training", auroc=before, **changes),
        make_detection_row(image_set="generation", auroc=after, **{**generated, **changes}),
    ]


def detection_study(seed=0):
    """Rows of a whole study, and the arrays beside them as a report wants them."""
    rng = np.random.default_rng(seed)
    rows, scores, groups = [], {}, {}

    def add(own, suspicion, poisoned):
        found = shifts.detection(shifts.Scores.split(suspicion, poisoned))
        row = {**make_detection_row(seed=seed, **own), **columns.bounded(found)}
        row |= {"n_positive": int(poisoned.sum()), "median_positive": 1.0, "median_negative": 0.0}
        rows.append(row)
        drawn = {"suspicion": suspicion, "poisoned": poisoned}
        scores[row_key(row)], groups[row_key(row)] = drawn, _pictures(rng, row["detector"])
        return row

    points = [(trigger, ratio) for trigger, ratios in RATIOS.items() for ratio in ratios]
    for (trigger, ratio), detector in product(points, DETECTORS):
        _add_pair(rng, add, {"trigger": trigger, "ratio": ratio, "detector": detector})
    for detector, image_set in product(DETECTORS, ("training", "generation")):
        at = {"trigger": "none", "ratio": 0.0, "detector": detector, "image_set": image_set}
        row = add({**at, "pretend_ratio": 0.1}, rng.normal(size=N), _flags(rng, 143))
        row |= {"null_low": row["auroc"] - 0.07, "null_high": row["auroc"] + 0.07}
        row["null_level"] = 1 - 0.05 / NULL_POINTS
    return rows, {"scores": scores, "groups": groups}


def _add_pair(rng, add, at):
    """A training set and its generations, of which more carry the trigger."""
    apart, poisoned_shift, clean_shift = MOVED[at["detector"], at["trigger"]]
    poisoned = _flags(rng, int(at["ratio"] * N))
    before = rng.normal(apart * poisoned, 1.0)
    flagged = rng.random(N) < 1.5 * at["ratio"]
    after = rng.normal(np.where(flagged, apart + poisoned_shift, clean_shift), 1.0)
    training, generated = shifts.Scores.split(before, poisoned), shifts.Scores.split(after, flagged)
    share, equal = shifts.at_equal_prevalence(generated, training)
    compared = shifts.against_training(generated, training) | equal
    compared["g1_auroc"] = auroc(after[flagged][::2], after[~flagged])
    more = {"equal_prevalence": share}
    if at["trigger"] != "blend":
        seen = flagged & (rng.random(N) > 0.1)
        compared |= shifts.by_template_match(after, flagged, seen, training)
        more |= {"template_n_positive": int(seen.sum()), "template_false_positive_rate": 2 / 360}
    if at["detector"] == "cd":
        at = at | {
            "mask_mean_positive": 0.61,
            "mask_mean_negative": 0.42,
            "mask_kept_positive": 0.95,
        }
    add({**at, "image_set": "training"}, before, poisoned)
    add({**at, "image_set": "generation", **more, **columns.bounded(compared)}, after, flagged)


def _flags(rng, count):
    flags = np.zeros(N, dtype=bool)
    flags[rng.choice(N, count, replace=False)] = True
    return flags


def _pictures(rng, detector):
    names = ["most_suspicious", "least_suspicious"]
    names += [f"{name}_masks" for name in names] if detector == "cd" else []
    return {name: rng.integers(0, 256, (12, 8, 8, 1), dtype=np.uint8) for name in names}
