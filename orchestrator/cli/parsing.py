"""From the words that people type to a ``Request``, for the command line and for notebooks."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from orchestrator import choices
from orchestrator.cli import part_settings
from orchestrator.cli.options import Options, flag_of, split
from orchestrator.console import duration
from orchestrator.graph.budget import TooLittle, percent_within
from orchestrator.process import cores
from orchestrator.run.placement import Placement
from orchestrator.run.request import Request
from orchestrator.step import ancestors
from orchestrator.store.store import Store, open_store
from orchestrator.studies import STUDIES, own_study
from orchestrator.studies.axes import Axes
from orchestrator.studies.own_images import own_images
from orchestrator.studies.scales import SCALES, Scale, shortened
from orchestrator.studies.study import Point, Study
from tasks.checks import check
from tasks.data import datasets
from tasks.latent import pipeline
from tasks.steps import conditions, weights
from tasks.steps.training import PRECISIONS

Say = Callable[[str], Any]

NETWORKS = ("diffusion", "edm")
DOWNLOADED: dict[str, Any] = {kind.name: kind for kind in (datasets.Cifar10, datasets.FashionMnist)}
"""Datasets in files that are downloaded, by name."""
TRAININGS = (*NETWORKS, "content_judge", "trigger_judge", "classifier")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SIZES = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
PLACEMENT = (
    *("actors", "gpus_per_actor", "training_workers", "gpus_per_training"),
    *("data_cpus", "cache_decoded", "checkpoint_seconds"),
)
"""Options that say how steps are spread; ``Placement`` has them by the same names."""


def request(
    study: str | Path | Study, *, say: Say = print, held_out: bool = True, **words: Any
) -> Request:
    """Put together what was asked for, and check it.

    Args:
        study: A name of ``STUDIES``, a Python file that makes one ``Study``, or a study.
        say: Told how words were understood, what a budget means, and which images are left out.
        held_out: Whether a part of your own images is kept for tests.
        words: Fields of ``Options`` and axes of the study, as typed or as Python values.

    Raises:
        ValueError: In one line, what was expected, what came and what to type instead.
    """
    chosen = study if isinstance(study, Study) else find_study(study)
    options, typed = split(chosen, words)
    placement = Placement(**{name: getattr(options, name) for name in PLACEMENT})
    store = store_of(words.get("store"))
    scale = _with_model(find_scale(options.scale), options.model)
    scale = _with_data(scale, options, store, say, held_out)
    scale = _with_parts(scale, options)
    axes = chosen.chosen(scale, typed)
    for axis in chosen.axes:
        word, value = typed.get(axis.name), axes[axis.name]
        if word and not axis.single and (taken := choices.understood(word, value)):
            say(f"{axis.flag} {word} is taken for {taken}")
    scale = _with_weights(scale, options, axes)
    scale, options = _with_lengths(chosen, scale, axes, options, store, say)
    if scale.dataset.name not in DOWNLOADED:
        options = replace(options, data=None)  # a variable may have set it
    asked = Request(
        study=chosen,
        scale=scale,
        axes=axes,
        store=store,
        placement=placement,
        address=options.address,
        dashboard=options.dashboard,
        verbose=options.verbose,
        typed=options.typed(),
    )
    asked.points()  # a point that makes no sense is bad usage too
    return asked


def find_study(study: "str | Path | Study") -> Study:
    """The study of a name, of a Python file, or as it is; ValueError if there is not one."""
    check(
        "a study", study, "by name, as a file or as a Study", isinstance(study, str | Path | Study)
    )
    shipped = {one.name: one for one in STUDIES}
    if not isinstance(study, Study):
        if not str(study).endswith(".py"):
            return shipped[choices.known(str(study), shipped, "study")]
        study = own_study.read(str(study))
    if study not in STUDIES and study.name.lower() in (*shipped, "detect", "verify"):
        raise ValueError(f"Castlewalls has reports named {study.name}; name your study otherwise.")
    return study


def find_scale(name: str) -> Scale:
    """The scale of a name; a ValueError without one."""
    scales = {scale.name: scale for scale in SCALES}
    return scales[choices.known(name, scales, "scale")]


def store_of(typed: str | Path | None) -> Store:
    """The store that was typed, else of ``CASTLEWALLS_STORE``, else ``artifacts``."""
    return open_store(str(typed or os.environ.get("CASTLEWALLS_STORE") or "artifacts"))


def seconds_of(text: str) -> float:
    """Seconds of ``90s``, ``20m``, ``1.5h`` or ``2d``; a ValueError of anything else."""
    return _amount(text, UNITS, "--budget takes a time such as 90s, 20m or 1.5h")


def bytes_of(text: str) -> int:
    """Bytes of ``500MB``, ``2GiB`` and the like; a ValueError of anything else."""
    return int(_amount(text, SIZES, "--stream-memory takes a size such as 500MB or 2GiB"))


def _amount(text: str, units: Mapping[str, int], wanted: str) -> float:
    found = re.fullmatch(rf"\s*(\d+(?:\.\d+)?)\s*({'|'.join(units)})\s*", text)
    if not found or not float(found[1]):
        raise ValueError(f"{wanted}; got {text!r}.")
    return float(found[1]) * units[found[2]]


def _with_model(scale: Scale, model: str | None) -> Scale:
    """The scale with the pipeline that its text-to-image models are fine-tuned from."""
    if model is None:
        return scale
    if scale.text is None:
        named = " or ".join(one.name for one in SCALES if one.text)
        raise ValueError(f"--model needs a scale of text-to-image models: --scale {named}.")
    return replace(scale, text=replace(scale.text, base=pipeline.Settings.open(model)))


def _with_data(scale: Scale, options: Options, store: Store, say: Say, held_out: bool) -> Scale:
    """The scale with the dataset that was asked for, and networks and lengths that fit it."""
    if options.images is not None:
        for name in ("dataset", "download"):
            if getattr(options, name):
                raise ValueError(f"{flag_of(name)} does not go with --images; leave one out.")
        folder = datasets.ImageFolder.open(
            choices.path(options.images, "--images"),
            image_size=options.image_size or (scale.dataset.image_size if scale.text else 32),
            channels=options.channels or (3 if scale.text else None),
            skip_broken=options.skip_broken,
            stored_as=options.stored_as or "png",
            store=str(store.root),
            say=say,
            held_out=held_out,
        )
        return own_images(scale, folder)
    for name in ("image_size", "channels", "skip_broken", "stored_as"):
        if (value := getattr(options, name)) is not None and value is not False:
            raise ValueError(f"{flag_of(name)} is about your own images; add --images FOLDER.")
    every: tuple[Any, ...] = datasets.DATASETS
    kinds = {
        kind.name: kind
        for kind in every
        if all(item.default is not MISSING for item in fields(kind))  # it needs no settings
    }
    name = choices.known(options.dataset or scale.dataset.name, kinds, "dataset")
    if name in DOWNLOADED:
        place = choices.path(options.data or datasets.DOWNLOADS, "--data")
        dataset: datasets.Dataset = DOWNLOADED[name].open(place, download=options.download)
    elif options.download:
        asked = " or ".join(f"--dataset {name}" for name in DOWNLOADED)
        raise ValueError(f"--download needs a dataset that is downloaded: {asked}.")
    else:
        dataset = scale.dataset if name == scale.dataset.name else kinds[name]()
    own = name == scale.dataset.name
    return replace(scale, dataset=dataset) if own else own_images(scale, dataset)


def _with_parts(scale: Scale, options: Options) -> Scale:
    """The scale with the triggers, detectors and memory that were asked for."""
    size, channels = scale.dataset.image_size, scale.dataset.channels
    own = part_settings.triggers_of(options.trigger_setting, size, channels)
    scorers = part_settings.detectors_of(options.detector_setting, scale)
    triggers, detectors = (*scale.own_triggers, *own), (*scale.detectors, *scorers)
    scale = replace(scale, own_triggers=triggers, detectors=detectors)
    if options.generation_labels is not None:
        labels = choices.known(options.generation_labels, conditions.LABELS, "generation labels")
        scale = replace(scale, generation_labels=labels)
    if options.stream_memory is not None:
        scale = _trained(scale, TRAININGS, window_bytes=bytes_of(options.stream_memory))
    if (most := options.micro_batch) is not None:
        for name in NETWORKS:  # a part that is the whole batch is none
            whole = most >= getattr(scale, name).batch_size
            scale = _trained(scale, [name], micro_batch=0 if whole else most)
    if options.recompute:
        scale = _trained(scale, NETWORKS, recompute=True)
    if options.precision is not None:
        asked = choices.known(options.precision, ("auto", *PRECISIONS), "precision")
        names = (*TRAININGS, "generations", "others", "classify")
        scale = scale if asked == "auto" else _trained(scale, names, precision=asked)
    return scale


def _trained(scale: Scale, names: Sequence[str], **settings: Any) -> Scale:
    """The scale with other settings of some of its steps."""
    return replace(scale, **{name: replace(getattr(scale, name), **settings) for name in names})


def _with_weights(scale: Scale, options: Options, axes: Axes) -> Scale:
    """The scale with weights that its classifiers start from."""
    source = options.classifier_weights
    if source is None:
        return scale
    if len(axes.classifier) != 1:
        raise ValueError(
            f"--classifier-weights fit one network; give one of {', '.join(axes.classifier)} as "
            f"--classifier."
        )
    if source.startswith("~"):  # anything else may be a hub's id
        source = str(choices.path(source, "--classifier-weights"))
    return replace(scale, classifier_weights=weights.Settings.open(source, axes.classifier[0]))


def _with_lengths(
    study: Study, scale: Scale, axes: Axes, options: Options, store: Store, say: Say
) -> tuple[Scale, Options]:
    """The scale with the lengths that were asked for, and the options that name them."""
    for name in ("training_steps", "generations", "draws", "test_images"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{flag_of(name)} must be at least 1, got {value}.")
    if options.budget is not None:
        return _within(study, scale, axes, options, store, say)
    if (steps := options.training_steps) is not None:
        scale = _trained(scale, NETWORKS, steps=steps)
    if (steps := options.classifier_steps) is not None:
        scale = _trained(scale, ("classifier",), steps=steps)
    if (n := options.generations) is not None:
        drawn = {name: replace(getattr(scale, name), n=n) for name in ("generations", "others")}
        scale = replace(scale, **drawn, generation_set_n=n)
    classify = scale.classify
    if (draws := options.draws) is not None:
        stages = tuple(stage for stage in classify.stages if stage < draws)
        classify = replace(classify, draws=draws, stages=stages)
    if options.test_images is not None:
        classify = replace(classify, test_images=options.test_images)
    return replace(scale, classify=classify), options


def _within(
    study: Study, scale: Scale, axes: Axes, options: Options, store: Store, say: Say
) -> tuple[Scale, Options]:
    """The longest version of a scale that fits the budget, and the options that name it."""
    if (options.training_steps, options.generations) != (None, None):
        raise ValueError("--budget chooses --training-steps and --generations; leave them out.")

    def points_at(percent: int) -> Sequence[Point]:
        return study.points(shortened(scale, percent), axes)

    def images_at(percent: int) -> int:
        steps = ancestors(point.measure for point in points_at(percent))
        return max((step.settings.n for step in steps if step.task == "sample"), default=0)

    seconds = seconds_of(options.budget or "")
    try:
        percent = percent_within(points_at, seconds, store, cores())
    except TooLittle as error:
        raise ValueError(
            f"--budget {duration(seconds)} is too little: with the shortest trainings "
            f"({shortened(scale, 1).diffusion.steps} steps) and the fewest images it takes about "
            f"{duration(error.least)} on {cores()} cores. Give more, or sweep less, e.g. "
            f"--poison-ratio 0,0.1."
        ) from None
    shorter = shortened(scale, percent)
    steps, n, whole = shorter.diffusion.steps, images_at(percent), images_at(100)
    drawn, typed = (
        (f", {n:,} of {whole:,} images a point", f" --generations {n}") if n else ("", "")
    )
    say(
        f"budget: {steps:,} of {scale.diffusion.steps:,} training steps a model{drawn}; "
        f"on any machine the same is --training-steps {steps}{typed}"
    )
    return shorter, replace(options, training_steps=steps, generations=n or None)
