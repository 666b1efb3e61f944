"""What can be typed: the words that commands share, and what is said when they are wrong.

Imports here are light: ``--help`` and ``plan`` load neither Ray nor torch.
"""

import inspect
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from orchestrator.run.request import Request

USAGE, SOME_FAILED, INTERRUPTED = 2, 1, 130
"""Exit codes: bad usage; some points failed or the run could not start; Ctrl-C."""

app = typer.Typer(
    name="castlewalls",
    help="Bilateral data poisoning in diffusion models: poison, train, sample, dissect, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def as_it_is(**how: Any) -> Console:
    """A console that prints words as they are: paths and names hold no markup and no emoji.

    Bars and cursor codes go to a terminal alone, whatever ``FORCE_COLOR`` says of colors.
    """
    plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    if not sys.stdout.isatty():
        plain["force_interactive"] = False
        if "COLUMNS" not in os.environ:
            plain["width"] = 120
    return Console(**{**plain, **how})


console = as_it_is()
complaints = as_it_is(stderr=True, soft_wrap=True)

StudyName = Annotated[str, typer.Argument(help="A study's name; `castlewalls studies` lists them.")]
ScaleName = Annotated[
    str, typer.Option("--scale", help="tiny (seconds), laptop (minutes) or cifar10 (GPUs).")
]
StoreRoot = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="CASTLEWALLS_STORE",
        help="Folder, or s3:// address, that keeps everything.",
    ),
]
Triggers = Annotated[str | None, typer.Option("--trigger", help="E.g. badnets1,relabel_only.")]
Ratios = Annotated[
    str | None,
    typer.Option(
        "--poison-ratio", help="Fractions of all training images: 0,0.01,0.1 or 0,1%,10%."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option("--guidance-weight", help="w of e_u + w (e_c - e_u): 1,2,5; 1 is none."),
]
Samplers = Annotated[str | None, typer.Option("--sampler", help="Of ddim,ddpm,sde,heun.")]
Clips = Annotated[
    str | None,
    typer.Option(
        "--clip", help="Of study composition: thresholding at each step: none,static,dynamic."
    ),
]
Seeds = Annotated[str | None, typer.Option("--seed", help="E.g. 0,1,2 or 0-2: one training each.")]
Target = Annotated[str | None, typer.Option("--target-class", help="Name of the poisoned class.")]
Detectors = Annotated[
    str | None, typer.Option("--detector", help="Of study detection: cd,strip,fct.")
]
Classifiers = Annotated[
    str | None,
    typer.Option("--classifier", help="Of study defense: small,resnet18,resnet50,vgg16,..."),
]
NoiseModels = Annotated[
    str | None, typer.Option("--noise-model", help="Of study diffusion_classifier: ddpm,edm.")
]
FilterRatios = Annotated[
    str | None,
    typer.Option(
        "--filter-ratio", help="Of study diffusion_classifier: shares of the errors: 0,1%,0.1."
    ),
]
OWN, HOW, LENGTH = "Your own images and CIFAR10", "Triggers, classifiers", "How long, how large"
WHERE = "Spread over a cluster; without these by what it has"
Images = Annotated[
    str | None, typer.Option(help="Folder with a folder of images a class.", rich_help_panel=OWN)
]
ImageSize = Annotated[
    int | None, typer.Option(help="Pixels they are reduced to; 32.", rich_help_panel=OWN)
]
Channels = Annotated[
    int | None, typer.Option(help="1 grey, 3 color; what they are.", rich_help_panel=OWN)
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave undecodable files out.", rich_help_panel=OWN)
]
Data = Annotated[
    str | None,
    typer.Option(
        help="Where CIFAR10's binary version is.", envvar="CASTLEWALLS_DATA", rich_help_panel=OWN
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch CIFAR10 if it is missing.", rich_help_panel=OWN)
]
TriggerSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--trigger-setting",
        help="A trigger's field, e.g. blend.alpha=0.36 or image_patch.picture=FILE; repeatable.",
        rich_help_panel=HOW,
    ),
]
DetectorSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--detector-setting",
        help="A detector's field, e.g. fct.draws=1 (the authors' one transform); repeatable.",
        rich_help_panel=HOW,
    ),
]
GenerationLabels = Annotated[
    str | None,
    typer.Option(
        help="What a generation set is asked for as: observed labels, or clean as the authors do.",
        rich_help_panel=HOW,
    ),
]
ClassifierWeights = Annotated[
    str | None,
    typer.Option(
        help="ImageNet weights that classifiers start from: a file, or a hub id.",
        rich_help_panel=HOW,
    ),
]
TrainingSteps = Annotated[
    int | None, typer.Option(help="Of each diffusion model.", rich_help_panel=LENGTH)
]
Generations = Annotated[
    int | None,
    typer.Option(
        help="Images drawn a point; in detection at most as many as are trained on.",
        rich_help_panel=LENGTH,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(help="Wall time that chooses these two: 20m.", rich_help_panel=LENGTH),
]
StreamMemory = Annotated[
    str | None,
    typer.Option(
        help="Images held by a training; larger sets are re-streamed: 2GiB.",
        rich_help_panel=LENGTH,
    ),
]

Draws = Annotated[
    int | None,
    typer.Option(help="Noises of an image in diffusion_classifier.", rich_help_panel=LENGTH),
]
TestImages = Annotated[
    int | None,
    typer.Option(help="Test images that it classifies; all.", rich_help_panel=LENGTH),
]


def complain(message: object) -> None:
    """Say on standard error what went wrong, in a line."""
    complaints.print(f"castlewalls: {message}", markup=False)


def fail(error: object, code: int) -> NoReturn:
    """Say it and end the command with a code."""
    complain(error)
    raise typer.Exit(code)


def _request(
    study: StudyName,
    scale: ScaleName = "laptop",
    store: StoreRoot = "artifacts",
    trigger: Triggers = None,
    poison_ratio: Ratios = None,
    guidance_weight: Weights = None,
    sampler: Samplers = None,
    clip: Clips = None,
    seed: Seeds = None,
    target_class: Target = None,
    detector: Detectors = None,
    classifier: Classifiers = None,
    noise_model: NoiseModels = None,
    filter_ratio: FilterRatios = None,
    images: Images = None,
    image_size: ImageSize = None,
    channels: Channels = None,
    skip_broken: SkipBroken = False,
    data: Data = None,
    download: Download = False,
    trigger_setting: TriggerSettings = None,
    detector_setting: DetectorSettings = None,
    generation_labels: GenerationLabels = None,
    classifier_weights: ClassifierWeights = None,
    training_steps: TrainingSteps = None,
    generations: Generations = None,
    budget: Budget = None,
    stream_memory: StreamMemory = None,
    draws: Draws = None,
    test_images: TestImages = None,
    **more: Any,
) -> "Request":
    """Turn words into a request; what is wrong with them ends the command with code 2."""
    from orchestrator.cli import asking

    try:
        return asking.request(
            study,
            scale=scale,
            store=store,
            axes={
                "trigger": trigger,
                "poison_ratio": poison_ratio,
                "guidance_weight": guidance_weight,
                "sampler": sampler,
                "clip": clip,
                "seed": seed,
                "target_class": target_class,
                "detector": detector,
                "classifier": classifier,
                "noise_model": noise_model,
                "filter_ratio": filter_ratio,
            },
            images=images,
            image_size=image_size,
            channels=channels,
            skip_broken=skip_broken,
            data=data,
            download=download,
            trigger_setting=trigger_setting or (),
            detector_setting=detector_setting or (),
            generation_labels=generation_labels,
            classifier_weights=classifier_weights,
            training_steps=training_steps,
            generations=generations,
            budget=budget,
            stream_memory=stream_memory,
            draws=draws,
            test_images=test_images,
            say=say,
            **more,
        )
    except (ValueError, OSError) as error:
        fail(error, USAGE)


def say(text: str) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, soft_wrap=True)


def on_a_study(command: Callable[..., None]) -> Callable[..., None]:
    """Add a command that takes a study, a scale, a store and axes, and is given a function.

    The function makes the ``Request`` from those words and whatever else belongs into it.  A word
    that the command declares itself replaces the shared one of that name.
    """
    own = list(inspect.signature(command).parameters.values())[1:]
    words = inspect.signature(_request).parameters
    names = [name for name, item in words.items() if item.kind is not item.VAR_KEYWORD]

    def with_words(**given: Any) -> None:
        typed = {name: given.pop(name) for name in names}
        command(lambda **more: _request(**typed, **more), **given)

    declared = {item.name for item in own}
    shared = [words[name] for name in names if name not in declared]
    parameters = [item.replace(kind=item.KEYWORD_ONLY) for item in (*own, *shared)]
    with_words.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_words.__annotations__ = {item.name: item.annotation for item in parameters}
    return app.command(name=command.__name__, help=command.__doc__)(with_words)
