"""What a ``diffusion_classifier`` study is held against: section 5 with Tab. 5, and our controls.

Adding one: write a function from the rows that it is about to parts, and list it in ``CLAIMS`` (one
trigger and noise model) or ``AREA_CLAIMS`` (one trigger in several sizes).  The rules were fixed
before any data of this study were seen; thresholds that are ours are said to be in the rule itself.
Seeds are joined as `orchestrator.studies.detection.rows.level_of` does.
"""

from collections.abc import Callable, Sequence
from typing import Any

from analysis.old.rows import Row
from analysis.old.verdicts import (
    Claim,
    Judgment,
    Part,
    Verdict,
    above,
    below,
    held,
    together,
)
from analysis.page.wording import (
    classifier_name,
    counted,
    percent,
    percent_interval,
    points,
    ratio_name,
    stamp_name,
)
from analysis.statistics.comparison import Comparison
from analysis.statistics.intervals import Estimate, difference
from orchestrator.studies.diffusion_classifier.published import LARGEST_DROP
from orchestrator.studies.diffusion_classifier.rows import (
    ACCURACY,
    ATTACK,
    ON_TARGET,
    ON_TRUE,
    RATES,
    Areas,
    Classified,
    Point,
    above_clean,
    areas,
    classified,
    own_above_target,
)

PRESENT = 0.1
"""ASR above which an attack is there when no clean model was measured; ours."""
ROUNDED_DROP = 0.04
"""`LARGEST_DROP` in whole points, rounded up."""
HIGHEST = 0.1
"""The highest filter ratio of Tab. 5."""
NO_HELP = 0.1
"""An ASR that falls by less than this has not been helped against; ours."""

assert ROUNDED_DROP - 0.01 < LARGEST_DROP <= ROUNDED_DROP


def attack_is_present(subject: Classified) -> list[Part]:
    """ASR of the unfiltered diffusion classifier above a clean model's, at each poison ratio."""
    return [_present(point, subject.at(0.0)) for point in subject.points]


def more_robust_than_the_classifier(subject: Classified) -> list[Part]:
    """ASR of the unfiltered diffusion classifier below the ordinary one's, at each ratio."""
    return [_below_classifier(point) for point in subject.points]


def attack_falls(subject: Classified) -> list[Part]:
    """ASR at every filter ratio below that without a filter; of triggers that are a patch."""
    if subject.trigger_pixels is None:
        return []
    return [_filtered(point, ATTACK, point.filters, below) for point in subject.points]


def accuracy_is_kept(subject: Classified) -> list[Part]:
    """TA falls by no more than in Tab. 5, at every filter ratio that it has."""
    return [
        _filtered(
            point,
            ACCURACY,
            [ratio for ratio in point.filters if ratio <= HIGHEST * (1 + 1e-9)],
            lambda change: above(change, -ROUNDED_DROP),
        )
        for point in subject.points
    ]


def losses_are_on_the_trigger(subject: Classified) -> list[Part]:
    """Under an image's own class more dropped values lie on the trigger than chance would put."""
    if subject.trigger_pixels is None or not subject.points:
        return []
    return [_on_trigger(point, ratio) for point in subject.points for ratio in point.filters] or [
        Part(Verdict.NOT_TESTED, "No filter that drops anything was measured.")
    ]


def filtering_does_not_help_against_a_spread_trigger(subject: Classified) -> list[Part]:
    """ASR hardly falls; of triggers that are no patch."""
    if subject.trigger_pixels is not None:
        return []
    return [
        _filtered(point, ATTACK, point.filters, lambda change: above(change, -NO_HELP))
        for point in subject.points
    ]


def a_filter_must_cover_the_trigger(subject: Areas) -> list[Part]:
    """The ASR falls more for a trigger that the filter can cover than for one that it cannot."""
    parts = []
    for ratio in subject.poison_ratios:
        sizes = subject.at(ratio)
        small, large = sizes[0], sizes[-1]
        between = [
            one
            for one in small.filters
            if one in large.filters
            and (small.trigger_values or 0) <= small.dropped(one) < (large.trigger_values or 0)
        ]
        parts += [_covered(small, large, one) for one in between]
        if not between:
            parts.append(
                Part(
                    Verdict.NOT_TESTED,
                    f"p = {ratio_name(ratio)}: no filter measured drops as many values as the "
                    "smallest trigger has and fewer than the largest has.",
                )
            )
    return parts


