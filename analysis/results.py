"""A sweep as a file, as a table and as one sentence.

``results.csv`` is built from the points' rows alone: sorted, without times, paths or run ids, and
every float in its shortest exact form, so equal rows give equal bytes on any machine.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.claims import PAPER_GUIDANCE, Judgment, judge
from analysis.comparison import above_constant, between_groups, level_of
from analysis.rows import Family, Row, families, guided, same, sort_rows
from analysis.verdicts import Verdict
from analysis.wording import authors_weight, listed, percent, ratio_name, times, trigger_name

LEADING_COLUMNS = (
    "study",
    "scale",
    "trigger",
    "poison_ratio",
    "target_class",
    "guidance_weight",
    "sampler",
    "seed",
    "n",
    "p_t",
    "g1",
    "g2",
    "g3",
    "g4",
    "trigger_ratio",
    "amplification",
)
"""The columns every results file starts with; the others follow by name."""


def columns(rows: Sequence[Row]) -> list[str]:
    """The columns of a results file: the leading ones, then whatever else any row has, by name."""
    others = {column for row in rows for column in row} - set(LEADING_COLUMNS)
    return [*LEADING_COLUMNS, *sorted(others)]


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV text, sorted; an empty cell for None and for a column a row lacks.

    Raises:
        ValueError: A value that is no number, word or truth value.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = columns(rows)
    writer.writerow(header)
    for row in sort_rows(rows):
        writer.writerow([_cell(column, row.get(column)) for column in header])
    return text.getvalue()


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    """Write `to_csv` to ``path`` in UTF-8 with unix line ends, and return the path."""
    path.write_bytes(to_csv(rows).encode())
    return path


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """A compact table for a terminal: headers, and a row of words a point."""
    headers = ["trigger", "p", "w (authors')", "seed", "p_t", "G1", "G2", "G3", "G4"]
    headers += ["trigger ratio", "/ p_t"]
    body = [
        [
            trigger_name(str(row["trigger"])),
            ratio_name(float(row["poison_ratio"])),
            _weight(float(row["guidance_weight"])),
            str(row["seed"]),
            percent(float(row["p_t"])),
            *(percent(float(row[group])) for group in ("g1", "g2", "g3", "g4")),
            _bounded(row, "trigger_ratio"),
            "" if row.get("amplification") is None else times(float(row["amplification"])),
        ]
        for row in sort_rows(rows)
    ]
    return headers, body


def summary(rows: Sequence[Row]) -> str:
    """What was found, in one sentence a trigger, generated from the numbers whatever they say."""
    judgments = judge(rows)
    return (
        " ".join(
            f"{_amplified(family)}{_shifted(family)}; {_verdicts(family, judgments)}."
            for family in families(rows)
        )
        or "No poisoned point has been measured yet."
    )


def reported_guidance(family: Family) -> float:
    """The guidance weight a headline is about: the paper's where measured, else the highest."""
    weights = family.guidance_weights
    return next((weight for weight in weights if same(weight, PAPER_GUIDANCE)), weights[-1])


def headline(family: Family) -> list[tuple[str, str]]:
    """A few big numbers about a family, each with a line that says what it is."""
    weight = reported_guidance(family)
    measured = [ratio for ratio in family.poison_ratios if family.at(ratio, weight)]
    facts = []
    for ratio in dict.fromkeys((measured[0], measured[-1])):
        rows = family.at(ratio, weight)
        share = level_of(rows, "trigger_ratio").estimate.value
        p_t = float(rows[0]["p_t"])
        facts.append(
            (
                times(share / p_t),
                f"the training share of triggers at p = {ratio_name(ratio)}, w = {weight:g}: "
                f"{percent(p_t)} in training, {percent(share)} generated",
            )
        )
    if family.clean:
        share = level_of(guided(family.clean, weight), "trigger_ratio").estimate.value
        facts.append((percent(share), f"triggers from the clean model, w = {weight:g}"))
    return facts


def _amplified(family: Family) -> str:
    weight = reported_guidance(family)
    at_weight = guided(family.rows, weight)
    shown: list[str] = []
    above: list[str] = []
    not_above: list[str] = []
    for ratio in family.poison_ratios:
        rows = [row for row in at_weight if same(row["poison_ratio"], ratio)]
        if not rows:
            continue
        share = level_of(rows, "trigger_ratio").estimate.value
        excess = above_constant(rows, "trigger_ratio", "p_t").estimate
        name = ratio_name(ratio)
        shown.append(f"{share / float(rows[0]['p_t']):.2g} times at {name}")
        (above if excess.low > 0 else not_above).append(name)
    sentence = (
        f"Asked for class “{family.target_class}” at guidance {weight:g}, the poisoned models draw "
        f"the {trigger_name(family.trigger)} trigger {listed(shown)} of poison as often as it "
        "occurs among the training images of that label"
    )
    if not not_above:
        return f"{sentence}, with the whole interval above the training ratio every time"
    if not above:
        return f"{sentence}, with no interval wholly above the training ratio"
    return (
        f"{sentence}, with the whole interval above the training ratio at {listed(above)} but not "
        f"at {listed(not_above)}"
    )


def _shifted(family: Family) -> str:
    """Which of G1 and G2 leads at the lowest and at the highest ratio, at the headline's weight."""
    weight = reported_guidance(family)
    ratios = [ratio for ratio in family.poison_ratios if family.at(ratio, weight)]
    if len(ratios) < 2:
        return ""
    first, last = (_leader(family.at(ratio, weight)) for ratio in (ratios[0], ratios[-1]))
    low, high = ratio_name(ratios[0]), ratio_name(ratios[-1])
    if first == last:
        return f"; at {low} and at {high} alike {first}"
    return f"; at {low} {first}, at {high} {last}"


def _leader(rows: Sequence[Row]) -> str:
    lead = between_groups(rows, "g1", "g2").estimate
    if lead.low > 0:
        return "most of these images mismatch the prompt (G1)"
    if lead.high < 0:
        return "most of these images match the prompt (G2)"
    return "neither mismatches (G1) nor matches (G2) lead among them"


def _verdicts(family: Family, judgments: Sequence[Judgment]) -> str:
    verdicts = [judgment.verdict for judgment in judgments if judgment.family == family]
    counts = [
        f"{verdicts.count(verdict)} {verdict.value}" for verdict in Verdict if verdict in verdicts
    ]
    return f"of {len(verdicts)} claims {listed(counts)}"


def _weight(weight: float) -> str:
    return f"{weight:g} ({authors_weight(weight):g})"


def _bounded(row: Row, name: str) -> str:
    low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
    return f"{percent(float(row[name]))} [{100 * low:.1f}, {100 * high:.1f}]"


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, str):
        return value
    raise ValueError(
        f"column {column!r} of a results file holds numbers and words, got {type(value).__name__}"
    )
