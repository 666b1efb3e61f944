"""A study is a folder: nothing outside names it or imports from it, but its line in STUDIES."""

import ast
import re
from pathlib import Path

import pytest

from orchestrator.studies import STUDIES

ROOT = Path(__file__).parents[3]
LIST = ROOT / "orchestrator" / "studies" / "__init__.py"
CODE = [
    path
    for package in ("orchestrator", "tasks", "models", "analysis")
    for path in (ROOT / package).rglob("*.py")
]


def outside(study):
    folder = ROOT / "orchestrator" / "studies" / study.name
    return [path for path in CODE if folder not in path.parents and path != LIST]


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_nothing_outside_imports_from_a_study_or_branches_on_its_name(study):
    package = f"orchestrator.studies.{study.name}."
    for path in outside(study):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}." for alias in node.names]
                assert not any(name.startswith(package) for name in names), path
            words = ast.unparse(node) if isinstance(node, ast.Compare) else ""
            if re.search(r"\bstudy\b|\.name\b", words):
                constants = [x.value for x in ast.walk(node) if isinstance(x, ast.Constant)]
                assert study.name not in constants, path


def test_every_study_is_a_folder_with_claims_and_a_page():
    for study in STUDIES:
        assert study.package == f"orchestrator.studies.{study.name}"
        assert study.part("claims").CLAIMS
        assert callable(study.part("page").page)