def _present(point: Point, clean: Point) -> Part:
    attack = point.level(ATTACK)
    if attack is None:
        return _unmeasured(point)
    evidence = f"{point.place}: ASR {_said(attack)}"
    excess = above_clean(point, clean)
    if excess is None:
        return Part(
            above(attack.estimate, PRESENT),
            f"{evidence}; no clean model was attacked with this trigger, so it is held against "
            f"{percent(PRESENT)}.",
        )
    other = clean.level(ATTACK)
    assert other
    evidence += f", the clean model's {_said(other)}; the difference is {points(excess.estimate)}."
    return Part(above(excess.estimate), evidence)


def _below_classifier(point: Point) -> Part:
    attack, other = point.level(ATTACK), point.beside(ATTACK)
    apart = point.level(f"{ATTACK}_difference")
    if attack is None or other is None or apart is None:
        return _unmeasured(point)
    network = classifier_name(str(point.rows[0]["classifier"]))
    return Part(
        below(apart.estimate),
        f"{point.place}: ASR {percent_interval(attack.estimate)}, the {network}'s "
        f"{percent_interval(other.estimate)}; the difference is {points(apart.estimate)} "
        f"({apart.basis}).",
    )


def _filtered(
    point: Point, name: str, ratios: Sequence[float], rule: Callable[[Estimate], Verdict]
) -> Part:
    """What a rule says of the changes at some filter ratios, one part for all of them."""
    start = point.level(name)
    changes = [(ratio, point.level(f"{name}_change", ratio)) for ratio in ratios]
    found = [(ratio, change) for ratio, change in changes if change]
    if start is None or not found or len(found) < len(changes):
        return Part(
            Verdict.NOT_TESTED,
            f"{point.place}: a change against the unfiltered diffusion classifier is missing.",
        )
    word = RATES[name]
    cells = [f"{points(change.estimate)} at {ratio_name(ratio)}" for ratio, change in found]
    # Each with its interval, which has a comma: semicolons keep them apart.
    evidence = (
        f"{point.place}: {word} {percent_interval(start.estimate)} without a filter; "
        f"{'; '.join(cells)} ({found[0][1].basis})."
    )
    return Part(together([Part(rule(change.estimate), "") for _, change in found]), evidence)


def _on_trigger(point: Point, ratio: float) -> Part:
    where = f"{point.place}, {ratio_name(ratio)} dropped"
    own, target = point.level(ON_TRUE, ratio), point.level(ON_TARGET, ratio)
    apart, area = own_above_target(point, ratio), point.area
    if own is None or target is None or apart is None or area is None:
        return Part(Verdict.NOT_TESTED, f"{where}: no share on the trigger was measured.")
    decided = together([Part(above(own.estimate, area), ""), Part(above(apart.estimate), "")])
    return Part(
        decided,
        f"{where}: {percent_interval(own.estimate)} on the trigger under the image's own class, "
        f"{percent_interval(target.estimate)} under the target class, where the area alone gives "
        f"{percent(area)}; own minus target is {points(apart.estimate)} ({apart.basis}).",
    )


def _covered(small: Point, large: Point, ratio: float) -> Part:
    dropped = small.dropped(ratio)
    where = f"{small.place}, {ratio_name(ratio)} ({counted(dropped, 'value')}) dropped"
    changes = [one.level(f"{ATTACK}_change", ratio) for one in (small, large)]
    first, second = changes
    if first is None or second is None:
        return Part(Verdict.NOT_TESTED, f"{where}: a change of the ASR is missing.")
    apart = difference(first.estimate, second.estimate)
    said = [
        f"{points(change.estimate)} for the {stamp_name(one.trigger, one.trigger_pixels)}"
        for one, change in ((small, first), (large, second))
    ]
    return Part(
        below(apart),
        f"{where}: the ASR changes by {' and by '.join(said)}; the difference is {points(apart)} "
        f"({first.basis}).",
    )


