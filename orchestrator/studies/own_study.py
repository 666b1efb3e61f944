"""A study in a Python file of the user's own: read, and what is wrong with it said in one line."""

import importlib.util
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from orchestrator import choices
from orchestrator.studies import STUDIES
from orchestrator.studies.study import Point, Study


def read(typed: str) -> Study:
    """The one study that a file makes; ValueError if there is none, or the file's code fails."""
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

    def points(scale: Any, axes: Any) -> Sequence[Point]:
        with _in_one_line(typed, file):
            found = own[0].points(scale, axes)
            return list(found) if isinstance(found, Iterator) else found

    return replace(own[0], points=points, words=("run", typed))


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
