"""The page of ``composition``: Fig. 2, A4, A6 and A8, triggers x samplers."""

from collections.abc import Sequence
from functools import partial

from analysis.names import name, place
from analysis.page.compositions import composition_bars, stacks
from analysis.page.figures import Curve, Figure, Printed, Reference, bars, curve, lines, stems
from analysis.page.glossary import definitions
from analysis.page.groups import (
    AT_FIVE,
    KEY,
    TERMS,
    gallery,
    images_section,
    numbers,
    printed_beside,
    printed_groups,
    template_match,
    terminal_columns,
)
from analysis.page.page import Block, Page, Panels, Report, Section
from analysis.page.style import RAMP
from analysis.page.tables import Cell, Column, Table, coordinates, table
from analysis.rows import Row, Rows, groups, poisoned, records, reported_guidance, select, values
from analysis.statistics.comparison import between_points, level_of
from analysis.statistics.intervals import Estimate
from analysis.wording import listed, percent, titled
from analysis.wording import points as points_of

BY = ("judge_trigger", "target_class")
RATIO = 0.1
"""The poison ratio of the paper's pies."""
IMAGENETTE = "ImageNette, Stable Diffusion"
columns = terminal_columns


def sentence(rows: Rows) -> str:
    """How much of each trigger comes out under the samplers."""
    shown = _usual(poisoned(select(rows, guidance_weight=reported_guidance(rows))))
    at_ratio = select(shown, poison_ratio=_ratio(shown)) if len(shown) else shown
    if at_ratio.empty:
        return "No poisoned point has been measured yet."
    spans = [
        f"{_span([_level('trigger_ratio', cell).value for _, cell in groups(own, 'sampler')])} of "
        f"their images for {name('trigger', at['judge_trigger'])}"
        for at, own in groups(at_ratio, *BY)
    ]
    p_t = percent(float(values(at_ratio, "p_t")[0]))
    where = place(poison_ratio=_ratio(shown))
    return f"At {where} the models draw a trigger in {listed(spans)}, against p_t = {p_t}."


def page(report: Report) -> Page:
    """Compositions, samplers, thresholding and images of each trigger."""
    rows, weight = report.rows, reported_guidance(report.rows)
    shown = select(rows, guidance_weight=weight)
    subjects = [(at, own) for at, own in groups(shown, *BY) if len(poisoned(own))]
    starts = stems((at["judge_trigger"],) for at, _ in subjects)
    compositions: list[Block] = [KEY]
    samplers: list[Block] = []
    thresholds: list[Block] = []
    for start, (at, own) in zip(starts, subjects, strict=True):
        usual, title = _usual(own), titled(place(**at))
        drawn = {clip["clip"]: _panels(start, cells, weight) for clip, cells in groups(own, "clip")}
        first = values(usual, "clip")[0] if values(usual, "clip") else None
        compositions.append(Panels(drawn[first], title=title))
        samplers.append(
            Panels(_by_sampler(start, usual), "two", title if len(subjects) > 1 else "")
        )
        others = [figure for clip, panels in drawn.items() if clip != first for figure in panels]
        if others:
            thresholds += [Panels(others, title=title), _thresholding(poisoned(own))]
    shelves = [
        (titled(place(**at)), own) for at, own in groups(shown, "judge_trigger", "sampler", "clip")
    ]
    return Page(
        sentence=sentence(rows),
        facts=_facts(shown, subjects),
        sections=[
            Section(
                "composition",
                "What the poisoned models draw",
                f"Images generated for the target class at guidance w = {weight:g}; 0% is the "
                "clean model, seen by the same judges. The line across a bar is p_t: triggers are "
                "amplified where red and yellow together rise above it. Thin strokes are 95% "
                "intervals, of G1 on the left and of G1 + G2 on the right.",
                compositions,
                "Composition",
            ),
            Section(
                "samplers",
                "Does the sampler matter?",
                "The same models, sampled in different ways: G1, of which the paper draws fewer "
                "with SDE sampling, and G1 + G2 (its Fig. A6 e and A8 e). Open circles are the "
                "paper's numbers: ImageNette with Stable Diffusion on DDIM, CIFAR10 on DDPM and "
                "SDE.",
                samplers,
                "Samplers",
            ),
            *_thresholding_section(thresholds),
            images_section(gallery(report, shelves)),
            *template_match(rows),
        ],
        published=printed_beside(rows, weight),
        published_words="Ours is beneath at the same trigger, sampler and poison ratio, always at "
        f"w = {weight:g}; the 5 of the paper's CIFAR10 figures is our 6. The data and the model "
        "differ: the pattern is comparable, the height is not.",
        numbers=numbers(rows),
        definitions=definitions(
            *TERMS, "Thresholding", "Template match", sampler=rows, trigger=rows
        ),
    )


def _thresholding_section(blocks: Sequence[Block]) -> list[Section]:
    words = (
        "The same models and noise, with two usual ways of keeping a sampler's estimate in range; "
        "the authors use none. Beneath a number is its difference from the unthresholded one with "
        "a 95% interval."
    )
    heading = "What thresholding does to G1 and G2"
    return [Section("thresholding", heading, words, blocks, "Thresholding")] if blocks else []


def _usual(rows: Rows) -> Rows:
    """The rows of the first way of thresholding: the authors', which is none."""
    return select(rows, clip=tuple(values(rows, "clip")[:1]) or None)


