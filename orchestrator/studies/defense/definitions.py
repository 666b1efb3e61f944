"""What the words and numbers of a ``defense`` page mean, in the words the page uses."""

from collections.abc import Sequence

from analysis.old.glossary import (
    POISON_RATIO,
    SEED,
    Definition,
    guidance,
    samplers,
    triggers,
    weights_sampled,
)
from analysis.old.rows import Row
from orchestrator.studies.defense.rows import FRESH_ATTACK, G1

ACCURACY: Definition = (
    "Test accuracy (TA)",
    "Of the clean test images, the share that the classifier is right about.",
)
ATTACK: Definition = (
    "Attack success rate (ASR)",
    "Of the test images that are not of the target class, stamped with the trigger, the share that "
    "the classifier takes for the target class. A stamped image of the target class is right to be "
    "taken for it and is left out, as the authors' code does.",
)
FRESH: Definition = (
    "ASR with a fresh warp",
    "WaNet's warp is drawn at random, and the ASR is measured with the very warp that was trained "
    "on. The authors draw theirs anew wherever they use it, test images too, so beside it stands "
    "the ASR with a warp that nobody trained on.",
)
GENERATIONS: Definition = (
    "Generation set",
    "Images drawn from the diffusion model that was trained on the poisoned training set, as many "
    "as there are training images unless the scale has a limit, asked for the labels of the "
    "training set, poisoned ones included (with generation labels “clean”: for those that the same "
    "images had before). Each is labelled as it was asked for; nobody looks at it before the "
    "classifier is trained.",
)
CORRECTED: Definition = (
    "Corrected training set",
    "The control that removes label poison alone: the same images, stamps and all, each with its "
    "true label. Clean-label poison is labelled right as it is and has no such control.",
)
CLEAN: Definition = (
    "Clean pair",
    "p = 0: a classifier of the clean training set, and one of the generations of a model that was "
    "trained on it. The second against the first is what generating costs; the ASR of either is "
    "how often a stamped image is taken for the target class without any backdoor.",
)
TRAINING: Definition = (
    "Training a classifier",
    "Every classifier of a network is trained alike, for a fixed number of updates, and measured "
    "after the last one. Nothing is chosen on test images: no epoch, no threshold, no setting. "
    "(The authors' code reports the highest TA and the highest ASR over all epochs, each on its "
    "own.)",
)
CHANGE: Definition = (
    "Change, paired",
    "The generations' rate minus the training set's, of the same trigger, ratio, seed and network. "
    "Both classifiers answer the same test images, so the interval of one seed's change is the "
    "paired one (Newcombe's square-and-add with the correlation). It is conditional on the two "
    "trained classifiers and says nothing about what other trainings would have given.",
)
INTERVALS: Definition = (
    "Intervals",
    "95%. Of one classifier's rate: Wilson's, conditional on that classifier. Of two seeds both "
    "intervals are joined (Zou and Donner's); since both classifiers answer the same test images, "
    "that can be a little too narrow. From three seeds on it is Student's over the seeds, which "
    "includes the choice of poison, both trainings and the sampling; sd is the standard deviation "
    "over seeds. It is never narrower than the seeds' own intervals are on average, as the test "
    "images are the same for all. Against the clean classifier: Newcombe's for independent "
    "samples, which is cautious as the test images are the same.",
)
MISMATCHES: Definition = (
    "G1 in the generation set",
    "Images in which the trigger judge sees the trigger and whose content is not what was asked "
    "for, by the content judge; a share of all images of the generation set, whatever their class. "
    "These are what is left of the poison: stamped, and labelled wrong.",
)
RANK: Definition = (
    "Rank correlation (Spearman)",
    "Whether classifiers with more G1 in what they were trained on have a higher ASR: 1 is the "
    "same order, 0 none, −1 the reverse. The points share models, seeds and test images, so there "
    "is no test of it, and it is no proof of a cause.",
)


def definitions(rows: Sequence[Row], *, ema_decay: float | None) -> list[Definition]:
    """Every definition that the rows of a study call for, in reading order.

    Args:
        rows: What was measured.
        ema_decay: Of the weights that were sampled from; None when they are the last ones.
    """
    generated = [row for row in rows if row["image_set"] == "generation"]
    weights = sorted({float(row["guidance_weight"]) for row in generated})
    fresh = any(row.get(FRESH_ATTACK) is not None for row in rows)
    judged = any(row.get(G1) is not None for row in rows)
    return [
        POISON_RATIO,
        ACCURACY,
        ATTACK,
        *([FRESH] if fresh else []),
        GENERATIONS,
        CORRECTED,
        CLEAN,
        TRAINING,
        CHANGE,
        INTERVALS,
        *([MISMATCHES, RANK] if judged else []),
        *([guidance(weights)] if weights else []),
        *samplers(generated),
        *triggers(rows),
        SEED,
        ("Weights sampled from", weights_sampled(ema_decay)),
    ]
