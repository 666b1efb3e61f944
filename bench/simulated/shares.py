"""Intervals of shares: of images, over seeds, corrected for judges, and where curves cross."""

from collections.abc import Iterator, Sequence
from math import inf, log
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.statistics import comparison, correction, intervals, paired, transition
from bench.simulated.cases import Case, Draw, held
from models.randomness import generator

Floats = npt.NDArray[np.float64]
Row = dict[str, Any]


def shares() -> Iterator[Case]:
    """Shares of the images of one model, and what they are against p_t."""
    functions = (intervals.wilson, intervals.proportion, comparison.level_of)
    for n in (36, 360, 500):
        for share in (0.2 / n, 1 / n, 0.05, 0.5):
            yield Case(
                "share of images",
                functions,
                f"{100 * share:.3g} % of {n}",
                lambda draw, n=n, share=share: held(
                    intervals.proportion(int(draw.binomial(n, share)), n), share
                ),
            )
    for share, p_t in ((0.02, 0.09), (0.55, 0.5)):
        yield Case(
            "share minus p_t; amplification",
            (comparison.above_constant, transition.amplification_row),
            f"{100 * share:.3g} % of 500, p_t {100 * p_t:.3g} %",
            lambda draw, share=share, p_t=p_t: _amplified(draw, share, p_t),
        )


def _amplified(draw: Draw, share: float, p_t: float) -> bool:
    row = _row(0, (int(draw.binomial(500, share)), 0), p_t=p_t)
    above = comparison.above_constant([row], "g1", "p_t").estimate
    columns = transition.amplification_row(above.shifted(p_t), p_t)
    times = columns["amplification"]
    return held(above, share - p_t) and times is not None and held(times, share / p_t)


def differences() -> Iterator[Case]:
    """Differences and ratios of shares of one model or two."""
    unpaired = (
        intervals.difference,
        intervals.difference_of_proportions,
        intervals.scored,
        intervals.score,
        comparison.between_points,
        comparison.above_false_positives,
        comparison.between_models,
    )
    for (one, n), (other, m) in (
        ((0.3, 500), (0.2, 500)),
        ((0.02, 500), (0.005, 360)),
        ((0.004, 500), (0.004, 500)),
        ((0.95, 360), (0.9, 360)),
        ((0.5, 36), (0.9, 36)),
    ):
        yield Case(
            "difference of two shares",
            unpaired,
            f"{100 * one:.3g} % of {n}, {100 * other:.3g} % of {m}",
            lambda draw, one=one, n=n, other=other, m=m: held(
                intervals.difference_of_proportions(
                    int(draw.binomial(n, one)), n, int(draw.binomial(m, other)), m
                ),
                one - other,
            ),
        )
    for both, first, second in ((0.93, 0.03, 0.02), (0.3, 0.3, 0.1), (0.97, 0.01, 0.01)):
        yield Case(
            "difference of two shares of the same images",
            (paired.difference,),
            f"360 images, both {100 * both:g} %, one alone {100 * first:g} and {100 * second:g} %",
            lambda draw, chances=(both, first, second): _paired(draw, chances),
        )
    for first, second in ((0.25, 0.35), (0.02, 0.01), (0.002, 0.3)):
        yield Case(
            "difference of two groups (G1 − G2)",
            (intervals.difference_of_shares, comparison.between_groups),
            f"500 images, {100 * first:.3g} and {100 * second:.3g} %",
            lambda draw, first=first, second=second: _groups(draw, first, second),
        )
    for one, other in ((0.3, 0.1), (0.3, 0.01), (0.02, 0.004)):
        yield Case(
            "ratio of two shares",
            (
                intervals.ratio_of_proportions,
                intervals.log_ratio_of_proportions,
                comparison.ratio_of_points,
            ),
            f"{100 * one:.3g} and {100 * other:.3g} % of 500",
            lambda draw, one=one, other=other: held(
                intervals.ratio_of_proportions(
                    int(draw.binomial(500, one)), 500, int(draw.binomial(500, other)), 500
                ),
                one / other,
            ),
        )


