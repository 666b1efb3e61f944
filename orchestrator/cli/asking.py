"""From the words that people type to a ``Request``, for the command line and for notebooks."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.cli import choices, own_triggers
from orchestrator.cli.printing import duration
from orchestrator.graph.budget import TooLittle, percent_within
from orchestrator.process import cores
from orchestrator.run.request import Request
from orchestrator.store.store import Store, open_store
from orchestrator.studies import STUDIES
from orchestrator.studies.own_images import own_images
from orchestrator.studies.scales import SCALES, Scale, chosen_axes, shortened
from orchestrator.studies.study import Axes, Point, Study
from tasks.data import datasets
from tasks.steps import conditions, weights

if TYPE_CHECKING:
    from tasks.data.datasets import Dataset

Say = Callable[[str], Any]

NUMBERS = ("poison_ratio", "guidance_weight", "seed", "filter_ratio")
"""Axes of numbers."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SIZES = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


def request(
    study: str,
    *,
    scale: str = "laptop",
    store: str | None = None,
    images: str | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    skip_broken: bool = False,
    data: str | None = None,
    download: bool = False,
    trigger_setting: str | Sequence[str] = (),
    detector_setting: str | Sequence[str] = (),
    generation_labels: str | None = None,
    classifier_weights: str | None = None,
    training_steps: int | None = None,
    generations: int | None = None,
    budget: str | None = None,
    stream_memory: str | None = None,
    draws: int | None = None,
    test_images: int | None = None,
    say: Say = print,
    axes: Mapping[str, str | None] | None = None,
    **more: Any,
) -> Request:
    """Look up, check and put together what was asked for.

    Args:
        study: A name of ``STUDIES``.
        scale: A name of ``SCALES``.
        store: A folder, or an address such as ``s3://bucket/folder``; by default
            ``CASTLEWALLS_STORE``, else ``artifacts``.
        images: A folder of your own images instead of the scale's dataset.
        image_size: Pixels to which they are reduced.
        channels: 1 or 3; by default what they are.
        skip_broken: Leave out files that cannot be decoded.
        data: Where CIFAR10 lies.
        download: Fetch CIFAR10 if it is not there.
        trigger_setting: Fields of triggers, each ``TRIGGER.FIELD=VALUE``.
        detector_setting: Fields of detectors, each ``DETECTOR.FIELD=VALUE``.
        generation_labels: What a generation set is asked for as, a name of ``conditions.LABELS``.
        classifier_weights: A file or a hub id of weights that the classifiers start from.
        training_steps: Updates of every diffusion model instead of the scale's.
        generations: Images drawn a point instead of the scale's; in a study that detects at most
            as many as there are to train on.
        budget: Wall time that chooses both, such as ``20m``.
        stream_memory: Bytes of images that a training holds, such as ``2GiB``.
        draws: Noises of an image where diffusion models classify, instead of the scale's.
        test_images: How many they classify; by default all.
        say: Told when something is timed for the budget, and of images: what is left out.
        axes: Values to sweep, as typed, by the axis' name.
        more: Fields of ``Request``.

    Raises:
        ValueError: In one line, what was expected, what came and what to type instead.
    """
    words = {"store": store, "images": images, "data": data, "budget": budget}
    words |= {"classifier_weights": classifier_weights, "stream_memory": stream_memory}
    words |= {"generation_labels": generation_labels, **(axes or {}), **more}
    choices.refuse_empty(words)
    studies = {item.name: item for item in STUDIES}
    scales = {item.name: item for item in SCALES}
    chosen = studies[choices.known(study, studies, "study")]
    stock = scales[choices.known(scale, scales, "scale")]
    place = open_store(store or os.environ.get("CASTLEWALLS_STORE") or "artifacts")
    changed = _with_data(
        stock, place, images, image_size, channels, skip_broken, data, download, say
    )
    size, colors = changed.dataset.image_size, changed.dataset.channels
    settings, scoring = _several(trigger_setting), _several(detector_setting)
    own = own_triggers.chosen(settings, size, colors)
    changed = replace(changed, own_triggers=(*changed.own_triggers, *own))
    if scoring and not chosen.detects:
        raise ValueError(f"study {study} detects nothing; leave --detector-setting out.")
    scorers = own_triggers.chosen_detectors(scoring, changed)
    changed = replace(changed, detectors=(*changed.detectors, *scorers))
    changed = _with_memory(changed, stream_memory)
    _check_axes(chosen, axes or {}, classifier_weights, generation_labels)
    changed = _with_draws(chosen, changed, draws, test_images)
    if generation_labels is not None:
        labels = choices.known(generation_labels, conditions.LABELS, "generation labels")
        changed = replace(changed, generation_labels=labels)
    swept = chosen_axes(changed, chosen.axes(changed), **(axes or {}))
    for axis, text in (axes or {}).items():
        values = getattr(swept, axis)
        if text and axis in NUMBERS and (plain := choices.understood(text, values)):
            say(f"--{axis.replace('_', '-')} {text} is taken for {plain}")
    changed = _with_weights(changed, classifier_weights, swept)
    lengths = (training_steps, generations)
    if budget is not None:
        if lengths != (None, None):
            raise ValueError("--budget chooses --training-steps and --generations; leave them out.")
        changed = _within(chosen, changed, swept, place, seconds_of(budget), say)
        drawn = None if chosen.classifies else chosen.images_a_point(changed)
        lengths = (changed.diffusion.steps, drawn)
    changed = _with_lengths(chosen, changed, *lengths)
    typed = _typed(
        chosen,
        stock,
        images=images,
        image_size=image_size,
        channels=channels,
        skip_broken=skip_broken,
        data=data if isinstance(changed.dataset, datasets.Cifar10) else None,  # it has a variable
        trigger_setting=settings,
        detector_setting=scoring,
        generation_labels=None if generation_labels == "observed" else generation_labels,
        classifier_weights=classifier_weights,
        training_steps=lengths[0],
        generations=lengths[1],
        stream_memory=stream_memory,
        draws=draws,
        test_images=test_images,
    )
    asked = Request(study=chosen, scale=changed, axes=swept, store=place, typed=typed, **more)
    asked.points()  # a point that makes no sense is bad usage too
    return asked


