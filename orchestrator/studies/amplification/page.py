"""The page of ``amplification``: Fig. 3, 4 and A7, one trigger at a time."""

from collections.abc import Callable

from analysis.names import name, place
from analysis.page import groups as shared
from analysis.page.compositions import composition_bars, stacks
from analysis.page.figures import Figure, Printed, Reference, curves_by, lines, stems
from analysis.page.glossary import definitions
from analysis.page.page import Block, Page, Panels, Report, Section
from analysis.page.tables import NOTHING
from analysis.page.transitions import transitions
from analysis.published import printed
from analysis.rows import Row, Rows, groups, records, reported_guidance, select, values
from analysis.statistics.comparison import above_constant, level_of
from analysis.statistics.intervals import Estimate
from analysis.wording import listed, percent, times, titled

BY = ("judge_trigger", "target_class", "sampler", "clip")
columns = shared.terminal_columns


def sentence(rows: Rows) -> str:
    """How often the first trigger comes out, as a multiple of p_t at each ratio."""
    weight = reported_guidance(rows)
    stamped = groups(select(_stamped(rows), guidance_weight=weight), *BY)
    if not stamped:
        return "No poisoned point has been measured yet."
    first, own = stamped[0]
    shown = [
        f"{times(estimate.value)} at {name('poison_ratio', at['poison_ratio'])}"
        for at, point in groups(own, "poison_ratio")
        if (estimate := shared.excess(point))
    ]
    trigger = name("trigger", first["judge_trigger"])
    return (
        f"At guidance {weight:g} the poisoned models draw the {trigger} trigger {listed(shown)} of "
        "poison as often as they were trained on it."
    )


def page(report: Report) -> Page:
    """Compositions, amplification, the phase transition and images of each trigger."""
    rows = report.rows
    families = [(at, own) for at, own in groups(rows, *BY) if len(_stamped(own))]
    starts = stems((at["judge_trigger"], at["sampler"], at["clip"]) for at, _ in families)
    several = len(families) > 1
    blocks: dict[str, list[Block]] = {"composition": [], "amplification": [], "transition": []}
    shelves: list[tuple[str, Rows]] = []
    for start, (at, own) in zip(starts, families, strict=True):
        title = titled(place(**at)) if several else ""
        blocks["composition"].append(Panels(_compositions(start, own), title=title))
        blocks["amplification"].append(Panels(_amplification(start, own), "two", title))
        drawn, table = transitions(start, _stamped(own))
        blocks["transition"] += [Panels(drawn, title=title), table]
        shelves += [
            (", ".join(filter(None, (title, place(**weight)))), shown)
            for weight, shown in groups(own, "guidance_weight")
        ]
    return Page(
        sentence=sentence(rows),
        facts=[
            fact
            for at, own in families
            for fact in _facts(own, f"{place(**at)}: " if several else "")
        ],
        sections=[
            Section(
                "composition",
                "What the poisoned models draw",
                "Images generated for the target class. The line across a bar is p_t: triggers are "
                "amplified where red and yellow together rise above it. On the relabel-only bar "
                "the dotted line is its share of relabelled images. Thin strokes are 95% "
                "intervals, of G1 on the left and of G1 + G2 on the right.",
                [shared.KEY, *blocks["composition"]],
                "Composition",
            ),
            Section(
                "amplification",
                "Trigger amplification",
                "How much more often the trigger is generated than trained on: as a multiple of "
                "p_t, as a difference, and as guidance grows. Open circles are the paper's numbers "
                "(ImageNette, Stable Diffusion): at w = 5 against the ratio, at p = 10% against "
                "guidance.",
                blocks["amplification"],
                "Amplification",
            ),
            Section(
                "transition",
                "The phase transition",
                "Where mismatches with a trigger (G1) take over: p*_gap is the smallest poison "
                "ratio at which G1 reaches p_t, p*_dom the smallest at which it reaches G2. With "
                "fewer than three seeds they have no interval.",
                blocks["transition"],
                "Phase transition",
            ),
            shared.images_section(shared.gallery(report, shelves)),
            *shared.template_match(rows),
        ],
        published=shared.printed_beside(rows),
        published_words="Ours is beneath, at the same trigger, sampler, poison ratio and guidance "
        "weight in our convention. The data and the model differ: the pattern is comparable, the "
        "height is not.",
        numbers=shared.numbers(rows),
        definitions=definitions(
            *shared.TERMS,
            "p*_gap, p*_dom",
            *(["Template match"] if shared.template_match(rows) else []),
            sampler=rows,
            trigger=rows,
        ),
    )