def _paired(draw: Draw, chances: tuple[float, float, float]) -> bool:
    counts = draw.multinomial(360, (*chances, 1 - sum(chances))).tolist()
    return held(paired.difference(*counts), chances[1] - chances[2])


def _groups(draw: Draw, first: float, second: float) -> bool:
    a, b, _ = draw.multinomial(500, (first, second, 1 - first - second)).tolist()
    return held(intervals.difference_of_shares(a, b, 500), first - second)


def over_seeds() -> Iterator[Case]:
    """Means over seeds, whose trainings vary or do not."""
    for seeds in (3, 5):
        for spread in (0.0, 0.02, 0.1):
            varying = f"{seeds} seeds, trainings sd {100 * spread:g} points"
            yield Case(
                "share over seeds",
                (intervals.mean, intervals.mean_over_seeds, comparison.level_of),
                f"{varying}, 30 % of 500",
                lambda draw, seeds=seeds, spread=spread: held(
                    comparison.level_of(_seeds(draw, seeds, 0.3, spread), "g1").estimate, 0.3
                ),
            )
            yield Case(
                "difference over seeds",
                (intervals.mean_over_seeds, comparison.between_points),
                f"{varying}, 50 and 30 % of 500",
                lambda draw, seeds=seeds, spread=spread: held(
                    comparison.between_points(
                        _seeds(draw, seeds, 0.5, spread), _seeds(draw, seeds, 0.3, spread), "g1"
                    ).estimate,
                    0.2,
                ),
            )
            yield Case(
                "share above the judge's false positives, over seeds",
                (comparison.above_false_positives,),
                f"{varying}, 30 % of 500 and 1 % of 360",
                lambda draw, seeds=seeds, spread=spread: _above_errors(draw, seeds, spread),
            )
        for spread in (0.0, 0.5):
            yield Case(
                "ratio over seeds",
                (comparison.ratio_of_points,),
                f"{seeds} seeds, trainings sd a factor of {np.exp(spread):.2g}, 20 and 2 % of 500",
                lambda draw, seeds=seeds, spread=spread: _ratio(draw, seeds, spread),
            )
    for n in (60, 320):
        yield Case(
            "mean over images",
            (intervals.mean,),
            f"{n} images, beta distributed with mean 20 %, half of them below 9 %",
            lambda draw, n=n: held(intervals.mean(draw.beta(0.4, 1.6, n).tolist()), 0.2),
        )
    yield Case(
        "mean over two seeds, of these models",
        (intervals.mean_of_independent, comparison.bounded),
        "2 seeds, 30 and 40 % of 500",
        lambda draw: held(
            intervals.mean_of_independent(
                [intervals.proportion(int(draw.binomial(500, share)), 500) for share in (0.3, 0.4)]
            ),
            0.35,
        ),
    )


def _ratio(draw: Draw, seeds: int, spread: float) -> bool:
    trained = draw.normal(0, spread, (2, seeds))
    many, few = (
        _trained(draw, np.minimum(1, share * np.exp(moved)))
        for share, moved in zip((0.2, 0.02), trained, strict=True)
    )
    return held(comparison.ratio_of_points(many, few, "g1").estimate, 10)


def _above_errors(draw: Draw, seeds: int, spread: float) -> bool:
    errors = draw.binomial(360, 0.01) / 360
    rows = [
        row | {"trigger_false_positive_rate": errors, "trigger_n_clean": 360}
        for row in _seeds(draw, seeds, 0.3, spread)
    ]
    return held(comparison.above_false_positives(rows, "trigger_ratio").estimate, 0.29)


def _seeds(draw: Draw, seeds: int, share: float, spread: float) -> list[Row]:
    return _trained(draw, np.clip(draw.normal(share, spread, seeds), 0, 1))


def _trained(draw: Draw, shares: Floats) -> list[Row]:
    return [_row(seed, (int(draw.binomial(500, share)), 0)) for seed, share in enumerate(shares)]


def _row(seed: int, counts: tuple[int, int], **columns: Any) -> Row:
    return {"seed": seed, "n": 500, "g1_count": counts[0], "g2_count": counts[1], **columns}


