"""``castlewalls verify``: what became of every claim of the paper; starts nothing."""

import csv
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from analysis.claims import Judgment
from analysis.page import page as pages
from analysis.page.glossary import definitions
from analysis.page.plain import terms_of
from analysis.page.tables import Cell, Table
from analysis.published import in_words
from analysis.rows import Rows, frame
from analysis.statistics.verdicts import Verdict, counts, tally
from analysis.wording import counted
from orchestrator.cli import parsing
from orchestrator.cli.tables import print_table
from orchestrator.run import report
from orchestrator.store.record import write_whole
from orchestrator.studies import studies_at
from orchestrator.studies.study import Study

HEADERS = ("study", "claim", "paper", "the paper's number", "ours", "verdict")


@dataclass(frozen=True, kw_only=True)
class ClaimLine:
    """What became of one claim about one subject."""

    study: str
    claim: str
    statement: str
    source: str
    rule: str
    """What the data must show."""
    subject: str
    """What it is about, such as "BadNets-1, class 8, DDIM"; empty if nothing is measured."""
    paper: str
    """The paper's number; empty if it prints none."""
    ours: str
    """The part of the evidence that decides: numbers with intervals and n."""
    verdict: str
    evidence: str
    command: str
    """What tests the claim; empty if it is tested."""


class Verified(NamedTuple):
    """A study, its rows, and what became of its claims."""

    study: Study
    rows: Rows
    lines: list[ClaimLine]


def verify(scale: str, store: str | None) -> list[Verified]:
    """Hold each claim of each study against the finished points of its default axes.

    Raises ValueError if there is no such scale, or no store where one was named.
    """
    found, where = [], [] if store in (None, "artifacts") else ["--store", str(store)]
    if where and not parsing.store_of(store).root.exists():
        raise ValueError(f"there is no store {store}; give the --store of a study that was run.")
    for study in studies_at(parsing.find_scale(scale)):
        request = parsing.request(study, scale=scale, store=store)
        rows = report.rows_of(request)
        judgments = report.judged(study, rows) if len(rows) else []
        command = shlex.join([*shlex.split(report.command(request)), *where])
        lines = list(_lines(study, judgments, command))
        found.append(Verified(study, rows, lines))
    return found


def _lines(study: Study, judgments: Sequence[Judgment], command: str) -> Iterator[ClaimLine]:
    for claim in report.claims_of(study):
        own = [one for one in judgments if one.claim is claim]
        about = [(one.subject, _decisive(one), one.evidence, one.verdict) for one in own]
        for subject, ours, evidence, verdict in about or [("", "", "", Verdict.NOT_TESTED)]:
            yield ClaimLine(
                study=study.name,
                claim=claim.name,
                statement=claim.statement,
                source=claim.source,
                rule=claim.rule,
                subject=subject,
                paper=in_words(**claim.printed),
                ours=ours,
                verdict=verdict.value,
                evidence=evidence,
                command=command if verdict is Verdict.NOT_TESTED else "",
            )


def _decisive(judgment: Judgment) -> str:
    """The evidence of the first part that has the verdict of the whole."""
    return next((x.evidence for x in judgment.parts if x.verdict is judgment.verdict), "")


def _tally(lines: Sequence[ClaimLine]) -> str:
    return tally([Verdict(line.verdict) for line in lines])


def every_line(found: Sequence[Verified]) -> list[ClaimLine]:
    """The lines of all studies."""
    return [line for one in found for line in one.lines]


def print_claims(found: Sequence[Verified], console: Console) -> None:
    """A line a claim, what decides it, and what to type for those that are not tested yet."""
    lines = every_line(found)
    print_table(console, HEADERS, list(_of_claims(lines)))
    console.print(f"Of {len(lines)} verdicts {_tally(lines)}.")
    for command in dict.fromkeys(line.command for line in lines if line.command):
        console.print(f"to test more:  {command}", soft_wrap=True)


