"""The command line.  Imports here are light: ``--help`` and ``plan`` load neither Ray nor torch."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from orchestrator.request import Request, Result
    from orchestrator.studies.study import Point

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
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)

StudyName = Annotated[str, typer.Argument(help="A study's name; `castlewalls studies` lists them.")]
ScaleName = Annotated[
    str, typer.Option("--scale", help="tiny (seconds), laptop (minutes) or cifar10 (GPUs).")
]
StoreRoot = Annotated[
    str, typer.Option("--store", envvar="CASTLEWALLS_STORE", help="Folder that keeps everything.")
]
Triggers = Annotated[str | None, typer.Option("--trigger", help="E.g. badnets1,relabel_only.")]
Ratios = Annotated[
    str | None, typer.Option("--poison-ratio", help="Fractions of all training images: 0,0.01,0.1.")
]
Weights = Annotated[
    str | None,
    typer.Option("--guidance-weight", help="w of e_u + w (e_c - e_u): 1,2,5; 1 is none."),
]
Samplers = Annotated[str | None, typer.Option("--sampler", help="E.g. ddim.")]
Seeds = Annotated[str | None, typer.Option("--seed", help="E.g. 0,1,2: one training each.")]
Target = Annotated[str | None, typer.Option("--target-class", help="Name of the poisoned class.")]
Detectors = Annotated[
    str | None, typer.Option("--detector", help="Of study detection: cd,strip,fct.")
]
OWN, BLEND, LENGTH = "Your own images and CIFAR10", "The blend trigger", "How long, how large"
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
BlendPattern = Annotated[
    str | None, typer.Option(help="An image instead of our cat.", rich_help_panel=BLEND)
]
BlendAlpha = Annotated[
    float | None, typer.Option(help="Weight of the pattern; 0.2.", rich_help_panel=BLEND)
]
BlendAdditive = Annotated[
    bool, typer.Option("--blend-additive", help="Add it, do not mix it in.", rich_help_panel=BLEND)
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


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 some points failed, 2 bad usage, 130 Ctrl-C."""
    try:
        code = app(standalone_mode=False) or 0
    except Exception as error:
        if not hasattr(error, "format_message"):  # what the parser says of a wrong word
            raise
        if said := error.format_message():  # without a command there is the help instead
            _complain(f"{said}  Try --help.")
        code = USAGE
    if code == INTERRUPTED:  # the parser's code for Ctrl-C
        _complain("interrupted. What is finished stays; the same command goes on from there.")
    sys.exit(code)


def _complain(message: object) -> None:
    complaints.print(f"castlewalls: {message}", markup=False)


def _fail(error: object, code: int) -> NoReturn:
    _complain(error)
    raise typer.Exit(code)


def _request(
    study: StudyName,
    scale: ScaleName = "laptop",
    store: StoreRoot = "artifacts",
    trigger: Triggers = None,
    poison_ratio: Ratios = None,
    guidance_weight: Weights = None,
    sampler: Samplers = None,
    seed: Seeds = None,
    target_class: Target = None,
    detector: Detectors = None,
    images: Images = None,
    image_size: ImageSize = None,
    channels: Channels = None,
    skip_broken: SkipBroken = False,
    data: Data = None,
    download: Download = False,
    blend_pattern: BlendPattern = None,
    blend_alpha: BlendAlpha = None,
    blend_additive: BlendAdditive = False,
    training_steps: TrainingSteps = None,
    generations: Generations = None,
    budget: Budget = None,
    stream_memory: StreamMemory = None,
    **more: Any,
) -> "Request":
    """Turn words into a request; what is wrong with them ends the command with code 2."""
    from orchestrator import asking

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
                "seed": seed,
                "target_class": target_class,
                "detector": detector,
            },
            images=images,
            image_size=image_size,
            channels=channels,
            skip_broken=skip_broken,
            data=data,
            download=download,
            blend_pattern=blend_pattern,
            blend_alpha=blend_alpha,
            blend_additive=blend_additive,
            training_steps=training_steps,
            generations=generations,
            budget=budget,
            stream_memory=stream_memory,
            say=_say,
            **more,
        )
    except (ValueError, OSError) as error:
        _fail(error, USAGE)


def _say(text: str) -> None:
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


@app.command()
def studies() -> None:
    """List the studies: the paper's figure, points and rough cost at each scale."""
    from orchestrator.show import print_studies

    print_studies(console)


@on_a_study
def plan(request: Callable[..., "Request"]) -> None:
    """Say what a run would do and why, and what it costs.  Starts nothing."""
    from orchestrator import pace
    from orchestrator import plan as planning
    from orchestrator.show import print_plan

    asked = request()
    if asked.scale.to_be_timed:
        pace.measure((point.measure for point in asked.points()), asked.store, _say)
    print_plan(planning.make(asked.points(), asked.store), asked.label, console)


