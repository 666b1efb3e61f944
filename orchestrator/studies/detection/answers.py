"""The honest questions about a ``detection`` study, answered in words made from its numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from analysis.old.rows import Row
from analysis.page.wording import (
    area,
    area_interval,
    counted,
    detector_name,
    gain,
    listed,
    percent,
    ratio_name,
    trigger_name,
)
from orchestrator.studies.detection.finding import in_order, tally_of, whole_below_chance
from orchestrator.studies.detection.rows import (
    CHANCE,
    FEW,
    SATURATED,
    Change,
    Compared,
    comparisons,
    mean_of,
    samplings,
)

READING = (
    "Cognitive Distillation calls an image suspicious when a small mask is enough to keep its "
    "logits. The masks say where that fails: how much of an image they keep, how much of the "
    "patch's own pixels, and how often the classifier's answer survives when all else is painted "
    "over. A mask under which the answer is lost explains nothing: it is small because the pixels "
    "cost more than these logits are worth."
)
"""Of inverted masks; what the numbers beneath are for."""

WEAK_ATTACK = 0.5
"""An attack success rate below which the classifier is said to have hardly learned the trigger."""


@dataclass(frozen=True)
class Answer:
    """A question with what the numbers say."""

    name: str
    """Short, file-name-safe."""
    question: str
    """As a reader would ask."""
    words: list[str]
    """Paragraphs."""
    points: list[str] = field(default_factory=list)
    """One a comparison, beneath them."""


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Every question that the rows call for, in reading order; none without a poisoned point."""
    compared = comparisons(rows)
    if not compared:
        return []
    several = len(samplings(rows)) > 1
    asked = [
        what_moved(compared, several),
        by_template_match(compared, several),
        by_prevalence(compared),
        inverted(compared, several),
        saturated(compared),
        attack(compared),
        few_positives(compared, several),
    ]
    return [answer for answer in asked if answer]


def what_moved(compared: Sequence[Compared], several: bool) -> Answer:
    """Which of the two kinds of scores moved, by detector, and what each alone would do."""
    gained, lost = (
        [one for one in compared if one.change() is change]
        for change in (Change.BETTER, Change.WORSE)
    )
    words = _behind(gained, "easier", "positives' scores rose", "negatives' fell", True)
    words += _behind(lost, "harder", "positives' scores fell", "negatives' rose", False)
    if not gained and not lost:
        words = ["No clear difference was found, so there is none to take apart."]
    for detector, own in in_order(compared).items():
        defined = [one for one in own if one.estimate("poisoned_shift")]
        if defined:
            up_and_down = [_moves(defined, name) for name in ("poisoned_shift", "clean_shift")]
            words.append(
                f"{detector_name(detector)}, of {counted(len(defined), 'comparison')}: the "
                f"positives' scores {up_and_down[0]}, the negatives' {up_and_down[1]}."
            )
    points = [_decomposed(one, several) for one in (*gained, *lost)]
    return Answer("what-moved", "What moved, the poisoned or the clean?", words, points)


def by_template_match(compared: Sequence[Compared], several: bool) -> Answer | None:
    """How much of the gains is left when the template match labels the generations."""
    seen = [one for one in compared if one.estimate("template_auroc_gain")]
    blind = [
        trigger_name(trigger)
        for trigger in dict.fromkeys(one.trigger for one in compared)
        if not any(
            row.get("template_n_positive") is not None
            for one in compared
            if one.trigger == trigger
            for row in one.generation
        )
    ]
    gained = [one for one in seen if one.change() is Change.BETTER]
    kept = [one for one in gained if one.change("template_auroc_gain") is Change.BETTER]
    words = []
    if seen:
        words.append(
            f"Of {counted(len(seen), 'comparison')} that the template match can label: "
            f"{tally_of(one.change('template_auroc_gain') for one in seen)} by its labels, "
            f"{tally_of(one.change() for one in seen)} by the judge's."
            + (
                f" Of the judge's gains ({len(gained)}) the template match finds {len(kept)} too."
                if gained
                else " The judge's labels show no gain that could be lost."
            )
        )
        gaps = [one.estimate("judge_minus_template_auroc") for one in seen]
        values = [gap.value for gap in gaps if gap]
        if values:
            words.append(
                f"The AUROC by the judge's labels minus that by the template match's is "
                f"{_span(values)}."
            )
    if blind:
        words.append(f"There is no patch that a template match could look for in {listed(blind)}.")
    points = [_by_both(one, several) for one in gained]
    return Answer(
        "by-template-match", "How much stays by the template match's labels?", words, points
    )


