"""An ``amplification`` sweep in a sentence and a few big numbers, generated whatever they say."""

from collections.abc import Sequence

from analysis.page.wording import listed, percent, ratio_name, sampler_name, times, trigger_name
from analysis.rows import Family, Row, families, guided, same
from analysis.statistics.comparison import above_constant, between_groups, level_of
from analysis.statistics.evidence import template_clause
from analysis.statistics.verdicts import tally
from orchestrator.studies.amplification.claims import judge

Fact = tuple[str, str]
"""A big number and what it is."""


def sentences(rows: Sequence[Row]) -> list[str]:
    """A sentence a trigger, target and sampler; none when no poisoned point is there."""
    judgments = judge(rows)
    said = []
    for family, clauses in _described(rows):
        verdicts = [one.verdict for one in judgments if one.subject == family]
        said.append(f"{clauses}; of {len(verdicts)} claims {tally(verdicts)}.")
    return said


def without_claims(rows: Sequence[Row]) -> list[str]:
    """The same of a study that has no claims of its own."""
    return [f"{clauses}." for _, clauses in _described(rows)]


def headline(family: Family, named: bool = False) -> list[Fact]:
    """A few big numbers about a family, each with a line that says what it is.

    Args:
        family: What was measured.
        named: The page has several families: say which this is, and only its highest ratio.
    """
    about = f"{trigger_name(family.trigger)}, {sampler_name(family.sampler)}: " if named else ""
    weight = family.reported_guidance
    measured = [ratio for ratio in family.poison_ratios if family.at(ratio, weight)]
    facts = []
    for ratio in dict.fromkeys(measured[-1:] if named else (measured[0], measured[-1])):
        rows = family.at(ratio, weight)
        share = level_of(rows, "trigger_ratio").estimate.value
        p_t = float(rows[0]["p_t"])
        facts.append(
            (
                times(share / p_t),
                f"{about}the training share of triggers at p = {ratio_name(ratio)}, "
                f"w = {weight:g}: {percent(p_t)} in training, {percent(share)} generated",
            )
        )
    if family.clean and not named:
        share = level_of(guided(family.clean, weight), "trigger_ratio").estimate.value
        facts.append((percent(share), f"triggers from the clean model, w = {weight:g}"))
    return facts


def _described(rows: Sequence[Row]) -> list[tuple[Family, str]]:
    found = families(rows)
    named = len({family.sampler for family in found}) > 1
    return [
        (family, f"{_amplified(family, named)}{_shifted(family)}{_template_matched(family)}")
        for family in found
    ]


def _amplified(family: Family, named: bool) -> str:
    under = f" under {sampler_name(family.sampler)}" if named else ""
    weight = family.reported_guidance
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
        f"Asked for class “{family.target_class}” at guidance {weight:g}{under}, the "
        f"poisoned models draw the {trigger_name(family.trigger)} trigger {listed(shown)} of "
        "poison as often as it occurs among the training images of that label"
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
    weight = family.reported_guidance
    ratios = [ratio for ratio in family.poison_ratios if family.at(ratio, weight)]
    if len(ratios) < 2:
        return ""
    first, last = (_leader(family.at(ratio, weight)) for ratio in (ratios[0], ratios[-1]))
    low, high = ratio_name(ratios[0]), ratio_name(ratios[-1])
    if first == last:
        return f"; at {low} and at {high} alike {first}"
    return f"; at {low} {first}, at {high} {last}"


def _template_matched(family: Family) -> str:
    weight = family.reported_guidance
    measured = [ratio for ratio in family.poison_ratios if family.at(ratio, weight)]
    return template_clause(
        [(f"at {ratio_name(ratio)}", [family.at(ratio, weight)]) for ratio in measured]
    )


def _leader(rows: Sequence[Row]) -> str:
    lead = between_groups(rows, "g1", "g2").estimate
    if lead.low > 0:
        return "most of these images mismatch the prompt (G1)"
    if lead.high < 0:
        return "most of these images match the prompt (G2)"
    return "neither mismatches (G1) nor matches (G2) lead among them"
