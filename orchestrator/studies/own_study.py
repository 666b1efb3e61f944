"""A study in a Python file of the user's own: read, and what is wrong with it said in one line."""

import importlib.util
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator import choices
from orchestrator.studies import STUDIES
from orchestrator.studies.axes import Axes
from orchestrator.studies.study import Point, Study

if TYPE_CHECKING:
    from orchestrator.studies.scales import Scale

TAKEN = (*(study.name for study in STUDIES), "detect", "verify")
"""Names of reports that Castlewalls itself writes."""


def read(typed: str) -> Study:
    """The one study that a file makes; its name on the command line is the file, as typed.

    Raises:
        ValueError: There is no such file, it makes no study or several, or its code fails.
    """
    path = choices.path(typed, "STUDY")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or spec.origin is None or not path.is_file():
        raise ValueError(f"there is no file {typed}; give a study's name or a file that makes one.")
    file, module = spec.origin, importlib.util.module_from_spec(spec)
    with _in_one_line(typed, file):
        spec.loader.exec_module(module)
    made = [value for value in vars(module).values() if isinstance(value, Study)]
    own = [study for study in made if study not in STUDIES]
    if len(own) != 1:
        raise ValueError(f"{typed} must make one Study, at the top of the file; got {len(own)}.")
    study = with_own_name(own[0])

    def points(scale: "Scale", axes: Axes) -> Sequence[Point]:
        with _in_one_line(typed, file):
            found = study.points(scale, axes)
            return list(found) if isinstance(found, Iterator) else found

    return replace(study, points=points, words=("run", typed))


def with_own_name(study: Study) -> Study:
    """The study; ValueError if its report would replace one of a shipped study."""
    if study not in STUDIES and study.name.lower() in TAKEN:
        raise ValueError(
            f"the study's name {study.name!r} is taken: it is one of {', '.join(TAKEN)}; give "
            f"your study another name."
        )
    return study


@contextmanager
def _in_one_line(typed: str, file: str) -> Iterator[None]:
    """Turn an error of a file's code into a ValueError that names the file and the line in it."""
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in frames[::-1] if frame.filename == file), None)
        said = str(error)
        if isinstance(error, SyntaxError) and error.filename == file:
            line, said = error.lineno, error.msg
        where = f"{typed}, line {line}" if line else typed
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{where}: {kind}{' '.join(said.split())}") from error
