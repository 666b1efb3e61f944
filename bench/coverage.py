"""How often each interval that a page prints holds the truth: ``python -m bench.coverage``.

Every case draws data whose truth is known, asks the package for its interval, and counts.  The
table goes to docs/coverage.md; draws come from ``generator(0, "coverage", case)``, so that it is
the same every time.  It takes some minutes on one core.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.simulated.areas import areas, rates
from bench.simulated.cases import Case
from bench.simulated.shares import corrected, differences, over_seeds, shares, transitions
from models.randomness import generator

DOCUMENT = Path(__file__).parents[1] / "docs" / "coverage.md"
SIMULATIONS = 2000
LEAST = 0.92
"""Coverage below which an interval is not to be printed."""
HEADING = """# How often the intervals hold the truth

Made by `make coverage`: {simulations:,} simulations of every case, each of data whose truth is
known. All intervals are nominally 95 %; a share here is itself known to about one percentage point.
The lowest is {lowest:.1f} %; an interval that holds less than {least:.0f} % is not to be printed.

- Intervals of one model's images are conditional on that model. From three seeds on they are
  Student's over the seeds and no narrower than the seeds' own: they hold nearly 100 % where
  trainings do not vary, and about 95 % where they do.
- A p* has an interval from three seeds on. Where trainings move it by a factor of more than two
  (not in the table) it holds less, about 90 %.
- AUROCs, their differences and rates are cautious near 0 and 1: few images out of order say little
  about the rest.
- At equal prevalence an AUROC has the interval of fewer positives than it rests on, and two rates
  of the same test images that no row pairs count as independent: both are wider than they need be.
- Rank correlations and medians are printed without an interval.

| interval | data | holds | functions |
| --- | --- | --- | --- |
"""
"""What is said above the table."""


def cases() -> list[Case]:
    """Every case, in the order of the table."""
    return [
        *shares(),
        *differences(),
        *over_seeds(),
        *areas(),
        *rates(),
        *corrected(),
        *transitions(),
    ]


def coverage(case: Case, place: int, simulations: int) -> float:
    """Share of the simulations in which the interval of the case at this place held the truth."""
    draw = generator(0, "coverage", place)
    return sum(case.holds(draw) for _ in range(simulations)) / simulations


def document(found: Sequence[tuple[Case, float]], simulations: int) -> str:
    """The table with what is to be said of it, as Markdown."""
    lowest = 100 * min(share for _, share in found)
    lines = [
        f"| {case.what} | {case.setting} | {100 * share:.1f} % | {_named(case.functions)} |\n"
        for case, share in found
    ]
    return HEADING.format(simulations=simulations, lowest=lowest, least=100 * LEAST) + "".join(
        lines
    )


def _named(functions: Sequence[Callable[..., Any]]) -> str:
    names = [f"{one.__module__}.{one.__name__}" for one in functions]
    return ", ".join(f"`{name.removeprefix('analysis.statistics.')}`" for name in names)


def main(words: Sequence[str]) -> None:
    """Simulate everything and write the document."""
    asked = argparse.ArgumentParser(prog="python -m bench.coverage", description=__doc__)
    asked.add_argument("--simulations", type=int, default=SIMULATIONS)
    asked.add_argument("--out", type=Path, default=DOCUMENT)
    said = asked.parse_args(words)
    found = []
    for place, case in enumerate(cases()):
        found.append((case, coverage(case, place, said.simulations)))
        print(f"{100 * found[-1][1]:5.1f} %  {case.what}, {case.setting}", flush=True)
    said.out.write_text(document(found, said.simulations))


if __name__ == "__main__":
    main(sys.argv[1:])
