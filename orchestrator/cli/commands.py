"""The command line.  Imports here are light: ``--help`` and ``plan`` load neither Ray nor torch."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from orchestrator import process
from orchestrator.cli import choices, options
from orchestrator.cli.options import (
    INTERRUPTED,
    LENGTH,
    SOME_FAILED,
    USAGE,
    WHERE,
    app,
    complain,
    console,
    fail,
    on_a_study,
    say,
)
from orchestrator.process import prepare

if TYPE_CHECKING:
    from orchestrator.run.request import Request, Result
    from orchestrator.studies.study import Point


def main() -> NoReturn:
    """Run the command line and exit.

    Codes: 0 done, 1 some points failed, 2 bad usage, 130 Ctrl-C or SIGTERM.
    """
    try:
        prepare()
    except OSError as error:
        complain(error)
        sys.exit(SOME_FAILED)
    try:
        code = app(standalone_mode=False) or 0
    except Exception as error:
        if not hasattr(error, "format_message"):  # what the parser says of a wrong word
            raise
        if said := error.format_message():  # without a command there is the help instead
            complain(f"{said}  Try --help.")
        code = USAGE
    if code == INTERRUPTED:  # the parser's code for Ctrl-C
        complain("interrupted. What is finished stays; the same command goes on from there.")
    sys.exit(code)


@app.command()
def studies() -> None:
    """List the studies: the paper's figure, points and rough cost at each scale."""
    from orchestrator.cli.printing import print_studies

    print_studies(console)


@on_a_study
def plan(request: Callable[..., "Request"]) -> None:
    """Say what a run would do and why, and what it costs.  Starts nothing."""
    from orchestrator.cli.printing import print_plan
    from orchestrator.graph import plan as planning

    asked = request()
    try:
        print_plan(planning.make(asked.points(), asked.store), asked.label, console)
    except OSError as error:
        fail(error, SOME_FAILED)


@on_a_study
def run(
    request: Callable[..., "Request"],
    address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster: host:port, or auto.")
    ] = None,
    actors: Annotated[
        int | None,
        typer.Option(help="Actors that share a sampling or detecting step.", rich_help_panel=WHERE),
    ] = None,
    gpus_per_actor: Annotated[
        int | None, typer.Option(help="GPUs of each of them.", rich_help_panel=WHERE)
    ] = None,
    training_workers: Annotated[
        int | None, typer.Option(help="Data-parallel workers a training.", rich_help_panel=WHERE)
    ] = None,
    gpus_per_training: Annotated[
        int | None, typer.Option(help="GPUs a training.", rich_help_panel=WHERE)
    ] = None,
    checkpoint_seconds: Annotated[float, typer.Option(help="Between two checkpoints.")] = 20.0,
    dashboard: Annotated[bool, typer.Option(help="Start Ray's dashboard on loopback.")] = False,
    verbose: Annotated[bool, typer.Option(help="Let Ray and its workers print.")] = False,
) -> None:
    """Make what is missing, then print the table and the report's path."""
    from orchestrator.cli.printing import print_result
    from orchestrator.run.placement import Placement

    try:
        placement = Placement(
            actors=actors,
            gpus_per_actor=gpus_per_actor,
            training_workers=training_workers,
            gpus_per_training=gpus_per_training,
            checkpoint_seconds=checkpoint_seconds,
        )
    except ValueError as error:
        fail(error, USAGE)
    asked = request(placement=placement, address=address, dashboard=dashboard, verbose=verbose)
    _run(asked, print_result)


def _run(request: "Request", show: "Callable[[Request, Result, Console], None]") -> None:
    from orchestrator.run.request import NoCluster, by_message, log_of
    from orchestrator.run.run import run as run_study

    try:
        result = run_study(request, console)
    except (OSError, ValueError, NoCluster) as error:
        fail(error, SOME_FAILED)
    show(request, result, console)
    for message, points in by_message(result.failures).items():
        complain(f"{_named(points)} failed: {message}")
        if log := log_of(points[0], request.store):
            complain(f"  its log: {log}")
    if result.failures:
        complain("what is finished is kept; the same command tries the rest again.")
        raise typer.Exit(SOME_FAILED)


def _named(points: "Sequence[Point]") -> str:
    """A point's name, or how many points there are."""
    return points[0].name if len(points) == 1 else f"{len(points)} points"


@on_a_study
def report(request: Callable[..., "Request"]) -> None:
    """Write the page, the CSV and the figures of what is finished.  Starts nothing."""
    from orchestrator.cli.printing import print_result
    from orchestrator.run.report import reported
    from orchestrator.run.request import Result

    asked = request()
    try:
        result = reported(asked, Result(points=asked.points()))
    except OSError as error:
        fail(error, SOME_FAILED)
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
    from orchestrator.cli.printing import print_explanation

    try:
        print_explanation(request(), step, console)
    except ValueError as error:
        fail(error, USAGE)
    except OSError as error:
        fail(error, SOME_FAILED)


