"""``--budget 20m``: shorter trainings and fewer images, so that a whole study fits.

What a budget came to is kept in the store, so the same command means the same study ever after,
however fast the machine is the next day.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.console import duration
from orchestrator.graph import plan as planning
from orchestrator.process import cores
from orchestrator.store import cached
from orchestrator.store.store import Store
from orchestrator.studies.axes import Axes
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, Study

LEAST_STEPS, LEAST_IMAGES = 100, 100
"""A diffusion model of fewer updates draws noise; fewer images a point decide nothing."""


def shortened(scale: Scale, percent: int) -> Scale:
    """The scale with so many percent of its training steps and of its images a point.

    Neither falls below LEAST_STEPS or LEAST_IMAGES, unless it was there already.
    """

    def part(whole: int, least: int) -> int:
        return min(whole, max(least, whole * percent // 100))

    n = part(scale.generations.n, LEAST_IMAGES)
    whole_set = part(scale.generation_set_size, LEAST_IMAGES)
    steps = part(scale.diffusion.steps, LEAST_STEPS)
    return replace(
        scale,
        diffusion=replace(scale.diffusion, steps=steps),
        edm=replace(scale.edm, steps=part(scale.edm.steps, LEAST_STEPS)),
        generations=replace(scale.generations, n=n),
        others=replace(scale.others, n=min(scale.others.n, n)),
        generation_set_n=scale.generation_set_n if percent == 100 else whole_set,
    )


def fitting(study: Study, scale: Scale, axes: Axes, seconds: float, store: Store) -> Scale:
    """The longest version of a scale with which a study, made from nothing, fits a budget.

    Args:
        study: What is to fit.
        scale: Without a budget; never exceeded.
        axes: What is swept.
        seconds: The budget, wall time on this machine.
        store: Has measured rates, and keeps the answer.

    Raises:
        ValueError: When even the shortest version does not fit.
    """
    path = store.root / ".pace" / "budgets.json"
    kept = cached.read(path, lambda value: value in range(1, 101))
    name = _name(study.points(scale, axes), seconds)
    if name not in kept:
        kept[name] = _percent(study, scale, axes, seconds, planning.Pace(store))
        cached.write(path, kept)
    return shortened(scale, int(kept[name]))


def _percent(study: Study, scale: Scale, axes: Axes, seconds: float, pace: planning.Pace) -> int:
    def cost(percent: int) -> float:
        plan = planning.from_nothing(study.points(shortened(scale, percent), axes), pace)
        return planning.AROUND_SECONDS + plan.expected_seconds(cores())

    fitted = bisect_right(range(1, 101), seconds, key=cost)
    if not fitted:
        least = shortened(scale, 1)
        raise ValueError(
            f"--budget {duration(seconds)} is too little: with the shortest trainings "
            f"({least.diffusion.steps} steps) and the fewest images "
            f"({least.generations.n} a point) it takes about {duration(cost(1))} on "
            f"{cores()} cores. Give more, or sweep less, e.g. --poison-ratio 0,0.1."
        )
    return fitted


def _name(points: Sequence[Point], seconds: float) -> str:
    digests = sorted(point.measure.digest for point in points)
    return hashlib.sha256(json.dumps([digests, seconds]).encode()).hexdigest()[:12]
