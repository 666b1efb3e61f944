"""The page of ``diffusion_classifier``: Tab. 5 by noise model and filter ratio, and the losses."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from analysis.evidence import one_per_seed
from analysis.names import name, place
from analysis.page import figures, tables
from analysis.page.figures import Curve, Figure, Printed, Reference
from analysis.page.glossary import definitions
from analysis.page.page import Heading, Page, Panels, Report, Section, Text
from analysis.page.style import INK, MUTED, RAMP
from analysis.page.tables import POINTS, Column, table
from analysis.published import printed
from analysis.rows import Row, Rows, frame, groups, poisoned, records, same, select, values
from analysis.statistics.intervals import Estimate
from analysis.wording import listed, percent, titled
from orchestrator.studies.diffusion_classifier import claims, loss_maps
from orchestrator.studies.diffusion_classifier.claims import ACCURACY, ATTACK, BY_SIZE, RATES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINT = (*BY_SIZE, "poison_ratio")
"""The coordinates of a model, its seed aside."""
REPORTED = 0.05
"""The poison ratio of headlines and maps, if it was measured."""
LOOKS = {"ddpm": {"color": RAMP[0], "marker": "o"}, "edm": {"color": RAMP[4], "marker": "s"}}
"""Of the noise models."""
NUMBERS = (
    Column("TA", ACCURACY),
    Column("change", f"{ACCURACY}_change", POINTS, lowest=-1),
    Column("ASR", ATTACK),
    Column("change", f"{ATTACK}_change", POINTS, lowest=-1),
    Column("own class", "on_trigger_true"),
    Column("target class", "on_trigger_target"),
    Column("own − target", "on_trigger_difference", POINTS, lowest=-1),
)
COSTS = (
    Column("test images", tables.images()),
    Column("stamped", tables.images("attack_n")),
    Column("draws", "draws", tables.NUMBER),
    Column("calls, clean", "calls", tables.NUMBER),
    Column("calls, stamped", "calls_triggered", tables.NUMBER),
    Column("without elimination", "full_calls", tables.NUMBER),
)


def columns(rows: Rows) -> list[Column]:
    """Of the terminal's table."""
    return [*_place("filter_ratio", "seed"), *_rates_of(f", {_network(rows)}")]


def sentence(rows: Rows) -> str:
    """The ASR of the first trigger without a filter and with the reported one."""
    models, last = _headlines(rows), _reported_filter(rows)
    if not models:
        return "No poisoned point has been measured yet."
    where = place(**{name: models[0][0][name] for name in ("judge_trigger", "poison_ratio")})
    paths = [
        f"{_path(own, ATTACK, last)} ({place(noise_model=at['noise_model'])})" for at, own in models
    ]
    filtered = f" → with {name('filter_ratio', last)} of the losses dropped" if last else ""
    return f"{where}: the attack success rate without a filter{filtered} is {listed(paths)}."