def _of_claims(lines: Sequence[ClaimLine]) -> Iterator[list[str]]:
    """Words of a line for each claim: its verdicts, and the evidence for the first of the worst."""
    order = [Verdict.FAILED, Verdict.NOT_TESTED, Verdict.UNDECIDED, Verdict.SUPPORTED]
    for study, claim in dict.fromkeys((line.study, line.claim) for line in lines):
        own = [line for line in lines if (line.study, line.claim) == (study, claim)]
        first = min(own, key=lambda line: order.index(Verdict(line.verdict)))
        about = f"{first.subject}: " if len(own) > 1 and first.subject else ""
        verdict = first.verdict if len(own) == 1 else _tally(own)
        yield [study, first.statement, first.source, first.paper, about + first.ours, verdict]


def write_csv(path: Path, lines: Sequence[ClaimLine]) -> None:
    """Write a line a claim and subject."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(ClaimLine.__annotations__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(line) for line in lines)


def write_json(path: Path, lines: Sequence[ClaimLine]) -> None:
    """Write a list with an object a claim and subject."""
    path.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")


def write_page(folder: Path, found: Sequence[Verified], scale: str) -> Path:
    """Write the scoreboard, one self-contained page, and return its path."""
    lines = every_line(found)
    shown = pages.Report(
        study="",
        scale=scale,
        title="The paper's claims",
        question="Each claim has a rule, fixed before the data were seen unless its source says "
        "otherwise. _Failed_ means that an interval lies wholly on the wrong side, _undecided_ "
        "that it reaches across.",
        rows=frame([]),
        settings={one.study.name: counted(len(one.rows), "point") for one in found},
        command=f"castlewalls verify --scale {scale}",
    )
    claims = [claim for one in found for claim in report.claims_of(one.study)]
    printed = [metric for claim in claims for metric in claim.printed.get("metrics", ())]
    every = counts([Verdict(line.verdict) for line in lines])
    text = pages.render(
        page_of=pages.Page(
            examples=False,
            sections=[_section(one) for one in found],
            definitions=definitions(*terms_of(["template", "guidance_weight", *printed])),
        ),
        report=shown,
        kind="verify",
        title=shown.title,
        question=shown.question,
        findings=[f"Of {len(lines)} verdicts {_tally(lines)}."],
        verdicts=[(verdict.value, _tone(verdict), count) for verdict, count in every],
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "index.html", text)
    return folder / "index.html"


def _section(one: Verified) -> pages.Section:
    rows = [
        [
            Cell("", mark=line.verdict, tone=_tone(Verdict(line.verdict))),
            Cell(line.statement, line.source, fold=("rule", line.rule)),
            Cell(line.paper),
            Cell(line.ours or f"To test it: {line.command}", line.subject),
        ]
        for line in one.lines
    ]
    headers = ("verdict", "claim", "the paper's number", "ours")
    table, study = Table(headers, rows, len(headers), wraps=True), one.study
    words = f"{study.paper}. {study.question}"
    return pages.Section(study.name, study.title, words, [table], study.name)


def _tone(verdict: Verdict) -> str:
    return verdict.name.lower()


def write_markdown(folder: Path, found: Sequence[Verified], scale: str) -> None:
    """Write ``<study>.md`` for each study with rows: its table, and every claim with evidence."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in found:
        if len(one.rows):
            path = folder / f"{one.study.name}.md"
            path.write_text("\n".join(_markdown(one, scale)) + "\n", encoding="utf-8")


def _markdown(one: Verified, scale: str) -> Iterator[str]:
    study = one.study
    yield f"# {study.title}\n\n{study.paper}. {study.question}\n"
    points = counted(len(one.rows), "point")
    yield f"Scale `{scale}`, {points}. Written by `castlewalls verify --markdown`.\n"
    yield f"## Claims\n\nOf {len(one.lines)} verdicts {_tally(one.lines)}.\n"
    subjects = dict.fromkeys(line.subject for line in one.lines)
    for subject in subjects:
        if len(subjects) > 1:
            yield f"### {subject or 'Not tested'}\n"
        for line in (line for line in one.lines if line.subject == subject):
            theirs = f"; the paper: {line.paper}" if line.paper else ""
            yield f"- **{line.verdict}**: {line.statement} ({line.source}{theirs}) {line.evidence}"
        yield ""
    headers, rows = report.table_of(study, one.rows)
    yield "## Points\n"
    yield f"| {' | '.join(headers)} |\n|{'---|' * len(headers)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
