"""Every number of ``detection``: the terminal's table, and the tables at the end of its page."""

from analysis.page.page import Block, Fold, Text
from analysis.page.tables import AREA, GAIN, NUMBER, Column, coordinates, images, rate, table
from analysis.rows import Rows, poisoned, records, select, values

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


def numbers(rows: Rows) -> list[Block]:
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
            Column("n", images()),
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
