"""The page of ``defense``: Tab. 4 and A3, one trigger and network at a time."""

from functools import partial
from math import isnan
from typing import Any

from analysis.names import name, place
from analysis.page import figures, pairs
from analysis.page.figures import Figure, Reference
from analysis.page.glossary import definitions
from analysis.page.page import Block, Fold, Heading, Page, Panels, Report, Section, Text
from analysis.page.pairs import COLORS, SETS, from_to, printed_pairs, reported, ways
from analysis.page.stamps import strip
from analysis.page.tables import NOTHING, NUMBER, POINTS, Cell, Column, Table, coordinates, table
from analysis.page.tables import varying as differing
from analysis.published import printed
from analysis.rows import Rows, groups, has, poisoned, records, select, values
from analysis.statistics.intervals import Estimate
from analysis.wording import listed, titled
from orchestrator.studies.defense.claims import ASR, FRESH_ASR, RATES, TA, level

BY = ("judge_trigger", "target_class", "classifier")
G1 = "generation_g1"
FILES = {TA: "accuracy", ASR: "attack", FRESH_ASR: "fresh-attack"}
"""By rate, the end of its figure's name."""


def columns(rows: Rows) -> list[Column]:
    """Of the terminal's table."""
    rates = [Column(RATES.get(rate, "G1"), rate) for rate in (*RATES, G1) if has(rows, rate)]
    return [*_places(rows, seeds=True), *rates]


def sentence(rows: Rows) -> str:
    """How the first trigger's ASR changes from the training set to the generations."""
    if poisoned(rows).empty:
        return "No poisoned point has been measured yet."
    found = [(p, from_to(own, ASR)) for p, own in _first(rows) if p > 0]
    changes = [f"{said} at {name('poison_ratio', p)}" for p, said in found if NOTHING not in said]
    if not changes:
        return "No classifier of generations stands beside one of the training set yet."
    trigger = name("trigger", values(poisoned(rows), "trigger")[0])
    return (
        f"From the poisoned training set to the generations ({place(**ways(rows)[0])}), the attack "
        f"success rate of {trigger} goes {listed(changes)}."
    )


def page(report: Report) -> Page:
    """Changes, triggers, rates by poison ratio, and how the attack follows G1."""
    rows = report.rows
    found = [(at, own) for at, own in groups(rows, *BY) if len(poisoned(own))]
    starts = figures.stems((at["judge_trigger"], at["classifier"]) for at, _ in found)
    way = f" ({place(**ways(rows)[0])})" if ways(rows) else ""
    drawn = [
        Panels(_rates(start, own), "two", titled(place(**at)))
        for start, (at, own) in zip(starts, found, strict=True)
    ]
    overview = Section(
        "overview",
        "Do generations make a cleaner training set?",
        "A classifier is trained on the poisoned training set, and another one on as many images "
        "of the diffusion model that was trained on it. Rates go from the training set → to the "
        f"generations{way}; beneath a change is its 95% interval.",
        [_overview(rows), Heading("What is stamped"), strip(report.strip)],
        "Overview",
    )
    rates = Section(
        "rates",
        "Accuracy and attack by poison ratio",
        "Large marks are means over the seeds with 95% intervals, dots single seeds. Controls are "
        "the training set with every label corrected (dashed) and classifiers without any poison "
        "(dotted, in the colors of training set and generations). Grey marks are the paper's Tab. "
        "4, from its training set (open) to its generations (filled): circles for ImageNette, "
        "squares for Caltech15. The direction is comparable, the height is not.",
        drawn,
        "Accuracy and attack",
    )
    mismatches = Section(
        "mismatches",
        "Does the attack follow the mismatches?",
        "Generations of G1 carry the trigger and do not match what was asked for: they are poison. "
        "A mark is a classifier, its ASR against the share of G1 in what it was trained on.",
        _mismatches(rows),
        "G1",
    )
    fresh = ["ASR with a fresh warp"] if has(rows, FRESH_ASR) else []
    return Page(
        sentence=sentence(rows),
        facts=_facts(rows),
        examples=False,  # the strip has them
        sections=[overview, rates, mismatches],
        published=_published(rows),
        published_words="All of Tab. 4 and A3 for these triggers, training set → generations; ours "
        "is beneath, at the same trigger and poison ratio, for each of our networks. The paper's "
        "start from ImageNet weights, and it does not name the guidance weight. Tab. A3 is of "
        "single runs; Tab. 4 says five, but on Caltech15 its means and deviations fit three.",
        numbers=_numbers(rows),
        definitions=definitions(
            *("Poison ratio p", "Test accuracy (TA)", "Attack success rate (ASR)", *fresh),
            *("Generation set", "Corrected training set", "Clean pair", "Training a classifier"),
            *("Change, paired", "Intervals over test images", "G1 in the generation set"),
            *("Rank correlation (Spearman)", "Guidance weight w", "Seed", "Weights"),
            sampler=rows,
            trigger=rows,
        ),
    )


