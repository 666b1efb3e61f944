"""Everything that can be typed, declared once: flags, ``notebook.run``'s words and their echo.

What a study is swept over is in its axes (``orchestrator.studies.axes``); the rest is ``Options``.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields
from functools import partial
from os import PathLike
from typing import Annotated, Any, SupportsIndex, get_args

import typer

from orchestrator import choices
from orchestrator.studies.scales import LAPTOP, SCALES
from orchestrator.studies.study import Study
from tasks.data import datasets
from tasks.steps.conditions import LABELS

IMAGES, PARTS = "Another dataset, or your own images", "Triggers, detectors and classifiers"
LENGTHS, CLUSTER = "How long and how large", "Where it runs (by default as the cluster allows)"
AXES = "What is swept"
DATASETS: tuple[Any, ...] = datasets.DATASETS
TYPES: dict[Any, tuple[str, Any]] = {
    str: ("text", str | PathLike),
    bool: ("True or False", bool),
    int: ("a whole number", str | SupportsIndex),
    float: ("a number", str | float | SupportsIndex),
}
"""By type of an option, what is said of it and what is taken for it."""


def _option(
    default: Any,
    help: str,
    group: str = "",
    *,
    needs: str = "",
    env: str = "",
    only: str = "",
    echo: bool = True,
    words: Iterable[str] = (),
) -> Any:
    """A field of ``Options``, under the heading ``group`` of ``--help``.

    ``needs`` are axes, one of which a study must have; ``env`` is a variable that sets it too;
    ``only`` are the commands that have it; ``echo`` says that it decides what is made, so that a
    command that makes the same names it; ``words`` are what a shell completes.
    """
    about = {"help": help, "group": group, "needs": needs, "env": env, "only": only, "echo": echo}
    return field(default=default, metadata=about | {"words": words})


_placed = partial(_option, group=CLUSTER, only="run", echo=False)
_image = partial(_option, group=IMAGES)
_part = partial(_option, group=PARTS)
_length = partial(_option, group=LENGTHS)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be asked for besides a study and the values of its axes."""

    scale: str = _option(
        "laptop",
        "Data, networks and lengths: tiny (seconds), laptop (minutes), fashion (an evening), "
        "cifar10-fast (an hour on a GPU), cifar10 (the authors', on GPUs); of text-to-image models "
        "tiny-text or laptop-text.",
        words=[scale.name for scale in SCALES],
    )
    store: str = _option(
        "artifacts",
        "Folder, or address such as s3://bucket/folder, that keeps all results.",
        env="CASTLEWALLS_STORE",
        echo=False,
    )
    dataset: str | None = _image(
        None,
        "Use this dataset, such as digits or cifar10, instead of the scale's.",
        needs="poison_ratio",
        words=[str(kind.name) for kind in DATASETS],
    )
    images: str | None = _image(None, "Use a folder with one folder of images a class.")
    image_size: int | None = _image(None, "Resize images to this many pixels a side (default: 32).")
    channels: int | None = _image(None, "1 for gray, 3 for color (default: as the images are).")
    skip_broken: bool = _image(False, "Leave out files that cannot be decoded.")
    stored_as: str | None = _image(
        None, "Store images as png (default) or jpeg: smaller, faster to decode, a little changed."
    )
    data: str | None = _image(
        None,
        "Folder with the files of CIFAR10's binary version or of Fashion-MNIST.",
        needs="poison_ratio",
        env="CASTLEWALLS_DATA",
    )
    download: bool = _image(
        False,
        "Download CIFAR10 or Fashion-MNIST if it is missing.",
        needs="poison_ratio",
        echo=False,
    )
    trigger_setting: tuple[str, ...] = _part(
        (),
        "Set a field of a trigger, e.g. blend.alpha=0.36 or image_patch.picture=FILE. Repeatable.",
        needs="poison_ratio",
    )
    detector_setting: tuple[str, ...] = _part(
        (),
        "Set a field of a detector, e.g. fct.draws=1 (as the authors do). Repeatable.",
        needs="detector",
    )
    generation_labels: str | None = _part(
        None,
        "Ask for a generation set by the observed labels (default), or clean, as the authors do.",
        needs="detector classifier",
        only="plan run report explain",
        words=LABELS,
    )
    model: str | None = _part(
        None,
        "Fine-tune this Stable Diffusion (v1 or v2): a folder or a hub id; at scales of "
        "text-to-image models.",
        needs="poison_ratio",
    )
    classifier_weights: str | None = _part(
        None, "Start classifiers from ImageNet weights: a file or a hub id.", needs="classifier"
    )
    training_steps: int | None = _length(
        None, "Train each diffusion model for this many steps.", needs="poison_ratio"
    )
    generations: int | None = _length(
        None, "Draw this many images a point.", needs="guidance_weight"
    )
    draws: int | None = _length(
        None, "Classify each image with this many noises.", needs="filter_ratio"
    )
    test_images: int | None = _length(
        None, "Classify this many test images (default: all).", needs="filter_ratio"
    )
    classifier_steps: int | None = _length(
        None, "Train the classifier for this many steps.", only="detect"
    )
    budget: str | None = _length(
        None,
        "Shorten trainings and draw fewer images to fit a time, e.g. 20m.",
        needs="poison_ratio",
        echo=False,
    )
    precision: str | None = _length(
        None,
        "Compute networks in fp32, tf32 or bf16; auto is bf16 at cifar10-fast, tf32 at cifar10, "
        "else fp32.",
        needs="poison_ratio",
    )
    micro_batch: int | None = _length(
        None,
        "Compute gradients of so many images at once and add them up, where a batch does not fit.",
        needs="poison_ratio",
    )
    recompute: bool = _length(
        False,
        "Compute a diffusion model's activations twice instead of keeping them, where memory is "
        "short.",
        needs="poison_ratio",
    )
    stream_memory: str | None = _length(
        None,
        "Keep up to this much of a training set in memory, e.g. 2GiB; stream a larger one.",
        needs="poison_ratio",
    )
    address: str | None = _placed(
        None, "Join a Ray cluster: host:port, or auto.", only="run detect"
    )
    actors: int | None = _placed(
        None, "Share a sampling or scoring step among this many actors.", only="run detect"
    )
    gpus_per_actor: int | None = _placed(None, "GPUs of each actor.")
    training_workers: int | None = _placed(None, "Data-parallel workers of a training.")
    gpus_per_training: int | None = _placed(None, "GPUs of a training.")
    data_cpus: int | None = _placed(None, "CPUs that decode the images of a streamed training.")
    cache_decoded: bool = _placed(
        False, "Keep the images of a streamed training decoded on each node's disk."
    )
    checkpoint_seconds: float = _placed(20.0, "Seconds between two checkpoints of a training.")
    dashboard: bool = _placed(False, "Start Ray's dashboard on loopback.")
    verbose: bool = _placed(False, "Let Ray and its workers print.", only="run detect")

    def typed(self) -> tuple[str, ...]:
        """The flags that lead to the same data, parts and lengths again."""
        words: list[str] = []
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "scale" or not item.metadata["echo"] or value == item.default:
                continue
            for one in value if isinstance(value, tuple) else (value,):
                words += [flag_of(item.name), *([] if one is True else [str(one)])]
        return tuple(words)


