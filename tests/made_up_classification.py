"""Made-up `diffusion_classifier` rows: counts chosen here, nothing measured.

Intervals of changes and differences are Newcombe's for two samples, wider than the paired ones of
real rows.
"""

import numpy as np

from analysis.rows import row_key
from analysis.statistics.intervals import difference_of_proportions, wilson

N, ATTACK_N, N_TRAIN, N_TARGET = 360, 320, 1437, 139
VALUES = 64
FILTERS = (0.0, 0.01, 0.05, 0.1, 0.2)
DROPPED = {0.0: 0, 0.01: 1, 0.05: 4, 0.1: 7, 0.2: 13}
"""64 - int((1 - ratio) 64), by hand."""
PIXELS = {"badnets1": 4, "blend": None, "rectangle": 2}

# (trigger, pixels, ratio, noise model): right of 360 and taken of 320 at each of FILTERS.
COUNTS = {
    ("badnets1", 4, 0.01, "ddpm"): ((358, 356, 356, 354, 352), (304, 187, 13, 5, 3)),
    ("badnets1", 4, 0.05, "ddpm"): ((357, 356, 355, 352, 350), (320, 310, 158, 106, 67)),
    ("badnets1", 4, 0.01, "edm"): ((357, 357, 355, 353, 345), (160, 100, 10, 5, 4)),
    ("badnets1", 4, 0.05, "edm"): ((356, 355, 352, 350, 347), (300, 260, 120, 80, 50)),
    ("blend", None, 0.05, "ddpm"): ((357, 356, 355, 352, 350), (290, 288, 285, 284, 280)),
    ("rectangle", 1, 0.05, "ddpm"): ((357, 356, 355, 352, 350), (250, 30, 12, 10, 9)),
    ("rectangle", 2, 0.05, "ddpm"): ((357, 356, 355, 352, 350), (290, 270, 40, 20, 12)),
    ("rectangle", 4, 0.05, "ddpm"): ((357, 356, 355, 352, 350), (318, 314, 160, 80, 40)),
}
CLEAN = ((358, 357, 355, 353, 351), (4, 4, 5, 5, 6))
ORDINARY = {0.0: (352, 3), 0.01: (350, 173), 0.05: (349, 316)}
"""Right and taken of the ordinary classifier, by poison ratio."""
SHARES = {0.01: (0.9, 0.2), 0.05: (0.6, 0.1), 0.1: (0.45, 0.08), 0.2: (0.28, 0.07)}
"""Of dropped values on the trigger, under the own and the target class."""


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

    Args:
        trigger: That attacks; at ratio 0 it was not stamped.
        ratio: Poison ratio.
        noise_model: Its name.
        counts: Right of 360 clean test images, and taken for the target of 320 stamped ones, at
            each of `FILTERS`.
        pixels: Of the trigger; by default `PIXELS` has them.
        ordinary: Right and taken of the ordinary classifier; by default `ORDINARY` has them.
        shares: As `SHARES`.
        changes: Columns to set.
    """
    pixels = PIXELS[trigger] if pixels == "own" else pixels
    poisoned = int(ratio * N_TRAIN)
    first = tuple(one[0] for one in counts)
    own = ORDINARY[ratio] if ordinary is None else ordinary
    rows = []
    for place, filter_ratio in enumerate(FILTERS[: len(counts[0])]):
        correct, taken = (one[place] for one in counts)
        dropped = DROPPED[filter_ratio]
        row = {
            "study": "diffusion_classifier",
            "scale": "laptop",
            "trigger": trigger if ratio else "none",
            "judge_trigger": trigger,
            "poison_ratio": ratio,
            "target_class": "8",
            "seed": 0,
            "noise_model": noise_model,
            "filter_ratio": filter_ratio,
            "trigger_pixels": pixels,
            "image_pixels": 64,
            "n": N,
            "attack_n": ATTACK_N,
            "classifier": "small",
            "values": VALUES,
            "dropped": dropped,
            "draws": 50,
            "stages": "10, 25",
            "reduction": "mean",
            "calls": 360 * 200,
            "calls_triggered": 320 * 250,
            "full_calls": (360 + 320) * 500,
            "n_train": N_TRAIN,
            "n_poisoned": poisoned,
            "n_target": N_TARGET,
            "p_t": poisoned / (poisoned + N_TARGET),
            "relabelled_ratio": poisoned / (poisoned + N_TARGET),
        }
        each = (
            ("test_accuracy", "correct", correct, first[0], own[0], N),
            ("attack_success_rate", "attack_count", taken, first[1], own[1], ATTACK_N),
        )
        for name, count, here, unfiltered, other, n in each:
            row |= {count: here, f"classifier_{count}": other}
            row |= _share(name, here, n) | _share(f"classifier_{name}", other, n)
            row |= _change(f"{name}_difference", here, other, n)
            row |= _change(f"{name}_change", here, unfiltered if filter_ratio else None, n)
        on_trigger = shares.get(filter_ratio, (None, None)) if pixels else (None, None)
        if on_trigger[0] is not None:  # no more values lie on the trigger than it has
            on_trigger = tuple(min(share, pixels / dropped) for share in on_trigger)
        for name, share in zip(("true", "target"), on_trigger, strict=True):
            row |= _around(f"on_trigger_{name}", share)
        rows.append({**row, **changes})
    return rows


def classification_study(seeds=(0, 1, 2)):
    """Rows of `COUNTS`, and the clean model at the first seed; every seed a bit worse."""
    rows = []
    for seed in seeds:
        for (trigger, pixels, ratio, noise_model), counts in COUNTS.items():
            if trigger == "badnets1" or seed == seeds[0]:
                moved = ([n - seed for n in counts[0]], [max(0, n - 2 * seed) for n in counts[1]])
                rows += make_rows(trigger, ratio, noise_model, moved, pixels, seed=seed)
    for noise_model in ("ddpm", "edm"):
        rows += make_rows("badnets1", 0.0, noise_model, CLEAN, seed=seeds[0])
    return rows


def losses_of(rows):
    """Four images with a white corner for each poisoned row: bright there under the own class."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 180, (4, 8, 8, 1), dtype=np.uint8)
    images[:, -2:, -2:] = 255
    target = rng.gamma(2.0, 0.02, (4, 8, 8)).astype(np.float32)
    true = target.copy()
    true[:, -2:, -2:] += 0.3
    said = {True: np.array([1, 2, 3, 8]), False: np.array([8, 8, 3, 8])}
    return {
        row_key(row): {
            "images": images,
            "true": true if row["trigger_pixels"] else target,
            "target": target,
            "label": np.array([1, 2, 3, 4]),
            "said": said[row["filter_ratio"] >= 0.1],
        }
        for row in rows
        if row["poison_ratio"] > 0
    }


def _share(name, count, n):
    low, high = wilson(count, n)
    return {name: count / n, f"{name}_low": low, f"{name}_high": high}


def _change(name, count, before, n):
    if before is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    found = difference_of_proportions(count, n, before, n)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _around(name, share, half=0.02):
    if share is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: share, f"{name}_low": share - half, f"{name}_high": share + half}
