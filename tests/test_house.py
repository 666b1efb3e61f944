"""The house stays small: no long files, no crowded folders."""

from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [
    path
    for package in ("orchestrator", "tasks", "models", "analysis")
    for path in (ROOT / package).rglob("*.py")
]


def test_no_file_has_more_than_400_lines():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert len(lines) > 100
    assert not [path for path, count in lines.items() if count > 400]


def test_no_folder_has_more_than_20_files():
    assert not [folder for folder, n in Counter(p.parent for p in SOURCES).items() if n > 20]
