"""What the paper says about the diffusion model as a classifier, each claim with its rule.

A row is a diffusion model at a filter ratio: ``X_change`` compares it with no filter,
``X_difference`` with the ordinary classifier of the training set, whose number is ``classifier_X``.
"""

from functools import partial

from analysis.claims import Claim, Subject
from analysis.evidence import CLEAN, EVERY, PartOf, Rule, each, not_measured, stamped
from analysis.names import name, place
from analysis.rows import Rows, groups, has, records, select, values
from analysis.statistics.comparison import Comparison, bounded
from analysis.statistics.intervals import difference
from analysis.statistics.verdicts import Part, above, below, together
from analysis.wording import counted, percent, percent_interval, points

ACCURACY, ATTACK = "test_accuracy", "attack_success_rate"
"""Columns of TA and ASR."""
RATES = {ATTACK: "ASR", ACCURACY: "TA"}
"""What pages call them."""
BY_SIZE = ("judge_trigger", "trigger_pixels", "target_class", "noise_model")
BY_TRIGGER = ("judge_trigger", "target_class", "noise_model")

PRESENT = 0.1
LARGEST_DROP = 0.04
HIGHEST = 0.1
"""The highest filter ratio of Tab. 5."""
NO_HELP = 0.1


def level(rows: Rows, column: str, filter_ratio: float | None = 0.0) -> Comparison | None:
    """A rate, a change or a share over the seeds of a model; None if undefined.

    Args:
        rows: Of the model.
        column: Has bounds in ``<column>_low`` and ``<column>_high``.
        filter_ratio: Of the rows that count; 0 is no filter, None counts all.
    """
    own = rows if filter_ratio is None else select(rows, filter_ratio=filter_ratio)
    return bounded(own, column, -1 if column.endswith(("_change", "_difference")) else 0)


def is_patch(rows: Rows) -> bool:
    """Whether the trigger covers a part of the image only."""
    return has(rows, "trigger_pixels")


def filters(rows: Rows) -> list[float]:
    """The filter ratios that drop anything, ascending."""
    return [ratio for ratio in values(rows, "filter_ratio") if ratio > 0]


def dropped(rows: Rows, filter_ratio: float) -> int:
    """How many values of an image a filter drops."""
    return int(values(select(rows, filter_ratio=filter_ratio), "dropped")[0])


def area(rows: Rows) -> tuple[float, int]:
    """The share of an image that a patch covers, and how many of its values that is."""
    row = records(rows)[0]
    share = row["trigger_pixels"] / row["image_pixels"]
    return share, round(share * row["values"])


def present(rows: Rows, others: Rows, where: str) -> Part:
    """Whether the ASR without a filter is above a clean model's."""
    attack, clean = level(rows, ATTACK), level(others, ATTACK)
    if attack is None:
        return not_measured(f"{where} without a filter")
    evidence = f"{where}: ASR {percent_interval(attack.estimate)} ({attack.basis})"
    if clean is None:
        evidence += "; no clean model was attacked with this trigger, so the threshold is "
        return Part(above(attack.estimate, PRESENT), f"{evidence}{percent(PRESENT)}.")
    excess = difference(attack.estimate, clean.estimate)
    evidence += f", the clean model's {percent_interval(clean.estimate)} ({clean.basis})"
    return Part(above(excess), f"{evidence}; the difference is {points(excess)}.")


def below_classifier(rows: Rows, where: str) -> Part:
    """Whether the ASR without a filter is below the ordinary classifier's."""
    attack, other = level(rows, ATTACK), level(rows, f"classifier_{ATTACK}")
    apart = level(rows, f"{ATTACK}_difference")
    if attack is None or other is None or apart is None:
        return not_measured(f"{where} without a filter")
    network = name("classifier", values(rows, "classifier")[0])
    return Part(
        below(apart.estimate),
        f"{where}: ASR {percent_interval(attack.estimate)}, the {network}'s "
        f"{percent_interval(other.estimate)}; the difference is {points(apart.estimate)} "
        f"({apart.basis}).",
    )


