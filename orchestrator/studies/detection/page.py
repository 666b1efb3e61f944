"""The page of ``detection``: Tab. 3 and Fig. A9, a row of panels per trigger, one per detector."""

from collections import defaultdict
from functools import partial

from analysis.names import name, place
from analysis.page import tables
from analysis.page.figures import Figure, Reference, lines, stems
from analysis.page.glossary import definitions
from analysis.page.page import Block, Fold, Key, Page, Panels, Report, Section, Text
from analysis.page.pairs import curves, from_to, printed_pairs, reported
from analysis.page.scores import across, distributions, ends, roc, scored
from analysis.page.style import GROUP_COLORS, SET_COLORS
from analysis.page.tables import AREA, GAIN, NUMBER, Cell, Column, Table, coordinates, rate, table
from analysis.published import printed
from analysis.rows import Rows, groups, has, poisoned, records, select, values
from analysis.statistics.verdicts import Verdict
from analysis.wording import area, counted, titled
from orchestrator.studies.detection import claims
from orchestrator.studies.detection.claims import MATTERS, NULL_MARGIN, SATURATED

TONES = dict(zip(claims.VERDICTS, ("supported", "failed", "equal", "undecided"), strict=True))
DRAWN = ("ImageNette, Stable Diffusion", "CIFAR10, DDPM")
"""The paper's data that figures show beside ours; the table has all."""
MOVED = {
    "training_auroc": "training set",
    "auroc_poisoned_moved": "positives moved",
    "auroc_clean_moved": "negatives moved",
    "auroc": "generations",
    "poisoned_shift": "shift of positives",
    "clean_shift": "shift of negatives",
}
"""What is shown of what moved; the last two are no AUROCs."""
GAINS = {
    "auroc_gain": "AUROC gained",
    "template_auroc_gain": "by template match",
    "judge_minus_template_auroc": "judge − template match",
    "equal_prevalence_gain": "at equal prevalence",
}
MASKS = {"mean": "pixels kept", "patch": "of the patch", "kept": "answer kept"}
ERRORS = {"false_positive_rate": "trigger_n_clean", "false_negative_rate": "trigger_n_stamped"}
"""How a judge errs, and on how many test images."""


def columns(rows: Rows) -> list[Column]:
    """Of the terminal's table."""
    several = [column for column in ("sampler", "seed") if len(values(rows, column)) > 1]
    where = ("detector", "trigger", "poison_ratio", "image_set", "guidance_weight", *several)
    return [
        *coordinates(*where),
        Column("positives", "n_positive", NUMBER),
        Column("AUROC", "auroc", AREA),
        Column("TPR at 1% FPR", "tpr_at_1pct_fpr", interval=False),
        Column("at 5%", "tpr_at_5pct_fpr", interval=False),
        Column("gain", "auroc_gain", GAIN, lowest=-1),
    ]


def sentence(rows: Rows) -> str:
    """In how many comparisons the generations are easier, harder, neither or undecided."""
    points = groups(reported(poisoned(rows)), "trigger", "target_class", "detector", "poison_ratio")
    gains = [claims.level(own, "auroc_gain") for _, own in points]
    found = [claims.outcome(gain) for gain in gains if gain]
    if not found:
        return "No poisoned point has been measured yet."
    better, worse, equal, undecided = map(found.count, claims.VERDICTS)
    return (
        "The same detector finds the poison more easily among the generations than in the training "
        f"set in {better} of {counted(len(found), 'comparison')}, less easily in {worse} and "
        f"equally well in {equal}; {undecided} are undecided."
    )