@on_a_study
def run(
    request: Callable[..., "Request"],
    address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster: host:port, or auto.")
    ] = None,
    actors: Annotated[
        int, typer.Option(help="Actors that share a sampling or detecting step.")
    ] = 1,
    training_workers: Annotated[int, typer.Option(help="Data-parallel workers a training.")] = 1,
    gpus_per_training: Annotated[int, typer.Option(help="GPUs a training.")] = 0,
    checkpoint_seconds: Annotated[float, typer.Option(help="Between two checkpoints.")] = 20.0,
    dashboard: Annotated[bool, typer.Option(help="Start Ray's dashboard on loopback.")] = False,
    verbose: Annotated[bool, typer.Option(help="Let Ray and its workers print.")] = False,
) -> None:
    """Make what is missing, then print the table and the report's path."""
    from orchestrator.placement import Placement
    from orchestrator.show import print_result

    try:
        placement = Placement(
            actors=actors,
            training_workers=training_workers,
            gpus_per_training=gpus_per_training,
            checkpoint_seconds=checkpoint_seconds,
        )
    except ValueError as error:
        _fail(error, USAGE)
    asked = request(placement=placement, address=address, dashboard=dashboard, verbose=verbose)
    _run(asked, print_result)


def _run(request: "Request", show: "Callable[[Request, Result, Console], None]") -> None:
    from orchestrator.request import NoCluster, by_message, log_of
    from orchestrator.run import run as run_study

    try:
        result = run_study(request, console)
    except (OSError, ValueError, NoCluster) as error:
        _fail(error, SOME_FAILED)
    show(request, result, console)
    for message, points in by_message(result.failures).items():
        _complain(f"{_named(points)} failed: {message}")
        if log := log_of(points[0], request.store):
            _complain(f"  its log: {log}")
    if result.failures:
        _complain("what is finished is kept; the same command tries the rest again.")
        raise typer.Exit(SOME_FAILED)


def _named(points: "Sequence[Point]") -> str:
    """A point's name, or how many points there are."""
    return points[0].name if len(points) == 1 else f"{len(points)} points"


@on_a_study
def report(request: Callable[..., "Request"]) -> None:
    """Write the page, the CSV and the figures of what is finished.  Starts nothing."""
    from orchestrator.report import reported
    from orchestrator.request import Result
    from orchestrator.show import print_result

    asked = request()
    try:
        result = reported(asked, Result(points=asked.points()))
    except OSError as error:
        _fail(error, SOME_FAILED)
    print_result(asked, result, console)


@on_a_study
def explain(
    request: Callable[..., "Request"],
    step: Annotated[
        str, typer.Argument(help="A path or the start of a digest, as plan prints it.")
    ],
    study: Annotated[str, typer.Option(help="Its study.")] = "amplification",  # noqa: ARG001
) -> None:
    """Say why a step is new: which settings differ from the nearest one that is finished."""
    from orchestrator.show import print_explanation

    try:
        print_explanation(request(), step, console)
    except ValueError as error:
        _fail(error, USAGE)


@app.command()
def mlflow(
    store: StoreRoot = "artifacts",
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65535)] = 5000,
) -> None:
    """Open MLflow's pages for a store, on loopback, until Ctrl-C."""
    from orchestrator.store import Store

    database = Store(Path(store)).root / "mlflow.db"
    if not database.exists():
        _fail(
            f"no MLflow database in {database.parent}; run a study first, or give --store.", USAGE
        )
    console.print(f"MLflow at http://127.0.0.1:{port}; Ctrl-C ends it.")
    arguments = ["server", "--backend-store-uri", f"sqlite:///{database}"]
    arguments += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *arguments])


@app.command()
def detect(
    images: Annotated[str, typer.Option(help="Folder with a folder of images a class.")],
    detector: Annotated[str | None, typer.Option(help="Of cd,strip,fct; all of them.")] = None,
    scale: Annotated[
        str, typer.Option(help="laptop fits the classifier to the images; tiny tries things out.")
    ] = "laptop",
    store: StoreRoot = "artifacts",
    image_size: ImageSize = None,
    channels: Channels = None,
    skip_broken: SkipBroken = False,
    classifier_steps: Annotated[
        int | None, typer.Option(help="Of the classifier's training.", rich_help_panel=LENGTH)
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster: host:port, or auto.")
    ] = None,
    actors: Annotated[int, typer.Option(help="Actors that share a detecting step.")] = 1,
    verbose: Annotated[bool, typer.Option(help="Let Ray and its workers print.")] = False,
) -> None:
    """Say which images of your own labelled folder are suspicious; no poison labels are needed."""
    from orchestrator import suspects
    from orchestrator.placement import Placement

    try:
        asked = suspects.request(
            images,
            detector=detector,
            scale=scale,
            store=store,
            image_size=image_size,
            channels=channels,
            skip_broken=skip_broken,
            classifier_steps=classifier_steps,
            placement=Placement(actors=actors),
            address=address,
            verbose=verbose,
        )
    except (ValueError, OSError) as error:
        _fail(error, USAGE)
    _run(asked, suspects.print_suspects)
