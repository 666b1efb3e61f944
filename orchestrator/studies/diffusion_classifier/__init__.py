"""The diffusion model as a classifier by its denoising errors (Tab. 5; section 5 of the paper).

Beside the grid stand contrasts, by which the explanation (the largest errors lie on the trigger)
can be told from others: a blend, which has no place to drop, and rectangles of several areas.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.studies.axes import (
    FILTER_RATIO,
    NOISE_MODEL,
    POISON_RATIO,
    SEED,
    TARGET_CLASS,
    TRIGGER,
    Axes,
)
from orchestrator.studies.graph import Graph
from orchestrator.studies.grid import stamping
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, Study, bounds_of, point, some
from tasks.checks import check
from tasks.rows import classification_row
from tasks.steps import denoise_classify
from tasks.triggers import Nothing, Trigger
from tasks.triggers.patch import Patched
from tasks.triggers.rectangle import Rectangle

TRIGGERS = ("badnets1",)
"""Swept unless others are typed; only these have contrasts: a blend, and rectangles by area."""
CONTRASTS = {
    "tiny": (0.1, ((1, 1),)),
    "laptop": (0.05, ((1, 1), (1, 2), (2, 2))),
    **dict.fromkeys(
        ("fashion", "cifar10-fast", "cifar10"), (0.05, ((2, 3), (3, 3), (4, 4), (6, 6), (8, 8)))
    ),
}
"""By scale (else as laptop): poison ratio, and rows and columns of each rectangle, pixels."""


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """A point for each trigger, poison ratio, seed, noise model and filter ratio.

    Ratio 0 is there with the first seed alone, attacked with each of the triggers; so are the
    contrasts, at one ratio and with the first noise model.
    """
    check("a scale", scale.name, "whose diffusion models know classes", scale.text is None)
    _check_images(scale, axes)
    graph = Graph(scale, axes.target_class)
    return some(
        _point(graph, axes, cell, ratio)
        for cell in dict.fromkeys(_cells(scale, axes))
        for ratio in sorted(axes.filter_ratio)
    )


_Cell = tuple[Trigger, Trigger, float, str, int]
"""A model's trigger, the one that attacks it (another only without poison), its poison ratio, noise
model and seed."""


def _cells(scale: Scale, axes: Axes) -> Iterator[_Cell]:
    for trigger in stamping(scale, axes.trigger):
        for ratio in sorted(axes.poison_ratio):
            for seed in axes.seed if ratio else axes.seed[:1]:
                for noise_model in axes.noise_model:
                    yield trigger if ratio else Nothing(), trigger, ratio, noise_model, seed
    if axes.trigger == TRIGGERS and max(axes.poison_ratio) > 0:
        ratio, areas = CONTRASTS.get(scale.name, CONTRASTS["laptop"])
        rectangles = [Rectangle(height=height, width=width) for height, width in areas]
        for trigger in (*rectangles, scale.trigger("blend")):
            yield trigger, trigger, ratio, axes.noise_model[0], axes.seed[0]


def _point(graph: Graph, axes: Axes, cell: _Cell, filter_ratio: float) -> Point:
    trigger, attacker, poison_ratio, noise_model, seed = cell
    scale, manifest = graph.scale, graph.manifest(trigger, poison_ratio, seed)
    classify = replace(
        scale.classify,
        trigger=attacker,
        target_class=graph.target_class,
        filter_ratios=tuple(sorted({0.0, *axes.filter_ratio})),
        seed=seed,
    )
    settings = classification_row.Settings(
        trigger=trigger.name,
        poison_ratio=poison_ratio,
        noise_model=noise_model,
        filter_ratio=filter_ratio,
        trigger_pixels=_pixels(attacker, scale),
        classifier=scale.classifier.network,
        classify=classify,
    )
    classifier = graph.classifier(manifest, seed, settings.classifier)
    model = {"model": graph.model(manifest, seed, noise_model), "dataset": graph.dataset}
    inputs = {
        "manifest": manifest,
        "classified": graph.step(classify, model),
        "attack": graph.attack(classifier, attacker, verdicts=True),
        "dataset": graph.dataset,
    }
    return point(settings, inputs)


def _pixels(trigger: Trigger, scale: Scale) -> int | None:
    """How many pixels a trigger paints; None if it paints no patch."""
    if not isinstance(trigger, Patched):
        return None
    size = scale.dataset.image_size
    height, width, _ = trigger.patch(size, size, scale.dataset.channels).pixels.shape
    return int(height * width)


def _check_images(scale: Scale, axes: Axes) -> None:
    """Refuse filters that leave nothing of an image, and more test images than there are."""
    for ratio in axes.filter_ratio:
        denoise_classify.kept(ratio, scale.dataset.image_size**2 * scale.dataset.channels)
    there, wanted = sum(scale.dataset.counts()["test"]), scale.classify.test_images
    if wanted is not None and wanted > there:
        raise ValueError(f"expected at most {there} test images, all there are, got {wanted}.")


DIFFUSION_CLASSIFIER = Study(
    name="diffusion_classifier",
    package=__name__,
    of_classes=True,
    title="The diffusion model as a classifier",
    paper="Tab. 5",
    question=(
        "Is a poisoned diffusion model that classifies by its denoising errors attacked less often "
        "than a classifier that was trained on the same set, and less still when its largest "
        "errors are dropped?"
    ),
    axes=(
        TRIGGER.over(*TRIGGERS),
        POISON_RATIO.over(0.0, 0.01, 0.05, 0.1, tiny=(0.0, 0.1)),
        TARGET_CLASS,
        NOISE_MODEL,
        FILTER_RATIO,
        SEED,
    ),
    points=points,
    columns=(
        "trigger_pixels",
        "draws",
        "n",
        *bounds_of("test_accuracy", "attack_success_rate"),
        *("classifier", "classifier_test_accuracy", "classifier_attack_success_rate"),
    ),
)
