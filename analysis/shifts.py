"""One detector on the training set and on the generations: what moved, and how surely.

The paper's Tab. 3 has the higher AUROC among the generations.  An AUROC knows no prevalence, so
more trigger alone cannot raise it: the suspicions of the poisoned have moved, or those of the
clean.  The functions here say which.  Each gives columns of a results row by name; a number is None
where a kind of image is missing.

Every interval is the 95 % percentile bootstrap of `analysis.auroc.bootstrap`, with the conditions
stated there: this diffusion model, this classifier, this many images of each kind.  The two sets
are resampled independently, as neither's images are the other's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Self

import numpy as np
import numpy.typing as npt

from analysis.auroc import (
    Draws,
    Floats,
    Statistic,
    area,
    bootstrap,
    detection_rate,
    difference_of_labelings,
)
from analysis.intervals import Estimate

Flags = npt.NDArray[np.bool_]
Estimates = dict[str, Estimate | None]
"""By column."""

LOW_RATES = {"tpr_at_1pct_fpr": 0.01, "tpr_at_5pct_fpr": 0.05}
"""Column, and the false positive rate allowed."""

BEYOND = 20
"""Resamples that should lie beyond each bound of a null point's interval."""


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
    def prevalence(self) -> float | None:
        """Positives of all; None of no images."""
        n = len(self.positive) + len(self.negative)
        return len(self.positive) / n if n else None


def detection(image_set: str, scores: Scores, *, seed: int, resamples: int) -> Estimates:
    """``auroc``, and the true positive rates at low false positive rates.

    Args:
        image_set: ``training`` or ``generation``; with ``seed``, draws the resamples, so that the
            number is bounded alike wherever it appears.
        scores: Of that set.
        seed: At least 0.
        resamples: At least 1.
    """
    statistics: dict[str, tuple[Statistic, str, str]] = {"auroc": (area, *_kinds(image_set))}
    for name, fpr in LOW_RATES.items():
        statistics[name] = (detection_rate(fpr), *_kinds(image_set))
    groups = _groups(image_set, scores)
    return _estimates(bootstrap(groups, statistics, seed=seed, resamples=resamples))


def null_interval(
    image_set: str, scores: Scores, *, level: float, seed: int, resamples: int
) -> Estimate | None:
    """AUROC with an interval at another level, for a point whose truth is 0.5.

    Args:
        image_set: As in `detection`.
        scores: Of flags that mean nothing.
        level: Coverage, above 0 and below 1.
        seed: At least 0.
        resamples: At least; more are drawn where the level leaves fewer than BEYOND outside.
    """
    # Rounded: 1 - 0.95 is a little more than 0.05, and 801 draws in place of 800 would look odd.
    needed = ceil(round(2 * BEYOND / (1 - level), 6))
    draws = bootstrap(
        _groups(image_set, scores),
        {"auroc": (area, *_kinds(image_set))},
        seed=seed,
        resamples=max(resamples, needed),
    )["auroc"]
    return None if draws is None else draws.estimate(level)


def against_training(
    generation: Scores, training: Scores, *, seed: int, resamples: int
) -> Estimates:
    """The gain, and whose suspicions moved.

    Columns, of which all but the gain are AUROCs:

    - ``training_auroc``: of the training set, as its own row has it.
    - ``auroc_gain``: AUROC on the generations minus ``training_auroc``.
    - ``poisoned_shift``: generated positives against training positives.  0.5: not moved; above:
      the generated ones are the more suspicious.  ``clean_shift``: the same for negatives.
    - ``auroc_poisoned_moved``: generated positives against *training* negatives: what the AUROC
      would be if only the suspicions of the poisoned had moved.
    - ``auroc_clean_moved``: *training* positives against generated negatives: only the clean.

    Args:
        generation: Of the generations.
        training: Of the training set, by the same detector and classifier.
        seed: At least 0.
        resamples: At least 1.
    """
    of_training, of_generation = _kinds("training"), _kinds("generation")
    drawn = bootstrap(
        {**_groups("training", training), **_groups("generation", generation)},
        {
            "training_auroc": (area, *of_training),
            "generation_auroc": (area, *of_generation),
            "poisoned_shift": (area, of_generation[0], of_training[0]),
            "clean_shift": (area, of_generation[1], of_training[1]),
            "auroc_poisoned_moved": (area, of_generation[0], of_training[1]),
            "auroc_clean_moved": (area, of_training[0], of_generation[1]),
        },
        seed=seed,
        resamples=resamples,
    )
    gain = _minus(drawn.pop("generation_auroc"), drawn["training_auroc"])
    return _estimates({**drawn, "auroc_gain": gain})


