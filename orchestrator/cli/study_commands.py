"""Commands with a subcommand a study: each study's own axes and options are its flags."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from orchestrator.console import USAGE, fail, say

if TYPE_CHECKING:
    from orchestrator.run.request import Request

HELP = {"help_option_names": ["-h", "--help"]}


@contextmanager
def ending(code: int, *errors: type[Exception]) -> Iterator[None]:
    """End the command with a line and a code if one of these errors is raised inside."""
    try:
        yield
    except errors as error:
        fail(error, code)


class StudyCommands(TyperGroup):
    """A command with one subcommand a study, each with the study's own axes and options."""

    body: Callable[..., None]

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - as typer calls it
        """Names of the studies."""
        from orchestrator.studies import STUDIES

        return [study.name for study in STUDIES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as typer calls it
        """The subcommand of a study, or of a file that makes one."""
        from orchestrator.cli.parsing import find_study

        with ending(USAGE, ValueError):
            study = find_study(cmd_name)
        return study_command(study, self.name or "", self.body)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take a study from behind its flags: ``run --scale tiny amplification``."""
        if args and args[0].startswith("-"):
            known = self.list_commands(ctx)
            places = [at for at, word in enumerate(args) if word in known or word.endswith(".py")]
            if places:  # the last: a flag before it may have a study's name as its value
                args = [args[places[-1]], *args[: places[-1]], *args[places[-1] + 1 :]]
            elif ctx.resilient_parsing and args[-1].startswith("-"):  # its value is completed
                args = [known[0], *args]
            elif {*args} & {*HELP["help_option_names"]}:
                args = ["--help"]
            elif not ctx.resilient_parsing:
                ctx.fail(f"A study is missing: one of {', '.join(known)}, or a Python file.")
        return super().parse_args(ctx, args)


def study_command(
    study: Any, name: str, body: Callable[..., None], make: Callable[..., "Request"] | None = None
) -> Any:
    """The command of one study: ``body`` gets a function that makes the ``Request`` of its words.

    What is wrong with the words ends the command with code 2.
    """
    from orchestrator.cli import parsing
    from orchestrator.cli.options import parameters

    own = list(inspect.signature(body).parameters.values())[1:]
    shared = parameters(study, name)

    def command(**words: Any) -> None:
        mine = {item.name: words.pop(item.name) for item in own}

        def request() -> "Request":
            with ending(USAGE, ValueError, OSError):
                return (make or parsing.request)(study, say=say, **words)

        body(request, **mine)

    command.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in (*own, *shared)}
    single = typer.Typer(add_completion=False, context_settings=HELP)
    about = f"{body.__doc__}\n\n{study.name}: {study.question}"
    single.command(name=study.name, help=about, short_help=study.title)(command)
    return typer.main.get_command(single)
