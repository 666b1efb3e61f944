"""Claims of the paper as data, and what the rows of a study say about them.

A rule is fixed before the data are seen; a threshold of our own is said to be ours in the rule.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.names import place
from analysis.rows import Rows, groups, poisoned
from analysis.statistics.verdicts import Part, Verdict, together
from analysis.wording import titled


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """What a claim is held against: the rows with the same values in some columns."""

    at: Mapping[str, Any]
    """These values by column."""
    rows: Rows
    """The rows that have them, clean controls among them."""
    study: Rows
    """All rows of the study, for comparisons with others."""

    @property
    def words(self) -> str:
        """What people call it: "BadNets-1, class 8, DDIM"; empty for the study as a whole."""
        return titled(place(**self.at))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that the paper says."""

    name: str
    """Short and safe in file names."""
    statement: str
    """What the paper says, in a sentence."""
    source: str
    """Where it says so."""
    rule: str
    """What the data must show."""
    by: tuple[str, ...]
    """The columns that make a subject; without any, the study as a whole is the subject."""
    about: str = ""
    """What people call the subject, if its values do not say it."""
    test: Callable[[Subject], Sequence[Part]]
    """Gives the parts that must all hold; none if the claim is not about the subject."""
    control: bool = False
    """Whether the others mean little where it fails."""
    printed: Mapping[str, Any] = field(default_factory=dict)
    """The paper's own cells: ``metrics`` by name, and which, as `analysis.published.printed`."""


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """What the rows say about one claim and one subject."""

    claim: Claim
    at: Mapping[str, Any]
    """The subject's values by column."""
    subject: str
    """What people call the subject."""
    parts: tuple[Part, ...]

    @property
    def verdict(self) -> Verdict:
        """What became of the claim."""
        return together(self.parts)

    @property
    def evidence(self) -> str:
        """The numbers, in a sentence or a few."""
        return " ".join(part.evidence for part in self.parts)


def hold(claims: Iterable[Claim], rows: Rows) -> list[Judgment]:
    """Hold each claim against each subject that has a poisoned row, subject by subject."""
    claims = tuple(claims)
    found: list[Judgment] = []
    for by in dict.fromkeys(claim.by for claim in claims):
        for at, own in groups(rows, *by):
            if by and poisoned(own).empty:
                continue
            subject = Subject(at=at, rows=own, study=rows)
            for claim in claims:
                if claim.by == by and (parts := tuple(claim.test(subject))):
                    words = claim.about or subject.words
                    found.append(Judgment(claim=claim, at=at, subject=words, parts=parts))
    return found
