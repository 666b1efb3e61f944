"""Everything that can be typed, declared once: flags, ``notebook.run``'s words and their echo.

What a study is swept over is in its axes (``orchestrator.studies.axes``); the rest is ``Options``.
"""

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Annotated, Any

import typer

from orchestrator import choices
from orchestrator.studies.axes import Axis
from orchestrator.studies.study import Study

IMAGES, PARTS = "Your own images, and CIFAR10", "Triggers, detectors and classifiers"
LENGTHS, CLUSTER = "How long and how large", "Where it runs (by default as the cluster allows)"
AXES = "What is swept"
Needs = Callable[[set[str]], bool]
"""Whether a study with axes of these names has an option."""


def _poisons(axes: set[str]) -> bool:
    return "poison_ratio" in axes


def _samples(axes: set[str]) -> bool:
    return "guidance_weight" in axes


def _scores(axes: set[str]) -> bool:
    return "detector" in axes


def _classifies(axes: set[str]) -> bool:
    return "filter_ratio" in axes


def _compares_classifiers(axes: set[str]) -> bool:
    return "classifier" in axes


def _option(
    default: Any,
    help: str,
    group: str = "",
    *,
    needs: Needs = lambda _: True,
    env: str = "",
    only: str = "",
    echo: bool = True,
) -> Any:
    """A field of ``Options``.

    Args:
        default: Its value when nothing is typed.
        help: For ``--help``, in a sentence.
        group: The heading that it stands under.
        needs: Which studies have it, by the names of their axes.
        env: A variable that sets it too.
        only: The one command that has it; empty for all.
        echo: It decides what is made, so a command that makes the same names it.
    """
    about = {"help": help, "group": group, "needs": needs, "env": env, "only": only, "echo": echo}
    return field(default=default, metadata=about)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What can be asked for besides a study and the values of its axes."""

    scale: str = _option(
        "laptop", "Data, networks and lengths: tiny (seconds), laptop (minutes) or cifar10 (GPUs)."
    )
    store: str = _option(
        "artifacts",
        "Folder, or address such as s3://bucket/folder, that keeps all results.",
        env="CASTLEWALLS_STORE",
        echo=False,
    )
    images: str | None = _option(None, "Use a folder with one folder of images a class.", IMAGES)
    image_size: int | None = _option(
        None, "Resize images to this many pixels a side (default: 32).", IMAGES
    )
    channels: int | None = _option(
        None, "1 for grey, 3 for color (default: as the images are).", IMAGES
    )
    skip_broken: bool = _option(False, "Leave out files that cannot be decoded.", IMAGES)
    data: str | None = _option(
        None,
        "Folder with CIFAR10's binary version.",
        IMAGES,
        needs=_poisons,
        env="CASTLEWALLS_DATA",
    )
    download: bool = _option(
        False, "Download CIFAR10 if it is missing.", IMAGES, needs=_poisons, echo=False
    )
    trigger_setting: tuple[str, ...] = _option(
        (),
        "Set a field of a trigger, e.g. blend.alpha=0.36 or image_patch.picture=FILE. Repeatable.",
        PARTS,
        needs=_poisons,
    )
    detector_setting: tuple[str, ...] = _option(
        (),
        "Set a field of a detector, e.g. fct.draws=1 (as the authors do). Repeatable.",
        PARTS,
        needs=_scores,
    )
    generation_labels: str | None = _option(
        None,
        "Ask for a generation set by the observed labels (default), or clean, as the authors do.",
        PARTS,
        needs=lambda axes: _samples(axes) and (_scores(axes) or _compares_classifiers(axes)),
    )
    classifier_weights: str | None = _option(
        None,
        "Start classifiers from ImageNet weights: a file or a hub id.",
        PARTS,
        needs=_compares_classifiers,
    )
    training_steps: int | None = _option(
        None, "Train each diffusion model for this many steps.", LENGTHS, needs=_poisons
    )
    generations: int | None = _option(
        None, "Draw this many images a point.", LENGTHS, needs=_samples
    )
    draws: int | None = _option(
        None, "Noises that an image is classified with.", LENGTHS, needs=_classifies
    )
    test_images: int | None = _option(
        None, "Test images to classify (default: all).", LENGTHS, needs=_classifies
    )
    classifier_steps: int | None = _option(
        None,
        "Train the classifier for this many steps.",
        LENGTHS,
        needs=lambda axes: not _poisons(axes),
    )
    budget: str | None = _option(
        None,
        "Shorten trainings and draw fewer images to fit a time, e.g. 20m.",
        LENGTHS,
        needs=_poisons,
        echo=False,
    )
    stream_memory: str | None = _option(
        None,
        "Images that a training holds in memory, e.g. 2GiB; larger sets are streamed.",
        LENGTHS,
    )
    address: str | None = _option(
        None, "Join a Ray cluster: host:port, or auto.", CLUSTER, only="run", echo=False
    )
    actors: int | None = _option(
        None, "Actors that share a sampling or scoring step.", CLUSTER, only="run", echo=False
    )
    gpus_per_actor: int | None = _option(
        None, "GPUs of each actor.", CLUSTER, only="run", echo=False
    )
    training_workers: int | None = _option(
        None, "Data-parallel workers of a training.", CLUSTER, only="run", echo=False
    )
    gpus_per_training: int | None = _option(
        None, "GPUs of a training.", CLUSTER, only="run", echo=False
    )
    checkpoint_seconds: float = _option(
        20.0, "Seconds between two checkpoints of a training.", CLUSTER, only="run", echo=False
    )
    dashboard: bool = _option(
        False, "Start Ray's dashboard on loopback.", CLUSTER, only="run", echo=False
    )
    verbose: bool = _option(
        False, "Let Ray and its workers print.", CLUSTER, only="run", echo=False
    )

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


def offered(study: Study, command: str = "run") -> Iterator["Field[Any]"]:
    """The options that a command has for a study."""
    axes = {axis.name for axis in study.axes}
    for item in fields(Options):
        needs, only = item.metadata["needs"], item.metadata["only"]
        if needs(axes) and only in ("", command):
            yield item


def split(study: Study, words: Mapping[str, Any]) -> tuple[Options, dict[str, str]]:
    """Options and the text of axes, from words by name; what is None was not said.

    Raises:
        ValueError: The study has no such option or axis, or a text is empty.
    """
    choices.refuse_empty(words)
    given = {name: value for name, value in words.items() if value is not None}
    axes = {axis.name for axis in study.axes}
    known = {item.name for item in offered(study)}
    for name in given.keys() - axes - known:
        near = difflib.get_close_matches(name, axes | known, n=1)
        hint = f"did you mean {flag_of(near[0])}?" if near else "leave it out."
        raise ValueError(f"study {study.name} has no {flag_of(name)}; {hint}")
    typed = {name: _text(value) for name, value in given.items() if name in axes}
    choices.refuse_empty(typed)
    plain = {name: _plain(name, value) for name, value in given.items() if name not in axes}
    return Options(**plain), typed


def _text(value: Any) -> str:
    """An axis' values as the command line has them: one, or several with commas."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return str(value)
    return ",".join(str(item) for item in value)


