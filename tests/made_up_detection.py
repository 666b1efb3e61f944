"""A made-up `detection` study: scores drawn here, rows reduced from them, nothing measured.

AUROCs are scikit-learn's, so they agree with the scores; their bounds are Hanley and McNeil's.
"""

from math import sqrt

import numpy as np
from sklearn.metrics import roc_auc_score

from analysis.rows import row_key
from analysis.statistics.intervals import wilson

N, N_TARGET = 1437, 139
SHOWN = 12
RATIOS = {"badnets1": (0.01, 0.1), "blend": (0.1,), "unicolor": (0.01,)}
WITNESSED = ("badnets1", "unicolor")
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

BOUNDED = (  # columns that only rows of generations have, each with its bounds
    "training_auroc",
    "auroc_gain",
    "g1_auroc",
    "g2_auroc",
    "template_auroc",
    "template_auroc_gain",
    "judge_minus_template_auroc",
    "poisoned_shift",
    "clean_shift",
    "auroc_poisoned_moved",
    "auroc_clean_moved",
    "equal_prevalence_auroc",
    "equal_prevalence_gain",
)
PLAIN = (  # columns that may be undefined and have no bounds
    "null_level",
    "null_low",
    "null_high",
    "mask_mean_positive",
    "mask_mean_negative",
    "mask_patch_positive",
    "mask_patch_negative",
    "mask_kept_positive",
    "mask_kept_negative",
    "g1_count",
    "g2_count",
    "g3_count",
    "g4_count",
    "template_n_positive",
    "equal_prevalence",
    "trigger_false_positive_rate",
    "trigger_false_negative_rate",
    "trigger_n_clean",
    "trigger_n_stamped",
    "template_false_positive_rate",
    "template_false_negative_rate",
)


def bounded(name, value, half=0.02):
    """A column with its bounds, ``half`` to either side; all None where ``value`` is."""
    if value is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: value, f"{name}_low": value - half, f"{name}_high": value + half}


def make_detection_row(
    trigger="badnets1", ratio=0.1, detector="cd", image_set="training", auroc=0.9, **changes
):
    """One row as ``tasks.rows.detection_row`` writes it, of a point that has what its set can have.

    Args:
        trigger: "none" for a null point, which wants ``pretend_ratio`` too.
        ratio: Poison ratio.
        detector: Its name.
        image_set: "training" or "generation".
        auroc: Value, with bounds 0.02 to either side; None without positives.
        changes: Columns to set; of a bounded one, all three.
    """
    generated = image_set == "generation"
    n_poisoned = int(ratio * N)
    share = n_poisoned / (n_poisoned + N_TARGET)
    asr = wilson(int(320 * min(1, 8 * ratio)), 320)
    row = {
        "study": "detection",
        "scale": "laptop",
        "trigger": trigger,
        "judge_trigger": "badnets1" if trigger == "none" else trigger,
        "poison_ratio": ratio,
        "target_class": "8",
        "guidance_weight": 5.0 if generated else None,
        "sampler": "ddim" if generated else None,
        "sampler_steps": 25 if generated else None,
        "seed": 0,
        "detector": detector,
        "image_set": image_set,
        "n": N,
        "n_positive": n_poisoned,
        "n_negative": N - n_poisoned,
        "prevalence": n_poisoned / N,
        "p_t": share,
        "relabelled_ratio": share,
        "n_train": N,
        "n_poisoned": n_poisoned,
        "n_target": N_TARGET,
        "pretend_ratio": 0.0,
        **bounded("auroc", auroc),
        **bounded("tpr_at_1pct_fpr", None if auroc is None else 0.5 * auroc),
        **bounded("tpr_at_5pct_fpr", None if auroc is None else 0.7 * auroc),
        "median_positive": None if auroc is None else 1.0,
        "median_negative": 0.0,
        "test_accuracy": 0.95,
        "test_accuracy_low": 0.92,
        "test_accuracy_high": 0.97,
        "test_n": 360,
        "attack_success_rate": min(1, 8 * ratio),
        "attack_success_rate_low": asr[0],
        "attack_success_rate_high": asr[1],
        "attack_n": 320,
        "training_accuracy": 0.99,
        **dict.fromkeys(PLAIN),
    }
    for name in BOUNDED:
        row |= bounded(name, None)
    if generated:
        row |= {
            "trigger_false_positive_rate": 0.0,
            "trigger_false_negative_rate": 1 / 360,
            "trigger_n_clean": 360,
            "trigger_n_stamped": 360,
        }
    return {**row, **changes}


