"""What a ``detection`` study is held against: the paper's Tab. 3 and Fig. A9, and our own controls.

Adding one: write a function from one trigger's rows of one detector to parts, and list it in
``CLAIMS``.  The rules were fixed before any data of this study were seen.  Seeds are joined as
`orchestrator.studies.detection.rows.level_of` does.
"""

from collections.abc import Callable, Sequence
from typing import Any

from analysis.old.rows import Row
from analysis.old.verdicts import Claim, Judgment, Part, Verdict, held
from analysis.page.wording import (
    area,
    area_interval,
    detector_name,
    gain_interval,
    image_set_name,
    listed,
    percent,
)
from analysis.statistics.intervals import Estimate
from orchestrator.studies.detection.rows import (
    CHANCE,
    MATTERS,
    Change,
    Compared,
    Detected,
    NullPoints,
    detections,
    mean_of,
    null_points,
    sampling_of,
    samplings,
)

OURS = "Our question, not a figure of the paper"
NULL_MARGIN = 0.1
"""How far from 0.5 a null point's interval may reach and still show that nothing is found; ours."""


def easier_on_generations(subject: Detected) -> list[Part]:
    """AUROC on the generations above that on the training set, at each ratio."""
    return _each(subject, _gained)


def easier_by_template_match(subject: Detected) -> list[Part]:
    """The same with the template match's labels; nothing for a trigger without one."""
    if not any(row.get("template_auroc_gain") is not None for row in subject.rows):
        return []
    return _each(subject, _gained_by_template_match)


def not_by_prevalence(subject: Detected) -> list[Part]:
    """A gain that was found is there at equal prevalence too; nothing where none was found."""
    found = [one for one in subject.compared if one.change() is Change.BETTER]
    return [_part(subject, one, _gained_at_equal_prevalence) for one in found]


def signature_enhanced(subject: Detected) -> list[Part]:
    """Generated poison above the training set's poison on the detector's own scale."""
    return _each(subject, _shifted)


def nothing_in_clean_data(subject: NullPoints) -> list[Part]:
    """Every null point's interval lies around 0.5, and close to it."""
    if not subject.rows:
        return [Part(Verdict.NOT_TESTED, "No null point (p = 0, pretended flags) was measured.")]
    parts = [_null(row, name) for row, name in zip(subject.rows, null_names(subject), strict=True)]
    return [*parts, *_missing_null_points(subject)]


def _each(subject: Detected, test: Callable[[Compared], Part]) -> list[Part]:
    return [_part(subject, one, test) for one in subject.compared]


def _part(subject: Detected, one: Compared, test: Callable[[Compared], Part]) -> Part:
    several = len(subject.samplings) > 1 and one.sampling is not None
    where = f"{one.place}, {one.sampling.name}" if several and one.sampling else one.place
    if not one.generation:
        return Part(Verdict.NOT_TESTED, f"{where}: the generations were not measured.")
    part = test(one)
    remarks = f" ({listed(one.few)})" if one.few else ""
    return Part(part.verdict, f"{where}: {part.evidence}{remarks}.")


def _gained(one: Compared) -> Part:
    before, after, gained = one.before, one.after, one.estimate("auroc_gain")
    if before is None or after is None or gained is None:
        return Part(Verdict.NOT_TESTED, _undefined(one))
    evidence = (
        f"AUROC {area_interval(before)} on the training set, {area_interval(after)} on the "
        f"generations; the difference is {_gain(one.change(), gained)}"
    )
    if one.saturated:
        evidence += ", and the training set leaves nothing to gain"
    return Part(one.change().verdict, evidence)


def _gained_by_template_match(one: Compared) -> Part:
    after, gained = one.estimate("template_auroc"), one.estimate("template_auroc_gain")
    if gained is None:
        return Part(
            Verdict.NOT_TESTED, "undefined: the template match saw no trigger, or nothing else"
        )
    seen = f"AUROC {area_interval(after)} on the generations; " if after else ""
    change = one.change("template_auroc_gain")
    return Part(
        change.verdict,
        f"{seen}the difference from the training set is {_gain(change, gained)}",
    )


def _gained_at_equal_prevalence(one: Compared) -> Part:
    gained = one.estimate("equal_prevalence_gain")
    if gained is None:
        return Part(Verdict.NOT_TESTED, "undefined at equal prevalence")
    share = mean_of(one.generation, "equal_prevalence")
    cut = f"with {percent(share)} positives in both sets " if share else ""
    change = one.change("equal_prevalence_gain")
    return Part(change.verdict, f"{cut}the difference is {_gain(change, gained)}")


def _shifted(one: Compared) -> Part:
    shift = one.estimate("poisoned_shift")
    if shift is None:
        return Part(Verdict.NOT_TESTED, _undefined(one))
    return Part(
        one.change("poisoned_shift").verdict,
        f"a generated image with the trigger is more suspicious than a poisoned training image "
        f"with a chance of {area_interval(shift)}",
    )


def _gain(change: Change, gained: Estimate) -> str:
    equal = f" (no difference: within ±{MATTERS})" if change is Change.NO_DIFFERENCE else ""
    return f"{gain_interval(gained)}{equal}"


def _undefined(one: Compared) -> str:
    """Why there is no number: one of the two kinds of image is missing in a set."""
    lacking = [
        words
        for rows, words in ((one.training, "training set"), (one.generation, "generations"))
        if rows and all(row["auroc"] is None for row in rows)
    ]
    where = f"the {listed(lacking)}" if lacking else "one of the sets"
    return f"undefined: {where} held no positives, or nothing else"