def at_equal_prevalence(
    generation: Scores, training: Scores, *, seed: int, resamples: int
) -> tuple[float | None, Estimates]:
    """The gain when both sets have the smaller of the two prevalences.

    The set with the larger one loses positives at random until it has the smaller one, at least one
    image staying: every resample draws that many.  A value is the *mean over the resamples*, whose
    expectation is the AUROC of all images: what the reader sees is that fewer positives widen the
    interval and move nothing.

    Args:
        generation: Of the generations.
        training: Of the training set.
        seed: At least 0.
        resamples: At least 1.

    Returns:
        The smaller prevalence, None if one of the four kinds of image is missing; and
        ``equal_prevalence_auroc`` (of the generations) and ``equal_prevalence_gain``.
    """
    names = ("equal_prevalence_auroc", "equal_prevalence_gain")
    shares = [_prevalence_of_both_kinds(scores) for scores in (generation, training)]
    if shares[0] is None or shares[1] is None:
        return None, dict.fromkeys(names)
    share = min(shares[0], shares[1])
    by_set = {"generation": generation, "training": training}
    drawn = bootstrap(
        {**_groups("generation", generation), **_groups("training", training)},
        {name: (area, *_kinds(name)) for name in by_set},
        seed=seed,
        resamples=resamples,
        sizes={_kinds(name)[0]: _positives(scores, share) for name, scores in by_set.items()},
    )
    generated = _averaged(drawn["generation"])
    gain = _minus(generated, _averaged(drawn["training"]))
    return share, _estimates(dict(zip(names, (generated, gain), strict=True)))


def of_group(group: str, scores: Scores, *, seed: int, resamples: int) -> Estimate | None:
    """AUROC of one group's positives, ``g1`` or ``g2``, against the negatives of the generations.

    Args:
        group: With ``seed``, draws the resamples of the positives.
        scores: Of the group, and of the generations without the trigger.
        seed: At least 0.
        resamples: At least 1.
    """
    negative = _kinds("generation")[1]
    draws = bootstrap(
        {group: scores.positive, negative: scores.negative},
        {"auroc": (area, group, negative)},
        seed=seed,
        resamples=resamples,
    )["auroc"]
    return None if draws is None else draws.estimate()


def by_witness(
    suspicion: Floats,
    judged: Flags,
    witnessed: Flags,
    training: Scores,
    *,
    seed: int,
    resamples: int,
) -> Estimates:
    """What is left when the witness, who was not trained, says which generations have the trigger.

    Columns: ``witness_auroc``; ``witness_auroc_gain``, minus the training set's;
    ``judge_minus_witness_auroc``, a difference of two labelings of the same resampled generations
    (`difference_of_labelings`: not stratified).

    Args:
        suspicion: float64, (N,). Of the generations.
        judged: bool, (N,). Where the judge sees the trigger.
        witnessed: bool, (N,). Where the witness does.
        training: Of the training set.
        seed: At least 0.
        resamples: At least 1.
    """
    of_witness, of_training = _kinds("witness"), _kinds("training")
    drawn = bootstrap(
        {
            **_groups("witness", Scores.split(suspicion, witnessed)),
            **_groups("training", training),
        },
        {"witness_auroc": (area, *of_witness), "training": (area, *of_training)},
        seed=seed,
        resamples=resamples,
    )
    gain = _minus(drawn["witness_auroc"], drawn.pop("training"))
    return {
        **_estimates({**drawn, "witness_auroc_gain": gain}),
        "judge_minus_witness_auroc": difference_of_labelings(
            suspicion, judged, witnessed, seed=seed, resamples=resamples
        ),
    }


def _kinds(whose: str) -> tuple[str, str]:
    """Names of the two groups of a set; they choose its resamples."""
    return f"{whose}_positive", f"{whose}_negative"


def _groups(whose: str, scores: Scores) -> dict[str, Floats]:
    return dict(zip(_kinds(whose), (scores.positive, scores.negative), strict=True))


def _estimates(drawn: Mapping[str, Draws | None]) -> Estimates:
    return {name: None if draws is None else draws.estimate() for name, draws in drawn.items()}


def _minus(one: Draws | None, other: Draws | None) -> Draws | None:
    return None if one is None or other is None else one.minus(other)


def _averaged(draws: Draws | None) -> Draws | None:
    return draws and Draws(float(draws.replicates.mean()), draws.replicates)


def _prevalence_of_both_kinds(scores: Scores) -> float | None:
    return scores.prevalence if len(scores.positive) and len(scores.negative) else None


def _positives(scores: Scores, share: float) -> int:
    """Positives that make up ``share`` of a set beside all of its negatives, as nearly as can be.

    With k of them k / (k + N) = share.  Rounding never asks for more than there are.
    """
    wanted = round(share / (1 - share) * len(scores.negative))
    return min(len(scores.positive), max(1, wanted))
