"""The claims of the paper's Tab. 3 and Fig. A9, and our own controls, each with its rule.

The rows of the generations have the AUROC of the training set, too, and the difference.
"""

import re
from functools import partial
from itertools import product

from analysis.claims import Claim, Subject
from analysis.evidence import Test
from analysis.names import place
from analysis.page.pairs import ways
from analysis.page.tables import joined
from analysis.rows import Row, Rows, groups, has, records, select, values
from analysis.statistics.intervals import Estimate
from analysis.statistics.verdicts import Part, Verdict, below
from analysis.wording import area_interval, gain_interval, listed, percent

CHANCE = 0.5
"""AUROC of a detector that sees nothing."""
MATTERS = 0.01
SATURATED = 0.995
"""An AUROC on the training set from which on there is nothing to gain; ours."""
FEW = 10
"""Fewer positives than this are pointed out; ours."""
NULL_MARGIN = 0.1


BETTER, WORSE, EQUAL, UNDECIDED = "better", "worse", "no difference", "undecided"
VERDICTS = dict.fromkeys((BETTER, WORSE, EQUAL, UNDECIDED), Verdict.FAILED)
VERDICTS |= {BETTER: Verdict.SUPPORTED, UNDECIDED: Verdict.UNDECIDED}
"""By outcome, the verdict on the claim that something rises: no difference is against it."""


def outcome(difference: Estimate) -> str:
    """What the interval of a difference of AUROCs says, by what `MATTERS`: a key of `VERDICTS`."""
    if difference.low > MATTERS:
        return BETTER
    if difference.high < -MATTERS:
        return WORSE
    within = -MATTERS <= difference.low and difference.high <= MATTERS
    return EQUAL if within else UNDECIDED


def level(rows: Rows, column: str) -> Estimate | None:
    """An AUROC, a shift or a gain over the seeds of one point; None where it is undefined."""
    found = joined(rows, column, -1 if column.endswith(("_gain", "_minus_template_auroc")) else 0)
    return found if isinstance(found, Estimate) else None


def compared(rows: Rows) -> list[tuple[str, Rows]]:
    """The rows of the generations at each poison ratio and way of generating, and their place.

    The frame is empty at a poison ratio without generations.
    """
    found = ways(rows) or [{}]
    generated = select(rows, image_set="generation")
    return [
        (
            place(poison_ratio=ratio, **(way if len(found) > 1 else {})),
            select(generated, poison_ratio=ratio, **way),
        )
        for ratio, way in product(values(rows, "poison_ratio"), found)
    ]


def remarks(rows: Rows) -> list[str]:
    """What to beware of at a point with generations: saturation, reversed order, few positives."""
    before, after = level(rows, "training_auroc"), level(rows, "auroc")
    said = ["saturated"] if before and before.value >= SATURATED else []
    if any(one and below(one, CHANCE) is Verdict.SUPPORTED for one in (before, after)):
        said.append("below 0.5")
    for column, words in (("n_poisoned", "training"), ("n_positive", "generated")):
        fewest = min(int(count) for count in values(rows, column))
        if fewest < FEW:
            said.append(f"{fewest} {words} positives")
    return said


def rises(column: str, sentence: str, *, above: float = 0, of: str = "", gained: str = "") -> Test:
    """A test whether a number rises, with a part for each comparison.

    Args:
        column: Of the number.
        sentence: Says what was measured; fields in braces are columns.
        above: From where on it rises, if not from 0.
        of: A column that is missing everywhere if the claim is not about a trigger.
        gained: A column that must have risen for a comparison to have a part.
    """

    def test(subject: Subject) -> list[Part]:
        if of and not has(subject.rows, of):
            return []
        found = compared(subject.rows)
        return [part(rows, where) for where, rows in found if not gained or _rose(rows, gained)]

    def part(rows: Rows, where: str) -> Part:
        if rows.empty:
            return Part(Verdict.NOT_TESTED, f"{where}: the generations were not measured.")
        told, number = remarks(rows), level(rows, column)
        beware = f" ({listed(told)})" if told else ""
        if number is None:
            words = "undefined, because a set has no positives or nothing else"
            return Part(Verdict.NOT_TESTED, f"{where}: {words}{beware}.")
        came = outcome(number.shifted(-above))
        said = re.sub(r"{(\w+)}", lambda field: _worded(rows, field[1]), sentence)
        equal = f" (no difference: within ±{MATTERS})" if came == EQUAL else ""
        return Part(VERDICTS[came], f"{where}: {said}{equal}{beware}.")

    return test


def _rose(rows: Rows, column: str) -> bool:
    found = level(rows, column)
    return found is not None and outcome(found) == BETTER


def _worded(rows: Rows, column: str) -> str:
    found = level(rows, column) or joined(rows, column)
    if isinstance(found, Estimate):
        return (gain_interval if column.endswith("_gain") else area_interval)(found)
    return "undefined" if found is None else percent(found)


