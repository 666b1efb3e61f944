"""Ray's session lies where its sockets fit, and its folder goes with it."""

import os
import socket
import stat
from pathlib import Path

import pytest

from orchestrator.run import sessions


def test_the_longest_path_is_the_system_s_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as fits, socket.socket(socket.AF_UNIX) as too_long:
        fits.bind("x" * sessions.LONGEST)
        with pytest.raises(OSError, match="too long"):
            too_long.bind("x" * (sessions.LONGEST + 1))


@pytest.fixture
def unusable(tmp_path):
    """A folder too deep for sockets, and a file where a folder should be."""
    deep, file = tmp_path / ("deep" * 20), tmp_path / "file"
    deep.mkdir()
    file.touch()
    return deep, file


def test_it_is_private_in_the_first_folder_that_can_be_used_and_goes(unusable, monkeypatch):
    for name, place in zip(("RAY_TMPDIR", "TMPDIR"), unusable, strict=True):
        monkeypatch.setenv(name, str(place))
    with sessions.folder() as found:
        assert Path(found).parent == Path("/tmp")
        assert len(os.fsencode(Path(found).parent / sessions.BELOW)) < sessions.LONGEST
        assert stat.S_IMODE(Path(found).stat().st_mode) == 0o700
        monkeypatch.setenv("RAY_TMPDIR", found)
        (Path(found) / "session").mkdir()
        with sessions.folder() as another:
            assert Path(another).parent == Path(found)
    assert not Path(found).exists()


def test_where_there_is_no_place_at_all_the_line_says_what_to_type(unusable, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(unusable[1]))
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(sessions, "SHORT", str(unusable[0]))
    said = (
        r"(is not a folder|is too long).* export RAY_TMPDIR=/a/short/path \(at most \d+ letters\)"
    )
    with pytest.raises(OSError, match=said):
        sessions.folder().__enter__()
