"""What a ``defense`` study is held against: section 5 with Tab. 4 and A3, and our own controls.

Adding one: write a function from one trigger's rows of one network to parts, and list it in
``CLAIMS``.  The rules were fixed before any data of this study were seen; thresholds that are ours
are said to be in the rule itself.  Seeds are joined as `detection.rows.level_of` does.
"""

from collections.abc import Callable, Sequence
from typing import Any

from analysis.old.rows import Row
from analysis.old.verdicts import Claim, Judgment, Part, Verdict, above, below, held
from analysis.page.wording import percent_interval, points, ratio_name
from analysis.statistics.comparison import Comparison
from analysis.statistics.intervals import Estimate
from orchestrator.studies.defense.published import LARGEST_DROP, RATIOS
from orchestrator.studies.defense.rows import (
    ACCURACY,
    ATTACK,
    RATES,
    Defended,
    Defense,
    defended,
    minus,
)
from orchestrator.studies.detection.rows import level_of

ROUNDED_DROP = 0.12
"""`LARGEST_DROP` in whole points, rounded up."""
LOWEST = 0.01
"""The poison ratio of the sentence "ASR drops to less than 2% at the poisoning ratio of 1%"."""
LITTLE_ATTACK = 0.02
"""Its 2 %."""
STRONG_RATIO, STRONG_ATTACK = 0.05, 0.9
"""Where the training set's backdoor has to work, and how well: ours, below every cell of Tab. 4."""
CHANCE_MARGIN = 0.05
"""How far an ASR may lie above the clean classifier's and count as chance; ours."""

assert ROUNDED_DROP - 0.01 < LARGEST_DROP <= ROUNDED_DROP


def keeps_accuracy(subject: Defended) -> list[Part]:
    """TA falls by no more than the paper's largest drop, at 1, 2 and 5 %."""
    return _each(subject, RATIOS, _accuracy_kept)


def loses_the_backdoor(subject: Defended) -> list[Part]:
    """ASR of the generations' classifier below the training set's, at 1, 2 and 5 %."""
    return _each(subject, RATIOS, _attack_lowered)


def little_attack_at_one_percent(subject: Defended) -> list[Part]:
    """ASR of the generations' classifier below 2 % at 1 %."""
    return _each(subject, (LOWEST,), _attack_small)


def backdoor_was_there(subject: Defended) -> list[Part]:
    """ASR of the training set's classifier above 0.9 at 5 %."""
    training = subject.at(STRONG_RATIO, None).training
    rate = level_of(training, ATTACK)
    if rate is None:
        return [_missing(STRONG_RATIO, training, "the training set")]
    evidence = f"p = {ratio_name(STRONG_RATIO)}: ASR {_said(rate)}."
    return [Part(above(rate.estimate, STRONG_ATTACK), evidence)]


def corrected_is_at_chance(subject: Defended) -> list[Part]:
    """ASR of the corrected training set's classifier near the clean one's, at each ratio."""
    if subject.trigger == "clean_label":
        return []
    clean = subject.at(0.0, None).training
    if not clean:
        return [Part(Verdict.NOT_TESTED, "The clean training set (p = 0) was not measured.")]
    parts = []
    for ratio in subject.poison_ratios:
        corrected = subject.at(ratio, None).corrected
        excess = minus(corrected, clean, ATTACK)
        rates = [level_of(rows, ATTACK) for rows in (corrected, clean)]
        if excess is None or rates[0] is None or rates[1] is None:
            parts.append(_missing(ratio, corrected, "the corrected training set"))
            continue
        evidence = (
            f"p = {ratio_name(ratio)}: ASR {_said(rates[0])}, the clean classifier's "
            f"{percent_interval(rates[1].estimate)}; the difference is {points(excess.estimate)}."
        )
        parts.append(Part(below(excess.estimate, CHANCE_MARGIN), evidence))
    return parts


def generating_costs_accuracy(subject: Defended) -> list[Part]:
    """TA of the clean model's generations below the clean training set's."""
    return _each(subject, (0.0,), _cost)


def _each(
    subject: Defended, ratios: Sequence[float], test: Callable[[Defense], Part | None]
) -> list[Part]:
    """A part a ratio and way of generating, the ways named where there are several."""
    ways = subject.ways
    parts = []
    for ratio in ratios:
        for way in ways:
            one = subject.at(ratio, way)
            where = f"{one.place}, {way.name}" if way and len(ways) > 1 else one.place
            part = test(one)
            if part is None:
                parts.append(_missing(ratio, one.generation, "the generations", where))
            else:
                parts.append(Part(part.verdict, f"{where}: {part.evidence}."))
    return parts


