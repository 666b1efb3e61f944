"""What a shell offers when a word is half typed."""

import os
import re
from typing import Any

import typer


def scales(incomplete: str) -> list[str]:
    """Names of scales."""
    from orchestrator.cli.options import completed
    from orchestrator.studies.scales import SCALES

    return completed(scale.name for scale in SCALES)(incomplete)


def studies(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of studies, before one is typed."""
    from orchestrator.cli.options import completed
    from orchestrator.studies import STUDIES

    return [] if ctx.params.get("words") else completed(one.name for one in STUDIES)(incomplete)


def points(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of finished points and of reports of the store."""
    from orchestrator.cli.options import completed
    from orchestrator.cli.parsing import store_of
    from orchestrator.run.report import REPORTS, RUN
    from orchestrator.store.recorded import Library

    try:
        store = store_of(ctx.params.get("store"))
        reports = [path.parent.name for path in (store.root / REPORTS).glob(f"*/{RUN}")]
        return completed([*reports, *(point.name for point in Library(store).points)])(incomplete)
    except (ValueError, OSError):
        return []


def steps(ctx: typer.Context, incomplete: str) -> list[str]:
    """Paths of a study's steps, at the scale and axes that stand before."""
    from orchestrator.cli import parsing
    from orchestrator.cli.options import completed
    from orchestrator.step import ancestors

    words = {name: value for name, value in ctx.params.items() if name != "step"}
    try:
        study = parsing.find_study(ctx.info_name or "")
        asked = parsing.request(study, say=lambda _: None, **words)
        paths = {step.path for step in ancestors(one.measure for one in asked.points())}
        return completed(sorted(paths))(incomplete)
    except (ValueError, OSError):
        return []


def join_equals(environment: Any = os.environ) -> None:
    """Make two words of bash's three for ``--flag=value``, as for ``--flag value``."""
    typed = environment.get("COMP_WORDS", "")
    joined, found = re.subn(r"(\s--[\w-]+)\s+=\s+(?=\S)", r"\1 ", typed)
    if found:
        environment["COMP_WORDS"] = joined
        environment["COMP_CWORD"] = str(int(environment["COMP_CWORD"]) - found)
