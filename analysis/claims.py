"""Hold a study's claims against its rows; which claims, its own file says."""

from collections.abc import Sequence
from typing import Any

from analysis import amplification_claims, composition_claims
from analysis.rows import COMPOSITION, Row, across_samplers, families, study_of
from analysis.verdicts import Judgment


def judge(rows: Sequence[Row]) -> tuple[Judgment[Any], ...]:
    """Hold every claim of the rows' study against everything that it is about.

    An ``amplification`` claim is about one trigger, target and sampler, a ``composition`` claim
    about one trigger and target under all samplers; not every one is about every trigger.
    """
    if study_of(rows) == COMPOSITION:
        return tuple(
            Judgment(claim, subject, tuple(parts))
            for subject in across_samplers(rows)
            for claim in composition_claims.CLAIMS
            if (parts := claim.test(subject))
        )
    return tuple(
        Judgment(claim, family, tuple(parts))
        for family in families(rows)
        for claim in amplification_claims.CLAIMS
        if (parts := claim.test(family))
    )
