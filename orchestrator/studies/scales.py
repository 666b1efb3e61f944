"""Scales: one dial that sets the data, the networks and the lengths of everything."""

from dataclasses import dataclass, fields, replace

from orchestrator import choices
from orchestrator.studies.study import Axes


@dataclass(frozen=True, kw_only=True)
class Scale:
    name: str
    axes: Axes
