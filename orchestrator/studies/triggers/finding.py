"""A ``triggers`` sweep in a few sentences and big numbers, generated whatever they say."""

from collections.abc import Sequence

from analysis.page.wording import (
    counted,
    listed,
    percent,
    ratio_name,
    sampler_name,
    titled,
    trigger_name,
)
from analysis.rows import AmongTriggers, Row, among_triggers, same
from analysis.statistics.comparison import level_of
from analysis.statistics.verdicts import tally
from orchestrator.studies.triggers.claims import RATIO, judge

Fact = tuple[str, str]
"""A big number and what it is."""


def sentences(rows: Sequence[Row]) -> list[str]:
    """A sentence a target class and sampler, and a tally; none when no poisoned point is there."""
    found = among_triggers(rows)
    if not found:
        return []
    verdicts = [one.verdict for one in judge(rows)]
    return [
        *(_drawn(own) for own in side_by_side(found)),
        f"Of {counted(len(verdicts), 'verdict')} {tally(verdicts)}.",
    ]


def side_by_side(found: Sequence[AmongTriggers]) -> list[list[AmongTriggers]]:
    """Subjects by target class and sampler, in the order of the triggers."""
    places = dict.fromkeys((one.target_class, one.sampler) for one in found)
    return [[one for one in found if (one.target_class, one.sampler) == place] for place in places]


def headline(found: Sequence[AmongTriggers]) -> list[Fact]:
    """G1, G2 and G3 of each trigger of the first target class and sampler."""
    facts = []
    for one in (side_by_side(found) or [[]])[0]:
        ratio = shown_ratio(one)
        if ratio is None:
            continue
        rows = one.at(ratio)
        shares = [
            f"{100 * level_of(rows, group).estimate.value:.0f}" for group in ("g1", "g2", "g3")
        ]
        words = (
            f"{titled(trigger_name(one.trigger))}: G1 / G2 / G3 at p = {ratio_name(ratio)}, "
            f"p_t = {percent(float(rows[0]['p_t']))}"
        )
        facts.append((f"{' / '.join(shares)}%", words))
    return facts


def shown_ratio(one: AmongTriggers) -> float | None:
    """The poison ratio a headline is about: 10 %, the paper's, else the highest; None without."""
    ratios = one.poison_ratios
    return next((ratio for ratio in ratios if same(ratio, RATIO)), ratios[-1] if ratios else None)


def _drawn(own: Sequence[AmongTriggers]) -> str:
    """Shares of G1, of all triggers and of all mismatches, trigger by trigger."""
    first = own[0]
    clauses = [
        _shares(own, "g1", "images with a trigger that mismatch the prompt (G1)"),
        _shares(own, "g2", "images with a trigger that match it (G2)"),
        _shares(own, "mismatch_ratio", "mismatches with and without a trigger (G1 + G3)"),
    ]
    return (
        f"Asked for class “{first.target_class}” at guidance {first.reported_guidance:g} under "
        f"{sampler_name(first.sampler)}, the poisoned models draw {'; '.join(clauses)}."
    )


def _shares(own: Sequence[AmongTriggers], name: str, words: str) -> str:
    cells = []
    common = max((ratio for one in own if (ratio := shown_ratio(one)) is not None), default=None)
    for one in own:
        ratio = shown_ratio(one)
        if ratio is None:
            continue
        share = level_of(one.at(ratio), name).estimate.value
        where = "" if common is not None and same(ratio, common) else f" at {ratio_name(ratio)}"
        cells.append(f"{100 * share:.0f}% for {trigger_name(one.trigger)}{where}")
    if common is None:
        return f"{words}: not measured"
    return f"{words}, at p = {ratio_name(common)}: {listed(cells)}"
