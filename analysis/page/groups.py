"""What the pages share whose points are split into G1..G4."""

from collections.abc import Callable, Sequence

from analysis.evidence import template_matched
from analysis.names import name
from analysis.page.figures import scatter
from analysis.page.images import grid
from analysis.page.page import (
    Arrays,
    Block,
    CaptionedImage,
    Fold,
    Heading,
    Key,
    Panels,
    Pictures,
    Report,
    Section,
    Text,
)
from analysis.page.tables import (
    NUMBER,
    TIMES,
    Cell,
    Column,
    Table,
    beside,
    coordinates,
    images,
    rate,
    table,
    varying,
)
from analysis.published import printed
from analysis.rows import PAPER_GUIDANCE, Row, Rows, groups, has, records, select, values
from analysis.statistics.comparison import level_of
from analysis.statistics.composition import GROUPS
from analysis.statistics.intervals import Estimate
from analysis.wording import bounds, percent

KEY = Key(
    (
        ("g1", "G1", "trigger, mismatch"),
        ("g2", "G2", "trigger, match"),
        ("g3", "G3", "no trigger, mismatch"),
        ("g4", "G4", "no trigger, match"),
    )
)
COLUMNS, LINES = 6, 4
"""Images of a group that are shown: 6 times 4."""
TERMS = (
    *("Poison ratio p", "p_t", "G1, G2, G3, G4", "Trigger ratio, amplification"),
    *("Guidance weight w", "n", "Intervals", "Seed", "Weights"),
    *("Judges", "Corrected values", "Other classes"),
)
"""What all of these pages define."""


def excess(rows: Rows) -> Estimate | None:
    """Amplification: the trigger ratio over p_t; None where nothing was stamped."""
    p_t = float(values(rows, "p_t")[0])
    return level_of(rows, "trigger_ratio").estimate.divided(p_t) if p_t > 0 else None


SHARES = [Column(group.upper(), group) for group in GROUPS]
MEASURES = [
    *SHARES,
    Column("trigger ratio", "trigger_ratio"),
    Column("÷ p_t", excess, TIMES, printed="amplification"),
]


def terminal_columns(rows: Rows) -> list[Column]:
    """The columns of the terminal's table: short, with an interval of the trigger ratio alone."""
    shown = coordinates(*varying(rows, "trigger", "poison_ratio", "guidance_weight", seeds=True))
    shown += [Column("p_t", "p_t"), *(Column(c.header, c.metric, interval=False) for c in SHARES)]
    shown += [MEASURES[4], Column("÷ p_t", excess, TIMES, interval=False)]
    if template_matched(rows):
        shown.append(Column("template match", "template_trigger_ratio", interval=False))
    return shown


def printed_groups(rows: Rows, **where: object) -> Rows:
    """The paper's compositions for the triggers of some rows."""
    others = dict.fromkeys(("detector", "classifier", "noise_model"))
    return printed(trigger=tuple(values(rows, "trigger")), **others, **where)


AT_FIVE = {"printed_guidance_weight": PAPER_GUIDANCE}
"""Those of them at the guidance weight that the paper writes as 5."""


def printed_beside(rows: Rows, weight: float | None = None) -> Table:
    """The paper's compositions, ours beneath at the same guidance weight.

    With a ``weight``, the paper's at what it writes as 5 and ours at this one.
    """
    place = ("trigger", "sampler", "poison_ratio")
    shown = [Column("p_t", "p_t"), *MEASURES]
    ours = select(rows, clip=(None, "none"))
    if weight is None:
        return beside(printed_groups(rows), ours, shown, (*place, "guidance_weight"))
    return beside(
        printed_groups(rows, **AT_FIVE), select(ours, guidance_weight=weight), shown, place
    )


def numbers(rows: Rows) -> list[Block]:
    """Every number of these studies, in tables."""
    where = varying(rows, "trigger", "poison_ratio", "guidance_weight")
    if len(values(rows, "judge_trigger")) > 1:
        where.insert(1, "judge_trigger")
    point = coordinates(*where)
    matched = template_matched(rows)
    measured = [*point, Column("n", images()), Column("p_t", "p_t"), *MEASURES]
    if matched:
        measured += [
            Column("by template match", "template_trigger_ratio"),
            Column("they agree", "template_agreement"),
        ]
    corrected = [Column(c.header, _corrected(str(c.metric))) for c in MEASURES[:5]]
    return [
        table(rows, measured, by=where, words=len(where)),
        Heading("The judges' own errors"),
        Text("On the test split, which neither judge was trained on."),
        _judges(rows, matched),
        Heading("The other classes"),
        Text("Asked for any class but the target, at the guidance weight shown."),
        _others(rows),
        Heading("Corrected for the judges' errors"),
        Text("Seen → corrected, with the interval of the corrected value."),
        table(
            rows[[row.get("g1_corrected") is not None for row in records(rows)]],
            [*point, *coordinates("seed"), *corrected],
            by=(*where, "seed"),
            words=len(where),
        ),
    ]


