"""Columns of a result: numbers by name, where ``X_low`` and ``X_high`` are the bounds of ``X``."""

from collections.abc import Mapping

from analysis.statistics.intervals import Estimate, proportion

Row = dict[str, str | float | int | None]
"""Values by column name; fractions are 0..1, None is undefined."""


def bounded(estimates: Mapping[str, Estimate | None]) -> Row:
    """``X``, ``X_low`` and ``X_high`` of each estimate; all None if it is None."""
    row: Row = {}
    for name, found in estimates.items():
        row[name] = None if found is None else found.value
        row[f"{name}_low"] = None if found is None else found.low
        row[f"{name}_high"] = None if found is None else found.high
    return row


def rate(name: str, count: int, n: int) -> Row:
    """``count / n`` with its 95% Wilson bounds; all None if ``n`` is 0."""
    return bounded({name: proportion(count, n) if n else None})
