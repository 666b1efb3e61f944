"""The paper's claims that a sweep of ``defense`` can test: section 5, Tab. 4 and A3."""

from functools import partial
from itertools import product
from typing import Any

from analysis.claims import Claim, Subject
from analysis.evidence import PartOf, Rule, Test, no_control, not_measured
from analysis.names import place
from analysis.page.pairs import at_way, ways
from analysis.rows import Rows, groups, poisoned, select
from analysis.statistics.comparison import Comparison, between_models, bounded
from analysis.statistics.verdicts import Part, above, below
from analysis.wording import percent_interval, points

TA, ASR, FRESH_ASR = "test_accuracy", "attack_success_rate", "fresh_attack_success_rate"
"""The columns of the rates; the last one, with a warp nobody trained on, is of WaNet only."""
RATES = {TA: "TA", ASR: "ASR", FRESH_ASR: "ASR, fresh warp"}
"""What pages call them.  ``<rate>_change`` is of the same seed: generations minus training set."""
PAPER_RATIOS = (0.01, 0.02, 0.05)
"""The poison ratios of both tables."""
LARGEST_DROP = 0.12
STRONG_ATTACK = 0.9
CHANCE_MARGIN = 0.05


def level(rows: Rows, column: str, **where: Any) -> Comparison | None:
    """A rate, or the change of one, over the seeds of a point; None if no seed has it."""
    return bounded(select(rows, **where), column, -1 if column.endswith("_change") else 0)


def each(part: PartOf, *ratios: float, generated: bool = True) -> Test:
    """A test with one part for each poison ratio, and for each way of generating."""

    def test(subject: Subject) -> list[Part]:
        found = ways(subject.rows) if generated else []
        parts = []
        for ratio, way in product(ratios, found or [{}]):
            rows = at_way(select(subject.rows, poison_ratio=ratio), way)
            parts.append(part(rows, place(poison_ratio=ratio, **(way if len(found) > 1 else {}))))
        return parts

    return test


def changed(rate: str, rule: Rule) -> PartOf:
    """Whether the change from the training set to the generations follows a rule."""

    def part(rows: Rows, where: str) -> Part:
        change = level(rows, f"{rate}_change", image_set="generation")
        if change is None:
            return not_measured(f"{where}, generations")
        levels = [level(rows, rate, image_set=one) for one in ("training", "generation")]
        said = " → ".join(percent_interval(one.estimate) for one in levels if one)
        evidence = f"{where}: {RATES[rate]} {said}; the change is {points(change.estimate)}"
        return Part(rule(change.estimate), f"{evidence} ({change.basis}).")

    return part


def attack(image_set: str, rule: Rule) -> PartOf:
    """Whether the ASR of the classifiers of one kind of images follows a rule."""

    def part(rows: Rows, where: str) -> Part:
        rate = level(rows, ASR, image_set=image_set)
        if rate is None:
            return not_measured(f"{where}, {place(image_set=image_set)}")
        said = f"{where}: ASR {percent_interval(rate.estimate)} ({rate.basis})."
        return Part(rule(rate.estimate), said)

    return part


def corrected_is_at_chance(subject: Subject) -> list[Part]:
    """The ASR of each corrected training set's classifier near the clean one's."""
    if subject.at["judge_trigger"] == "clean_label":  # labelled right as it is
        return []
    clean = select(subject.rows, image_set="training", poison_ratio=0.0)
    if clean.empty:
        return [no_control()]
    return [
        _at_chance(select(rows, image_set="corrected"), clean, place(**at))
        for at, rows in groups(poisoned(subject.rows), "poison_ratio")
    ]


def _at_chance(corrected: Rows, clean: Rows, where: str) -> Part:
    own, control = level(corrected, ASR), level(clean, ASR)
    excess = between_models(corrected, clean, "attack_count", "attack_n")
    if not (own and control and excess):
        return not_measured(f"{where}, corrected training set")
    said, clean_said = map(percent_interval, (own.estimate, control.estimate))
    evidence = f"{where}: ASR {said}, the clean classifier's {clean_said}; the difference"
    evidence += f" is {points(excess.estimate)} ({excess.basis})."
    return Part(below(excess.estimate, CHANCE_MARGIN), evidence)


_claim = partial(Claim, by=("judge_trigger", "target_class", "classifier"))
_generated = {"source": ("Tab. 4", "Tab. A3"), "image_set": "generation"}


CLAIMS = (
    _claim(
        name="loses-the-backdoor",
        statement="At low poison ratios the backdoor of a classifier that is trained on the "
        "generations works less often than that of one trained on the poisoned training set.",
        source="§5, Tab. 4 and A3",
        rule="At p = 1%, 2% and 5%, and however the images were generated, the whole 95% interval "
        "of the ASR's change lies below 0. The paper has BadNets-1, BadNets-2 and WaNet, and "
        "ResNet-50, VGG-16 and DenseNet-121; anything else is our extension.",
        printed={"metrics": (ASR,), **_generated},
        test=each(changed(ASR, below), *PAPER_RATIOS),
    ),
    _claim(
        name="less-than-two-percent",
        statement="The ASR drops to less than 2% at p = 1%.",
        source="§5, Tab. 4",
        rule="At p = 1%, however the images were generated, the whole 95% interval of the "
        "generations' ASR lies below 2%. (In the paper's own table this holds for ImageNette and "
        "for BadNets-1 on Caltech15; there BadNets-2 has 42.3% and WaNet 30.5%.)",
        printed={"metrics": (ASR,), **_generated, "source": "Tab. 4", "poison_ratio": 0.01},
        test=each(attack("generation", partial(below, threshold=0.02)), 0.01),
    ),
    _claim(
        name="keeps-its-accuracy",
        statement="There is only “a slight drop” in test accuracy: by 2.3 to 11.2 points in the "
        "paper's tables.",
        source="§5, Tab. 4 and A3",
        rule="At p = 1%, 2% and 5%, and however the images were generated, the whole 95% interval "
        "of the TA's change lies above −12 points: the largest drop that the paper prints, 11.2, "
        "rounded up.",
        printed={"metrics": (TA,), **_generated},
        test=each(changed(TA, partial(above, threshold=-LARGEST_DROP)), *PAPER_RATIOS),
    ),
    _claim(
        name="backdoor-was-there",
        statement="There is a backdoor to lose: that of the poisoned training set's classifier "
        "works.",
        source="Tab. 4",
        rule="At p = 5% the whole 95% interval of the training set's ASR lies above 90% (the "
        "threshold is ours; every cell of Tab. 4 lies above 95%).",
        printed={
            "metrics": (ASR,),
            "source": "Tab. 4",
            "image_set": "training",
            "poison_ratio": 0.05,
        },
        test=each(
            attack("training", partial(above, threshold=STRONG_ATTACK)), 0.05, generated=False
        ),
    ),
    _claim(
        name="corrected-is-at-chance",
        statement="Labels make the backdoor: with its poisoned images labelled right, the training "
        "set gives a classifier that takes a stamped image for the target class no more often "
        "than a clean classifier does.",
        source="Our control, not a figure of the paper",
        rule="At every poison ratio measured the whole 95% interval of the ASR minus the clean "
        "classifier's lies below 5 points (the margin is ours).",
        test=corrected_is_at_chance,
    ),
    _claim(
        name="generating-costs-accuracy",
        statement="Generating alone costs test accuracy, without any poison.",
        source="Our control, not a figure of the paper",
        rule="At p = 0, however the images were generated, the whole 95% interval of the TA's "
        "change, from the clean training set to a clean model's generations, lies below 0.",
        test=each(changed(TA, below), 0.0),
    ),
)