def page(report: Report) -> Page:
    """Overview, AUROCs, what moved, scores, images and the null test."""
    rows = report.rows
    shown = reported(poisoned(rows))
    drawn: dict[tuple[str, str], list[Figure]] = defaultdict(list)
    shelves: list[Fold] = []
    subjects = groups(poisoned(rows), "trigger", "target_class", "detector")
    starts = stems((at["trigger"], at["detector"]) for at, _ in subjects)
    for start, (at, own) in zip(starts, subjects, strict=True):
        trigger = titled(place(**{**at, "detector": None}))
        title = f"{name('detector', at['detector'])} on {name('trigger', at['trigger'])}"
        first, pictures = select(shown, **at), []
        drawn["areas", trigger].append(_areas(f"{start}-auroc", title, own))
        if has(first, "poisoned_shift"):
            drawn["moved", trigger].append(_moved(f"{start}-what-moved", title, first))
        for ratio in values(first, "poison_ratio")[::-1]:
            where, stem = place(poison_ratio=ratio), f"{start}-p{ratio:g}"
            sets = scored(report, select(first, poison_ratio=ratio))
            both = [one for one, _ in sets if 0 < one.poisoned.sum() < len(one.poisoned)]
            if sets:
                ridges = distributions(f"{stem}-scores", title, [one for one, _ in sets])
                drawn["scores", f"{trigger}, {where}"].append(ridges)
            if both:
                drawn["roc", f"{trigger}, {where}"].append(roc(f"{stem}-roc", title, both))
            pictures += [ends(f"{where}, {one.label}", one, found) for one, found in sets if found]
        if pictures:
            shelves.append(Fold(title, pictures, open=not shelves))

    def panels(kind: str) -> list[Block]:
        found = [Panels(one, title=title) for (of, title), one in drawn.items() if of == kind]
        return [*found] or [Panels([])]

    return Page(
        sentence=sentence(rows),
        facts=_facts(shown),
        sections=[
            Section(
                "overview",
                "Is poison easier to find among the generations?",
                "AUROC of each detector on the poisoned training set → on as many images of the "
                "model trained on it. 1 is perfect, 0.5 is chance. _Better_ or _worse_: the whole "
                f"95% interval of the difference lies beyond ±{MATTERS}, the smallest difference "
                "that matters; _no difference_: it lies within. _Saturated_: an AUROC of "
                f"{SATURATED} or more on the training set leaves nothing to gain. The limits are "
                "ours.",
                [_overview(shown)],
                "Overview",
            ),
            Section(
                "areas",
                "AUROC by poison ratio",
                "Strokes are 95% intervals, the dashed line is chance. Gray: the paper's Tab. 3, "
                "from its training set (open) to its generations (filled), on ImageNette (circles) "
                "and CIFAR10 (squares).",
                panels("areas"),
                "AUROC",
            ),
            Section(
                "moved",
                "What moved",
                "The AUROC of the training set; the same with only its positives, or only its "
                "negatives, replaced by those of the generations; and the generations' own. "
                "Beneath the line: the chance that a generated positive (negative) is more "
                "suspicious than one of the training set, 0.5 if nothing moved.",
                panels("moved"),
            ),
            Section(
                "scores",
                "Scores",
                "Where poisoned and clean images lie on each detector's own scale (the paper's "
                "Fig. A9, whose mask norm runs the other way). Each outline is scaled to its own "
                "peak; strokes beneath mark the medians. ROC curves show how many poisoned images "
                "are found when at most so many clean ones are flagged by mistake; dotted lines "
                "mark 1% and 5%, the dashed curve is chance.",
                [
                    Fold("Suspicion of poisoned and clean images", panels("scores"), open=True),
                    Fold("ROC curves", panels("roc")),
                ],
            ),
            Section(
                "images",
                "The most and the least suspicious images",
                "From the extreme inwards, none picked; of several seeds the first. A detector "
                "with masks has each image's mask beneath it: white is kept, black may be painted "
                "over.",
                [Key([("g1", "red frame", "poisoned"), ("g4", "blue frame", "clean")]), *shelves],
                "Images",
            ),
            Section(
                "null",
                "Null test",
                "Clean data with random flags: there is nothing to find, so every interval should "
                f"contain 0.5 and lie within 0.5 ± {NULL_MARGIN} (shaded; ours). Each is at level "
                "1 − 0.05/k over all k null points; a red cross misses 0.5.",
                [Panels(_null_test(rows), "one")],
            ),
        ],
        published=_beside_the_paper(shown),
        published_words="Tab. 3: AUROC on the training set → on the generations, ours beneath. The "
        "paper gives no intervals and does not say how its generations are labelled. Data, "
        "classifiers and models differ: the direction is comparable, the height is not.",
        numbers=_numbers(rows),
        definitions=definitions(
            *("Poison ratio p", "Detector", "Training set, generations", "Positives, negatives"),
            *("AUROC", "TPR at 1% FPR, at 5% FPR", "Intervals of AUROCs", "What moved"),
            *("Equal prevalence", "Null point"),
            *(["Template match"] if has(rows, "template_n_positive") else []),
            *("Test accuracy (TA)", "Attack success rate (ASR)", "Guidance weight w"),
            *("Seed", "Weights"),
            detector=rows,
            sampler=rows,
            trigger=rows,
        ),
    )