def filtered(rate: str, rule: Rule, highest: float = 1.0) -> PartOf:
    """Whether the change of TA or ASR by every filter, up to a filter ratio, follows a rule."""

    def part(rows: Rows, where: str) -> Part:
        start = level(rows, rate)
        ratios = [ratio for ratio in filters(rows) if ratio <= highest * (1 + 1e-9)]
        changes = [level(rows, f"{rate}_change", ratio) for ratio in ratios]
        found = [change for change in changes if change]
        if start is None or not found or len(found) < len(ratios):
            return not_measured(f"{where} with and without a filter")
        said = [
            f"{points(change.estimate)} at {name('filter_ratio', ratio)}"
            for ratio, change in zip(ratios, found, strict=True)
        ]
        # Intervals have commas: semicolons keep the changes apart.
        evidence = (
            f"{where}: {RATES[rate]} {percent_interval(start.estimate)} without a filter; "
            f"{'; '.join(said)} ({found[0].basis})."
        )
        return Part(together([Part(rule(change.estimate), "") for change in found]), evidence)

    return part


def losses_on_the_trigger(subject: Subject) -> list[Part]:
    """The dropped values lie on the trigger more than its area and the target class explain."""
    if not is_patch(subject.rows):
        return []
    rows = stamped(subject)
    dropping = groups(select(rows, filter_ratio=filters(rows)), "poison_ratio", "filter_ratio")
    parts = [_on_trigger(own, place(**at)) for at, own in dropping]
    return parts or [not_measured("A filter")]


def _on_trigger(rows: Rows, where: str) -> Part:
    found = [level(rows, f"on_trigger_{which}", None) for which in ("true", "target", "difference")]
    own, target, apart = found
    if own is None or target is None or apart is None:
        return not_measured(where)
    share, _ = area(rows)
    return Part(
        together([Part(above(own.estimate, share), ""), Part(above(apart.estimate), "")]),
        f"{where}: {percent_interval(own.estimate)} on the trigger under the image's own class, "
        f"{percent_interval(target.estimate)} under the target class, of an area of "
        f"{percent(share)}; own minus target is {points(apart.estimate)} ({apart.basis}).",
    )


def must_cover_the_trigger(subject: Subject) -> list[Part]:
    """The ASR falls more for a size that a filter can cover than for one that it cannot."""
    parts: list[Part] = []
    for at, rows in groups(stamped(subject), "poison_ratio"):
        sizes = [own for pixels, own in groups(rows, "trigger_pixels") if pixels["trigger_pixels"]]
        if len(sizes) > 1:
            parts += _between(sizes[0], sizes[-1], place(**at))
    return parts


def _between(small: Rows, large: Rows, where: str) -> list[Part]:
    """A part for each filter that covers the smallest size and not the largest."""
    (_, fewest), (_, most) = area(small), area(large)
    drop = {ratio: dropped(small, ratio) for ratio in filters(small) if ratio in filters(large)}
    parts = [
        _covered(small, large, ratio, f"{where}, filter of {counted(count, 'value')}")
        for ratio, count in drop.items()
        if fewest <= count < most
    ]
    return parts or [not_measured(f"{where}, a filter of {fewest} to {most - 1} values")]


def _covered(small: Rows, large: Rows, ratio: float, where: str) -> Part:
    first, second = (level(rows, f"{ATTACK}_change", ratio) for rows in (small, large))
    if first is None or second is None:
        return not_measured(where)
    apart = difference(first.estimate, second.estimate)
    return Part(
        below(apart),
        f"{where}: the ASR changes by {points(first.estimate)} for the smallest trigger and by "
        f"{points(second.estimate)} for the largest; the difference is {points(apart)} "
        f"({first.basis}).",
    )


_claim = partial(Claim, by=BY_SIZE)
_at_each_ratio = partial(each, poison_ratio=EVERY)

