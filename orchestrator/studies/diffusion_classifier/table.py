"""The terminal's table of a ``diffusion_classifier`` study, and the order of its results file."""

from collections.abc import Sequence

from analysis.old.rows import Row
from analysis.page.wording import (
    classifier_name,
    noise_model_name,
    percent,
    ratio_name,
    stamp_name,
    trigger_name,
)
from analysis.statistics.comparison import Comparison
from orchestrator.studies.diffusion_classifier.rows import ACCURACY, ATTACK, Point, classified

CLASSIFICATION_COLUMNS = (
    "study",
    "scale",
    "trigger",
    "trigger_pixels",
    "poison_ratio",
    "target_class",
    "noise_model",
    "filter_ratio",
    "seed",
    "draws",
    "n",
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
    "attack_success_rate",
    "attack_success_rate_low",
    "attack_success_rate_high",
    "classifier",
    "classifier_test_accuracy",
    "classifier_attack_success_rate",
)
"""The columns a results file of diffusion classifiers starts with."""

NOTHING = "–"


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headers, and a line a trigger, noise model and poison ratio: TA / ASR at each filter ratio.

    Of several seeds their number and the means.
    """
    ratios = sorted({float(row["filter_ratio"]) for row in rows})
    networks = list(dict.fromkeys(classifier_name(str(row["classifier"])) for row in rows))
    headers = ["trigger", "model", "p", "seed", f"TA / ASR: {', '.join(networks)}"]
    headers += [f"{ratio_name(ratio)} dropped" for ratio in ratios]
    return headers, [
        _line(point, ratios) for subject in classified(rows) for point in subject.measured
    ]


def attacker(point: Point) -> str:
    """The trigger as a page calls it, or that there was no poison and which one attacks."""
    stamp = stamp_name(point.trigger, point.trigger_pixels)
    return stamp if point.poison_ratio > 0 else f"{trigger_name('none')}, {stamp} attacks"


def _line(point: Point, ratios: Sequence[float]) -> list[str]:
    seeds = point.seeds
    return [
        attacker(point),
        noise_model_name(point.noise_model),
        ratio_name(point.poison_ratio),
        str(seeds[0]) if len(seeds) == 1 else f"{len(seeds)} seeds",
        _both(point.beside(ACCURACY), point.beside(ATTACK)),
        *(_both(*(point.level(name, ratio) for name in (ACCURACY, ATTACK))) for ratio in ratios),
    ]


def _both(*levels: Comparison | None) -> str:
    """TA and ASR, a dash where there is none."""
    return " / ".join(percent(one.estimate.value) if one else NOTHING for one in levels)
