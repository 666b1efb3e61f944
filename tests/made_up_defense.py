"""Made-up `defense` rows: counts chosen here, nothing measured.

The interval of a change is Newcombe's for two samples, wider than the paired one of real rows.
"""

from analysis.statistics.intervals import difference_of_proportions, wilson

N, ATTACK_N, N_TRAIN, N_TARGET = 360, 320, 1437, 139

# (trigger, ratio): right of 360 and taken of 320, by what was trained on, and G1 of 1437.
COUNTS = {
    ("badnets1", 0.01): {
        "training": (350, 240),
        "corrected": (351, 4),
        "generation": (338, 16),
        "g1": 9,
    },
    ("badnets1", 0.05): {
        "training": (349, 316),
        "corrected": (350, 5),
        "generation": (331, 190),
        "g1": 110,
    },
    ("blend", 0.01): {
        "training": (350, 180),
        "corrected": (350, 6),
        "generation": (337, 150),
        "g1": 12,
    },
    ("blend", 0.05): {
        "training": (348, 310),
        "corrected": (349, 7),
        "generation": (333, 250),
        "g1": 90,
    },
    ("wanet", 0.05): {
        "training": (346, 300),
        "corrected": (348, 8),
        "generation": (330, 40),
        "g1": 30,
    },
    ("clean_label", 0.05): {"training": (350, 160), "generation": (339, 12), "g1": 0},
}
CLEAN = {"training": (352, 3), "generation": (341, 4)}


def make_defense_row(
    trigger="badnets1",
    ratio=0.01,
    image_set="training",
    counts=(350, 240),
    training=None,
    **changes,
):
    """One row as ``tasks.rows.defense_row`` writes it.

    Args:
        trigger: That attacks; at ratio 0 it was not stamped.
        ratio: Poison ratio.
        image_set: "training", "corrected" or "generation".
        counts: Right of 360 clean test images, taken for the target of 320 stamped ones; None for
            an attack that was not measured.
        training: The same of the training set's classifier, for the changes.
        changes: Columns to set.
    """
    generated = image_set == "generation"
    poisoned = int(ratio * N_TRAIN)
    share = poisoned / (poisoned + N_TARGET)
    correct, taken = counts
    row = {
        "study": "defense",
        "scale": "laptop",
        "trigger": trigger if ratio else "none",
        "judge_trigger": trigger,
        "poison_ratio": ratio,
        "target_class": "8",
        "guidance_weight": 2.0 if generated else None,
        "sampler": "ddim" if generated else None,
        "sampler_steps": 25 if generated else None,
        "seed": 0,
        "classifier": "small",
        "image_set": image_set,
        "n": N,
        "correct": correct,
        "attack_n": None if taken is None else ATTACK_N,
        "attack_count": taken,
        **_share("test_accuracy", correct, N),
        **_share("attack_success_rate", taken, ATTACK_N),
        **_share("fresh_attack_success_rate", None, None),
        **_share("fresh_attack_success_rate_change", None, None),
        "fresh_attack_n": None,
        "fresh_attack_count": None,
        "n_train": N_TRAIN,
        "n_poisoned": poisoned,
        "p_t": share,
        "relabelled_ratio": share,
        **_share("generation_g1", None, None),
        **_share("generation_trigger_ratio", None, None),
        "generation_g1_count": None,
        "generation_n": None,
        "weights": None,
    }
    for name, place, n in (("test_accuracy", 0, N), ("attack_success_rate", 1, ATTACK_N)):
        row |= _change(f"{name}_change", counts[place], training and training[place], n)
    return {**row, **changes}


def judged(row, g1):
    """The same row with the share of G1 that the judges saw in its generation set."""
    return {
        **row,
        **_share("generation_g1", g1, N_TRAIN),
        **_share("generation_trigger_ratio", 2 * g1, N_TRAIN),
        "generation_g1_count": g1,
        "generation_n": N_TRAIN,
    }


def freshly_attacked(row, taken, training=None):
    """The same row with what a warp that nobody trained on came to, and from what."""
    return {
        **row,
        **_change("fresh_attack_success_rate_change", taken, training, ATTACK_N),
        **_share("fresh_attack_success_rate", taken, ATTACK_N),
        "fresh_attack_n": ATTACK_N,
        "fresh_attack_count": taken,
    }


def make_cell(trigger, ratio, counts, g1=None, **changes):
    """A row for each set of ``counts``, {image set: (right, taken)}, changes paired by seed."""
    training = counts.get("training")
    rows = [
        make_defense_row(
            trigger, ratio, name, pair, None if name == "training" else training, **changes
        )
        for name, pair in counts.items()
    ]
    return [
        judged(row, g1) if g1 is not None and row["image_set"] == "generation" else row
        for row in rows
    ]


def defense_study(seeds=(0, 1, 2)):
    """Rows of four triggers, at up to two ratios, with the clean pairs, every seed a bit worse."""
    rows = []
    for seed in seeds:
        for (trigger, ratio), cell in COUNTS.items():
            counts = {name: pair for name, pair in cell.items() if name != "g1"}
            rows += make_cell(trigger, ratio, _moved(counts, seed), cell["g1"] + seed, seed=seed)
        for trigger in sorted({trigger for trigger, _ in COUNTS}):
            rows += make_cell(trigger, 0.0, _moved(CLEAN, seed), 0, seed=seed)
    return [
        freshly_attacked(row, row["attack_count"] - 1, _before(row)) if _warped(row) else row
        for row in rows
    ]


def _moved(counts, seed):
    """The same, a bit worse with every seed, and the generations twice and four times as much."""
    by = {"training": (1, 1), "corrected": (1, 2), "generation": (2, 4)}
    return {
        name: (right - by[name][0] * seed, taken + by[name][1] * seed)
        for name, (right, taken) in counts.items()
    }


def _warped(row):
    return row["judge_trigger"] == "wanet"


def _before(row):
    """What the training set's classifier of a warped row came to, with a fresh warp."""
    if row["image_set"] == "training":
        return None
    cell = COUNTS["wanet", 0.05] if row["poison_ratio"] else CLEAN
    return cell["training"][1] + row["seed"] - 1


def _share(name, count, n):
    if count is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    low, high = wilson(count, n)
    return {name: count / n, f"{name}_low": low, f"{name}_high": high}


def _change(name, count, before, n):
    if count is None or before is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    found = difference_of_proportions(count, n, before, n)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