def page(report: Report) -> Page:
    """TA and ASR by filter ratio, loss maps, and where the dropped losses lie."""
    rows, last = report.rows, _reported_filter(report.rows)
    once = select(rows, filter_ratio=values(rows, "filter_ratio")[:1])
    return Page(
        sentence=sentence(rows),
        facts=_facts(rows, last),
        sections=[
            Section(
                "overview",
                "Does a poisoned diffusion model classify more robustly?",
                "The diffusion model denoises a test image under every class; the class with the "
                "smallest loss is its answer. An ordinary classifier of the same training set "
                "answers the same test images. Filters drop the largest losses. The clean model "
                "(p = 0) is attacked with the same trigger.",
                [
                    Heading("Attack success rate (ASR)"),
                    _overview(rows, ATTACK),
                    Heading("Test accuracy (TA)"),
                    _overview(rows, ACCURACY),
                ],
                "Overview",
            ),
            Section(
                "rates",
                "Accuracy and attack by filter ratio",
                "Small dots are single seeds. The dashed line is the ordinary classifier, the grey "
                "band its interval. Open circles and the dotted line are the paper's EDM and "
                "ResNet-18 on CIFAR10: the direction is comparable, the height is not.",
                [
                    Panels(_rates(start, own, "noise_model"), "two", title)
                    for start, title, own in _families(_sized(rows, False), *BY_SIZE[:-1])
                ],
                "Accuracy and attack",
            ),
            Section(
                "maps",
                "Where the losses lie",
                "A triggered test image, its losses under its own class, and those under the "
                "target class: the first stamped images of the first seed. By the paper's "
                "explanation the trigger lights up under the own class, which never carried it in "
                "training, and not under the target class.",
                loss_maps.blocks(report, _reported(rows), last) or [Text("There are no maps.")],
                "Loss maps",
            ),
            Section(
                "losses",
                "Do the dropped losses lie on the trigger?",
                "Of the values that a filter drops of triggered images, the share on the trigger's "
                "pixels. Dashed: the trigger's share of the image, which dropping at random would "
                "give. Dotted: the most that is possible, because a filter soon drops more values "
                "than the trigger has.",
                [
                    Panels(_shares(start, own), title=title)
                    for start, title, own in _families(rows, "judge_trigger", "target_class")
                    if claims.is_patch(own)
                ],
                "On the trigger",
            ),
            Section(
                "areas",
                "Area of the trigger against filter ratio",
                "A ring marks the first filter that drops at least as many values as the trigger "
                "has: if losses on the trigger make the attack, a smaller filter helps less.",
                [
                    Panels(_rates(start, own, "trigger_pixels"), "two", title)
                    for start, title, own in _families(_sized(rows, True), *claims.BY_TRIGGER)
                ]
                or [Text("No trigger was measured in more than one size.")],
                "Area",
            ),
        ],
        published=_published(rows),
        published_words="All of Tab. 5, with its ResNet-18 on each line. Ours is beneath, at the "
        "same trigger, noise model, poison ratio and filter ratio. The paper's data are CIFAR10, "
        "with single runs, and it does not say how its ResNet-18 was trained.",
        numbers=[
            Text(
                "Changes are against no filter. Under the own class and under the target class: "
                "the share of the dropped losses that lies on the trigger."
            ),
            table(rows, [*_place("filter_ratio"), *NUMBERS], by=(*POINT, "filter_ratio"), words=5),
            Heading("What it costs, and what it can tell"),
            Text(
                "A network call is one evaluation for one image under one class, the same for all "
                "filter ratios. The paper takes 100 draws and 10,000 test images, whose intervals "
                "reach 1 point to either side. The seed fixes the draws: what other draws would "
                "have said is not in the interval of one seed."
            ),
            table(once, [*_place(), *COSTS], by=POINT, words=4),
        ],
        definitions=definitions(
            *("Poison ratio p", "Test accuracy (TA)", "Attack success rate (ASR)"),
            *("Diffusion classifier", "Filter ratio", "Change, paired", "Losses and the trigger"),
            *("Elimination", "Intervals over test images", "Seed"),
            noise_model=rows,
            trigger=rows,
        ),
    )


def _reported_filter(rows: Rows) -> float | None:
    """The paper's highest filter ratio if it was measured, else the highest; None without any."""
    found = claims.filters(rows)
    return next((ratio for ratio in found if same(ratio, claims.HIGHEST)), max(found, default=None))


def _reported(rows: Rows) -> Rows:
    """The rows at 5% poison, or at the highest poison ratio that was measured."""
    ratios = values(poisoned(rows), "poison_ratio")
    wanted = next((ratio for ratio in ratios if same(ratio, REPORTED)), max(ratios, default=-1))
    return select(rows, poison_ratio=wanted)


def _headlines(rows: Rows) -> list[tuple[dict[str, Any], Rows]]:
    """The noise models of the first trigger at the reported poison ratio."""
    first = groups(_reported(rows), *BY_SIZE[:-1])[:1]
    return [model for _, own in first for model in groups(own, *POINT)]


