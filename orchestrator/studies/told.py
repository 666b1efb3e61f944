"""What a study's rows are told with, but for its page: one line a study.

The page's half of it is in ``contents``, which draws; this one must stay instant.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.old import groups_table
from analysis.old.rows import (
    CLASSIFICATION,
    DEFENSE,
    Row,
    study_of,
)
from analysis.old.verdicts import Judgment
from orchestrator.studies.defense import claims as defense_claims
from orchestrator.studies.defense import finding as defense_finding
from orchestrator.studies.defense import table as defense_table
from orchestrator.studies.diffusion_classifier import claims as classification_claims
from orchestrator.studies.diffusion_classifier import finding as classification_finding
from orchestrator.studies.diffusion_classifier import table as classification_table


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
OWN = Told(sentences=lambda _: [], judge=lambda _: ())
"""Of a study that is not listed: it has nobody else's claims."""


def told(rows: Sequence[Row]) -> Told:
    """What the rows' study is told with."""
    return TOLD.get(study_of(rows), OWN)
