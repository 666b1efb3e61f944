"""Studies from Python: the same run as the command's, with a table as the answer."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.process import environment_kept, prepare
from orchestrator.studies.study import Axes

if TYPE_CHECKING:
    import pandas as pd

AXES = tuple(Axes.__dataclass_fields__)


def run(study: str, *, quiet: bool = True, **words: Any) -> "pd.DataFrame":
    """Make what a study lacks, write its page, and return its rows.

    Args:
        study: A study's name, such as ``amplification``.
        quiet: Whether the progress display is left out.
        words: The command's flags with underscores: ``scale="tiny"``, ``images="photos"``,
            ``budget="20m"``, ``actors=2``; axes take one value or several:
            ``poison_ratio=[0, 0.1]``.  Places may be a ``Path``.

    Returns:
        One row a finished point, the columns of ``results.csv``; the page's path in ``attrs``.

    Raises:
        ValueError: What was asked for makes no sense; what to type instead.
        RuntimeError: No point could be finished.
    """
    with environment_kept():
        prepare()
        return _run(study, quiet, words)


def _run(study: str, quiet: bool, words: dict[str, Any]) -> "pd.DataFrame":
    import pandas as pd

    from analysis.rows import columns, records
    from orchestrator.cli import asking
    from orchestrator.cli.options import as_it_is
    from orchestrator.run import report
    from orchestrator.run.placement import Placement
    from orchestrator.run.request import by_message
    from orchestrator.run.run import run as run_study

    axes = {name: _typed(words.pop(name)) for name in AXES if words.get(name) is not None}
    words |= {name: str(value) for name, value in words.items() if isinstance(value, Path)}
    placed = {name: words.pop(name) for name in Placement.__dataclass_fields__ if name in words}
    console = as_it_is(quiet=quiet)
    request = asking.request(
        study, axes=axes, placement=Placement(**placed), say=console.print, **words
    )
    result = run_study(request, console)
    reasons = [
        f"{len(points)} points failed: {why}" for why, points in by_message(result.failures).items()
    ]
    rows = report.rows_of(request)
    if rows.empty:
        raise RuntimeError("; ".join(reasons) or "no point was finished")
    for remark in (*reasons, *result.remarks):
        warnings.warn(remark, stacklevel=3)
    names = columns(rows, report.leading(request.study))
    table = pd.DataFrame(records(rows), columns=names)
    table.attrs["page"] = str(result.page)
    return table


def _typed(value: Any) -> str:
    """An axis as the command line would have it: one value, or several with commas."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return str(value)
    return ",".join(str(item) for item in value)
