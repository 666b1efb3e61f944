"""Made-up `defense` rows; intervals of changes are wider than the real, paired ones."""

from analysis.statistics.intervals import difference_of_proportions
from tasks.columns import bounded, rate

ENDS = ("", "_low", "_high")
N, ATTACK_N, N_TRAIN, N_TARGET = 360, 320, 1437, 139

COUNTS = {  # right of 360 and taken of 320 by what was trained on, and G1 of 1437
    ("badnets1", 0.01): ((350, 240), (351, 4), (338, 16), 9),
    ("badnets1", 0.05): ((349, 316), (350, 5), (331, 190), 110),
    ("blend", 0.01): ((350, 180), (350, 6), (337, 150), 12),
    ("blend", 0.05): ((348, 310), (349, 7), (333, 250), 90),
    ("wanet", 0.05): ((346, 300), (348, 8), (330, 40), 30),
    ("clean_label", 0.05): ((350, 160), None, (339, 12), 0),
}
CLEAN = ((352, 3), None, (341, 4))
MISSING = ("fresh_attack_success_rate", "fresh_attack_success_rate_change", "generation_g1")
NOT_MEASURED = [
    *(f"{rate}{end}" for rate in (*MISSING, "generation_trigger_ratio") for end in ENDS),
    *("fresh_attack_n", "fresh_attack_count", "generation_g1_count", "generation_n", "weights"),
]
SETS = ("training", "corrected", "generation")


def make_defense_row(
    trigger="badnets1",
    ratio=0.01,
    image_set="training",
    counts=(350, 240),
    training=None,
    **changes,
):
    """One row as ``tasks.rows.defense_row`` writes it.

    ``counts`` are right of 360 clean test images, and taken for the target of 320 stamped ones, or
    None if that was not measured; ``training`` the same of the training set's classifier.
    """
    poisoned = int(ratio * N_TRAIN)
    share = poisoned / (poisoned + N_TARGET)
    correct, taken = counts
    drawn = (2.0, "ddim", 25) if image_set == "generation" else (None, None, None)
    row = {"study": "defense", "scale": "laptop", "trigger": trigger if ratio else "none"}
    row |= {"judge_trigger": trigger, "poison_ratio": ratio, "target_class": "8"}
    row |= zip(("guidance_weight", "sampler", "sampler_steps"), drawn, strict=True)
    row |= {"seed": 0, "classifier": "small", "image_set": image_set, "n": N, "correct": correct}
    row |= {"attack_n": None if taken is None else ATTACK_N, "attack_count": taken}
    row |= _share("test_accuracy", correct, N) | _share("attack_success_rate", taken, ATTACK_N)
    row |= {"n_train": N_TRAIN, "n_poisoned": poisoned, "p_t": share, "relabelled_ratio": share}
    row |= dict.fromkeys(NOT_MEASURED)
    for name, place, n in (("test_accuracy", 0, N), ("attack_success_rate", 1, ATTACK_N)):
        row |= _change(f"{name}_change", counts[place], training and training[place], n)
    return {**row, **changes}


def judged(row, g1):
    """The same row with the share of G1 that the judges saw in its generation set."""
    shares = _share("generation_g1", g1, N_TRAIN)
    shares |= _share("generation_trigger_ratio", 2 * g1, N_TRAIN)
    return {**row, **shares, "generation_g1_count": g1, "generation_n": N_TRAIN}


def freshly_attacked(row, taken, training=None):
    """The same row with what a warp that nobody trained on came to, and from what."""
    rates = _share("fresh_attack_success_rate", taken, ATTACK_N)
    rates |= _change("fresh_attack_success_rate_change", taken, training, ATTACK_N)
    return {**row, **rates, "fresh_attack_n": ATTACK_N, "fresh_attack_count": taken}


def make_cell(trigger, ratio, counts, g1=None, **changes):
    """A row for each set of ``counts``, {image set: (right, taken)}, changes paired by seed."""
    training = counts.get("training")
    rows = []
    for name, pair in counts.items():
        before = None if name == "training" else training
        row = make_defense_row(trigger, ratio, name, pair, before, **changes)
        rows.append(judged(row, g1) if g1 is not None and name == "generation" else row)
    return rows


def defense_study(seeds=(0, 1, 2)):
    """Rows of four triggers, at up to two ratios, with the clean pairs, every seed a bit worse."""
    cells = [(*place, counts[:3], counts[3]) for place, counts in COUNTS.items()]
    cells += [(trigger, 0.0, CLEAN, 0) for trigger in sorted({trigger for trigger, _ in COUNTS})]
    rows = []
    for seed in seeds:
        for trigger, ratio, counts, g1 in cells:
            made = make_cell(trigger, ratio, _moved(counts, seed), g1 + seed, seed=seed)
            if trigger == "wanet":
                before = [None, *[counts[0][1] + seed - 1] * (len(made) - 1)]
                pairs = zip(made, before, strict=True)
                made = [freshly_attacked(row, row["attack_count"] - 1, own) for row, own in pairs]
            rows += made
    return rows


def _moved(counts, seed):
    """The same by set, a bit worse with every seed, most of all the generations."""
    by = ((1, 1), (1, 2), (2, 4))
    return {
        name: (pair[0] - worse[0] * seed, pair[1] + worse[1] * seed)
        for name, pair, worse in zip(SETS, counts, by, strict=True)
        if pair
    }


def _share(name, count, n):
    return rate(name, count or 0, 0 if count is None else n)


def _change(name, count, before, n):
    missing = None in (count, before)
    return bounded({name: None if missing else difference_of_proportions(count, n, before, n)})