def _accuracy_kept(one: Defense) -> Part | None:
    return _changed(one, ACCURACY, lambda change: above(change, -ROUNDED_DROP))


def _attack_lowered(one: Defense) -> Part | None:
    return _changed(one, ATTACK, below)


def _cost(one: Defense) -> Part | None:
    return _changed(one, ACCURACY, below)


def _attack_small(one: Defense) -> Part | None:
    rate = level_of(one.generation, ATTACK)
    if rate is None:
        return None
    return Part(below(rate.estimate, LITTLE_ATTACK), f"ASR {_said(rate)}")


def _changed(one: Defense, name: str, rule: Callable[[Estimate], Verdict]) -> Part | None:
    """What a rule says of the change of TA or ASR; None where there is no change."""
    change = one.change(name)
    if change is None:
        return None
    levels = [level for level in (one.before(name), one.after(name)) if level]
    evidence = (
        f"{RATES[name]} {' → '.join(map(percent_interval, levels))}; the change is "
        f"{points(change.estimate)} ({change.basis})"
    )
    return Part(rule(change.estimate), evidence)


def _said(rate: Comparison) -> str:
    return f"{percent_interval(rate.estimate)} ({rate.basis})"


def _missing(ratio: float, rows: Sequence[Row], words: str, where: str = "") -> Part:
    """Rows that are not there, or that lack the number."""
    why = f"{words} gave no such number" if rows else f"{words} was not measured"
    if words.endswith("generations"):
        why = why.replace("was not", "were not")
    return Part(Verdict.NOT_TESTED, f"{where or f'p = {ratio_name(ratio)}'}: {why}.")


EXTENSION = (
    "The paper has BadNets-1, BadNets-2 and WaNet, and ResNet-50, VGG-16 and DenseNet-121; "
    "anything else is our extension."
)

CLAIMS: tuple[Claim[Defended], ...] = (
    Claim(
        name="loses-the-backdoor",
        statement="At low poison ratios the backdoor of a classifier that is trained on the "
        "generations works less often than that of one trained on the poisoned training set.",
        source="§5, Tab. 4 and A3",
        rule="At p = 1%, 2% and 5%, and however the images were generated, the whole 95% interval "
        f"of the ASR's change lies below 0. {EXTENSION}",
        test=loses_the_backdoor,
    ),
    Claim(
        name="less-than-two-percent",
        statement="The ASR drops to less than 2% at p = 1%.",
        source="§5, Tab. 4",
        rule="At p = 1%, however the images were generated, the whole 95% interval of the "
        "generations' ASR lies below 2%. (In the paper's own table this holds for ImageNette and "
        "for BadNets-1 on Caltech15; there BadNets-2 has 42.3% and WaNet 30.5%.)",
        test=little_attack_at_one_percent,
    ),
    Claim(
        name="keeps-its-accuracy",
        statement="There is only “a slight drop” in test accuracy: by 2.3 to 11.2 points in the "
        "paper's tables.",
        source="§5, Tab. 4 and A3",
        rule="At p = 1%, 2% and 5%, and however the images were generated, the whole 95% interval "
        "of the TA's change lies above −12 points: the largest drop that the paper prints, 11.2, "
        "rounded up.",
        test=keeps_accuracy,
    ),
    Claim(
        name="backdoor-was-there",
        statement="There is a backdoor to lose: that of the poisoned training set's classifier "
        "works.",
        source="Tab. 4",
        rule="At p = 5% the whole 95% interval of the training set's ASR lies above 90% (the "
        "threshold is ours; every cell of Tab. 4 lies above 95%).",
        test=backdoor_was_there,
    ),
    Claim(
        name="corrected-is-at-chance",
        statement="Labels make the backdoor: with its poisoned images labelled right, the training "
        "set gives a classifier that takes a stamped image for the target class no more often "
        "than a clean classifier does.",
        source="Our control, not a figure of the paper",
        rule="At every poison ratio measured the whole 95% interval of the ASR minus the clean "
        "classifier's lies below 5 points (the margin is ours).",
        test=corrected_is_at_chance,
    ),
    Claim(
        name="generating-costs-accuracy",
        statement="Generating alone costs test accuracy, without any poison.",
        source="Our control, not a figure of the paper",
        rule="At p = 0, however the images were generated, the whole 95% interval of the TA's "
        "change, from the clean training set to a clean model's generations, lies below 0.",
        test=generating_costs_accuracy,
    ),
)
"""Every claim that is held against a trigger and a network, in the order of the page."""


def judge(rows: Sequence[Row]) -> tuple[Judgment[Any], ...]:
    """Hold every claim against every trigger, target class and network."""
    return held(defended(rows), CLAIMS)
