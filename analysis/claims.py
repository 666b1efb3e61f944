"""Hold a study's claims against its rows; which claims, its own file says."""

from collections.abc import Iterable, Sequence
from typing import Any

from analysis import amplification_claims, composition_claims, detection_claims
from analysis.detection_rows import detections, null_points
from analysis.rows import COMPOSITION, DETECTION, Row, across_samplers, families, study_of
from analysis.verdicts import Claim, Judgment


def judge(rows: Sequence[Row]) -> tuple[Judgment[Any], ...]:
    """Hold every claim of the rows' study against everything that it is about.

    An ``amplification`` claim is about one trigger, target and sampler, a ``composition`` claim
    about one trigger and target under all samplers, a ``detection`` claim about one trigger, target
    and detector, or about all null points; not every one is about every trigger.
    """
    study = study_of(rows)
    if study == COMPOSITION:
        return _held(across_samplers(rows), composition_claims.CLAIMS)
    if study == DETECTION:
        controls = _held([null_points(rows)], detection_claims.CONTROLS)
        return (*_held(detections(rows), detection_claims.CLAIMS), *controls)
    return _held(families(rows), amplification_claims.CLAIMS)


def _held(subjects: Iterable[Any], claims: Iterable[Claim[Any]]) -> tuple[Judgment[Any], ...]:
    return tuple(
        Judgment(claim, subject, tuple(parts))
        for subject in subjects
        for claim in claims
        if (parts := claim.test(subject))
    )
