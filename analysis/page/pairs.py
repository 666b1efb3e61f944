"""The training set beside the generations of its model, for rows that have ``image_set``."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from analysis.names import place
from analysis.page.figures import Curve, Printed, curve
from analysis.page.style import RAMP, SET_COLORS
from analysis.page.tables import NOTHING
from analysis.rows import Rows, groups, records, reported_guidance, same, select, values
from analysis.statistics.intervals import Estimate
from analysis.wording import percent

SETS = ("training", "generation")
"""In the order of every comparison."""
COLORS = (*SET_COLORS.values(), RAMP[0], RAMP[4])
"""Of the training set's curve, and of up to three ways of generating."""
MARKS = (("o", 6.0), ("s", 8.5))
"""The markers of the paper's datasets, and how far beside our curves they are drawn."""


def ways(rows: Rows) -> list[dict[str, Any]]:
    """Guidance weight and sampler of the generations; first the paper's weight with DDIM."""
    drawn = groups(select(rows, image_set="generation"), "guidance_weight", "sampler")
    weight = reported_guidance(rows)
    return sorted(
        (at for at, _ in drawn),
        key=lambda at: (not same(at["guidance_weight"], weight), -at["guidance_weight"]),
    )


def at_way(rows: Rows, way: Mapping[str, Any]) -> Rows:
    """All rows but those of generations that were drawn in another way than one of `ways`."""
    return select(rows, **{column: (None, value) for column, value in way.items()})


def reported(rows: Rows) -> Rows:
    """All rows but those of generations that headlines are not about."""
    return at_way(rows, next(iter(ways(rows)), {}))


def from_to(rows: Rows, column: str, show: Callable[[float], str] = percent) -> str:
    """The mean of a number over the seeds, in both sets of a point: "88.0% → 3.1%" or "– → –"."""
    sets = [records(select(rows, image_set=image_set)) for image_set in SETS]
    found = [[row[column] for row in own if row.get(column) is not None] for own in sets]
    return " → ".join(show(sum(own) / len(own)) if own else NOTHING for own in found)


def curves(rows: Rows, column: str, measure: Callable[..., Estimate | None]) -> list[Curve]:
    """A number by poison ratio: a curve for the training set, and one for each way of generating.

    ``measure`` is of the rows of a point and the column; of several seeds each is a dot.
    """
    found = ways(rows)[: len(COLORS) - 1]
    label = place if len(found) > 1 else lambda **_: "generations"
    sets = [("training set", {"image_set": "training"})]
    sets += [(label(**way), {"image_set": "generation", **way}) for way in found]
    drawn = []
    for (words, at), color, marker in zip(sets, COLORS, "osD^", strict=False):
        own = select(rows, **at)
        seeds = records(own) if len(values(own, "seed")) > 1 else []
        dots = [(1.02 * row["poison_ratio"], row.get(column)) for row in seeds]
        shown = [(x, y) for x, y in dots if y is not None]
        look = {"dots": shown, "color": color, "marker": marker}
        drawn.append(curve(words, own, "poison_ratio", partial(measure, column=column), **look))
    return drawn


def printed_pairs(cells: Rows, column: str) -> list[Printed]:
    """The paper's numbers by poison ratio, from its training set to its generations.

    At most one of `analysis.published.printed` for each dataset, poison ratio and set of images.
    """
    drawn = []
    for (_, own), (marker, beside) in zip(groups(cells, "dataset")[::-1], MARKS, strict=False):
        before, after = (records(select(own, image_set=image_set)) for image_set in SETS)
        points = [(cell["poison_ratio"], cell[column]) for cell in before if column in cell]
        ends = [cell[column] for cell in after if column in cell]
        if points:
            drawn.append(Printed(points=points, ends=ends, marker=marker, beside=beside))
    return drawn
