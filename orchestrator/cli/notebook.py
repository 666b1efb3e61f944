"""Studies from Python: the same run as the command's, with a table as the answer."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.process import environment_kept, prepare

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.studies.study import Study


@environment_kept()
def run(study: "str | Path | Study", *, quiet: bool = True, **words: Any) -> "pd.DataFrame":
    """Make what a study lacks, write its page, and return its rows.

    Args:
        study: A study's name, such as ``amplification``; a Python file that makes one; or a study.
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
    prepare()
    import pandas as pd

    from analysis.rows import columns, records
    from analysis.wording import counted
    from orchestrator.cli import parsing
    from orchestrator.console import as_it_is
    from orchestrator.run import report
    from orchestrator.run.request import by_message
    from orchestrator.run.run import run as run_study

    console = as_it_is(quiet=quiet)
    request = parsing.request(parsing.find_study(study), say=console.print, **words)
    result = run_study(request, console)
    reasons = [
        f"{counted(len(points), 'point')} failed: {why}"
        for why, points in by_message(result.failures).items()
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
