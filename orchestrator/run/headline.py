"""Which numbers of a row tell most: tables that show only some of them begin with these."""

from collections.abc import Mapping

FIRST = (
    "auroc",
    "training_auroc",
    "attack_success_rate",
    "test_accuracy",
    "trigger_ratio",
    "p_t",
    "g1",
    "g2",
    "mismatch_ratio",
)


def telling_first(numbers: Mapping[str, float]) -> dict[str, float]:
    """The same numbers by name, those of ``FIRST`` before the others."""
    return {name: numbers[name] for name in FIRST if name in numbers} | dict(numbers)
