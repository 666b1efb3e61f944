"""The table of simulated coverage, docs/coverage.md, and what makes it."""

import inspect
import re
from pathlib import Path

import pytest

from analysis.statistics import auroc, comparison, correction, intervals, paired, transition
from bench.coverage import LEAST, cases, coverage

DOCUMENT = (Path(__file__).parents[1] / "docs" / "coverage.md").read_text()
BOUNDED = re.compile(r"Estimate|Comparison|Corrected|Transition|tuple\[float, float\]")
"""What functions return that make an interval."""


@pytest.mark.parametrize("module", [transition, auroc, comparison, correction, intervals, paired])
def test_every_interval_is_in_the_table(module):
    own = [
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
        if BOUNDED.search(str(inspect.signature(function).return_annotation))
    ]
    assert own
    for name in own:
        assert f"`{module.__name__.rpartition('.')[2]}.{name}`" in DOCUMENT, name


def test_the_table_has_every_case_and_none_that_holds_too_little():
    lines = re.findall(r"^\| (.+?) \| (.+?) \| ([0-9.]+) % \|", DOCUMENT, re.MULTILINE)
    assert [line[:2] for line in lines] == [(case.what, case.setting) for case in cases()]
    assert min(float(share) for _, _, share in lines) >= 100 * LEAST


@pytest.mark.parametrize(
    "what",
    [
        *("share of images", "difference of two AUROCs", "p*_gap", "corrected g1"),
        *("ratio over seeds", "AUROC", "TPR at 5 % FPR", "difference of two groups (G1 − G2)"),
        *("difference of two labelings (judge − template match)",),
        *("difference of two shares of the same images",),
    ],
)
def test_a_case_can_be_simulated(what):
    place, case = next((place, case) for place, case in enumerate(cases()) if case.what == what)
    assert coverage(case, place, 100) >= 0.88
    assert coverage(case, place, 20) == coverage(case, place, 20)
