"""``--budget 20m``: how much of a study's lengths fits a time.

The answer is kept in the store, so that the same command means the same study ever after.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.graph import kept
from orchestrator.graph.costs import Costs
from orchestrator.graph.plan import AROUND_SECONDS, Target, from_nothing
from orchestrator.store.store import Store


class TooLittle(ValueError):
    """Even the shortest version of a study takes longer than the budget."""

    def __init__(self, least: float) -> None:
        super().__init__(f"it takes at least {least:.0f} s")
        self.least = least
        """Seconds that the shortest version takes."""


def percent_within(
    points_at: Callable[[int], Sequence[Target]], seconds: float, store: Store, cores: int
) -> int:
    """The largest percentage of a study's lengths with which it takes so many seconds.

    ``points_at`` makes the points with so many percent, 1 to 100.  Raises TooLittle if even one
    percent takes longer on this machine.
    """
    path = store.root / ".costs" / "budgets.json"
    known = kept.read(path, _is_percentage)
    digests = sorted(point.measure.digest for point in points_at(100))
    name = hashlib.sha256(json.dumps([digests, seconds]).encode()).hexdigest()[:12]
    if name not in known:
        costs = Costs(store)

        def cost(percent: int) -> float:
            plan = from_nothing(points_at(percent), costs.cost)
            return AROUND_SECONDS + plan.expected_seconds(cores)

        known[name] = bisect_right(range(1, 101), seconds, key=cost)
        if not known[name]:
            raise TooLittle(cost(1))
        kept.write(path, known)
    return int(known[name])


def _is_percentage(value: Any) -> bool:
    return isinstance(value, int) and 1 <= value <= 100
