"""The page of ``composition``: Fig. 2, A4, A6 and A8, triggers x samplers."""

from collections.abc import Sequence
from functools import partial

from analysis.names import name, place
from analysis.page import groups as shared
from analysis.page.compositions import composition_bars, stacks
from analysis.page.figures import Curve, Figure, Printed, Reference, bars, curve, lines, stems
from analysis.page.glossary import definitions
from analysis.page.page import Block, Page, Panels, Report, Section
from analysis.page.style import RAMP
from analysis.page.tables import Cell, Column, Table, coordinates, table
from analysis.rows import Row, Rows, groups, poisoned, records, reported_guidance, select, values
from analysis.statistics.comparison import between_points, level_of
from analysis.statistics.intervals import Estimate
from analysis.wording import listed, percent, points, titled

BY = ("judge_trigger", "target_class")
RATIO = 0.1
"""The poison ratio of the paper's pies."""
columns = shared.terminal_columns


def sentence(rows: Rows) -> str:
    """How much of each trigger comes out under the samplers."""
    shown = _usual(poisoned(select(rows, guidance_weight=reported_guidance(rows))))
    if shown.empty:
        return "No poisoned point has been measured yet."
    shown = select(shown, poison_ratio=_ratio(shown))
    spans = []
    for at, own in groups(shown, *BY):
        shares = [100 * _level("trigger_ratio", cell).value for _, cell in groups(own, "sampler")]
        span = dict.fromkeys(f"{share:.0f}" for share in (min(shares), max(shares)))
        trigger = name("trigger", at["judge_trigger"])
        spans.append(f"{' to '.join(span)}% of their images for {trigger}")
    p_t = percent(float(values(shown, "p_t")[0]))
    where = place(poison_ratio=_ratio(shown))
    return f"At {where} the models draw a trigger in {listed(spans)}, against p_t = {p_t}."


def page(report: Report) -> Page:
    """Compositions, samplers, thresholding and images of each trigger."""
    rows, weight = report.rows, reported_guidance(report.rows)
    shown = select(rows, guidance_weight=weight)
    subjects = [(at, own) for at, own in groups(shown, *BY) if len(poisoned(own))]
    starts = stems((at["judge_trigger"],) for at, _ in subjects)
    compositions: list[Block] = [shared.KEY]
    samplers: list[Block] = []
    thresholds: list[Block] = []
    for start, (at, own) in zip(starts, subjects, strict=True):
        usual, title = _usual(own), titled(place(**at))
        drawn = {clip["clip"]: _panels(start, cells, weight) for clip, cells in groups(own, "clip")}
        first = values(usual, "clip")[0] if values(usual, "clip") else None
        compositions.append(Panels(drawn[first], title=title))
        above = title if len(subjects) > 1 else ""
        samplers.append(Panels(_by_sampler(start, usual), "two", above))
        others = [figure for clip, panels in drawn.items() if clip != first for figure in panels]
        if others:
            thresholds += [Panels(others, title=title), _thresholding(poisoned(own))]
    shelves = [
        (titled(place(**at)), own) for at, own in groups(shown, "judge_trigger", "sampler", "clip")
    ]
    thresholding = Section(
        "thresholding",
        "What thresholding does to G1 and G2",
        "The same models and noise, with two usual ways of keeping a sampler's estimate in range; "
        "the authors use none. Beneath a number is its difference from the unthresholded one with "
        "a 95% interval.",
        thresholds,
        "Thresholding",
    )
    return Page(
        sentence=sentence(rows),
        facts=[fact for at, own in subjects for fact in _facts(at["judge_trigger"], _usual(own))],
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
            *([thresholding] if thresholds else []),
            shared.images_section(shared.gallery(report, shelves)),
            *shared.template_match(rows),
        ],
        published=shared.printed_beside(rows, weight),
        published_words="Ours is beneath at the same trigger, sampler and poison ratio, always at "
        f"w = {weight:g}; the 5 of the paper's CIFAR10 figures is our 6. The data and the model "
        "differ: the pattern is comparable, the height is not.",
        numbers=shared.numbers(rows),
        definitions=definitions(
            *shared.TERMS, "Thresholding", "Template match", sampler=rows, trigger=rows
        ),
    )