def _facts(rows: Rows, last: float | None) -> list[tuple[str, str]]:
    """Each rate of each headline."""
    end = f" → {name('filter_ratio', last)} dropped" if last else ""
    found = [(place(**{**at, "trigger_pixels": None}), own) for at, own in _headlines(rows)]
    return [
        (_path(own, rate, last), f"{RATES[rate]}, {where}: no filter{end}")
        for where, own in found
        for rate in RATES
    ]


def _path(rows: Rows, rate: str, last: float | None) -> str:
    """A rate without a filter and with the last one."""
    levels = [_estimate(rows, rate, ratio) for ratio in (0.0, last) if ratio is not None]
    return " → ".join(percent(found.value) if found else tables.NOTHING for found in levels)


def _network(rows: Rows) -> str:
    return listed([name("classifier", one) for one in values(rows, "classifier")])


def _sized(rows: Rows, several: bool) -> Rows:
    """The rows of triggers that have several sizes, or of the others."""
    sizes = [(at, values(own, "trigger_pixels")) for at, own in groups(rows, "judge_trigger")]
    kept = [at["judge_trigger"] for at, found in sizes if (len(found) > 1) == several]
    return select(rows, judge_trigger=kept)


def _families(rows: Rows, *by: str) -> list[tuple[str, str, Rows]]:
    """A start of file names, a title and the rows of each group."""
    found = groups(rows, *by)
    starts = figures.stems([str(value) for value in at.values() if value] for at, _ in found)
    titles = [titled(place(**at)) for at, _ in found]
    return list(zip(starts, titles, [own for _, own in found], strict=True))


def _by_ratio(rows: Rows, *by: str) -> list[tuple[dict[str, Any], Rows]]:
    """Groups by poison ratio, the clean model's 0 last."""
    return sorted(groups(rows, *by, "poison_ratio"), key=lambda one: one[0]["poison_ratio"] == 0)


def _curve(label: str, rows: Rows, column: str, **look: str) -> Curve:
    """A column against the filter ratio, with dots where there are several seeds."""
    seeds = records(rows) if len(values(rows, "seed")) > 1 else []
    dots = [(row["filter_ratio"], row[column]) for row in seeds if row[column] is not None]
    measure = partial(_estimate, column=column)
    return figures.curve(label, rows, "filter_ratio", measure, dots=dots, **look)


def _estimate(rows: Rows, column: str, filter_ratio: float | None = None) -> Estimate | None:
    found = claims.level(rows, column, filter_ratio)
    return found.estimate if found else None


def _rates(start: str, rows: Rows, by: str) -> list[Figure]:
    """TA and ASR at each poison ratio, a curve for each noise model or each size of the trigger."""
    drawn, sized = [], by == "trigger_pixels"
    for at, own in _by_ratio(rows, "judge_trigger"):
        for rate, file, axis in (ACCURACY, "accuracy", "accuracy"), (ATTACK, "attack", "share"):
            curves = [
                _curve(place(**one), line, rate, **LOOKS.get(str(one[by]), {}))
                for one, line in groups(own, by)
            ]
            theirs = [(cell["filter_ratio"], cell[rate]) for cell in _paper(at, noise_model="edm")]
            circles = Printed(points=theirs, label="paper, EDM", joined=True)
            drawn.append(
                figures.lines(
                    f"{start}-p{at['poison_ratio']:g}-{file}",
                    f"{RATES[rate]}: {titled(place(**at))}",
                    curves,
                    x="filter_ratio",
                    y=axis,
                    references=[] if sized else _ordinary(own, at, f"classifier_{rate}"),
                    printed=[circles] if theirs and not sized else [],
                    mark=partial(_rings, own, curves) if sized else None,
                    size=figures.TALL,
                )
            )
    return drawn


def _ordinary(rows: Rows, at: Row, column: str) -> list[Reference]:
    """The ordinary classifiers, ours and the paper's."""
    own = _estimate(one_per_seed(rows), column)
    look: Any = {"label": "paper, ResNet-18", "color": MUTED, "dash": figures.DOTTED}
    ours = [Reference(label=_network(rows), value=own.value, band=own)] if own else []
    theirs = [Reference(value=cell[column], **look) for cell in _paper(at, classifier="resnet18")]
    return [*ours, *theirs]


