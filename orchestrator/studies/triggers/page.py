"""The page of ``triggers``: Fig. A2, A3 and A4, trigger beside trigger."""

from analysis.names import name, place
from analysis.page import groups as shared
from analysis.page.compositions import composition_bars, stack_row
from analysis.page.figures import stems
from analysis.page.glossary import definitions
from analysis.page.page import Block, Heading, Page, Panels, Report, Section
from analysis.page.stamps import strip
from analysis.page.tables import NUMBER, Column, coordinates, table
from analysis.rows import Rows, groups, poisoned, reported_guidance, same, select, values
from analysis.statistics.comparison import level_of
from analysis.wording import listed, percent, titled

columns = shared.terminal_columns
RATIO = 0.1
"""The poison ratio of the paper's pies."""


def sentence(rows: Rows) -> str:
    """How many mismatches with a trigger each trigger makes."""
    found = _headlines(rows)
    if not found:
        return "No poisoned point has been measured yet."
    shares = [
        f"{percent(level_of(own, 'g1').estimate.value)} for {name('trigger', at['trigger'])}"
        for at, own in found
    ]
    return f"Images with a trigger that mismatch the prompt (G1) are {listed(shares)}."


def page(report: Report) -> Page:
    """What is stamped, what comes of it, and the images."""
    weight = reported_guidance(report.rows)
    rows = select(report.rows, guidance_weight=weight)
    places = groups(rows, "target_class", "sampler")
    starts = stems(("compositions", at["sampler"]) for at, _ in places)
    blocks: list[Block] = [shared.KEY]
    for start, (at, own) in zip(starts, places, strict=True):
        clean = select(own, trigger="none")
        panels = []
        for key, stamped in groups(poisoned(own), "trigger"):
            judged = select(clean, judge_trigger=tuple(values(stamped, "judge_trigger")))
            bars = [*composition_bars(judged, weight), *composition_bars(stamped, weight)]
            plain = [(label.partition("\n")[0], found) for label, found in bars]
            panels.append((titled(name("trigger", key["trigger"])), plain))
        if len(places) > 1:
            blocks.append(Heading(titled(place(**at))))
        blocks += [
            Panels([stack_row(start, panels)] if panels else [], "wide"),
            _table(poisoned(own)),
        ]
    shelves = [
        (titled(name("trigger", at["trigger"])), own)
        for at, own in groups(rows, "trigger", "target_class", "sampler")
    ]
    return Page(
        sentence=sentence(report.rows),
        facts=[_fact(at["trigger"], own) for at, own in _headlines(report.rows)],
        examples=False,
        sections=[
            Section(
                "triggers",
                "What is stamped",
                "One training image under every trigger. Where more than a quarter of the pixels "
                "change, the change is shown beneath: lighter and darker than grey are lighter and "
                "darker than the image. Relabel-only stamps nothing; clean-label changes images of "
                "the target class alone and leaves their labels.",
                [strip(report.strip)],
                "Triggers",
            ),
            Section(
                "composition",
                "What the poisoned models draw",
                f"Images generated for the target class at guidance w = {weight:g}; 0% is the "
                "clean model, seen by that trigger's judge; relabel-only is seen by another one's. "
                "The line across a bar is p_t, dotted for relabel-only: its share of relabelled "
                "images. Thin strokes are 95% intervals, of G1 on the left and of G1 + G2 on the "
                "right.",
                blocks,
                "Composition",
            ),
            shared.images_section(shared.gallery(report, shelves)),
            *shared.template_match(report.rows),
        ],
        published=shared.printed_beside(report.rows, weight),
        published_words="Ours is beneath at the same trigger, sampler and poison ratio, always at "
        f"w = {weight:g}; the 5 of the paper's CIFAR10 figures is our 6. Its image patch is a "
        "bomb, and it does not say what its p of clean labels is a fraction of. The data and the "
        "model differ: the pattern is comparable, the height is not.",
        numbers=shared.numbers(report.rows),
        definitions=definitions(
            *shared.TERMS,
            "Poison ratio of clean labels",
            "Template match",
            sampler=rows,
            trigger=rows,
        ),
    )


def _headlines(rows: Rows) -> list[tuple[dict[str, object], Rows]]:
    """Each trigger at 10 %, the paper's ratio, or at the highest that was measured."""
    shown = poisoned(select(rows, guidance_weight=reported_guidance(rows)))
    found = []
    for at, own in groups(shown, "trigger", "target_class", "sampler"):
        ratios = values(own, "poison_ratio")
        ratio = next((ratio for ratio in ratios if same(ratio, RATIO)), ratios[-1])
        found.append((at, select(own, poison_ratio=ratio)))
    return found


def _fact(trigger: object, rows: Rows) -> tuple[str, str]:
    shares = [f"{100 * level_of(rows, group).estimate.value:.0f}" for group in ("g1", "g2", "g3")]
    where = place(poison_ratio=values(rows, "poison_ratio")[0])
    p_t = percent(float(values(rows, "p_t")[0]))
    words = f"{titled(name('trigger', trigger))}: G1 / G2 / G3 at {where}, p_t = {p_t}"
    return f"{' / '.join(shares)}%", words


def _table(rows: Rows) -> Block:
    """What was trained on, and what came out."""
    by = ("trigger", "poison_ratio")
    trained = [
        Column("poisoned images", "n_poisoned", NUMBER),
        Column("p_t", "p_t"),
        Column("relabelled", "relabelled_ratio"),
    ]
    last = Column("mismatches G1 + G3", "mismatch_ratio")
    return table(rows, [*coordinates(*by), *trained, *shared.MEASURES, last], by=by, words=2)