def _said(rate: Comparison) -> str:
    return f"{percent_interval(rate.estimate)} ({rate.basis})"


def _unmeasured(point: Point) -> Part:
    why = f"{point.place}: the unfiltered diffusion classifier gave no such number."
    return Part(Verdict.NOT_TESTED, why)


CLAIMS: tuple[Claim[Classified], ...] = (
    Claim(
        name="attack-is-present",
        statement="A poisoned diffusion model that is used as a classifier is attacked too.",
        source="§5, Tab. 5, first insight",
        rule="At every poison ratio measured, without a filter, the whole 95% interval of the "
        "ASR minus the clean model's (p = 0, same trigger stamped on the test images) lies above "
        "0; where no clean model was attacked with this trigger, that of the ASR above 10% (the "
        "threshold is ours).",
        test=attack_is_present,
    ),
    Claim(
        name="more-robust",
        statement="The diffusion classifier resists better than an ordinary classifier of the "
        "same poisoned training set: its ASR is lower.",
        source="§5, Tab. 5, second insight",
        rule="At every poison ratio measured the whole 95% interval of the unfiltered diffusion "
        "classifier's ASR minus the ordinary classifier's, on the same test images, lies below 0.",
        test=more_robust_than_the_classifier,
    ),
    Claim(
        name="filtering-lowers-the-attack",
        statement="Dropping the highest denoising losses lowers the ASR further.",
        source="§5, Tab. 5, third insight",
        rule="At every poison ratio and every filter ratio above 0 that was measured, the whole "
        "95% interval of the change of the ASR against no filter lies below 0. (That each filter "
        "does better than the one before is shown and not claimed.) Triggers that are a patch, as "
        "the paper's is.",
        test=attack_falls,
    ),
    Claim(
        name="without-much-drop",
        statement="Test accuracy suffers little: by at most 3.8 points in the paper's table.",
        source="Tab. 5, caption",
        rule="At every poison ratio and every filter ratio up to 10% that was measured, the whole "
        "95% interval of the change of the TA against no filter lies above −4 points: the largest "
        "drop that the paper prints, 3.84, rounded up.",
        test=accuracy_is_kept,
    ),
    Claim(
        name="losses-on-the-trigger",
        statement="Filtering works because under a class that is not the target the losses on the "
        "trigger are high.",
        source="§5, after Tab. 5",
        rule="At every poison ratio and every filter ratio above 0 that was measured: of the "
        "values dropped of a triggered image under its own class, the share on the trigger is "
        "above the trigger's share of the image, and above the share under the target class, both "
        "by whole 95% intervals. The measure is ours; the paper shows none.",
        test=losses_are_on_the_trigger,
    ),
    Claim(
        name="not-against-a-blend",
        statement="By that explanation filtering does not help against a trigger that covers the "
        "whole image.",
        source="Our control, not a figure of the paper",
        rule="At every poison ratio and every filter ratio above 0 that was measured, the whole "
        "95% interval of the change of the ASR against no filter lies above −10 points (the "
        "margin is ours). Triggers that are no patch.",
        test=filtering_does_not_help_against_a_spread_trigger,
    ),
)
"""Every claim that is held against a trigger and a noise model, in the order of the page."""

AREA_CLAIMS: tuple[Claim[Areas], ...] = (
    Claim(
        name="must-cover-the-trigger",
        statement="By the same explanation a filter that drops fewer values than the trigger has "
        "helps less.",
        source="Our extension, not a figure of the paper",
        rule="At every poison ratio, and every filter ratio that drops at least as many values as "
        "the smallest trigger has and fewer than the largest has, the whole 95% interval of the "
        "ASR's change for the smallest minus its change for the largest lies below 0 (two models, "
        "counted as independent).",
        test=a_filter_must_cover_the_trigger,
    ),
)
"""Claims about one trigger in several sizes, after the others."""


def judge(rows: Sequence[Row]) -> tuple[Judgment[Any], ...]:
    """Hold every claim against every trigger and noise model, and every trigger of many sizes."""
    return (*held(classified(rows), CLAIMS), *held(areas(rows), AREA_CLAIMS))