CLAIMS = (
    _claim(
        name="attack-is-present",
        statement="A poisoned diffusion model that is used as a classifier is attacked too.",
        source="§5, Tab. 5, first insight",
        rule="At every poison ratio measured, without a filter, the whole 95% interval of the "
        "ASR minus the clean model's (p = 0, same trigger stamped on the test images) lies above "
        "0; where no clean model was attacked with this trigger, that of the ASR above 10% (the "
        "threshold is ours).",
        printed={"metrics": (ATTACK,), "source": "Tab. 5", "filter_ratio": 0.0},
        test=_at_each_ratio(present, beside=CLEAN),
    ),
    _claim(
        name="more-robust",
        statement="The diffusion classifier resists better than an ordinary classifier of the "
        "same poisoned training set: its ASR is lower.",
        source="§5, Tab. 5, second insight",
        rule="At every poison ratio measured the whole 95% interval of the unfiltered diffusion "
        "classifier's ASR minus the ordinary classifier's, on the same test images, lies below 0.",
        printed={
            "metrics": (ATTACK, f"classifier_{ATTACK}"),
            "source": "Tab. 5",
            "filter_ratio": (None, 0.0),
        },
        test=_at_each_ratio(below_classifier),
    ),
    _claim(
        name="filtering-lowers-the-attack",
        statement="Dropping the highest denoising losses lowers the ASR further.",
        source="§5, Tab. 5, third insight",
        rule="At every poison ratio and every filter ratio above 0 that was measured, the whole "
        "95% interval of the change of the ASR against no filter lies below 0. (That each filter "
        "does better than the one before is shown and not claimed.) Triggers that are a patch, as "
        "the paper's is.",
        printed={"metrics": (ATTACK,), "source": "Tab. 5", "filter_ratio": (0.01, 0.05, 0.1)},
        test=_at_each_ratio(filtered(ATTACK, below), of=is_patch),
    ),
    _claim(
        name="without-much-drop",
        statement="Test accuracy suffers little: by at most 3.8 points in the paper's table.",
        source="Tab. 5, caption",
        rule="At every poison ratio and every filter ratio up to 10% that was measured, the whole "
        "95% interval of the change of the TA against no filter lies above −4 points: the largest "
        "drop that the paper prints, 3.84, rounded up.",
        printed={"metrics": (ACCURACY,), "source": "Tab. 5"},
        test=_at_each_ratio(
            filtered(ACCURACY, lambda change: above(change, -LARGEST_DROP), highest=HIGHEST)
        ),
    ),
    _claim(
        name="losses-on-the-trigger",
        statement="Filtering works because under a class that is not the target the losses on the "
        "trigger are high.",
        source="§5, after Tab. 5",
        rule="At every poison ratio and every filter ratio above 0 that was measured: of the "
        "values dropped of a triggered image under its own class, the share on the trigger is "
        "above the trigger's share of the image, and above the share under the target class, both "
        "by whole 95% intervals. The measure is ours; the paper shows none.",
        test=losses_on_the_trigger,
    ),
    _claim(
        name="not-against-a-blend",
        statement="By that explanation filtering does not help against a trigger that covers the "
        "whole image.",
        source="Our control, not a figure of the paper",
        rule="At every poison ratio and every filter ratio above 0 that was measured, the whole "
        "95% interval of the change of the ASR against no filter lies above −10 points (the "
        "margin is ours). Triggers that are no patch.",
        test=_at_each_ratio(
            filtered(ATTACK, lambda change: above(change, -NO_HELP)),
            of=lambda rows: not is_patch(rows),
        ),
    ),
    Claim(
        name="must-cover-the-trigger",
        statement="By the same explanation a filter that drops fewer values than the trigger has "
        "helps less.",
        source="Our extension, not a figure of the paper",
        rule="At every poison ratio, and every filter ratio that drops at least as many values as "
        "the smallest trigger has and fewer than the largest has, the whole 95% interval of the "
        "ASR's change for the smallest minus its change for the largest lies below 0 (two models, "
        "counted as independent).",
        test=must_cover_the_trigger,
        by=BY_TRIGGER,
    ),
)