@app.command()
def mlflow(
    store: options.StoreRoot = "artifacts",
    port: Annotated[
        int | None,
        typer.Option(help="Port on 127.0.0.1; 5000 if it is free.", min=1, max=65535),
    ] = None,
) -> None:
    """Open MLflow's pages for a store, on loopback, until Ctrl-C."""
    from orchestrator.store.store import open_store

    try:
        database = open_store(store).root / "mlflow.db"
    except (ValueError, OSError) as error:
        fail(error, USAGE)
    if not database.exists():
        fail(f"no MLflow database in {database.parent}; run a study first, or give --store.", USAGE)
    try:
        port = process.free_port(port, usual=5000)
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # without Python's own addition
        fail(f"port {port} cannot be used: {reason}; give another --port.", USAGE)
    console.print(f"MLflow at http://127.0.0.1:{port}; Ctrl-C ends it.")
    arguments = ["server", "--backend-store-uri", f"sqlite:///{database}"]
    arguments += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.chdir(database.parent)  # Python imports from the current folder first, and so does MLflow
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *arguments])


@app.command()
def detect(
    images: Annotated[str, typer.Option(help="Folder with a folder of images a class.")],
    detector: Annotated[str | None, typer.Option(help="Of cd,strip,fct; all of them.")] = None,
    detector_setting: options.DetectorSettings = None,
    scale: Annotated[
        str, typer.Option(help="laptop fits the classifier to the images; tiny tries things out.")
    ] = "laptop",
    store: options.StoreRoot = "artifacts",
    image_size: options.ImageSize = None,
    channels: options.Channels = None,
    skip_broken: options.SkipBroken = False,
    classifier_steps: Annotated[
        int | None, typer.Option(help="Of the classifier's training.", rich_help_panel=LENGTH)
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster: host:port, or auto.")
    ] = None,
    actors: Annotated[int | None, typer.Option(help="Actors that share a detecting step.")] = None,
    verbose: Annotated[bool, typer.Option(help="Let Ray and its workers print.")] = False,
) -> None:
    """Say which images of your own labelled folder are suspicious; no poison labels are needed."""
    from orchestrator.cli import detect as suspects
    from orchestrator.run.placement import Placement

    try:
        asked = suspects.request(
            images,
            detector=detector,
            detector_setting=detector_setting or (),
            scale=scale,
            store=store,
            image_size=image_size,
            channels=channels,
            skip_broken=skip_broken,
            classifier_steps=classifier_steps,
            say=say,
            placement=Placement(actors=actors),
            address=address,
            verbose=verbose,
        )
    except (ValueError, OSError) as error:
        fail(error, USAGE)
    _run(asked, suspects.print_suspects)


@app.command(context_settings={"ignore_unknown_options": True})
def submit(
    words: Annotated[
        list[str],
        typer.Argument(help="A study and whatever `castlewalls run` takes; --store is needed."),
    ],
    address: Annotated[
        str,
        typer.Option(help="The cluster's dashboard.", envvar="RAY_API_SERVER_ADDRESS"),
    ] = "http://127.0.0.1:8265",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the log until the run ends.")
    ] = True,
) -> None:
    """Run a study as a job of a Ray cluster: ships this code there and follows its log."""
    from orchestrator.cli.submit import NotSubmitted
    from orchestrator.cli.submit import submit as submit_job

    try:
        code = submit_job(words, address=address, wait=wait, say=say)
    except ValueError as error:
        fail(error, USAGE)
    except NotSubmitted as error:
        fail(error, SOME_FAILED)
    sys.exit(code)  # not Exit: the parser takes 130 for a Ctrl-C of its own


@app.command()
def doctor(
    address: Annotated[
        str | None, typer.Option(help="An existing Ray cluster: host:port, or auto.")
    ] = None,
    store: options.StoreRoot = "artifacts",
) -> None:
    """Look at this machine, or every node of a cluster, and say what is wrong and what cures it."""
    from orchestrator.cli import doctor as examination
    from orchestrator.run.request import NoCluster

    try:
        choices.refuse_empty({"address": address})
        findings = examination.examine(store, address)
    except ValueError as error:
        fail(error, USAGE)
    except NoCluster as error:
        fail(error, SOME_FAILED)
    examination.print_findings(findings, console)
    if any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(SOME_FAILED)


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(help="Points (names, digests) or whole runs (folders of reports), A B ..."),
    ],
    store: options.StoreRoot = "artifacts",
    csv: Annotated[str | None, typer.Option(help="Write the table to this file too.")] = None,
) -> None:
    """Set points or whole runs side by side: settings that differ, metrics with intervals."""
    from orchestrator.cli import compare as comparing

    try:
        compared = comparing.compare(names, store)
        if csv is not None:
            comparing.write_csv(compared, choices.path(csv, "--csv"))
    except (ValueError, OSError) as error:
        fail(error, USAGE)
    comparing.print_comparison(compared, console)
