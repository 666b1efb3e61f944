"""A ``defense`` study in a few sentences and big numbers, generated from the rows."""

from collections.abc import Sequence

from analysis.old.rows import Row
from analysis.old.verdicts import Verdict, below, tally
from analysis.page.wording import (
    classifier_name,
    counted,
    listed,
    percent,
    points,
    ratio_name,
    titled,
    trigger_name,
)
from orchestrator.studies.defense.claims import judge
from orchestrator.studies.defense.rows import (
    ACCURACY,
    ATTACK,
    FRESH_ATTACK,
    RATES,
    Defended,
    Defense,
    defended,
    rank_correlation,
)

Fact = tuple[str, str]
"""A big number and what it is."""


def sentences(rows: Sequence[Row]) -> list[str]:
    """A sentence a trigger and network, one on G1 and the clean pair, and a tally of the verdicts.

    None when no poisoned point is there.
    """
    found = [subject for subject in defended(rows) if subject.rows]
    if not found:
        return []
    verdicts = [judgment.verdict for judgment in judge(rows)]
    return [
        *(_what_changed(subject) for subject in found),
        *_cost(found),
        *_followed(rows),
        f"Of {counted(len(verdicts), 'verdict')} {tally(verdicts)}.",
    ]


def headline(rows: Sequence[Row]) -> list[Fact]:
    """ASR and TA of the first trigger and network at the lowest and the highest ratio."""
    found = [subject for subject in defended(rows) if any(map(_complete, subject.reported))]
    if not found:
        return []
    subject = found[0]
    complete = [one for one in subject.reported if _complete(one)]
    about = f"{titled(trigger_name(subject.trigger))}, {classifier_name(subject.classifier)}"
    facts = [
        (
            arrow(one, ATTACK),
            f"{about}: attack success at {one.place}, poisoned training set → generations",
        )
        for one in (complete[0], *complete[1:][-1:])
    ]
    facts.append((arrow(complete[0], ACCURACY), f"test accuracy at {complete[0].place}, likewise"))
    clean = subject.at(0.0, complete[0].sampling)
    if _complete(clean):
        facts.append(
            (arrow(clean, ACCURACY), "test accuracy without poison: what generating costs")
        )
    return facts


def arrow(one: Defense, name: str) -> str:
    """TA or ASR from the training set to the generations: "88% → 3%"."""
    before, after = one.before(name), one.after(name)
    assert before
    assert after
    return f"{_rounded(before.value)} → {_rounded(after.value)}"


def _complete(one: Defense) -> bool:
    return all(
        level is not None
        for name in (ACCURACY, ATTACK)
        for level in (one.before(name), one.after(name))
    )


def _what_changed(subject: Defended) -> str:
    """TA and ASR at every ratio, and at how many of them the ASR is clearly lower or higher."""
    name = titled(trigger_name(subject.trigger))
    where = f"{name} (class “{subject.target_class}”), {classifier_name(subject.classifier)}"
    complete = [one for one in subject.reported if _complete(one)]
    if not complete:
        return f"{where}: a classifier of the training set and one of the generations is missing."
    way = complete[0].sampling
    clauses = []
    for rate in (ATTACK, ACCURACY):
        cells = [f"{arrow(one, rate)} at {ratio_name(one.poison_ratio)}" for one in complete]
        clauses.append(f"{RATES[rate]} goes {listed(cells)}")
    changes = [one.change(ATTACK) for one in complete]
    outcomes = [below(change.estimate) for change in changes if change]
    lower, higher = (outcomes.count(kind) for kind in (Verdict.SUPPORTED, Verdict.FAILED))
    return (
        f"{where}: from the poisoned training set to as many generations "
        f"({way.name if way else ''}) {'; '.join(clauses)}; the ASR is clearly lower at {lower} of "
        f"{counted(len(outcomes), 'ratio')} and clearly higher at {higher}{_fresh(complete)}."
    )


def _fresh(complete: Sequence[Defense]) -> str:
    """ASR under a warp that nobody trained on; nothing for triggers without one."""
    seen = [
        f"{arrow(one, FRESH_ATTACK)} at {ratio_name(one.poison_ratio)}"
        for one in complete
        if one.before(FRESH_ATTACK) and one.after(FRESH_ATTACK)
    ]
    return f"; with a warp that nobody trained on it goes {listed(seen)}" if seen else ""


def _cost(found: Sequence[Defended]) -> list[str]:
    """What generating costs in TA without poison, a clause a network."""
    clauses = []
    for network in dict.fromkeys(subject.classifier for subject in found):
        for subject in found:
            way = next(iter(subject.samplings), None)
            change = subject.at(0.0, way).change(ACCURACY)
            if subject.classifier == network and change:
                where = f"the {classifier_name(network)}" if network else "it"
                clauses.append(f"{points(change.estimate)} for {where} ({change.basis})")
                break
    if not clauses:
        return []
    return [f"Generating alone, without poison, changes the test accuracy by {listed(clauses)}."]


def _followed(rows: Sequence[Row]) -> list[str]:
    """How the ASR goes with the share of G1 in the generation set."""
    rank, n = rank_correlation(rows)
    if rank is None:
        return []
    return [
        f"Over {n} classifiers of generations the ASR has a rank correlation (Spearman) of "
        f"{signed(rank)} with the share of mismatching trigger images (G1) in what they were "
        f"trained on."
    ]


def signed(value: float) -> str:
    """A correlation: "+0.83", "−0.20"."""
    return f"{value:+.2f}".replace("-", "−")


def _rounded(share: float) -> str:
    """Whole percent, with a decimal below 10 where it tells."""
    return percent(share) if 0 < share < 0.1 else f"{100 * share:.0f}%"
