"""Everything that can be typed, declared once: flags, ``notebook.run``'s words and their echo.

What a study is swept over is in its axes (``orchestrator.studies.axes``); the rest is ``Options``.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator import choices
from orchestrator.studies.axes import Axis
from orchestrator.studies.study import Study

if TYPE_CHECKING:
    from orchestrator.studies.scales import Scale

IMAGES, PARTS = "Another dataset, or your own images", "Triggers, detectors and classifiers"
LENGTHS, CLUSTER = "How long and how large", "Where it runs (by default as the cluster allows)"
AXES = "What is swept"
Needs = Callable[[set[str]], bool]
"""Whether a study with axes of these names has an option."""


def _has(axis: str) -> Needs:
    return lambda axes: axis in axes


_poisons, _samples, _scores = map(_has, ("poison_ratio", "guidance_weight", "detector"))
_classifies, _compares = map(_has, ("filter_ratio", "classifier"))


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
        only: The commands that have it; empty for all.
        echo: Whether it decides what is made; a command that makes the same then names it.
    """
    about = {"help": help, "group": group, "needs": needs, "env": env, "only": only, "echo": echo}
    return field(default=default, metadata=about)


_placed = partial(_option, group=CLUSTER, only="run", echo=False)
_image = partial(_option, group=IMAGES)
_part = partial(_option, group=PARTS)
_length = partial(_option, group=LENGTHS)


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
    dataset: str | None = _image(
        None, "Use this dataset, such as digits or cifar10, instead of the scale's.", needs=_poisons
    )
    images: str | None = _image(None, "Use a folder with one folder of images a class.")
    image_size: int | None = _image(None, "Resize images to this many pixels a side (default: 32).")
    channels: int | None = _image(None, "1 for gray, 3 for color (default: as the images are).")
    skip_broken: bool = _image(False, "Leave out files that cannot be decoded.")
    data: str | None = _image(
        None,
        "Folder with the files of CIFAR10's binary version or of Fashion-MNIST.",
        needs=_poisons,
        env="CASTLEWALLS_DATA",
    )
    download: bool = _image(
        False, "Download CIFAR10 or Fashion-MNIST if it is missing.", needs=_poisons, echo=False
    )
    trigger_setting: tuple[str, ...] = _part(
        (),
        "Set a field of a trigger, e.g. blend.alpha=0.36 or image_patch.picture=FILE. Repeatable.",
        needs=_poisons,
    )
    detector_setting: tuple[str, ...] = _part(
        (),
        "Set a field of a detector, e.g. fct.draws=1 (as the authors do). Repeatable.",
        needs=_scores,
    )
    generation_labels: str | None = _part(
        None,
        "Ask for a generation set by the observed labels (default), or clean, as the authors do.",
        needs=lambda axes: _samples(axes) and (_scores(axes) or _compares(axes)),
    )
    classifier_weights: str | None = _part(
        None, "Start classifiers from ImageNet weights: a file or a hub id.", needs=_compares
    )
    training_steps: int | None = _length(
        None, "Train each diffusion model for this many steps.", needs=_poisons
    )
    generations: int | None = _length(None, "Draw this many images a point.", needs=_samples)
    draws: int | None = _length(
        None, "Classify each image with this many noises.", needs=_classifies
    )
    test_images: int | None = _length(
        None, "Classify this many test images (default: all).", needs=_classifies
    )
    classifier_steps: int | None = _length(
        None, "Train the classifier for this many steps.", needs=lambda axes: not _poisons(axes)
    )
    budget: str | None = _length(
        None,
        "Shorten trainings and draw fewer images to fit a time, e.g. 20m.",
        needs=_poisons,
        echo=False,
    )
    stream_memory: str | None = _length(
        None,
        "Keep up to this much of a training set in memory, e.g. 2GiB; stream a larger one.",
        needs=_poisons,
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


def offered(study: Study, command: str = "run") -> Iterator["Field[Any]"]:
    """The options that a command has for a study."""
    axes = {axis.name for axis in study.axes}
    for item in fields(Options):
        needs, only = item.metadata["needs"], item.metadata["only"]
        if needs(axes) and command in (only.split() or [command]):
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
        kind, default = (
            (list[str] | None, None) if item.default == () else (item.type, item.default)
        )
        made.append(_parameter(item.name, kind, default, _of_option(item)))
    return made


def _parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _of_axis(axis: Axis) -> Any:
    options = completed(lambda: axis.options(_scales()["laptop"]))
    return typer.Option(axis.flag, help=axis.help, rich_help_panel=AXES, autocompletion=options)


def _of_option(item: "Field[Any]") -> Any:
    about = item.metadata
    return typer.Option(
        flag_of(item.name),
        help=about["help"],
        rich_help_panel=about["group"] or None,
        envvar=about["env"] or None,
        autocompletion=completed(_scales) if item.name == "scale" else None,
        show_default=isinstance(item.default, str | float) and not isinstance(item.default, bool),
    )


def completed(options: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """A function for shell completion: each option after whatever ends with a comma."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{word}" for word in options() if word.startswith(last)]

    return complete


def _scales() -> "dict[str, Scale]":
    from orchestrator.studies.scales import SCALES

    return {scale.name: scale for scale in SCALES}