def _estimate(rows: Rows, column: str, **where: Any) -> Estimate | None:
    found = level(rows, column, **where)
    return found.estimate if found else None


def _first(rows: Rows) -> list[tuple[float, Rows]]:
    """The first trigger and network that was poisoned, by poison ratio; 0 is the clean pair."""
    first = [reported(select(rows, **at)) for at, _ in groups(poisoned(rows), *BY)[:1]]
    return [(at["poison_ratio"], own) for one in first for at, own in groups(one, "poison_ratio")]


def _facts(rows: Rows) -> list[tuple[str, str]]:
    """ASR and TA at the lowest and the highest ratio, and what generating costs."""
    points = dict(_first(rows))
    ratios = [p for p in points if p > 0]
    shown = [(p, ASR) for p in dict.fromkeys((*ratios[:1], *ratios[-1:]))]
    shown += [(p, TA) for p in (*ratios[:1], 0.0) if p in points]
    trigger, words = values(poisoned(rows), "trigger")[:1], "training set → generations"
    return [
        (value, f"{RATES[rate]}, {place(trigger=trigger[0], poison_ratio=p)}: {words}")
        for p, rate in shown
        if NOTHING not in (value := from_to(points[p], rate))
    ]


def _attacker(rows: Rows) -> Cell:
    row = records(rows)[0]
    clean = "" if row["poison_ratio"] > 0 else "without poison"
    return Cell(name("trigger", row["judge_trigger"]), clean)


def _places(rows: Rows, *, seeds: bool = False) -> list[Column]:
    """The trigger that attacks, and the coordinates that differ."""
    differ = differing(rows, "poison_ratio", "image_set", seeds=seeds)
    return [TRIGGER, *coordinates(*(column for column in differ if column != "trigger"))]


TRIGGER = Column("trigger", _attacker)
SEEDS = Column("seeds", lambda rows: str(len(values(rows, "seed"))))


def _overview(rows: Rows) -> Table:
    """The reported way of generating: both rates from the training set to the generations."""
    shown = [TRIGGER, *coordinates("classifier", "poison_ratio"), SEEDS]
    for rate in (TA, ASR):
        change = partial(_estimate, column=f"{rate}_change", image_set="generation")
        shown.append(Column(RATES[rate], partial(from_to, column=rate)))
        shown.append(Column(f"change of {RATES[rate]}", change, POINTS))
    corrected = partial(_estimate, column=ASR, image_set="corrected")
    shown += [Column("ASR, corrected", corrected, interval=False)]
    shown += [Column("G1 generated", G1, interval=False)]
    return table(reported(rows), shown, by=(*BY, "poison_ratio"), words=2)