def null_points(rows: Rows) -> list[tuple[str, Row, Estimate | None]]:
    """Each null point's place, its row, and its AUROC at the level of all null points together."""
    found, others = select(rows, trigger="none"), ("guidance_weight", "sampler", "seed")
    columns = ["detector", "image_set", *(one for one in others if len(values(found, one)) > 1)]
    points = []
    for at, own in groups(found, *columns):
        for row in records(own):
            ends = [row.get(column) for column in ("auroc", "null_low", "null_high")]
            known = [float(end) for end in ends if end is not None]
            points.append((place(**at), row, Estimate(*known) if len(known) == 3 else None))
    return points


def at_chance(area: Estimate) -> Verdict:
    """Whether a null point's interval lies around 0.5; undecided if it is wider than allowed."""
    if not area.low <= CHANCE <= area.high:
        return Verdict.FAILED
    close = area.low >= CHANCE - NULL_MARGIN and area.high <= CHANCE + NULL_MARGIN
    return Verdict.SUPPORTED if close else Verdict.UNDECIDED


def nothing_in_clean_data(subject: Subject) -> list[Part]:
    """Every null point's interval lies around 0.5, and close to it."""
    found, parts = null_points(subject.rows), []
    if not found:
        return [Part(Verdict.NOT_TESTED, "No null point (p = 0, random flags) was measured.")]
    for where, _, area in found:
        said = f"AUROC {area_interval(area)}" if area else "undefined, because nothing was flagged"
        parts.append(Part(at_chance(area) if area else Verdict.NOT_TESTED, f"{where}: {said}."))
    # Each row's level is 1 - 0.05 / k, of the k null points that were planned.
    planned = max(round(0.05 / (1 - row["null_level"])) for _, row, _ in found)
    if len(found) < planned:
        said = f"Only {len(found)} of {planned} null points were measured."
        parts.append(Part(Verdict.NOT_TESTED, said))
    return parts


_claim = partial(Claim, by=("trigger", "target_class", "detector"))

CLAIMS = (
    _claim(
        name="easier-on-generations",
        statement="The same detector finds the poison more easily among the poisoned model's "
        "generations than in the training set.",
        source="§5, Tab. 3",
        rule="At every poison ratio the whole 95% interval of the AUROC on the generations minus "
        f"the AUROC on the training set lies above {MATTERS}, the smallest difference that matters "
        f"(ours); one wholly within ±{MATTERS} shows that there is none, and fails. Positives "
        "among the generations are those in which the trigger judge sees the trigger. The paper "
        "has Cognitive Distillation, STRIP and FCT on BadNets-1 and BadNets-2, without intervals; "
        "anything else is our extension.",
        printed={"metrics": ("auroc_gain",), "source": "Tab. 3"},
        test=rises(
            "auroc_gain",
            "AUROC {training_auroc} on the training set, {auroc} on the generations; the "
            "difference is {auroc_gain}",
        ),
    ),
    _claim(
        name="easier-by-template-match",
        statement="The same if template matching, which needs no training, says which generations "
        "carry the trigger: the gain is not an artifact of a trained judge.",
        source="Our question, not a figure of the paper",
        rule="At every poison ratio the whole 95% interval of that difference lies above "
        f"{MATTERS} with the labels of template matching.",
        test=rises(
            "template_auroc_gain",
            "AUROC {template_auroc} on the generations; the difference from the training set is "
            "{template_auroc_gain}",
            of="template_auroc_gain",
        ),
    ),
    _claim(
        name="not-by-prevalence",
        statement="The gain that was found is not one of prevalence: it stays when both sets are "
        "cut down to the same share of positives.",
        source="Our question, not a figure of the paper",
        rule="Wherever the gain was found, the whole 95% interval of the difference at equal "
        f"prevalence lies above {MATTERS}. (It should: an AUROC does not depend on prevalence.)",
        test=rises(
            "equal_prevalence_gain",
            "with {equal_prevalence} positives in both sets the difference is "
            "{equal_prevalence_gain}",
            gained="auroc_gain",
        ),
    ),
    _claim(
        name="signature-enhanced",
        statement="The poisoning signature is enhanced: generated images with the trigger score as "
        "more suspicious than the poisoned training images do.",
        source="App. F, Fig. A9",
        rule="At every poison ratio the whole 95% interval of the chance that a generated positive "
        f"is more suspicious than a training positive lies above {CHANCE + MATTERS}. The paper "
        "shows it for Cognitive Distillation, as a left shift of the mask's norm; other detectors "
        "are our extension.",
        test=rises(
            "poisoned_shift",
            "a generated image with the trigger is more suspicious than a poisoned training image "
            "with a chance of {poisoned_shift}",
            above=CHANCE,
        ),
    ),
    Claim(
        name="nothing-in-clean-data",
        statement="Where there is nothing to find, nothing is found: on clean data with random "
        "flags no AUROC is off 0.5.",
        source="Our control, not a figure of the paper",
        rule="Over all k null points together, each one's interval at level 1 − 0.05/k contains "
        f"0.5 and lies within 0.5 ± {NULL_MARGIN} (ours). One that is wider cannot tell; one that "
        "misses 0.5 fails the test.",
        by=(),
        about="Clean data with random flags",
        test=nothing_in_clean_data,
    ),
)