def detection_pair(before, after, half=0.02, **changes):
    """A training row, and the row of its generations, whose gain is ``after - before``."""
    generated = {
        **bounded("training_auroc", before),
        **bounded("auroc_gain", None if None in (before, after) else after - before, half),
    }
    place = {key: value for key, value in changes.items() if key not in ("template_match", "equal")}
    for name, column in (
        ("template_match", "template_auroc_gain"),
        ("equal", "equal_prevalence_gain"),
    ):
        if name in changes:
            generated |= bounded(column, changes[name], half)
    return [
        make_detection_row(image_set="training", auroc=before, **place),
        make_detection_row(image_set="generation", auroc=after, **{**place, **generated}),
    ]


def detection_study(seed=0):
    """Rows, scores and groups of a whole study, as a report wants them."""
    rng = np.random.default_rng(seed)
    rows, scores, groups = [], {}, {}

    def add(row, own):
        rows.append(row)
        scores[row_key(row)], groups[row_key(row)] = own, _pictures(rng, own, row["detector"])

    for trigger, ratios in RATIOS.items():
        for ratio in ratios:
            for detector in ("cd", "strip", "fct"):
                for row, own in _points(rng, trigger, ratio, detector, seed):
                    add(row, own)
    for detector in ("cd", "strip", "fct"):
        for image_set in ("training", "generation"):
            add(*_null(rng, detector, image_set, seed))
    return rows, scores, groups


def _points(rng, trigger, ratio, detector, seed):
    """A training set and its generations."""
    apart, poisoned_shift, clean_shift = MOVED[detector, trigger]
    poisoned = _flags(rng, int(ratio * N))
    before = rng.normal(apart * poisoned, 1.0)
    group = _groups(rng, ratio)
    flagged = group < 3
    after = rng.normal(
        np.where(flagged, apart + poisoned_shift, clean_shift), np.where(group == 1, 1.2, 1.0)
    )
    template_match = flagged & (rng.random(N) > 0.1) if trigger in WITNESSED else None
    training = make_detection_row(
        trigger, ratio, detector, "training", seed=seed, **_sizes(poisoned)
    )
    training |= {**_area("auroc", before, poisoned), **_rates(before, poisoned)}
    generation = make_detection_row(
        trigger, ratio, detector, "generation", seed=seed, **_sizes(flagged)
    )
    generation |= {
        **_area("auroc", after, flagged),
        **_rates(after, flagged),
        **_area("training_auroc", before, poisoned),
        **_both(before, poisoned, after, flagged, template_match),
        **{f"g{number}_count": int((group == number).sum()) for number in (1, 2, 3, 4)},
        **_area("g1_auroc", after[group != 2], flagged[group != 2]),
        **_area("g2_auroc", after[group != 1], flagged[group != 1]),
    }
    for row in (training, generation):
        if detector == "cd":
            row |= {"mask_mean_positive": 0.61, "mask_mean_negative": 0.42}
            row |= {"mask_kept_positive": 0.95, "mask_kept_negative": 0.38}
        if detector == "cd" and template_match is not None:
            row |= {"mask_patch_positive": 0.93, "mask_patch_negative": 0.44}
    own = {"suspicion": _unit(detector, after), "poisoned": flagged, "group": group}
    if template_match is not None:
        own["template_match"] = template_match
    return [
        (training, {"suspicion": _unit(detector, before), "poisoned": poisoned}),
        (generation, own),
    ]