def _numbers(rows: Rows) -> list[Block]:
    """Every set of images that classifiers were trained on, over the seeds and one by one."""
    shown = [Column("trained on", "n_train", NUMBER), Column("test images", "n", NUMBER)]
    shown += [Column("stamped", "attack_n", NUMBER)]
    shown += coordinates("weights") if has(rows, "weights") else []
    for rate, words in RATES.items():
        if has(rows, rate):
            change = Column(f"change of {words}", f"{rate}_change", POINTS, lowest=-1)
            shown += [Column(words, rate), change]
    shown += [Column("G1 in the set", G1)]
    where, by = _places(rows), (*BY, "poison_ratio", "guidance_weight", "sampler", "image_set")
    joined = table(rows, [*where, SEEDS, *shown], by=by, words=len(where))
    single = table(rows, [*where, *coordinates("seed"), *shown], by=(*by, "seed"), words=len(where))
    return [
        Fold("What was trained on what", [joined], open=True),
        *([Fold("Every classifier", [single])] if len(values(rows, "seed")) > 1 else []),
    ]


def _published(rows: Rows) -> Table:
    """Both tables of the paper for the triggers measured, ours beneath."""
    stamped = tuple(values(poisoned(rows), "trigger"))
    cells = printed(source=("Tab. 4", "Tab. A3"), trigger=stamped)
    lines = []
    for at, cell in groups(cells, "source", "dataset", "classifier", "trigger", "poison_ratio"):
        where = {column: at[column] for column in ("trigger", "poison_ratio")}
        networks = groups(select(reported(rows), **where), "classifier")
        line = [Cell(name(column, value)) for column, value in at.items()]
        for rate in (TA, ASR):
            ours = ", ".join(from_to(own, rate) for _, own in networks) or NOTHING
            line.append(Cell(from_to(cell, rate), f"ours {ours}"))
        lines.append(line)
    return Table(("source", "data", "network", "trigger", "p", "TA", "ASR"), lines, 5)


def _rates(start: str, rows: Rows) -> list[Figure]:
    """Each rate against the poison ratio: the training set, and each way of generating."""
    at, stamped = records(rows)[0], poisoned(rows)
    about = titled(place(judge_trigger=at["judge_trigger"], classifier=at["classifier"]))
    own = {"trigger": at["judge_trigger"], "poison_ratio": values(stamped, "poison_ratio")}
    theirs = printed(source="Tab. 4", **own)
    return [
        figures.lines(
            f"{start}-{file}",
            f"{about}: {RATES[rate]}",
            pairs.curves(stamped, rate, _estimate),
            x="poison_ratio",
            y="accuracy",
            references=_controls(rows, rate),
            printed=printed_pairs(theirs, rate),
            size=figures.TALL,
        )
        for rate, file in FILES.items()
        if has(stamped, rate)
    ]


def _controls(rows: Rows, rate: str) -> list[Reference]:
    """The corrected training set, and the pair without poison."""
    corrected = [
        (float(at["poison_ratio"]), found.value)
        for at, own in groups(poisoned(rows), "poison_ratio")
        if (found := _estimate(own, rate, image_set="corrected"))
    ]
    clean = select(reported(rows), poison_ratio=0.0)
    pair = [
        Reference(label="clean pair", value=found.value, color=color, dash=figures.DOTTED)
        for image_set, color in zip(SETS, COLORS, strict=False)
        if (found := _estimate(clean, rate, image_set=image_set))
    ]
    return [*([Reference(label="corrected", value=corrected)] if corrected else []), *pair]


def _mismatches(rows: Rows) -> list[Block]:
    """ASR by G1, and Spearman's rank correlation of three or more different classifiers."""
    drawn = select(poisoned(rows), image_set="generation")
    followed = drawn[[None not in (row.get(G1), row.get(ASR)) for row in records(drawn)]]
    if followed.empty:
        return [Text("Nothing was measured.")]
    series = [
        (name("trigger", at["trigger"]), [(row[G1], row[ASR]) for row in records(own)])
        for at, own in groups(followed, "trigger")
    ]
    along = "G1 among all images of the generation set"
    shown = Panels([figures.scatter("attack-by-g1", "ASR by G1", series, along=along)], "one")
    rank = followed[[G1, ASR]].astype(float).corr("spearman", min_periods=3).iloc[0, 1]
    words = f"Spearman's rank correlation over the {len(followed)} classifiers is {rank:+.2f}."
    return [shown] if isnan(rank) else [shown, Text(words.replace("-", "−"))]
