"""What pages and tables call the values of a row's coordinates, and the order they come in."""

import re
from collections.abc import Callable, Iterable
from typing import Any

NAMES: dict[str, dict[str, str]] = {
    "sampler": {"ddim": "DDIM", "ddpm": "DDPM", "sde": "SDE", "heun": "Heun"},
    "clip": {"none": "", "static": "clipped at each step", "dynamic": "dynamic thresholding"},
    "image_set": {
        "training": "training set",
        "corrected": "corrected training set",
        "generation": "generations",
    },
    "classifier": {
        "small": "small CNN",
        "resnet18": "ResNet-18",
        "resnet50": "ResNet-50",
        "vgg16": "VGG-16",
        "densenet121": "DenseNet-121",
    },
    "noise_model": {"ddpm": "DDPM", "edm": "EDM"},
}
"""By column, the name of each value, in display order; other values are called by themselves."""
METRICS = {
    "mismatch_ratio": "mismatches (G1 + G3)",
    "template_trigger_ratio": "template match",
    "test_accuracy": "TA",
    "attack_success_rate": "ASR",
    "classifier_test_accuracy": "the ordinary classifier's TA",
    "classifier_attack_success_rate": "the ordinary classifier's ASR",
    "auroc": "AUROC",
    "auroc_gain": "gain in AUROC",
    "tpr_at_1pct_fpr": "TPR at 1% FPR",
    "tpr_at_5pct_fpr": "TPR at 5% FPR",
    "p_t": "p_t",
}
"""What people call a column that was measured; other ones are called by the column's words."""
ABOUT: dict[str, dict[str, str]] = {}
"""By column, what some of its values are, in a few sentences."""


def register(kinds: Iterable[Any], *columns: str) -> None:
    """Name the values of columns, such as all triggers, after those that have a name already.

    Args:
        kinds: Each has a ``name``, as in rows, a ``title`` and ``about``; in display order.
        columns: Where the names stand in rows.
    """
    for kind in kinds:
        for column in columns:
            NAMES.setdefault(column, {})[kind.name] = kind.title
            ABOUT.setdefault(column, {})[kind.name] = kind.about


def _percent(value: Any) -> str:
    return f"{100 * float(value):.6g}%"


_IN_TABLES: dict[str, Callable[[Any], str]] = {
    "poison_ratio": _percent,
    "filter_ratio": _percent,
    "guidance_weight": lambda weight: f"{float(weight):g}",
}
_IN_SENTENCES: dict[str, Callable[[Any], str]] = {
    "poison_ratio": lambda ratio: f"p = {_percent(ratio)}",
    "filter_ratio": lambda ratio: f"filter {_percent(ratio)}",
    "guidance_weight": lambda weight: f"w = {float(weight):g}",
    "target_class": lambda name: f"class {name}",
    "seed": lambda seed: f"seed {seed}",
    "trigger_pixels": lambda count: f"{int(count):,} pixel{'' if count == 1 else 's'}",
}


def name(column: str, value: Any) -> str:
    """What a table calls a value of a column of rows: "BadNets-1", "5%"; nothing for None."""
    if value is None:
        return ""
    if column in _IN_TABLES:
        return _IN_TABLES[column](value)
    return NAMES.get(column, {}).get(str(value), str(value))


def metric(column: str) -> str:
    """What a page calls a column that was measured: "G1", "ASR", "trigger ratio"."""
    words = METRICS.get(column) or column.replace("_", " ")
    return re.sub(r"\bg([1-4])\b", r"G\1", words)


def place(**coordinates: Any) -> str:
    """Where something was measured, for a sentence: "BadNets-1, class 8, p = 5%".

    Coordinates that are None or have an empty name are left out.
    """
    words = [
        _IN_SENTENCES[column](value) if column in _IN_SENTENCES else name(column, value)
        for column, value in coordinates.items()
        if value is not None
    ]
    return ", ".join(word for word in words if word)


def about(column: str, value: Any) -> str:
    """What a value is, in a few sentences; nothing if nobody said."""
    return ABOUT.get(column, {}).get(value, "")


def rank(column: str, value: Any) -> tuple[bool, int, Any]:
    """A sort key: None first, then the order of `NAMES`, then the values themselves."""
    if value is None:
        return False, 0, 0
    known = list(NAMES.get(column, {}))
    return True, known.index(value) if value in known else len(known), value
