"""One detector on the training set and on the generations: what moved, and how surely.

An AUROC knows no prevalence, so more trigger alone cannot raise it: the suspicions of the poisoned
have moved, or those of the clean.  Each function gives columns of a results row by name; a number
is None where a kind of image is missing.  A difference joins the intervals of two independent sets.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from analysis.statistics.auroc import Flags, Floats, auroc, difference_of_labelings, tpr_at
from analysis.statistics.intervals import Estimate, difference

Estimates = dict[str, Estimate | None]
"""By column."""

LOW_RATES = {"tpr_at_1pct_fpr": 0.01, "tpr_at_5pct_fpr": 0.05}
"""Column, and the false positive rate allowed."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Suspicions of one image set, split by what is known of the images."""

    positive: Floats
    """(P,). Of those with poison."""
    negative: Floats
    """(N,). Of those without."""

    @classmethod
    def split(cls, suspicion: Floats, poisoned: Flags) -> Self:
        """Of suspicions, float64, (N,), and flags, bool, (N,)."""
        return cls(suspicion[poisoned], suspicion[~poisoned])

    @classmethod
    def none(cls) -> Self:
        """Of no images: every column becomes None."""
        return cls(np.empty(0), np.empty(0))

    @property
    def area(self) -> Estimate | None:
        """The AUROC."""
        return auroc(self.positive, self.negative)

    @property
    def prevalence(self) -> float | None:
        """Positives of all; None if a kind of image is missing."""
        if not len(self.positive) or not len(self.negative):
            return None
        return len(self.positive) / (len(self.positive) + len(self.negative))


def detection(scores: Scores) -> Estimates:
    """``auroc``, and the true positive rates at low false positive rates."""
    rates = {name: tpr_at(fpr, scores.positive, scores.negative) for name, fpr in LOW_RATES.items()}
    return {"auroc": scores.area, **rates}


def against_training(generation: Scores, training: Scores) -> Estimates:
    """The gain, and whose suspicions moved.

    Columns, of which all but the gain are AUROCs:

    - ``training_auroc``: of the training set, as its own row has it.
    - ``auroc_gain``: AUROC on the generations minus ``training_auroc``.
    - ``poisoned_shift``: generated positives against training positives.  0.5: not moved; above:
      the generated ones are the more suspicious.  ``clean_shift``: the same for negatives.
    - ``auroc_poisoned_moved``: generated positives against *training* negatives: what the AUROC
      would be if only the suspicions of the poisoned had moved.
    - ``auroc_clean_moved``: *training* positives against generated negatives: only the clean.
    """
    return {
        "training_auroc": training.area,
        "auroc_gain": _minus(generation.area, training.area),
        "poisoned_shift": auroc(generation.positive, training.positive),
        "clean_shift": auroc(generation.negative, training.negative),
        "auroc_poisoned_moved": auroc(generation.positive, training.negative),
        "auroc_clean_moved": auroc(training.positive, generation.negative),
    }


def at_equal_prevalence(generation: Scores, training: Scores) -> tuple[float | None, Estimates]:
    """The gain when both sets have the smaller of the two prevalences.

    The set with the larger one loses positives at random until it has the smaller one, at least one
    image staying.  Its AUROC is expected to be that of all its images, which is the value; the
    interval is the one of so many positives.

    Returns:
        The smaller prevalence, None if one of the four kinds of image is missing; and
        ``equal_prevalence_auroc`` (of the generations) and ``equal_prevalence_gain``.
    """
    one, other = generation.prevalence, training.prevalence
    if one is None or other is None:
        return None, dict.fromkeys(("equal_prevalence_auroc", "equal_prevalence_gain"))
    share = min(one, other)
    generated, trained = (
        auroc(scores.positive, scores.negative, positives=_positives(scores, share))
        for scores in (generation, training)
    )
    return share, {
        "equal_prevalence_auroc": generated,
        "equal_prevalence_gain": _minus(generated, trained),
    }


def by_template_match(
    suspicion: Floats, judged: Flags, template_matched: Flags, training: Scores
) -> Estimates:
    """What is left when template matching says which generations have the trigger.

    Columns: ``template_auroc``; ``template_auroc_gain``, minus the training set's;
    ``judge_minus_template_auroc``, a difference of two labelings of the same generations.

    Args:
        suspicion: float64, (N,). Of the generations.
        judged: bool, (N,). Where the judge sees the trigger.
        template_matched: bool, (N,). Where the template match does.
        training: Of the training set.
    """
    seen = Scores.split(suspicion, template_matched).area
    return {
        "template_auroc": seen,
        "template_auroc_gain": _minus(seen, training.area),
        "judge_minus_template_auroc": difference_of_labelings(suspicion, judged, template_matched),
    }


def _minus(one: Estimate | None, other: Estimate | None) -> Estimate | None:
    return None if one is None or other is None else difference(one, other)


def _positives(scores: Scores, share: float) -> int:
    """The k of which k / (k + N) is nearest to ``share``; rounding never asks for more."""
    wanted = round(share / (1 - share) * len(scores.negative))
    return min(len(scores.positive), max(1, wanted))
