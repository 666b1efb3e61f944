"""A store that may only be read: everything but making results works, in one line what does not."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from orchestrator.store.record import write_whole

COMMANDS = """
import json, sys
from orchestrator.cli.commands import app

for words in json.loads(sys.argv[1]):
    try:
        app(words)
    except SystemExit as end:
        print("ended with", end.code or 0, flush=True)
"""


@pytest.fixture
def read_only(tiny_store, copied):
    store = copied(tiny_store)
    folders = [store.root, *(path for path in store.root.rglob("*") if path.is_dir())]
    for folder in reversed(folders):
        folder.chmod(0o555)
    yield store
    for folder in folders:
        folder.chmod(0o755)


def test_a_finished_store_that_may_only_be_read_is_planned_and_reported(read_only, tmp_path):
    words = f"amplification --scale tiny --store {read_only.root}".split()
    given = [["plan", *words], ["report", *words], ["run", *words], ["plan", *words, "--budget=9m"]]
    bound = []
    if os.geteuid() == 0:  # whom permissions do not bind
        if not shutil.which("setpriv"):
            pytest.skip("setpriv is not there")
        bound = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    done = subprocess.run(
        [*bound, sys.executable, "-c", COMMANDS, json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"},
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert said.count("ended with 0") == 4, said
    assert said.count("so the report is elsewhere") == 2
    pages = list(tmp_path.glob("castlewalls-*/amplification-tiny/index.html"))
    assert len(pages) == 2
    assert all(f"report: {page}" in said for page in pages)
    assert all(json.loads(page.with_name("run.json").read_text()) for page in pages)
    assert not (read_only.root / "reports").exists()


def test_a_file_that_is_read_again_is_written_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "new" / "run.json"
    write_whole(path, "before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half of it \ud800")
    assert path.read_text() == "before"
    assert list(path.parent.iterdir()) == [path]