def _null(row: Row, name: str) -> Part:
    if row["auroc"] is None or row["null_low"] is None:
        return Part(Verdict.NOT_TESTED, f"{name}: undefined, as nothing was flagged.")
    verdict = at_chance(row)
    said = {
        Verdict.SUPPORTED: "contains 0.5",
        Verdict.UNDECIDED: "contains 0.5, but is too wide to tell",
        Verdict.FAILED: "misses 0.5",
    }
    return Part(
        verdict,
        f"{name}: AUROC {area(float(row['auroc']))} [{area(float(row['null_low']))}, "
        f"{area(float(row['null_high']))}] {said[verdict]}.",
    )


def null_names(subject: NullPoints) -> list[str]:
    """What each null point is called, in as few words as tell it from the others."""
    several = len(samplings(subject.rows)) > 1
    seeds = len({row["seed"] for row in subject.rows}) > 1
    names = []
    for row in subject.rows:
        sampling = sampling_of(row)
        images = image_set_name(str(row["image_set"]))
        words = [detector_name(str(row["detector"]))]
        words += [sampling.name if several and sampling else images]
        words += [f"seed {row['seed']}"] if seeds else []
        names.append(", ".join(words))
    return names


def at_chance(row: Row) -> Verdict:
    """Whether a null point's interval, at the level of all of them together, is around 0.5.

    Supported inside of 0.5 +- `NULL_MARGIN`, undecided where it is wider, failed without 0.5.
    """
    low, high = float(row["null_low"]), float(row["null_high"])
    if not low <= CHANCE <= high:
        return Verdict.FAILED
    close = low >= CHANCE - NULL_MARGIN and high <= CHANCE + NULL_MARGIN
    return Verdict.SUPPORTED if close else Verdict.UNDECIDED


def planned_null_points(subject: NullPoints) -> int:
    """k, as the rows' level of 1 - 0.05 / k says."""
    return max(round(0.05 / (1 - float(row["null_level"]))) for row in subject.rows)


def _missing_null_points(subject: NullPoints) -> list[Part]:
    planned, measured = planned_null_points(subject), len(subject.rows)
    if measured >= planned:
        return []
    return [Part(Verdict.NOT_TESTED, f"Only {measured} of {planned} null points were measured.")]


EXTENSION = (
    "The paper has Cognitive Distillation, STRIP and FCT on BadNets-1 and BadNets-2, without "
    "intervals; anything else is our extension."
)

CLAIMS: tuple[Claim[Detected], ...] = (
    Claim(
        name="easier-on-generations",
        statement="The same detector finds the poison more easily among the poisoned model's "
        "generations than in the training set.",
        source="§5, Tab. 3",
        rule="At every poison ratio the whole 95% interval of the AUROC on the generations minus "
        f"the AUROC on the training set lies above {MATTERS}, the smallest difference that "
        f"matters (ours); one wholly within ±{MATTERS} shows that there is none, and fails. "
        "Positives among the generations are those in which the trigger judge sees the trigger. "
        f"{EXTENSION}",
        test=easier_on_generations,
    ),
    Claim(
        name="easier-by-template-match",
        statement="The same where the training-free template match says which generations carry "
        "the "
        "trigger: the gain is not an artifact of a trained judge.",
        source=OURS,
        rule="At every poison ratio the whole 95% interval of that difference lies above "
        f"{MATTERS} with the template match's labels.",
        test=easier_by_template_match,
    ),
    Claim(
        name="not-by-prevalence",
        statement="The gain that was found is not one of prevalence: it stays when both sets are "
        "cut down to the same share of positives.",
        source=OURS,
        rule="Wherever the gain was found, the whole 95% interval of the difference at equal "
        f"prevalence lies above {MATTERS}. (It should: an AUROC does not depend on prevalence.)",
        test=not_by_prevalence,
    ),
    Claim(
        name="signature-enhanced",
        statement="The poisoning signature is enhanced: generated images with the trigger score as "
        "more suspicious than the poisoned training images do.",
        source="App. F, Fig. A9",
        rule="At every poison ratio the whole 95% interval of the chance that a generated positive "
        f"is more suspicious than a training positive lies above {CHANCE + MATTERS}. The paper "
        "shows it for Cognitive Distillation, as a left shift of the mask's norm; other "
        "detectors are our extension.",
        test=signature_enhanced,
    ),
)
"""Every claim that is held against a trigger and a detector, in the order of the page."""

CONTROLS: tuple[Claim[NullPoints], ...] = (
    Claim(
        name="nothing-in-clean-data",
        statement="Where there is nothing to find, nothing is found: on clean data with random "
        "flags no AUROC is off 0.5.",
        source="Our control, not a figure of the paper",
        rule="Over all k null points together, each one's interval at level 1 − 0.05/k contains "
        f"0.5 and lies within 0.5 ± {NULL_MARGIN} (ours). One that is wider cannot tell; one that "
        "misses 0.5 fails the test.",
        test=nothing_in_clean_data,
    ),
)
"""Held against all null points together."""


def judge(rows: Sequence[Row]) -> tuple[Judgment[Any], ...]:
    """Hold every claim against every trigger, target and detector, and the control against all."""
    return (*held(detections(rows), CLAIMS), *held([null_points(rows)], CONTROLS))