def _paper(at: Row, **where: str) -> Sequence[Row]:
    """The cells of Tab. 5 at the place of a panel."""
    where |= {"source": "Tab. 5", "trigger": at["judge_trigger"]}
    return records(printed(poison_ratio=at["poison_ratio"], **where))


def _rings(rows: Rows, curves: Sequence[Curve], axes: "Axes") -> None:
    """Mark on each curve the first filter that drops as many values as the trigger has."""
    ratios = values(rows, "filter_ratio")
    look: Any = {"marker": "o", "mfc": "none", "mec": INK, "ms": 9, "ls": "none"}
    for number, (_, own) in enumerate(groups(rows, "trigger_pixels")):
        covered = [
            one
            for one in curves[number].points
            if claims.dropped(own, one[0]) >= claims.area(own)[1]
        ]
        for ratio, found in covered[:1]:
            x = ratios.index(ratio) + figures.STEP * (number - (len(curves) - 1) / 2)
            axes.plot([x], [found.value], label="covered", **look)


def _shares(start: str, rows: Rows) -> list[Figure]:
    """The share of the dropped values on the trigger, by model and size of the trigger."""
    drawn = []
    dropping = select(rows, filter_ratio=claims.filters(rows))
    for at, own in _by_ratio(dropping, "trigger_pixels", "noise_model"):
        share, count = claims.area(own)
        most = [
            (ratio, min(1.0, count / max(1, claims.dropped(own, ratio))))
            for ratio in claims.filters(own)
        ]
        file = f"{at['trigger_pixels']}-{at['noise_model']}-p{at['poison_ratio']:g}-on-trigger"
        drawn.append(
            figures.lines(
                f"{start}-{file}",
                place(**at),
                [
                    _curve("own class", own, "on_trigger_true", color=RAMP[3], marker="o"),
                    _curve("target", own, "on_trigger_target", color=RAMP[1], marker="s"),
                ],
                x="filter_ratio",
                references=[
                    Reference(label="area", value=share),
                    Reference(label="most possible", value=most, color=MUTED, dash=figures.DOTTED),
                ],
                size=figures.TALL,
            )
        )
    return drawn


def _place(*more: str) -> list[Column]:
    attacker, *others = tables.coordinates(
        *(one for one in (*POINT, *more) if one != "target_class")
    )
    return [Column("trigger", attacker.metric), *others]


def _rates_of(ordinary: str) -> list[Column]:
    """TA and ASR, and those of the ordinary classifier."""
    return [
        Column(f"{RATES[rate]}{words}", f"{start}{rate}")
        for start, words in (("", ""), ("classifier_", ordinary))
        for rate in (ACCURACY, ATTACK)
    ]


def _overview(rows: Rows, rate: str) -> tables.Table:
    """As Tab. 5 is laid out: the ordinary classifier, and each filter ratio."""
    network = _network(rows)
    shown = [Column(network, lambda own: _estimate(one_per_seed(own), f"classifier_{rate}"))]
    for one in values(rows, "filter_ratio"):
        header = f"{name('filter_ratio', one)} dropped" if one else "no filter"
        shown.append(Column(header, partial(_estimate, column=rate, filter_ratio=one)))
    apart = partial(_estimate, column=f"{rate}_difference", filter_ratio=0.0)
    shown.append(Column(f"no filter − {network}", apart, POINTS))
    return table(rows, [*_place(), *shown], by=POINT, words=4)


def _published(rows: Rows) -> tables.Table:
    """Tab. 5 with its ordinary classifier on each line."""
    ordinary = records(printed(source="Tab. 5", classifier="resnet18"))
    cells = [
        {**cell, **{column: one[column] for column in one if column.startswith("classifier_")}}
        for cell in records(printed(source="Tab. 5", noise_model="edm"))
        for one in ordinary
        if one["poison_ratio"] == cell["poison_ratio"]
    ]
    where = ("trigger", "noise_model", "poison_ratio", "filter_ratio")
    return tables.beside(frame(cells), rows, _rates_of(", classifier"), where)