def _several(typed: str | Sequence[str]) -> tuple[str, ...]:
    return (typed,) if isinstance(typed, str) else tuple(typed)


def seconds_of(text: str) -> float:
    """Seconds of ``90s``, ``20m``, ``1.5h`` or ``2d``.

    Raises:
        ValueError: It is no such time.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    if not found or not float(found[1]):
        raise ValueError(f"--budget takes a time such as 90s, 20m or 1.5h; got {text!r}.")
    return float(found[1]) * UNITS[found[2]]


def bytes_of(text: str) -> int:
    """Bytes of ``500MB``, ``2GiB`` and the like.

    Raises:
        ValueError: It is no such size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MG]i?B)\s*", text)
    if not found or not float(found[1]):
        raise ValueError(f"--stream-memory takes a size such as 500MB or 2GiB; got {text!r}.")
    return int(float(found[1]) * SIZES[found[2]])


def _with_data(
    scale: Scale,
    store: Store,
    images: str | None,
    image_size: int | None,
    channels: int | None,
    skip_broken: bool,
    data: str | None,
    download: bool,
    say: Say,
) -> Scale:
    """The scale with the dataset that was asked for."""
    cifar10 = isinstance(scale.dataset, datasets.Cifar10) and images is None
    if images is None:
        given = {"--image-size": image_size, "--channels": channels, "--skip-broken": skip_broken}
        for flag, value in given.items():
            if value is not None and value is not False:
                raise ValueError(f"{flag} is about your own images; add --images FOLDER.")
    if download and not cifar10:
        raise ValueError("--download is about CIFAR10; it goes with --scale cifar10.")
    if images is not None:
        own: Dataset = datasets.ImageFolder.open(
            choices.path(images, "--images"),
            image_size=32 if image_size is None else image_size,
            channels=channels,
            skip_broken=skip_broken,
            store=str(store.root),
            say=say,
        )
        return own_images(scale, own)
    if cifar10:
        place = choices.path(data or datasets.CIFAR10_FOLDER, "--data")
        return replace(scale, dataset=datasets.Cifar10.open(place, download=download))
    return scale


def _check_axes(
    study: Study, axes: Mapping[str, str | None], weights: str | None, labels: str | None
) -> None:
    """Refuse what the study has no use for."""
    if axes.get("detector") is not None and not study.detects:
        raise ValueError(f"study {study.name} detects nothing; leave --detector out.")
    for flag, value in (("classifier", axes.get("classifier")), ("classifier-weights", weights)):
        if value is not None and not study.defends:
            raise ValueError(f"study {study.name} compares no classifiers; leave --{flag} out.")
    for axis in ("noise_model", "filter_ratio"):
        if axes.get(axis) is not None and not study.classifies:
            flag = axis.replace("_", "-")
            raise ValueError(f"study {study.name} classifies nothing; leave --{flag} out.")
    if axes.get("clip") is not None and not study.thresholds:
        raise ValueError(f"study {study.name} thresholds nothing; leave --clip out.")
    for axis in ("guidance_weight", "sampler"):
        if axes.get(axis) is not None and study.classifies:
            flag = axis.replace("_", "-")
            raise ValueError(f"study {study.name} samples nothing; leave --{flag} out.")
    if labels is not None and not study.has_generation_set:
        raise ValueError(
            f"study {study.name} has no generation set; leave --generation-labels out."
        )


