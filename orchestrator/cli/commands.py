"""The command line.  Imports here are light: ``--help`` and ``plan`` load neither Ray nor torch."""

import os
import re
import sys
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from orchestrator import choices, process
from orchestrator.cli.study_commands import HELP, StudyCommands, ending, study_command
from orchestrator.console import INTERRUPTED, SOME_FAILED, USAGE, complain, console, fail, say

if TYPE_CHECKING:
    from orchestrator.run.request import Request, Result

NAMED = ["tiny", "laptop", "fashion", "cifar10-fast", "cifar10", "tiny-text", "laptop-text"]
ORDER = ("studies", "plan", "run", "report", "verify", "explain", "compare", "detect", "submit")


class Commands(TyperGroup):
    """All commands, in the order of use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands."""
        return [*ORDER, *(name for name in super().list_commands(ctx) if name not in ORDER)]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is typed; only then are the flags of ``detect`` made."""
        name, command, rest = super().resolve_command(ctx, args)
        if name == "detect":
            from orchestrator.cli import detect

            command = study_command(detect.DETECT, name, _detect, detect.request)
        return name, command, rest


app = typer.Typer(
    name="castlewalls",
    cls=Commands,
    help="Bilateral data poisoning in diffusion models: poison, train, sample, dissect, report. "
    "--version prints the version.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)


def main() -> NoReturn:
    """Run the command line; exit with 0 done, 1 some points failed, 2 bad usage, 130 Ctrl-C."""
    with ending(SOME_FAILED, OSError):
        process.prepare()
    if sys.argv[1:] == ["--version"]:
        say(f"castlewalls {metadata.version('castlewalls')}")
        sys.exit(0)
    if "COMP_WORDS" in os.environ:  # bash makes three words of --flag=value
        typed, joined = re.subn(r"(\s--[\w-]+)\s+=\s+(?=\S)", r"\1 ", os.environ["COMP_WORDS"])
        cursor = int(os.environ["COMP_CWORD"]) - joined
        os.environ |= {"COMP_WORDS": typed, "COMP_CWORD": str(cursor)}
    try:
        code = app(standalone_mode=False) or 0
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:  # of no file: of what is printed
            sys.stdout = None  # Python would try once more at its end
            fail(f"the output cannot be written: {error.strerror}.", SOME_FAILED)
        if not hasattr(error, "format_message"):  # what the parser says of a wrong word
            raise
        if said := error.format_message():  # without a command there is the help instead
            complain(f"{said}  Try --help.")
        code = USAGE
    if code == INTERRUPTED:  # the parser's code for Ctrl-C
        complain("interrupted. What is finished stays; the same command goes on from there.")
    sys.exit(code)


def on_a_study(body: Callable[..., None]) -> Callable[..., None]:
    """Add a command that has a subcommand a study."""
    kind = type(body.__name__, (StudyCommands,), {"body": staticmethod(body)})
    group = typer.Typer(
        cls=kind,
        help=body.__doc__,
        no_args_is_help=True,
        context_settings=HELP,
        subcommand_metavar="STUDY [OPTIONS]",
    )
    app.add_typer(group, name=body.__name__)
    return body


@app.command()
def studies() -> None:
    """List the studies: the paper's figure, points and rough cost at each scale."""
    from orchestrator.cli.printing import print_studies

    print_studies(console)


PACE = "Time training steps of each network here, some seconds each; say what all takes so."


@on_a_study
def plan(
    request: Callable[[], "Request"],
    pace: Annotated[bool, typer.Option("--pace", help=PACE)] = False,
) -> None:
    """Say what a run would do and why, and what it costs.  Starts nothing."""
    from orchestrator.cli.printing import print_pace, print_plan
    from orchestrator.graph import pace as timing
    from orchestrator.graph import plan as planning
    from tasks.data.dataset import OfficialFiles

    asked = request()
    with ending(SOME_FAILED, OSError), ending(USAGE, ValueError):
        made = planning.make(asked.points(), asked.store)
        rates = timing.rates(made.to_run) if pace else {}
        print_plan(made, asked.label, console)
        if rates:
            print_pace(made, rates, console)
    for step in made.to_run:
        if isinstance(step.settings, OfficialFiles):
            try:
                step.settings.refuse_missing()
            except ValueError as error:  # as it will end the run
                complain(error)


@on_a_study
def run(request: Callable[[], "Request"]) -> None:
    """Run a study: make what is missing, then print the table and the report's path."""
    from orchestrator.cli.printing import print_result

    _run(request(), print_result)


def _run(request: "Request", show: "Callable[[Request, Result, Any], None]") -> None:
    from orchestrator.run.request import NoCluster, by_message, log_of
    from orchestrator.run.run import run as run_study

    with ending(SOME_FAILED, OSError, ValueError, NoCluster):
        result = run_study(request, console)
    show(request, result, console)
    for message, points in by_message(result.failures).items():
        named = points[0].name if len(points) == 1 else f"{len(points)} points"
        complain(f"{named} failed: {message}")
        if log := log_of(points[0], request.store):
            complain(f"  its log: {log}")
    if result.failures:
        fail("what is finished is kept; the same command tries the rest again.", SOME_FAILED)


@on_a_study
def report(request: Callable[[], "Request"]) -> None:
    """Write the page, the CSV file and the figures of what is finished.  Starts nothing."""
    from orchestrator.cli.printing import print_result
    from orchestrator.run.report import reported
    from orchestrator.run.request import Result

    asked = request()
    with ending(SOME_FAILED, OSError):
        result = reported(asked, Result(points=asked.points()))
    print_result(asked, result, console)


