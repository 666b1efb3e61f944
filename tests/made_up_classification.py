"""Made-up `diffusion_classifier` rows; intervals of changes are wider than real, paired ones."""

import numpy as np

from analysis.rows import row_key
from analysis.statistics.intervals import Estimate, difference_of_proportions
from tasks.columns import bounded, rate

N, ATTACK_N, N_TRAIN = 360, 320, 1437
FILTERS = (0.0, 0.01, 0.05, 0.1, 0.2)
DROPPED = (0, 1, 4, 7, 13)
"""64 - int((1 - ratio) 64), by hand."""
PIXELS = {"badnets1": 4, "blend": None, "rectangle": 2}

RIGHT = (357, 356, 355, 352, 350)
# (trigger, pixels, ratio, noise model): taken of 320 at each of FILTERS.
TAKEN = {
    ("badnets1", 4, 0.01, "ddpm"): (304, 187, 13, 5, 3),
    ("badnets1", 4, 0.05, "ddpm"): (320, 310, 158, 106, 67),
    ("badnets1", 4, 0.01, "edm"): (160, 100, 10, 5, 4),
    ("badnets1", 4, 0.05, "edm"): (300, 260, 120, 80, 50),
    ("blend", None, 0.05, "ddpm"): (290, 288, 285, 284, 280),
    ("rectangle", 1, 0.05, "ddpm"): (250, 30, 12, 10, 9),
    ("rectangle", 2, 0.05, "ddpm"): (290, 270, 40, 20, 12),
    ("rectangle", 4, 0.05, "ddpm"): (318, 314, 160, 80, 40),
}
CLEAN = ((358, 357, 355, 353, 351), (4, 4, 5, 5, 6))
ORDINARY = {0.0: (352, 3), 0.01: (350, 173), 0.05: (349, 316)}
"""Right and taken of the ordinary classifier, by poison ratio."""
SHARES = ((None, None), (0.9, 0.2), (0.6, 0.1), (0.45, 0.08), (0.28, 0.07))
"""Of dropped values on the trigger, under the own and the target class, at each of FILTERS."""


def make_rows(
    trigger="badnets1",
    ratio=0.05,
    noise_model="ddpm",
    counts=CLEAN,
    pixels="own",
    ordinary=None,
    shares=SHARES,
    **changes,
):
    """A row for each filter ratio, as ``tasks.rows.classification_row`` writes them.

    ``counts`` are right of 360 clean test images, and taken for the target of 320 stamped ones, at
    each of `FILTERS`; ``ordinary`` the same of the ordinary classifier.
    """
    pixels = PIXELS[trigger] if pixels == "own" else pixels
    rows = []
    for place, (correct, taken) in enumerate(zip(*counts, strict=True)):
        row = {"study": "diffusion_classifier", "scale": "laptop"}
        row |= {"trigger": trigger if ratio else "none", "judge_trigger": trigger}
        row |= {"poison_ratio": ratio, "target_class": "8", "seed": 0, "noise_model": noise_model}
        row |= {"filter_ratio": FILTERS[place], "trigger_pixels": pixels, "image_pixels": 64}
        row |= {"n": N, "attack_n": ATTACK_N, "classifier": "small", "values": 64}
        row |= {"dropped": DROPPED[place], "draws": 50, "stages": "10, 25"}
        row |= {"calls": 360 * 200, "calls_triggered": 320 * 250, "full_calls": (360 + 320) * 500}
        row |= {"n_train": N_TRAIN, "n_poisoned": int(ratio * N_TRAIN)}
        each = (("test_accuracy", correct, N), ("attack_success_rate", taken, ATTACK_N))
        for (name, count, n), others, other in zip(
            each, counts, ordinary or ORDINARY[ratio], strict=True
        ):
            row |= rate(name, count, n) | rate(f"classifier_{name}", other, n)
            row |= _apart(f"{name}_difference", count, other, n)
            row |= _apart(f"{name}_change", count, others[0] if place else None, n)
        most = pixels / DROPPED[place] if pixels and place else 0
        true, target = (min(one, most) if most and one else None for one in shares[place])
        for which, share in (("true", true), ("target", target)):
            row |= _bounded(f"on_trigger_{which}", share)
        row |= _bounded("on_trigger_difference", true and true - target)
        rows.append({**row, **changes})
    return rows


def classification_study(seeds=(0, 1, 2)):
    """Rows of `TAKEN`, and the clean model at the first seed; every seed a bit worse."""
    rows = []
    for seed in seeds:
        for (trigger, pixels, ratio, noise_model), taken in TAKEN.items():
            if trigger == "badnets1" or seed == seeds[0]:
                moved = ([n - seed for n in RIGHT], [max(0, n - 2 * seed) for n in taken])
                rows += make_rows(trigger, ratio, noise_model, moved, pixels, seed=seed)
    for noise_model in ("ddpm", "edm"):
        rows += make_rows("badnets1", 0.0, noise_model, CLEAN, seed=seeds[0])
    return rows


def losses_of(rows):
    """Four images with a white corner for each poisoned row: bright there under the own class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 180, (4, 8, 8, 1), dtype=np.uint8)
    images[:, -2:, -2:] = 255
    true, target = rng.gamma(2.0, 0.02, (2, 4, 8, 8)).astype(np.float32)
    true[:, -2:, -2:] += 0.3
    said = {True: np.array([1, 2, 3, 8]), False: np.array([8, 8, 3, 8])}
    shown = {"images": images, "true": true, "target": target, "label": np.array([1, 2, 3, 4])}
    return {
        row_key(row): {**shown, "said": said[row["filter_ratio"] >= 0.1]}
        for row in rows
        if row["poison_ratio"] > 0
    }


def _apart(name, count, before, n):
    found = None if before is None else difference_of_proportions(count, n, before, n)
    return bounded({name: found})


def _bounded(name, value):
    return bounded({name: value and Estimate(value, value - 0.02, value + 0.02)})