def _with_weights(scale: Scale, source: str | None, axes: Axes) -> Scale:
    """The scale with weights that its classifiers start from."""
    if source is None:
        return scale
    if len(axes.classifier) != 1:
        raise ValueError(
            f"--classifier-weights are of one network; give one of {', '.join(axes.classifier)} as "
            f"--classifier."
        )
    if source.startswith("~"):  # anything else may be a hub's id
        source = str(choices.path(source, "--classifier-weights"))
    return replace(scale, classifier_weights=weights.Settings.open(source, axes.classifier[0]))


def _with_draws(study: Study, scale: Scale, draws: int | None, images: int | None) -> Scale:
    """The scale with as many noises and test images where diffusion models classify."""
    for flag, value in (("draws", draws), ("test-images", images)):
        if value is None:
            continue
        if not study.classifies:
            raise ValueError(f"study {study.name} classifies nothing; leave --{flag} out.")
        if value < 1:
            raise ValueError(f"--{flag} must be at least 1, got {value}.")
    classify = scale.classify
    if draws is not None:
        stages = tuple(stage for stage in classify.stages if stage < draws)
        classify = replace(classify, draws=draws, stages=stages)
    if images is not None:
        classify = replace(classify, test_images=images)
    return replace(scale, classify=classify)


def _with_memory(scale: Scale, size: str | None) -> Scale:
    if size is None:
        return scale
    held = bytes_of(size)
    names = ("diffusion", "edm", "content_judge", "trigger_judge", "classifier")
    return replace(
        scale, **{name: replace(getattr(scale, name), window_bytes=held) for name in names}
    )


def _with_lengths(study: Study, scale: Scale, steps: int | None, n: int | None) -> Scale:
    if steps is not None:
        scale = replace(
            scale,
            diffusion=replace(scale.diffusion, steps=steps),
            edm=replace(scale.edm, steps=steps),
        )
    if n is None:
        return scale
    if study.classifies:
        raise ValueError(
            f"study {study.name} draws no images; leave --generations out, and shorten it with "
            "--draws and --test-images."
        )
    drawn = replace(
        scale,
        generations=replace(scale.generations, n=n),
        others=replace(scale.others, n=n),
        generation_set_n=n,
    )
    return drawn if study.images_a_point(drawn) != study.images_a_point(scale) else scale


def _within(
    study: Study, scale: Scale, axes: Axes, store: Store, seconds: float, say: Say
) -> Scale:
    def points_at(percent: int) -> Sequence[Point]:
        return study.points(shortened(scale, percent), axes)

    try:
        percent = percent_within(points_at, seconds, store, cores())
    except TooLittle as error:
        least = shortened(scale, 1)
        raise ValueError(
            f"--budget {duration(seconds)} is too little: with the shortest trainings "
            f"({least.diffusion.steps} steps) and the fewest images "
            f"({study.images_a_point(least)} a point) it takes about {duration(error.least)} on "
            f"{cores()} cores. Give more, or sweep less, e.g. --poison-ratio 0,0.1."
        ) from None
    shorter = shortened(scale, percent)
    steps, n = shorter.diffusion.steps, study.images_a_point(shorter)
    say(
        f"budget: {steps:,} of {scale.diffusion.steps:,} training steps a model, "
        f"{n:,} of {study.images_a_point(scale):,} images a point; on any machine the same is "
        f"--training-steps {steps} --generations {n}"
    )
    return shorter


def _typed(study: Study, scale: Scale, **given: Any) -> Sequence[str]:
    """The words that lead to this scale again, without defaults, a budget as its steps."""
    if given["images"] is None:
        own = {
            "training_steps": scale.diffusion.steps,
            "generations": study.images_a_point(scale),
        }
        given |= {name: None for name, value in own.items() if given[name] == value}
    words: list[str] = []
    for name, value in given.items():
        for one in value if isinstance(value, tuple) else (value,):
            if one is None or one is False:
                continue
            words.append("--" + name.replace("_", "-"))
            if one is not True:
                words.append(str(one))
    return tuple(words)