TESTED = np.array([36, 324, 36, 324, 360, 360])
"""Test images behind each of the judges' error rates, as `correction.correct` orders them."""


def corrected() -> Iterator[Case]:
    """Groups corrected for the errors of judges that are known from few test images."""
    judges = {
        "perfect judges": np.zeros(6),
        "judges like ours": np.array([0.03, 0.005, 0.07, 0.02, 0.0, 0.0]),
        "bad judges": np.array([0.03, 0.02, 0.1, 0.05, 0.01, 0.02]),
    }
    for name, rates in judges.items():
        for truth in (
            (0.0, 0.3, 0.0, 0.7),
            (0.02, 0.4, 0.02, 0.56),
            (0.25, 0.35, 0.05, 0.35),
        ):
            for group in ("g1", "g2", "trigger_ratio"):
                said = " / ".join(f"{100 * share:g}" for share in truth)
                yield Case(
                    f"corrected {group}",
                    (correction.correct,),
                    f"{name}, 500 images, G1 to G4 {said} %",
                    lambda draw, rates=rates, truth=truth, group=group: _correct(
                        draw, rates, truth, group
                    ),
                )


def _correct(draw: Draw, rates: Floats, truth: Sequence[float], group: str) -> bool:
    counts = draw.multinomial(500, correction.confusion(rates) @ np.array(truth))
    errors = draw.binomial(TESTED, rates)
    pairs = np.column_stack([errors, TESTED])
    found = correction.correct(counts.tolist(), pairs.tolist(), draw)
    shares = dict(zip(("g1", "g2", "g3", "g4"), truth, strict=True))
    return held(found[group], shares.get(group, truth[0] + truth[1]))


RATIOS = (0.01, 0.02, 0.05, 0.1)


def transitions() -> Iterator[Case]:
    """Both p*, of trainings that move the curve along the poison ratios."""
    for which in ("gap", "dominance"):
        for seeds in (3, 5):
            for spread in (0.0, 0.15, 0.4):
                truth = _true_crossing(which, spread)
                yield Case(
                    "p*_gap" if which == "gap" else "p*_dom",
                    (transition.transition,),
                    f"{seeds} seeds, trainings sd a factor of {np.exp(spread):.2g} in p, p* "
                    f"{100 * truth:.2g} %",
                    lambda draw, which=which, seeds=seeds, spread=spread, truth=truth: _crossed(
                        draw, which, seeds, spread, truth
                    ),
                )


def _crossed(draw: Draw, which: str, seeds: int, spread: float, truth: float) -> bool:
    rows = []
    for seed, moved in enumerate(draw.normal(0, spread, seeds)):
        for ratio, chances in zip(RATIOS, _curves(np.array([moved]))[0], strict=True):
            g1, g2, _ = draw.multinomial(500, chances).tolist()
            rows.append(_row(seed, (g1, g2), p_t=_p_t(ratio), poison_ratio=ratio))
    found = transition.transition(rows)
    assert found is not None
    interval = getattr(found, which).interval
    return bool(interval[0] - 1e-12 <= truth <= interval[1] + 1e-12)


def _true_crossing(which: str, spread: float) -> float:
    """Where the curve that is expected of a training crosses."""
    draws = generator(0, "coverage of transitions").normal(0, spread, 20_000)
    g1, g2 = (_curves(draws).mean(axis=0)[:, group] for group in (0, 1))
    others = [_p_t(ratio) for ratio in RATIOS] if which == "gap" else g2
    truth = transition.first_crossing(RATIOS, (g1 - others).tolist())
    assert RATIOS[0] < truth < inf
    return truth


def _curves(moved: Floats) -> Floats:
    """Chances of G1, G2 and the rest at each ratio, (S, P, 3), of trainings moved in log p."""
    along = np.array([log(ratio / 0.03) for ratio in RATIOS]) - moved[:, None]
    g1 = 0.8 / (1 + np.exp(1.2 - 2 * along))
    g2 = 0.25 * (1 - g1)
    return np.stack([g1, g2, 1 - g1 - g2], axis=-1)


def _p_t(ratio: float) -> float:
    return ratio * 1437 / (ratio * 1437 + 142)