def _usual(rows: Rows) -> Rows:
    """The rows of the first way of thresholding: the authors', which is none."""
    return select(rows, clip=tuple(values(rows, "clip")[:1]) or None)


def _ratio(rows: Rows) -> float:
    """The paper's ratio where it was measured, else the highest."""
    ratios = values(poisoned(rows), "poison_ratio")
    return RATIO if len(select(rows, poison_ratio=RATIO)) else float(ratios[-1])


def _level(metric: str, rows: Rows) -> Estimate:
    return level_of(rows, metric).estimate


def _facts(trigger: str, rows: Rows) -> list[tuple[str, str]]:
    """G1 under DDPM and SDE."""
    ratio = _ratio(rows)
    ddpm, sde = (select(rows, poison_ratio=ratio, sampler=one) for one in ("ddpm", "sde"))
    if ddpm.empty or sde.empty:
        return []
    before, after = (f"{100 * _level('g1', one).value:.0f}" for one in (ddpm, sde))
    words = f"{titled(name('trigger', trigger))}: G1 under DDPM and SDE at"
    return [(f"{before} → {after}%", f"{words} {place(poison_ratio=ratio)}")]


def _panels(start: str, rows: Rows, weight: float) -> list[Figure]:
    """A panel of stacked bars for each sampler and way of thresholding."""
    cells = groups(rows, "judge_trigger", "sampler", "clip")
    names = stems((start, at["sampler"], at["clip"] or "none", "composition") for at, _ in cells)
    panels = []
    for file, (at, own) in zip(names, cells, strict=True):
        where = at if at["clip"] in (None, "none") else {**at, "judge_trigger": None}
        panels.append(stacks(file, titled(place(**where)), composition_bars(own, weight)))
    return panels


def _by_sampler(start: str, rows: Rows) -> list[Figure]:
    """G1 as bars and G1 + G2 as lines against the ratio, a color for each sampler."""
    stamped = poisoned(rows)
    trained = {
        float(at["poison_ratio"]): float(own["p_t"].astype(float).mean())
        for at, own in groups(stamped, "poison_ratio")
    }
    trigger = titled(name("trigger", values(stamped, "judge_trigger")[0]))
    samplers = groups(stamped, "sampler")
    theirs = records(shared.printed_groups(stamped, **shared.AT_FIVE))

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
    p_t = [Reference(label="p_t", value=sorted(trained.items()))]
    file, title = f"{start}-trigger-ratio-by-sampler", f"{trigger}: G1 + G2 by sampler"
    return [
        bars(
            f"{start}-g1-by-sampler", f"{trigger}: G1 by sampler", g1, across=trained, printed=paper
        ),
        lines(file, title, both, x="poison_ratio", references=p_t, printed=paper_both),
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
        and (cell["dataset"].startswith("ImageNette") or sampler != "ddim")
    ]


def _thresholding(rows: Rows) -> Table:
    """G1 and G2 with every way of thresholding, and the differences from the usual one."""
    ways = values(rows, "clip")

    def changed(group: str, clip: str, point: Rows) -> Cell | None:
        own, base = select(point, clip=clip), select(point, clip=ways[0])
        if own.empty or base.empty:
            return None
        change = points(between_points(own, base, group).estimate) if clip != ways[0] else ""
        return Cell(percent(_level(group, own).value), change)

    metrics = [
        Column(
            f"{group.upper()}, {name('clip', clip) or 'unthresholded'}",
            partial(changed, group, clip),
        )
        for group in ("g1", "g2")
        for clip in ways
    ]
    by = ("sampler", "poison_ratio")
    both = [own for _, own in groups(rows, *by) if len(values(own, "clip")) > 1]
    measured = rows.loc[[index for own in both for index in own.index]]
    return table(measured, [*coordinates(*by), *metrics], by=by)