def _plain(name: str, value: Any) -> Any:
    """A value of ``Options`` in its field's type: places may be a ``Path``, lists become tuples."""
    default = next(item.default for item in fields(Options) if item.name == name)
    if default == ():
        return (value,) if isinstance(value, str) else tuple(value)
    return str(value) if hasattr(value, "__fspath__") else value


def parameters(study: Study, command: str) -> list[inspect.Parameter]:
    """The flags of a command for a study, as the parameters of a function for typer."""
    made = [_parameter(axis.name, str | None, None, _of_axis(axis)) for axis in study.axes]
    for item in offered(study, command):
        assert item.default is not MISSING
        many = item.default == ()
        kind = list[str] | None if many else item.type
        made.append(_parameter(item.name, kind, None if many else item.default, _of_option(item)))
    return made


def _parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _of_axis(axis: Axis) -> Any:
    def options() -> list[str]:
        from orchestrator.studies.scales import LAPTOP

        return [*axis.options(LAPTOP)]

    return typer.Option(
        axis.flag, help=axis.help, rich_help_panel=AXES, autocompletion=completed(options)
    )


def _of_option(item: "Field[Any]") -> Any:
    about = item.metadata
    return typer.Option(
        flag_of(item.name),
        help=about["help"],
        rich_help_panel=about["group"] or None,
        envvar=about["env"] or None,
        autocompletion=completed(scales) if item.name == "scale" else None,
        show_default=isinstance(item.default, str | float) and not isinstance(item.default, bool),
    )


def completed(options: Callable[[], list[str]]) -> Callable[[str], list[str]]:
    """A function for shell completion: each option after whatever ends with a comma."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in options() if word.startswith(last)]

    return complete


def scales() -> list[str]:
    """Names of the scales."""
    from orchestrator.studies.scales import SCALES

    return [scale.name for scale in SCALES]