def _null(rng, detector, image_set, seed):
    flags, drawn = _flags(rng, 143), rng.normal(size=N)
    level = 1 - 0.05 / NULL_POINTS
    own = make_detection_row("none", 0.0, detector, image_set, seed=seed, **_sizes(flags))
    own |= {**_area("auroc", drawn, flags), **_rates(drawn, flags)}
    half = 2.64 * (own["auroc_high"] - own["auroc"]) / 1.96
    own |= {
        "pretend_ratio": 0.1,
        "p_t": 0.0,
        "attack_success_rate": 0.01,
        "null_level": level,
        "null_low": own["auroc"] - half,
        "null_high": own["auroc"] + half,
    }
    return own, {"suspicion": _unit(detector, drawn), "poisoned": flags}


def _both(before, poisoned, after, flagged, template_match):
    """What compares the two sets, from their scores."""

    def against(positives, negatives):
        return (
            np.concatenate([positives, negatives]),
            np.arange(len(positives) + len(negatives)) < len(positives),
        )

    columns = {
        **_area("poisoned_shift", *against(after[flagged], before[poisoned])),
        **_area("clean_shift", *against(after[~flagged], before[~poisoned])),
        **_area("auroc_poisoned_moved", *against(after[flagged], before[~poisoned])),
        **_area("auroc_clean_moved", *against(before[poisoned], after[~flagged])),
        **_difference("auroc_gain", _area("", after, flagged), _area("", before, poisoned)),
        **_area("equal_prevalence_auroc", after, flagged),
        "equal_prevalence": float(poisoned.mean()),
    }
    columns |= {
        name.replace("auroc_gain", "equal_prevalence_gain"): value
        for name, value in columns.items()
        if name.startswith("auroc_gain")
    }
    if template_match is not None:
        seen = _area("", after, template_match)
        columns |= {
            **_area("template_auroc", after, template_match),
            **_difference("template_auroc_gain", seen, _area("", before, poisoned)),
            **bounded("judge_minus_template_auroc", columns["auroc_gain"] * 0.05, 0.01),
            "template_n_positive": int(template_match.sum()),
            "template_false_positive_rate": 2 / 360,
            "template_false_negative_rate": 0.0,
        }
    return columns


def _flags(rng, count):
    flags = np.zeros(N, dtype=bool)
    flags[rng.choice(N, count, replace=False)] = True
    return flags


def _groups(rng, ratio):
    """Group of each generation: more than ``ratio`` carry the trigger, most of them match."""
    share = 1.5 * ratio
    chances = [0.3 * share, 0.7 * share, 0.02, 0.98 - share]
    return rng.choice(np.array([1, 2, 3, 4], dtype=np.int8), N, p=chances)


def _sizes(flags):
    count = int(flags.sum())
    return {"n_positive": count, "n_negative": N - count, "prevalence": count / N}


def _area(name, scores, flags):
    """AUROC with Hanley and McNeil's (1982) interval."""
    n, m = int(flags.sum()), int((~flags).sum())
    area = float(roc_auc_score(flags, scores))
    one, other = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (n - 1) * (one - area**2) + (m - 1) * (other - area**2)
    half = 1.96 * sqrt(variance / (n * m))
    return {name: area, f"{name}_low": max(0.0, area - half), f"{name}_high": min(1.0, area + half)}


def _difference(name, first, second):
    value = first[""] - second[""]
    half = sqrt(sum((area["_high"] - area["_low"]) ** 2 for area in (first, second))) / 2
    return bounded(name, value, half)


def _rates(scores, flags):
    columns = {}
    for percent in (1, 5):
        threshold = np.quantile(scores[~flags], 1 - percent / 100)
        found = int((scores[flags] > threshold).sum())
        name = f"tpr_at_{percent}pct_fpr"
        low, high = wilson(found, int(flags.sum()))
        columns |= {name: found / int(flags.sum()), f"{name}_low": low, f"{name}_high": high}
    return columns


def _unit(detector, drawn):
    """Into the detector's own unit; increasing, so that every AUROC stays."""
    return {"cd": 8 * drawn - 40, "strip": -np.exp(-drawn / 2), "fct": np.exp(drawn)}[detector]


def _pictures(rng, own, detector):
    k = min(SHOWN, len(own["suspicion"]))
    names = ["most_suspicious", "least_suspicious"]
    if detector == "cd":
        names += [f"{name}_masks" for name in names]
    return {name: rng.integers(0, 256, (k, 8, 8, 1), dtype=np.uint8) for name in names}