def by_prevalence(compared: Sequence[Compared]) -> Answer:
    """Whether the sets' prevalences have to do with it."""
    before = [share for one in compared if (share := mean_of(one.training, "prevalence"))]
    after = [share for one in compared if (share := mean_of(one.generation, "prevalence"))]
    words = [
        "No: an AUROC is the chance that a positive looks more suspicious than a negative, "
        "whatever the number of each. “More triggers” among the generations cannot raise it; only "
        "scores that move can, or labels that err."
    ]
    if before and after:
        words.append(
            f"Positives are {_percents(before)} of the training sets and {_percents(after)} of the "
            f"generations."
        )
    equal = [one for one in compared if one.estimate("equal_prevalence_gain")]
    if equal:
        said = tally_of(one.change("equal_prevalence_gain") for one in equal)
        full = tally_of(one.change() for one in equal)
        words.append(
            f"With both sets cut to the smaller of the two shares (fewer images, so wider "
            f"intervals) the comparisons are {said}; uncut {full}."
        )
    return Answer("prevalence", "Is it that triggers are more frequent there?", words)


def inverted(compared: Sequence[Compared], several: bool) -> Answer | None:
    """Every AUROC below 0.5 by name, with what the masks say where there are masks."""
    found: dict[str, list[tuple[str, Sequence[Row]]]] = {}
    for one in compared:
        for images, estimate, rows in (
            ("training set", one.before, one.training),
            ("generations", one.after, one.generation),
        ):
            if estimate is not None and estimate.value < CHANCE:
                sure = "" if whole_below_chance(estimate) else " (the interval reaches 0.5)"
                place = f"{detector_name(one.detector)}, {trigger_name(one.trigger)}, {images}"
                if several and one.sampling and images == "generations":
                    place = f"{place}, {one.sampling.name}"
                said = f"{area_interval(estimate)} at {ratio_name(one.poison_ratio)}{sure}"
                if (said, rows) not in found.setdefault(place, []):
                    found[place].append((said, rows))
    if not found:
        return None
    words = [
        "Below 0.5 the clean images look more suspicious than the poisoned ones. It is not "
        "flipped: who defends without labels cannot know that it should be."
    ]
    points = []
    for place, below in found.items():
        masks = _masks([row for _, rows in below for row in rows])
        points.append(f"{place}: {', '.join(said for said, _ in below)}.{masks}")
    if any(mean_of(one.training, "mask_mean_positive") is not None for one in compared):
        words.append(READING)
    return Answer("inverted", "Which AUROCs lie below 0.5, and why?", words, points)


def saturated(compared: Sequence[Compared]) -> Answer | None:
    """Where the training set leaves nothing to gain."""
    points = list(
        dict.fromkeys(
            f"{detector_name(one.detector)}, {trigger_name(one.trigger)}, {one.place}: "
            f"{area_interval(one.before)} on the training set."
            for one in compared
            if one.saturated and one.before
        )
    )
    if not points:
        return None
    words = [
        f"An AUROC of {SATURATED} or more on the training set cannot become clearly better. These "
        f"comparisons can only be worse, no different or undecided:"
    ]
    return Answer("saturated", "Where is nothing left to gain?", words, points)


def attack(compared: Sequence[Compared]) -> Answer | None:
    """What the classifiers learned, which is all that the detectors look at."""
    training = [row for one in compared for row in (*one.training, *one.generation)]
    accuracy = [float(row["test_accuracy"]) for row in training if row.get("test_accuracy")]
    success = [
        float(row["attack_success_rate"])
        for row in training
        if row.get("attack_success_rate") is not None
    ]
    if not accuracy or not success:
        return None
    words = [
        f"Every detector reads the classifier trained on the poisoned set. It is right on "
        f"{_percents(accuracy)} of clean test images, and a stamp makes it say the target class on "
        f"{_percents(success)} of test images of other classes (the table under every number has "
        f"each)."
    ]
    weak = {
        f"{trigger_name(str(row['trigger']))} at p = {ratio_name(float(row['poison_ratio']))} "
        f"({percent(float(row['attack_success_rate']))})"
        for row in training
        if row.get("attack_success_rate") is not None
        and float(row["attack_success_rate"]) < WEAK_ATTACK
    }
    if weak:
        words.append(
            f"It has hardly learned the trigger, and leaves little to detect, where the attack "
            f"succeeds on less than half: {listed(sorted(weak))}."
        )
    return Answer("attack", "Did the classifiers learn the backdoor?", words)


def few_positives(compared: Sequence[Compared], several: bool) -> Answer | None:
    """Where an AUROC rests on a handful of images."""
    points = list(
        dict.fromkeys(f"{_named(one, several)}: {listed(one.few)}." for one in compared if one.few)
    )
    if not points:
        return None
    words = [f"Fewer than {FEW} positives leave the interval of an AUROC wide:"]
    return Answer("few", "Are there enough positives?", words, points)