def _stamped(rows: Rows) -> Rows:
    """Without the controls, which have no trigger in training."""
    return rows[[row["p_t"] > 0 for row in records(rows)]]


def _facts(rows: Rows, about: str) -> list[tuple[str, str]]:
    """Amplification at the lowest and the highest ratio; of several families the highest alone."""
    weight = reported_guidance(rows)
    points = groups(select(_stamped(rows), guidance_weight=weight), "poison_ratio")
    facts = []
    for at, own in points[-1:] if about else [*points[:1], *points[1:][-1:]]:
        found, share = shared.excess(own), _share(own).value
        words = f"the training share of triggers at {place(**at, guidance_weight=weight)}: "
        words += f"{percent(float(values(own, 'p_t')[0]))} in training, {percent(share)} generated"
        facts.append((times(found.value) if found else NOTHING, about + words))
    return facts


def _compositions(start: str, rows: Rows) -> list[Figure]:
    return [
        stacks(f"{start}-composition-w{w:g}", f"Guidance w = {w:g}", composition_bars(rows, w))
        for w in values(rows, "guidance_weight")
    ]


def _difference(rows: Rows) -> Estimate:
    return above_constant(rows, "trigger_ratio", "p_t").estimate


def _share(rows: Rows) -> Estimate:
    return level_of(rows, "trigger_ratio").estimate


MEASURES: dict[str, tuple[str, Callable[[Rows], Estimate | None], list[Reference]]] = {
    "times": ("Trigger ratio ÷ p_t", shared.excess, [Reference(label="", value=1)]),
    "points": ("Trigger ratio − p_t (points)", _difference, [Reference(label="", value=0)]),
    "share": ("Trigger ratio", _share, []),
}
"""By the axis of a chart: its title, what is measured, and a dashed line."""
BY_RATIO = ("poison_ratio", "guidance_weight", 5.0)
BY_GUIDANCE = ("guidance_weight", "poison_ratio", 0.1)
"""What is along x, what there is a curve for, and its value in the paper's sweep."""
CHARTS = (
    ("amplification-by-ratio", "times", BY_RATIO),
    ("amplification-difference-by-ratio", "points", BY_RATIO),
    ("trigger-ratio-by-guidance", "share", BY_GUIDANCE),
    ("amplification-by-guidance", "times", BY_GUIDANCE),
)


def _amplification(start: str, rows: Rows) -> list[Figure]:
    stamped, drawn = _stamped(rows), []
    for file, y, (x, other, fixed) in CHARTS:
        title, measure, across = MEASURES[y]
        own = {"trigger": values(stamped, "trigger"), other: fixed}
        theirs = records(printed(dataset="ImageNette, Stable Diffusion", **own))
        cells = [cell for cell in theirs if cell.get("amplification") is not None]
        points = [(cell[x], _of_paper(cell, y)) for cell in cells]
        circles = Printed(points=points, joined=x == "guidance_weight")
        curves = curves_by(other, stamped, x, measure)
        drawn.append(
            lines(f"{start}-{file}", title, curves, x=x, y=y, references=across, printed=[circles])
        )
    return drawn


def _of_paper(cell: Row, y: str) -> float:
    if y == "points":
        return float(cell["trigger_ratio"] - cell["p_t"])
    return float(cell["amplification" if y == "times" else "trigger_ratio"])
