"""Ray's sessions lie where their sockets fit, and their folder goes with them."""

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from orchestrator.run import sessions


@pytest.fixture
def named(monkeypatch):
    """A function that names the folder for temporary files."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    return lambda path: monkeypatch.setenv("TMPDIR", str(path))


@pytest.fixture
def somebody_s():
    """A short folder in which Ray's is somebody else's: a file, which is as good."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder, "ray").touch()
        yield Path(folder)


@pytest.fixture
def deep(tmp_path):
    folder = tmp_path / ("deep" * 20)
    folder.mkdir()
    return folder


def test_the_longest_path_is_the_system_s_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as fits, socket.socket(socket.AF_UNIX) as too_long:
        fits.bind("x" * sessions.LONGEST)
        with pytest.raises(OSError, match="too long"):
            too_long.bind("x" * (sessions.LONGEST + 1))


def test_ray_takes_the_same_folder_by_itself(named, tmp_path):
    from ray._common.utils import get_default_ray_temp_dir

    named(tmp_path)
    assert str(sessions.usual(os.environ)) == get_default_ray_temp_dir()
    with sessions.folder() as chosen:
        assert (chosen is None) == (sessions.unfit(tmp_path / "ray") is None)
    named("")
    assert sessions.usual({}) == Path("/tmp/ray")


@pytest.mark.parametrize("place", ["deep", "somebody_s"])
def test_another_is_made_instead_of_one_that_cannot_be_used(named, place, request):
    named(request.getfixturevalue(place))
    with sessions.folder() as chosen:
        assert sessions.unfit(Path(chosen)) is None
        assert stat.S_IMODE(Path(chosen).stat().st_mode) == 0o700
        (Path(chosen) / "session").mkdir()
    assert not Path(chosen).exists()


def test_where_there_is_no_place_at_all_the_line_says_what_to_type(named, somebody_s, monkeypatch):
    named(somebody_s)
    monkeypatch.setattr(sessions, "SHORT", str(somebody_s / "ray" / "below"))
    with pytest.raises(OSError, match=r"is not a folder. export RAY_TMPDIR=/a/short/path"):
        sessions.folder().__enter__()