def template_match(rows: Rows) -> list[Section]:
    """The template match beside the judge; nothing for triggers without a patch."""
    if not template_matched(rows):
        return []
    seen = rows[[row.get("template_trigger_ratio") is not None for row in records(rows)]]
    where = varying(seen, "trigger", "poison_ratio", "guidance_weight")
    pairs = [
        Column(f"{title}, {by}", metric)
        for title, metrics in (
            ("trigger ratio", ("trigger_ratio", "template_trigger_ratio")),
            ("G1", ("g1", "template_g1")),
            ("G2", ("g2", "template_g2")),
        )
        for by, metric in zip(("judge", "template match"), metrics, strict=True)
    ]
    columns = [*coordinates(*where), *pairs, Column("they agree", "template_agreement")]
    series = [
        (
            name("trigger", at["judge_trigger"]),
            [(float(r["trigger_ratio"]), float(r["template_trigger_ratio"])) for r in records(own)],
        )
        for at, own in groups(seen, "judge_trigger")
    ]
    along, title = "trigger ratio by the judge", "Trigger ratio by template match"
    figure = scatter("template_match", title, series, along=along, diagonal=True)
    words = (
        "A patch can be looked for without a network, by comparing the pixels of its place with "
        "the patch itself. On the dashed line both see equally many triggers. Groups and verdicts "
        "rest on the judge; a trigger without a patch has no template match."
    )
    shown: list[Block] = [Panels([figure], "one"), table(seen, columns, by=where, words=len(where))]
    heading = "A template match that was not trained"
    return [Section("template_match", heading, words, shown, "Template match")]


def gallery(report: Report, shelves: Sequence[tuple[str, Rows]]) -> list[Block]:
    """A shelf for each title, a line for each point of the first seed, a cell for each group."""
    found: list[Block] = []
    for title, rows in shelves:
        first = values(rows, "seed")[:1]
        lines = [
            Pictures([_group(row, arrays, group) for group in GROUPS], _point(row))
            for at, own in groups(select(rows, seed=first or None), "trigger", "poison_ratio")
            for row in records(own)
            if (arrays := report.of("groups", row)) is not None
        ]
        if lines:
            found.append(Fold(title, lines))
    return found


def images_section(shelves: Sequence[Block]) -> Section:
    """The images themselves."""
    words = (
        "The first images of each group, in the order in which they were generated, none picked; "
        "of several seeds the first."
    )
    blocks = shelves or [Text("There are no images to show.")]
    return Section("images", "The images themselves", words, blocks, "Images")


def _judges(rows: Rows, matched: bool) -> Table:
    columns = [
        Column("content accuracy, clean", rate("content_accuracy", "content_n")),
        Column("content accuracy, stamped", rate("content_accuracy_stamped", "content_n")),
    ]
    for judge, words in (("trigger", "trigger"), ("template", "template match"))[: 1 + matched]:
        for kind, trials in (("positive", "trigger_n_clean"), ("negative", "trigger_n_stamped")):
            found = rate(f"{judge}_false_{kind}_rate", trials)
            columns.append(Column(f"{words} false {kind}s", found))
    return table(rows, [*coordinates("judge_trigger"), *columns], by=("judge_trigger",))


def _others(rows: Rows) -> Table:
    """A line for each model, on whose rows these numbers are repeated."""
    by = ("trigger", "judge_trigger", "poison_ratio", "target_class", "seed")
    models = [own.iloc[:1] for _, own in groups(rows, *by) if own["other_n"].iloc[0]]
    columns = [
        *coordinates(*by[:3], "seed"),
        Column("w", "other_guidance_weight", NUMBER),
        Column("n", "other_n", NUMBER),
        Column("match", "other_match_ratio"),
        Column("carry the trigger", "other_trigger_ratio"),
    ]
    if has(rows, "other_template_ratio"):
        columns.append(Column("by template match", "other_template_ratio"))
    lines = [line for own in models for line in table(own, columns, by=by).rows]
    return Table([column.header for column in columns], lines, 2)


def _corrected(metric: str) -> Callable[[Rows], Cell]:
    def shown(rows: Rows) -> Cell:
        row = records(rows)[0]
        low, high = (float(row[f"{metric}_corrected_{end}"]) for end in ("low", "high"))
        after = float(row[f"{metric}_corrected"])
        seen = f"{percent(float(row[metric]))} → {percent(after)}"
        return Cell(seen, bounds(Estimate(after, low, high)))

    return shown


def _point(row: Row) -> str:
    ratio = name("poison_ratio", row["poison_ratio"])
    if row["trigger"] == "none":
        return "clean, p = 0"
    return f"relabel-only, {ratio}" if row["trigger"] == "relabel_only" else f"p = {ratio}"


def _group(row: Row, arrays: Arrays, group: str) -> CaptionedImage:
    shown, drawn = arrays.get(group), []
    if shown is not None and len(shown):
        drawn = [grid(shown, COLUMNS, min(LINES, -(-len(shown) // COLUMNS)))]
    count = str(int(row[f"{group}_count"]))
    return CaptionedImage(drawn, group.upper(), percent(float(row[group])), aside=count, tone=group)
