"""What a study's rows are told with, but for its page: one line a study.

The page's half of it is in ``contents``, which draws; this one must stay instant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import (
    amplification_claims,
    amplification_finding,
    classification_claims,
    classification_finding,
    classification_table,
    composition_claims,
    composition_finding,
    defense_claims,
    defense_finding,
    defense_table,
    detection_claims,
    detection_finding,
    detection_table,
    groups_table,
    triggers_claims,
    triggers_finding,
)
from analysis.rows import (
    AMPLIFICATION,
    CLASSIFICATION,
    COMPOSITION,
    DEFENSE,
    DETECTION,
    TRIGGERS,
    Row,
    study_of,
)
from analysis.verdicts import Judgment


@dataclass(frozen=True, kw_only=True)
class Told:
    """How the rows of a study become a file, a table, sentences and verdicts."""

    columns: tuple[str, ...] = groups_table.LEADING_COLUMNS
    """What its results file starts with; the others follow by name."""
    table: Callable[[Sequence[Row]], tuple[list[str], list[list[str]]]] = groups_table.table
    """Headers and lines for a terminal."""
    sentences: Callable[[Sequence[Row]], list[str]]
    """What was found; none where nothing was measured yet."""
    judge: Callable[[Sequence[Row]], tuple[Judgment[Any], ...]]
    """Its claims, held against everything that they are about."""


TOLD = {
    AMPLIFICATION: Told(
        sentences=amplification_finding.sentences,
        judge=amplification_claims.judge,
    ),
    COMPOSITION: Told(
        sentences=composition_finding.sentences,
        judge=composition_claims.judge,
    ),
    TRIGGERS: Told(
        sentences=triggers_finding.sentences,
        judge=triggers_claims.judge,
    ),
    DETECTION: Told(
        columns=detection_table.DETECTION_COLUMNS,
        table=detection_table.table,
        sentences=detection_finding.sentences,
        judge=detection_claims.judge,
    ),
    DEFENSE: Told(
        columns=defense_table.DEFENSE_COLUMNS,
        table=defense_table.table,
        sentences=defense_finding.sentences,
        judge=defense_claims.judge,
    ),
    CLASSIFICATION: Told(
        columns=classification_table.CLASSIFICATION_COLUMNS,
        table=classification_table.table,
        sentences=classification_finding.sentences,
        judge=classification_claims.judge,
    ),
}
OWN = Told(sentences=amplification_finding.without_claims, judge=lambda _: ())
"""Of a study that is not listed: it has nobody else's claims."""


def told(rows: Sequence[Row]) -> Told:
    """What the rows' study is told with."""
    return TOLD.get(study_of(rows), OWN)
