"""A made-up sweep in the shape of the digits study; its counts are not measurements."""

from collections.abc import Callable

import numpy as np
import pytest

from analysis.amplification import amplification_row
from analysis.composition import Composition
from analysis.correction import ContentErrors, TriggerErrors, correct
from analysis.intervals import wilson

N_TRAIN, N_TARGET = 1437, 139
CONTENT = ContentErrors(1, 35, 7, 325, 2, 35, 22, 325)
TRIGGER = TriggerErrors(0, 360, 1, 360)
COUNTS = {  # (trigger, ratio, weight): images in g1, g2, g3, g4
    ("none", 0.0, 1.0): (0, 0, 37, 463),
    ("none", 0.0, 2.0): (0, 1, 11, 488),
    ("none", 0.0, 5.0): (0, 0, 4, 496),
    ("badnets1", 0.01, 1.0): (6, 21, 42, 431),
    ("badnets1", 0.01, 2.0): (3, 36, 14, 447),
    ("badnets1", 0.01, 5.0): (122, 234, 9, 135),
    ("badnets1", 0.02, 1.0): (22, 49, 45, 384),
    ("badnets1", 0.02, 2.0): (14, 91, 15, 380),
    ("badnets1", 0.02, 5.0): (98, 241, 7, 154),
    ("badnets1", 0.05, 1.0): (79, 98, 61, 262),
    ("badnets1", 0.05, 2.0): (54, 162, 21, 263),
    ("badnets1", 0.05, 5.0): (73, 251, 11, 165),
    ("badnets1", 0.1, 1.0): (151, 110, 60, 179),
    ("badnets1", 0.1, 2.0): (134, 167, 19, 180),
    ("badnets1", 0.1, 5.0): (107, 130, 12, 251),
    ("relabel_only", 0.1, 1.0): (0, 0, 240, 260),
    ("relabel_only", 0.1, 2.0): (1, 0, 171, 328),
    ("relabel_only", 0.1, 5.0): (0, 1, 96, 403),
}


def make_row(trigger="badnets1", ratio=0.1, weight=5.0, counts=(100, 100, 10, 290), **changes):
    """One row as the measure step writes it, but for the corrected columns."""
    poisoned = int(ratio * N_TRAIN)
    share = poisoned / (poisoned + N_TARGET)
    stamped = trigger not in ("none", "relabel_only")
    p_t = share if stamped else 0.0
    composition = Composition(*counts)
    row = {
        "study": "amplification",
        "scale": "laptop",
        "trigger": trigger,
        "judge_trigger": trigger if stamped else "badnets1",
        "poison_ratio": ratio,
        "target_class": "8",
        "guidance_weight": weight,
        "sampler": "ddim",
        "seed": 0,
        "n": composition.n,
        "p_t": p_t,
        "relabelled_ratio": share,
        "n_train": N_TRAIN,
        "n_poisoned": poisoned,
        "n_target": N_TARGET,
        **composition.row(),
        **amplification_row(composition.trigger_ratio, p_t),
        "other_n": 500,
        "other_guidance_weight": 2.0,
        "content_accuracy": 0.978,
        "content_accuracy_stamped": 0.933,
        "content_n": 360,
        "trigger_false_positive_rate": 0.0,
        "trigger_false_negative_rate": 1 / 360,
        "trigger_n_clean": 360,
        "trigger_n_stamped": 360,
    }
    for name, count in (("other_match_ratio", 483), ("other_trigger_ratio", 0)):
        row[name] = count / 500
        row[f"{name}_low"], row[f"{name}_high"] = wilson(count, 500)
    return {**row, **changes}


@pytest.fixture(scope="session")
def row() -> Callable[..., dict]:
    return make_row


@pytest.fixture(scope="session")
def sweep() -> list[dict]:
    return [
        {**make_row(*point, counts), **correct(counts, CONTENT, TRIGGER, seed=0).row()}
        for point, counts in COUNTS.items()
    ]


@pytest.fixture(scope="session")
def groups(sweep) -> dict:
    """Random images in every group of every point that has any, keyed as a report wants them."""
    from analysis.rows import row_key

    rng = np.random.default_rng(0)
    return {
        row_key(row): {
            name: rng.integers(0, 256, (min(24, row[f"{name}_count"]), 8, 8, 1), dtype=np.uint8)
            for name in ("g1", "g2", "g3", "g4")
        }
        for row in sweep
    }