def _decomposed(one: Compared, several: bool) -> str:
    gained, before = one.estimate("auroc_gain"), one.before
    alone = [one.estimate(name) for name in ("auroc_poisoned_moved", "auroc_clean_moved")]
    said = [f"{_named(one, several)}: {gain(gained.value) if gained else ''}"]
    for kind, name in (("positives", "poisoned_shift"), ("negatives", "clean_shift")):
        if shift := one.estimate(name):
            said.append(f"the {kind} {_moved(one, name)} ({area_interval(shift)})")
    if before and all(alone):
        poisoned, clean = (area(estimate.value) for estimate in alone if estimate)
        said.append(
            f"from {area(before.value)} the positives alone would make {poisoned}, the negatives "
            f"alone {clean}"
        )
    return f"{'; '.join(said)}."


def _moved(one: Compared, name: str) -> str:
    return {
        Change.BETTER: "became more suspicious",
        Change.WORSE: "became less suspicious",
        Change.NO_DIFFERENCE: "did not move",
    }.get(one.change(name), "did not clearly move")


def _moves(points: Sequence[Compared], name: str) -> str:
    changes = [one.change(name) for one in points]
    up, down = changes.count(Change.BETTER), changes.count(Change.WORSE)
    return f"clearly rose in {up} and fell in {down}"


def _by_both(one: Compared, several: bool) -> str:
    judge, template_match = one.estimate("auroc_gain"), one.estimate("template_auroc_gain")
    assert judge
    assert template_match
    stays = one.change("template_auroc_gain") is Change.BETTER
    return (
        f"{_named(one, several)}: {gain(judge.value)} by the judge, {gain(template_match.value)} "
        f"by the "
        f"template match: {'it stays' if stays else 'no longer clear'}."
    )


def _behind(
    points: Sequence[Compared], word: str, positives: str, negatives: str, easier: bool
) -> list[str]:
    """In how many comparisons of one outcome which scores moved the way that leads to it."""
    if not points:
        return []
    up, down = Change.BETTER, Change.WORSE
    poisoned, clean = (up, down) if easier else (down, up)
    counts = [
        sum(one.change(name) is change for one in points)
        for name, change in (("poisoned_shift", poisoned), ("clean_shift", clean))
    ]
    return [
        f"Where the generations are {word} ({len(points)}): the {positives} clearly in "
        f"{counts[0]}, the {negatives} clearly in {counts[1]}."
    ]


def _masks(rows: Sequence[Row]) -> str:
    """What the masks of some sets keep, of a detector that has them."""
    masked = [row for row in rows if None not in _kept(row, "mean")]
    if not masked:
        return ""
    said = [f"The masks keep {_both(masked, 'mean')}"]
    if all(None not in _kept(row, "patch") for row in masked):
        patch_is_kept = all(
            row["mask_patch_positive"] > max(row["mask_patch_negative"], row["mask_mean_positive"])
            for row in masked
        )
        reading = "they do find the patch" if patch_is_kept else "the patch is not what they keep"
        said[-1] += f", of the patch's pixels {_both(masked, 'patch')}: {reading}"
    if all(None not in _kept(row, "kept") for row in masked):
        said.append(f"The answer survives in {_both(masked, 'kept')}")
        if all(
            row["mask_kept_negative"] < row["mask_kept_positive"]
            and row["mask_mean_negative"] < row["mask_mean_positive"]
            for row in masked
        ):
            said[-1] += ": the negatives' smaller masks lose it"
    return "".join(f" {sentence}." for sentence in said)


def _kept(row: Row, what: str) -> tuple[float | None, float | None]:
    return row.get(f"mask_{what}_positive"), row.get(f"mask_{what}_negative")


def _both(rows: Sequence[Row], what: str) -> str:
    """The shares of positives and of negatives, over the rows."""
    positive, negative = zip(*(_kept(row, what) for row in rows), strict=True)
    return f"{_percents(positive)} (positives) and {_percents(negative)} (negatives)"


def _named(one: Compared, several: bool) -> str:
    words = [detector_name(one.detector), trigger_name(one.trigger), one.place]
    words += [one.sampling.name] if several and one.sampling else []
    return ", ".join(words)


def _percents(shares: Iterable[float]) -> str:
    every = sorted(set(shares))
    low, high = percent(every[0]), percent(every[-1])
    return low if low == high else f"{low} to {high}"


def _span(values: Sequence[float]) -> str:
    low, high = gain(min(values)), gain(max(values))
    return low if low == high else f"{low} to {high}"
