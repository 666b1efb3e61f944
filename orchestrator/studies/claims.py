"""Hold a study's claims against its rows; which claims, its own file says."""

from collections.abc import Sequence
from typing import Any

from analysis.old.rows import Row
from analysis.old.verdicts import Judgment
from orchestrator.studies.told import told


def judge(rows: Sequence[Row]) -> tuple[Judgment[Any], ...]:
    """Hold every claim of the rows' study against everything that it is about.

    An ``amplification`` or ``triggers`` claim is about one trigger, target and sampler, a
    ``composition`` claim about one trigger and target under all samplers, a ``defense`` claim
    about one trigger, target and network, a ``diffusion_classifier`` claim about one trigger,
    target and noise model, or about one trigger in several sizes; not every one is about every
    trigger.
    """
    return told(rows).judge(rows)