def _facts(shown: Rows) -> list[tuple[str, str]]:
    """Both AUROCs of each detector on the first trigger at its highest poison ratio."""
    first = select(shown, trigger=values(shown, "trigger")[:1])
    highest = select(first, poison_ratio=values(first, "poison_ratio")[-1:])
    found = groups(highest, "detector", "trigger", "poison_ratio")
    words = "AUROC of {}: training set → generations"
    return [
        (from_to(own, "auroc", "{:.2f}".format), words.format(place(**at))) for at, own in found
    ]


def _overview(shown: Rows) -> Table:
    """Detectors across, triggers and poison ratios down."""

    def cell(rows: Rows, detector: str) -> Cell:
        own = select(rows, detector=detector)
        generated, areas = select(own, image_set="generation"), from_to(own, "auroc", area)
        gain = claims.level(generated, "auroc_gain")
        if not gain:
            return Cell(areas, mark=Verdict.NOT_TESTED.value, tone="not_tested")
        came = claims.outcome(gain)
        return Cell(areas, ", ".join(claims.remarks(generated)), came, TONES[came])

    by, detectors = ("trigger", "poison_ratio"), values(shown, "detector")
    cells = [Column(name("detector", one), partial(cell, detector=one)) for one in detectors]
    return table(shown, [*coordinates(*by), *cells], by=by, words=len(by) + len(cells))


def _areas(file: str, title: str, rows: Rows) -> Figure:
    """AUROC by poison ratio: the training set, and each way of generating."""
    first = records(rows)[0]
    theirs = printed(dataset=DRAWN, trigger=first["trigger"], detector=first["detector"])
    return lines(
        file,
        f"{title}: AUROC",
        curves(rows, "auroc", claims.level),
        x="poison_ratio",
        y="area",
        references=[Reference(label="", value=claims.CHANCE)],
        printed=printed_pairs(theirs, "auroc"),
    )


def _moved(file: str, title: str, rows: Rows) -> Figure:
    """AUROC with one kind of score from the generations, and both shifts."""
    points = groups(select(rows, image_set="generation"), "poison_ratio")
    series = {place(**at): [claims.level(own, column) for column in MOVED] for at, own in points}
    along = "AUROC; chance of a higher score"
    return across(
        file, title, [*MOVED.values()], series, along=along, center=claims.CHANCE, rule=3.5
    )


def _null_test(rows: Rows) -> list[Figure]:
    """Each null point's AUROC with the interval that should lie around 0.5."""
    found = [(where, row, area) for where, row, area in claims.null_points(rows) if area]
    if not found:
        return []
    looks = [
        (GROUP_COLORS["g1"], "X")
        if claims.at_chance(area) is Verdict.FAILED
        else (SET_COLORS[row["image_set"]], "o")
        for _, row, area in found
    ]
    areas = {"": [area for *_, area in found]}
    chart = partial(across, "null-test", "Random flags: AUROC", [where for where, *_ in found])
    along = "interval at level 1 − 0.05/k"
    return [chart(areas, looks=looks, along=along, center=claims.CHANCE, band=NULL_MARGIN)]


