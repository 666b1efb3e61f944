"""A ``composition`` sweep in a sentence and a few big numbers, generated whatever they say."""

from collections.abc import Sequence

from analysis.page.wording import listed, percent, ratio_name, sampler_name, titled, trigger_name
from analysis.rows import AcrossSamplers, Row, across_samplers, guided, same
from analysis.statistics.comparison import above_constant, between_points, level_of, pooled
from analysis.statistics.evidence import template_clause
from analysis.statistics.verdicts import Verdict, above, tally
from orchestrator.studies.composition.claims import RATIO, judge

Fact = tuple[str, str]
"""A big number and what it is."""


def sentences(rows: Sequence[Row]) -> list[str]:
    """A sentence a target class; none when no poisoned point is there."""
    judgments = judge(rows)
    subjects = across_samplers(rows)
    said = []
    for target in dict.fromkeys(subject.target_class for subject in subjects):
        shown = [subject for subject in subjects if subject.target_class == target]
        verdicts = [one.verdict for one in judgments if one.subject.target_class == target]
        clauses = [_triggers(shown) + _template_matched(shown), *_against_sde(shown, "ddpm")]
        clauses.append(f"of {len(verdicts)} verdicts {tally(verdicts)}")
        said.append(f"{'; '.join(clauses)}.")
    return said


def headline(subject: AcrossSamplers) -> list[Fact]:
    """One big number about a trigger with a line that says what it is; none without a point."""
    ratio = reported_ratio(subject)
    name = titled(trigger_name(subject.trigger))
    ddpm, sde = subject.at("ddpm", ratio), subject.at("sde", ratio)
    if ddpm and sde:
        first, second = (level_of(rows, "g1").estimate.value for rows in (ddpm, sde))
        words = f"{name}: G1 under DDPM and under SDE at p = {ratio_name(ratio)}"
        return [(f"{_rounded(first)} → {_rounded(second)}%", words)]
    cells = [rows for sampler in subject.samplers if (rows := subject.at(sampler, ratio))]
    if not cells:
        return []
    shares = [level_of(rows, "trigger_ratio").estimate.value for rows in cells]
    p_t = percent(float(cells[0][0]["p_t"]))
    return [(_span(shares), f"{name}: images with a trigger, against p_t = {p_t} in training")]


def clean_fact(subjects: Sequence[AcrossSamplers]) -> list[Fact]:
    """The most triggers that any clean control draws; none without a control."""
    shares = [
        level_of(rows, "trigger_ratio").estimate.value
        for subject in subjects
        for family in subject.families
        if (rows := guided(family.clean, subject.reported_guidance))
    ]
    return [(percent(max(shares)), "the most triggers from any clean model")] if shares else []


def reported_ratio(subject: AcrossSamplers) -> float:
    """The poison ratio a headline is about: 10 %, the paper's, where measured, else the highest."""
    every = [
        ratio for family in (*subject.families, *subject.others) for ratio in family.poison_ratios
    ]
    return next((ratio for ratio in every if same(ratio, RATIO)), max(every))


def _triggers(subjects: Sequence[AcrossSamplers]) -> str:
    """How much of each trigger comes out under which samplers, and in how many cells too much."""
    first = subjects[0]
    ratio = reported_ratio(first)
    parts, above_p_t, cells, p_t = [], 0, 0, ""
    for subject in subjects:
        measured = [rows for sampler in subject.samplers if (rows := subject.at(sampler, ratio))]
        if not measured:
            continue
        p_t = percent(float(measured[0][0]["p_t"]))
        cells += len(measured)
        excess = [above_constant(rows, "trigger_ratio", "p_t").estimate for rows in measured]
        above_p_t += sum(above(estimate) is Verdict.SUPPORTED for estimate in excess)
        shares = [level_of(rows, "trigger_ratio").estimate.value for rows in measured]
        parts.append(f"the {trigger_name(subject.trigger)} trigger in {_span(shares)}")
    samplers = list(dict.fromkeys(name for subject in subjects for name in subject.samplers))
    asked = (
        f"Asked for class “{first.target_class}” at p = {ratio_name(ratio)} and guidance "
        f"{first.reported_guidance:g}"
    )
    if not parts:
        return f"{asked} no point has been measured"
    return (
        f"{asked}, the poisoned models draw {listed(parts)} of their images under "
        f"{listed([sampler_name(name) for name in samplers])} against p_t = {p_t} in training, "
        f"with the whole interval above it in {above_p_t} of {cells} cells"
    )


def _template_matched(subjects: Sequence[AcrossSamplers]) -> str:
    parts = []
    for subject in subjects:
        ratio = reported_ratio(subject)
        cells = [rows for sampler in subject.samplers if (rows := subject.at(sampler, ratio))]
        parts.append((f"for {trigger_name(subject.trigger)}", cells))
    return template_clause(parts)


def _against_sde(subjects: Sequence[AcrossSamplers], sampler: str) -> list[str]:
    """For which triggers SDE sampling draws fewer G1, for which more, for which it is not clear."""
    found: dict[Verdict, list[str]] = {}
    for subject in subjects:
        ratio = reported_ratio(subject)
        other, sde = subject.at(sampler, ratio), subject.at("sde", ratio)
        if other and sde:
            (a, n), (b, m) = pooled(sde, "g1"), pooled(other, "g1")
            words = f"{trigger_name(subject.trigger)} ({percent(a / n)} against {percent(b / m)})"
            verdict = above(between_points(other, sde, "g1").estimate)
            found.setdefault(verdict, []).append(words)
    if not found:
        return []
    effects = {
        Verdict.SUPPORTED: "fewer mismatching trigger images (G1) for",
        Verdict.FAILED: "more of them (G1) for",
        Verdict.UNDECIDED: "not clearly fewer or more (G1) for",
    }
    clauses = [
        f"{effects[verdict]} {listed(found[verdict])}" for verdict in effects if verdict in found
    ]
    return [f"SDE sampling draws, against {sampler_name(sampler)}, {listed(clauses)}"]


def _span(shares: Sequence[float]) -> str:
    low, high = _rounded(min(shares)), _rounded(max(shares))
    return f"{low}%" if low == high else f"{low} to {high}%"


def _rounded(share: float) -> str:
    return f"{100 * share:.0f}"