def flag_of(name: str) -> str:
    """A field or an axis as it is typed: ``--image-size``."""
    return "--" + name.replace("_", "-")


def offered(study: Study, command: str) -> Iterator["Field[Any]"]:
    """The options that a command has for a study."""
    axes = {axis.name for axis in study.axes}
    for item in fields(Options):
        needs, only = item.metadata["needs"].split(), item.metadata["only"].split()
        if (not needs or axes.intersection(needs)) and command in (only or [command]):
            yield item


def split(study: Study, words: Mapping[str, Any]) -> tuple[Options, dict[str, str]]:
    """Options and the text of axes, from words by name; what is None was not said.

    Raises:
        ValueError: The study has no such option or axis, or a text is empty.
    """
    choices.refuse_empty(words)
    given = {name: value for name, value in words.items() if value is not None}
    axes = {axis.name for axis in study.axes}
    known = {item.name for item in offered(study, study.words[0] if study.words else "run")}
    for name in given.keys() - axes - known:
        near = difflib.get_close_matches(name, axes | known, n=1)
        hint = f"did you mean {flag_of(near[0])}?" if near else "leave it out."
        raise ValueError(f"study {study.name} has no {flag_of(name)}; {hint}")
    typed = {name: ",".join(map(str, _each(given[name]))) for name in given if name in axes}
    choices.refuse_empty(typed)
    options: dict[str, Any] = {}
    for item in fields(Options):
        if (value := given.get(item.name)) is not None:
            several = item.default == ()
            found = tuple(_as_declared(item, one) for one in (_each(value) if several else [value]))
            options[item.name] = found if several else found[0]
    return Options(**options), typed


def _as_declared(item: "Field[Any]", value: Any) -> Any:
    """A value of an option's type: 60 of "60", the text of a Path; ValueError if it is no such."""
    kind = (get_args(item.type) or (item.type,))[0]
    expected, kinds = TYPES[kind]
    with suppress(ValueError):  # a text that is no number
        if isinstance(value, kinds) and isinstance(value, bool) == (kind is bool):
            return kind(value)
    raise ValueError(f"{flag_of(item.name)} takes {expected}, got {value!r}.")


def _each(value: Any) -> tuple[Any, ...]:
    """One value, or several."""
    several = hasattr(value, "__iter__") and not isinstance(value, str)
    return tuple(value) if several else (value,)


def parameters(study: Study, command: str) -> list[inspect.Parameter]:
    """The flags of a command for a study, as the parameters of a function for typer."""
    found: list[tuple[str, Any, Any, Any]] = []
    for axis in study.axes:
        words = completed(axis.options(LAPTOP))
        option = typer.Option(axis.flag, help=axis.help, rich_help_panel=AXES, autocompletion=words)
        found.append((axis.name, str | None, None, option))
    for item in offered(study, command):
        default, about = item.default, item.metadata
        option = typer.Option(
            flag_of(item.name),
            help=about["help"],
            rich_help_panel=about["group"] or None,
            envvar=about["env"] or None,
            autocompletion=completed(about["words"]) if about["words"] else None,
            show_default=isinstance(default, str | float) and not isinstance(default, bool),
        )
        kind, default = (list[str] | None, None) if default == () else (item.type, default)
        found.append((item.name, kind, default, option))
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, keyword, default=default, annotation=Annotated[kind, option])
        for name, kind, default, option in found
    ]


def completed(words: Iterable[str]) -> Callable[[str], list[str]]:
    """A function for shell completion: each word after whatever ends with a comma."""
    known = list(words)

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in known if word.startswith(last)]

    return complete