def _ratio(rows: Rows) -> float:
    """The paper's ratio where it was measured, else the highest."""
    ratios = values(poisoned(rows), "poison_ratio")
    return RATIO if len(select(rows, poison_ratio=RATIO)) else float(ratios[-1])


def _level(metric: str, rows: Rows) -> Estimate:
    return level_of(rows, metric).estimate


def _span(shares: Sequence[float]) -> str:
    low, high = f"{100 * min(shares):.0f}", f"{100 * max(shares):.0f}"
    return f"{low}%" if low == high else f"{low} to {high}%"


def _facts(rows: Rows, subjects: Sequence[tuple[dict[str, object], Rows]]) -> list[tuple[str, str]]:
    """G1 under DDPM and SDE of each trigger, and the most triggers of any clean model."""
    facts = []
    for at, own in subjects:
        usual = _usual(own)
        cells = select(poisoned(usual), poison_ratio=_ratio(usual))
        where = place(poison_ratio=_ratio(usual))
        trigger = titled(name("trigger", at["judge_trigger"]))
        ddpm, sde = select(cells, sampler="ddpm"), select(cells, sampler="sde")
        if len(ddpm) and len(sde):
            before, after = (f"{100 * _level('g1', one).value:.0f}" for one in (ddpm, sde))
            facts.append((f"{before} → {after}%", f"{trigger}: G1 under DDPM and SDE at {where}"))
        elif len(cells):
            shares = [_level("trigger_ratio", one).value for _, one in groups(cells, "sampler")]
            facts.append((_span(shares), f"{trigger}: images with a trigger at {where}"))
    clean = groups(select(_usual(rows), trigger="none"), "judge_trigger", "sampler")
    if clean:
        most = max(_level("trigger_ratio", own).value for _, own in clean)
        facts.append((percent(most), "the most triggers from any clean model"))
    return facts


def _panels(start: str, rows: Rows, weight: float) -> list[Figure]:
    """A panel of stacked bars for each sampler and way of thresholding."""
    cells = groups(rows, "judge_trigger", "sampler", "clip")
    names = stems((start, at["sampler"], at["clip"] or "none", "composition") for at, _ in cells)
    titles = [
        titled(place(**(at if at["clip"] in (None, "none") else {**at, "judge_trigger": None})))
        for at, _ in cells
    ]
    return [
        stacks(file, title, composition_bars(own, weight))
        for file, title, (_, own) in zip(names, titles, cells, strict=True)
    ]


def _by_sampler(start: str, rows: Rows) -> list[Figure]:
    """G1 as bars and G1 + G2 as lines against the ratio, a color for each sampler."""
    stamped = poisoned(rows)
    trained = {
        float(at["poison_ratio"]): float(own["p_t"].astype(float).mean())
        for at, own in groups(stamped, "poison_ratio")
    }
    trigger = titled(name("trigger", values(stamped, "judge_trigger")[0]))
    samplers = groups(stamped, "sampler")
    theirs = records(printed_groups(stamped, **AT_FIVE))

    def drawn(metric: str) -> tuple[list[Curve], list[Printed]]:
        curves = [
            curve(name("sampler", at["sampler"]), own, "poison_ratio", partial(_level, metric))
            for at, own in samplers
        ]
        circles = [
            Printed(points=_circles(theirs, at["sampler"], metric, trained), color=color)
            for (at, _), color in zip(samplers, RAMP, strict=False)
        ]
        return curves, circles

    g1, paper = drawn("g1")
    both, paper_both = drawn("trigger_ratio")
    file, title = f"{start}-g1-by-sampler", f"{trigger}: G1 by sampler"
    return [
        bars(file, title, g1, across=trained, printed=paper),
        lines(
            f"{start}-trigger-ratio-by-sampler",
            f"{trigger}: G1 + G2 by sampler",
            both,
            x="poison_ratio",
            references=[Reference(label="p_t", value=sorted(trained.items()))],
            printed=paper_both,
        ),
    ]


def _circles(
    cells: Sequence[Row], sampler: str, metric: str, ratios: dict[float, float]
) -> list[tuple[float, float]]:
    """The paper's values under one sampler; of Stable Diffusion ImageNette's alone."""
    return [
        (float(cell["poison_ratio"]), float(cell[metric]))
        for cell in cells
        if cell["sampler"] == sampler
        and cell["poison_ratio"] in ratios
        and cell.get(metric) is not None
        and (cell["dataset"] == IMAGENETTE or sampler != "ddim")
    ]


def _thresholding(rows: Rows) -> Table:
    """G1 and G2 with every way of thresholding, and the differences from the usual one."""
    ways = {clip: name("clip", clip) or "unthresholded" for clip in values(rows, "clip")}
    usual = next(iter(ways))

    def changed(group: str, clip: str, point: Rows) -> Cell | None:
        own, base = select(point, clip=clip), select(point, clip=usual)
        if own.empty or base.empty:
            return None
        change = between_points(own, base, group).estimate if clip != usual else None
        return Cell(percent(_level(group, own).value), points_of(change) if change else "")

    metrics = [
        Column(f"{group.upper()}, {ways[clip]}", partial(changed, group, clip))
        for group in ("g1", "g2")
        for clip in ways
    ]
    by = ("sampler", "poison_ratio")
    both = [own for _, own in groups(rows, *by) if len(values(own, "clip")) > 1]
    measured = rows.loc[[index for own in both for index in own.index]]
    return table(measured, [*coordinates(*by), *metrics], by=by)