def _beside_the_paper(shown: Rows) -> Table:
    """Tab. 3 for our triggers and detectors, ours beneath each of its cells."""

    def cell(cells: Rows, ratio: float) -> Cell:
        own = {column: records(cells)[0][column] for column in ("detector", "trigger")}
        theirs, ours = (select(one, poison_ratio=ratio, **own) for one in (cells, shown))
        small = "" if ours.empty else f"ours {from_to(ours, 'auroc', area)}"
        return Cell(from_to(theirs, "auroc", area), small)

    by = ("detector", "trigger", "dataset")
    measured = {column: values(shown, column) for column in by[:2]}
    theirs, shown_columns = printed(source="Tab. 3", **measured), coordinates(*by)
    for ratio in values(theirs, "poison_ratio"):
        shown_columns.append(Column(place(poison_ratio=ratio), partial(cell, ratio=ratio)))
    return table(theirs, shown_columns, by=by, words=len(by))


def _numbers(rows: Rows) -> list[Block]:
    """Every number, in tables."""
    generated = select(poisoned(rows), image_set="generation")
    point = ("detector", "trigger", "poison_ratio", "guidance_weight", "sampler")
    sets = (*point[:3], "image_set", *point[3:])
    kinds = ("positive", "negative")
    found = [
        _fold(
            "Detectors and sets of images",
            "G1 and G2 alone: the AUROCs of the mismatching and of the matching generations with "
            "a trigger, each against the same negatives.",
            rows,
            sets,
            Column("n", tables.images()),
            Column("positives", "n_positive", NUMBER),
            Column("AUROC", "auroc", AREA),
            Column("TPR at 1% FPR", "tpr_at_1pct_fpr"),
            Column("at 5% FPR", "tpr_at_5pct_fpr"),
            *(Column(f"median, {kind}s", f"median_{kind}", NUMBER) for kind in kinds),
            Column("AUROC, G1 alone", "g1_auroc", AREA),
            Column("G2 alone", "g2_auroc", AREA),
        ),
        _fold(
            "Generations against the training set",
            "AUROC if only the positives, or only the negatives, are taken from the generations; "
            "the chance that an image of the generations is more suspicious than one of its kind "
            "of the training set; and the AUROC gained, as the judge labels the generations, as "
            "template matching does, and with both sets cut to the same share of positives.",
            generated,
            point,
            *(Column(words, column, AREA) for column, words in MOVED.items()),
            *(Column(words, column, GAIN, lowest=-1) for column, words in GAINS.items()),
        ),
        _fold(
            "The masks",
            "How much the masks keep of the image and of the patch's own pixels, and how often the "
            "classifier's answer survives when random colors are painted around them. A mask that "
            "loses the answer explains nothing: it is small because its pixels cost too much.",
            rows[[row.get("mask_mean_negative") is not None for row in records(rows)]],
            sets,
            *(
                Column(f"{words}, {kind}s", f"mask_{part}_{kind}")
                for part, words in MASKS.items()
                for kind in kinds
            ),
        ),
        _fold(
            "The classifiers",
            "What the detectors look at: one for each poisoned training set.",
            rows,
            ("trigger", "poison_ratio", "seed"),
            Column("training accuracy", rate("training_accuracy", "n_train")),
            Column("test accuracy", rate("test_accuracy", "test_n")),
            Column("attack success rate", rate("attack_success_rate", "attack_n")),
        ),
        _fold(
            "Errors of judge and template match",
            "They say which generations carry the trigger; measured on the test split.",
            generated,
            ("judge_trigger",),
            *(
                Column(f"{judge}: {error.replace('_', ' ')}", rate(f"{judge}_{error}", trials))
                for judge in ("trigger", "template")
                for error, trials in ERRORS.items()
            ),
        ),
    ]
    return [one for one in found if one]


def _fold(title: str, words: str, rows: Rows, by: tuple[str, ...], *columns: Column) -> Fold | None:
    """A table with a line for each place; None without rows."""
    shown = table(rows, [*coordinates(*by), *columns], by=by, words=len(by))
    return Fold(title, [Text(words), shown]) if shown.rows else None