@on_a_study
def explain(
    request: Callable[[], "Request"],
    step: Annotated[str, typer.Argument(help="A path or the start of a digest, as plan says.")],
) -> None:
    """Say why a step is new: which settings differ from the nearest one that is finished."""
    from orchestrator.cli.printing import print_explanation

    with ending(USAGE, ValueError), ending(SOME_FAILED, OSError):
        print_explanation(request(), step, console)


PORT = "Port on 127.0.0.1 (default: 5000 if it is free)."
STORE = "Folder, or address such as s3://bucket/folder, that keeps all results."
StoreRoot = Annotated[str, typer.Option("--store", envvar="CASTLEWALLS_STORE", help=STORE)]
Csv = Annotated[str | None, typer.Option(help="Write the table to this CSV file too.")]
Cluster = Annotated[str | None, typer.Option(help="Join a Ray cluster: host:port, or auto.")]


@app.command()
def mlflow(
    store: StoreRoot = "artifacts",
    port: Annotated[int | None, typer.Option(help=PORT, min=1, max=65535)] = None,
) -> None:
    """Open MLflow's pages for a store, on loopback, until Ctrl-C."""
    from orchestrator.store.store import open_store

    with ending(USAGE, ValueError, OSError):
        database = open_store(store).root / "mlflow.db"
    if not database.exists():
        fail(f"no MLflow database in {database.parent}; run a study first, or give --store.", USAGE)
    try:
        port = process.free_port(port, usual=5000)
    except OSError as error:
        reason = os.strerror(error.errno or 0)  # without Python's own addition
        fail(f"port {port} cannot be used: {reason}; give another --port.", USAGE)
    say(f"MLflow at http://127.0.0.1:{port}; Ctrl-C ends it.")
    arguments = ["server", "--backend-store-uri", f"sqlite:///{database}"]
    arguments += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.chdir(database.parent)  # Python imports from the current folder first, and so does MLflow
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *arguments])


@app.command()
def detect() -> None:
    """Find suspicious images in your own labeled folder; nobody need know which are poisoned."""


def _detect(request: Callable[[], "Request"]) -> None:
    """Train a classifier on your labeled folder as it is, and rank its images by suspicion."""
    from orchestrator.cli.detect import print_suspects

    _run(request(), print_suspects)


@app.command(context_settings={"ignore_unknown_options": True})
def submit(
    words: Annotated[
        list[str],
        typer.Argument(
            help="A study and whatever `castlewalls run` takes; --store is needed.",
            autocompletion=lambda: StudyCommands().list_commands(None),
        ),
    ],
    address: Annotated[
        str, typer.Option(help="The cluster's dashboard.", envvar="RAY_API_SERVER_ADDRESS")
    ] = "http://127.0.0.1:8265",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the log until the run ends.")
    ] = True,
) -> None:
    """Run a study as a job on a Ray cluster: send this code there and follow its log."""
    from orchestrator.cli.submit import NotSubmitted
    from orchestrator.cli.submit import submit as submit_job

    with ending(USAGE, ValueError), ending(SOME_FAILED, NotSubmitted):
        code = submit_job(words, address=address, wait=wait, say=say)
    sys.exit(code)  # not Exit: the parser takes 130 for a Ctrl-C of its own


@app.command()
def doctor(address: Cluster = None, store: StoreRoot = "artifacts") -> None:
    """Check this machine, or a cluster; each finding has its cure."""
    from orchestrator.cli import doctor as examination
    from orchestrator.run.request import NoCluster

    with ending(USAGE, ValueError), ending(SOME_FAILED, NoCluster):
        choices.refuse_empty({"address": address})
        findings = examination.examine(store, address)
    examination.print_findings(findings, console)
    if any(finding.level == "wrong" for finding in findings):
        sys.exit(SOME_FAILED)


@app.command()
def verify(
    scale: Annotated[
        str, typer.Option(help=f"Scale: {', '.join(NAMED)}.", autocompletion=lambda: NAMED)
    ] = "laptop",
    store: StoreRoot = "artifacts",
    csv: Csv = None,
    json: Annotated[str | None, typer.Option(help="Write the table to this JSON file too.")] = None,
    markdown: Annotated[
        str | None, typer.Option(help="Write a Markdown file for each study to this folder too.")
    ] = None,
) -> None:
    """List every claim of the paper with its number, ours, and the verdict.  Starts nothing."""
    from orchestrator.cli import verify as verifying
    from orchestrator.run.report import REPORTS, written
    from orchestrator.store.store import open_store

    with ending(USAGE, ValueError, OSError):
        choices.refuse_empty({"csv": csv, "json": json, "markdown": markdown})
        found = verifying.verify(scale, store)
        lines = verifying.every_line(found)
        if csv is not None:
            verifying.write_csv(choices.path(csv, "--csv"), lines)
        if json is not None:
            verifying.write_json(choices.path(json, "--json"), lines)
        if markdown is not None:
            verifying.write_markdown(choices.path(markdown, "--markdown"), found, scale)
        opened = open_store(store)
        folder = opened.root / REPORTS / f"verify-{scale}"
        page, remarks = written(opened, folder, lambda at: verifying.write_page(at, found, scale))
    verifying.print_claims(found, console)
    for line in (*remarks, f"page: {page}"):
        say(line)


@app.command()
def compare(
    names: Annotated[
        list[str],
        typer.Argument(help="Two points (names, digests), or two whole runs (folders of reports)."),
    ],
    store: StoreRoot = "artifacts",
    csv: Csv = None,
) -> None:
    """Compare two points or two runs: the settings that differ, the metrics with intervals."""
    from orchestrator.cli import compare as comparing

    with ending(USAGE, ValueError, OSError):
        compared = comparing.compare(names, store)
        if csv is not None:
            comparing.write_csv(compared, choices.path(csv, "--csv"))
    comparing.print_comparison(compared, console)
