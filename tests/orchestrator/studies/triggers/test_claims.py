import pytest

from analysis.claims import hold
from analysis.rows import frame
from analysis.statistics.verdicts import Verdict
from orchestrator.studies.triggers.claims import CLAIMS
from tests.made_up import TRIGGERS_COUNTS, template_matched, triggers_row, triggers_sweep

SUPPORTED, FAILED = Verdict.SUPPORTED, Verdict.FAILED
UNDECIDED, NOT_TESTED = Verdict.UNDECIDED, Verdict.NOT_TESTED
TRIGGERS = tuple(TRIGGERS_COUNTS)[1:]
CLEAN = {("none", 0.0): (0, 0, 4, 496)}


@pytest.fixture(scope="session")
def rows_of():
    """Rows from {(trigger, ratio): counts of 500}, without corrected values."""

    def make(points, **changes):
        return [triggers_row(*place, counts, **changes) for place, counts in points.items()]

    return make


def judge(rows):
    return hold(CLAIMS, frame(rows))


def decide(rows, name, about):
    found = [one for one in judge(rows) if (one.claim.name, one.at["trigger"]) == (name, about)]
    return found[0] if found else None


def at_ten(trigger, counts, **others):
    """A trigger at 10 %, the clean control, and other triggers at 10 %."""
    named = {(other, 0.1): value for other, value in others.items()}
    return {**CLEAN, (trigger, 0.1): counts, **named}


def labelled(low, high):
    """Clean labels at 1 and 5 %, beside the clean control."""
    return {**CLEAN, ("clean_label", 0.01): low, ("clean_label", 0.05): high}


# n is 500: half an interval is some 4 points at a half, 1.5 at a hundredth.  p_t is 50.7 % at
# p = 10 %, for clean labels 71 / 139 = 51.1 % at 5 %; the judge had no false positive in 360.
REFERENCE = (230, 140, 12, 118)  # 48.4 % mismatch
CASES = [
    ("mismatches-appear", "unicolor", at_ten("unicolor", (200, 80, 8, 212)), SUPPORTED),
    ("mismatches-appear", "relabel_only", at_ten("relabel_only", (0, 0, 235, 265)), SUPPORTED),
    ("mismatches-appear", "wanet", at_ten("wanet", (3, 80, 4, 413)), UNDECIDED),  # 1.4 - 0.8
    (
        "mismatches-appear",
        "wanet",
        {("none", 0.0): (0, 0, 60, 440), ("wanet", 0.1): (0, 80, 4, 416)},
        FAILED,
    ),
    ("mismatches-appear", "wanet", {("wanet", 0.1): (200, 80, 8, 212)}, NOT_TESTED),
    ("mismatches-appear", "wanet", {**CLEAN, ("wanet", 0.05): (200, 80, 8, 212)}, NOT_TESTED),
    (
        "mismatches-as-badnets1",
        "relabel_only",
        at_ten("relabel_only", (0, 0, 240, 260), badnets1=REFERENCE),  # 48.0
        SUPPORTED,
    ),
    (
        "mismatches-as-badnets1",
        "image_patch",
        at_ten("image_patch", (180, 120, 20, 180), badnets1=REFERENCE),  # 40.0
        UNDECIDED,
    ),
    (
        "mismatches-as-badnets1",
        "blend",
        at_ten("blend", (100, 120, 20, 260), badnets1=REFERENCE),  # 24.0
        FAILED,
    ),
    ("mismatches-as-badnets1", "blend", at_ten("blend", (230, 9, 12, 249)), NOT_TESTED),
    (
        "mismatches-as-badnets1",
        "blend",
        {("badnets1", 0.1): REFERENCE, ("blend", 0.05): REFERENCE},
        NOT_TESTED,
    ),
    ("triggers-amplified", "image_patch", at_ten("image_patch", (225, 110, 8, 157)), SUPPORTED),
    ("triggers-amplified", "image_patch", at_ten("image_patch", (170, 90, 8, 232)), UNDECIDED),
    ("triggers-amplified", "image_patch", at_ten("image_patch", (70, 90, 8, 332)), FAILED),
    ("triggers-amplified", "clean_label", labelled((0, 90, 4, 406), (0, 380, 3, 117)), SUPPORTED),
    ("triggers-amplified", "clean_label", {("clean_label", 0.02): (0, 490, 0, 10)}, NOT_TESTED),
    (
        "relabelling-draws-no-trigger",
        "relabel_only",
        at_ten("relabel_only", (0, 1, 235, 264)),
        SUPPORTED,
    ),
    (
        "relabelling-draws-no-trigger",
        "relabel_only",
        at_ten("relabel_only", (5, 5, 235, 255)),
        UNDECIDED,
    ),
    (
        "relabelling-draws-no-trigger",
        "relabel_only",
        at_ten("relabel_only", (50, 5, 190, 255)),
        FAILED,
    ),
    (
        "clean-labels-draw-no-g1",
        "clean_label",
        labelled((0, 90, 4, 406), (1, 380, 3, 116)),
        SUPPORTED,
    ),
    (
        "clean-labels-draw-no-g1",
        "clean_label",
        labelled((0, 90, 4, 406), (6, 380, 3, 111)),
        UNDECIDED,
    ),
    (
        "clean-labels-draw-no-g1",
        "clean_label",
        labelled((30, 90, 4, 376), (1, 380, 3, 116)),
        FAILED,
    ),
    (
        "clean-labels-keep-content",
        "clean_label",
        labelled((0, 90, 4, 406), (1, 380, 3, 116)),
        SUPPORTED,
    ),
    (
        "clean-labels-keep-content",
        "clean_label",
        labelled((0, 90, 4, 406), (1, 380, 24, 95)),
        UNDECIDED,
    ),
    (
        "clean-labels-keep-content",
        "clean_label",
        labelled((0, 90, 84, 326), (1, 380, 3, 116)),
        FAILED,
    ),
    ("clean-labels-keep-content", "clean_label", {("clean_label", 0.05): REFERENCE}, NOT_TESTED),
    ("clean-models-draw-no-trigger", "badnets1", at_ten("badnets1", REFERENCE), SUPPORTED),
    (
        "clean-models-draw-no-trigger",
        "badnets1",
        {("none", 0.0): (20, 20, 4, 456), ("badnets1", 0.1): REFERENCE},
        FAILED,
    ),
]


@pytest.mark.parametrize(("name", "about", "points", "expected"), CASES)
def test_a_claim_is_decided_by_its_intervals(rows_of, name, about, points, expected):
    assert decide(rows_of(points), name, about).verdict is expected


def test_the_template_match_decides_with_its_own_counts(rows_of):
    points = at_ten("unicolor", (230, 80, 8, 182))
    rows = [template_matched(row, missed=7) for row in rows_of(points)]
    assert decide(rows, "amplified-by-template-match", "unicolor").verdict is SUPPORTED
    rows = [template_matched(row, missed=100) for row in rows_of(points)]
    assert decide(rows, "amplified-by-template-match", "unicolor").verdict is FAILED
    rows = [template_matched(row, missed=None) for row in rows_of(points)]
    assert decide(rows, "amplified-by-template-match", "unicolor") is None


def test_claims_are_about_the_triggers_that_they_can_be_about():
    about = {claim.name: [] for claim in CLAIMS}
    for one in judge(triggers_sweep()):
        about[one.claim.name].append(one.at["trigger"])
    relabelling = [name for name in TRIGGERS if name != "clean_label"]
    assert about == {
        "mismatches-appear": relabelling,
        "mismatches-as-badnets1": relabelling[1:],
        "triggers-amplified": [name for name in TRIGGERS if name != "relabel_only"],
        "amplified-by-template-match": ["badnets1", "clean_label", "unicolor", "image_patch"],
        "relabelling-draws-no-trigger": ["relabel_only"],
        "clean-labels-draw-no-g1": ["clean_label"],
        "clean-labels-keep-content": ["clean_label"],
        "clean-models-draw-no-trigger": ["badnets1"],
    }


def test_the_evidence_of_relabelling_names_what_it_is_compared_with(rows_of):
    points = at_ten("relabel_only", (0, 0, 240, 260), badnets1=REFERENCE)
    evidence = decide(rows_of(points), "mismatches-as-badnets1", "relabel_only").evidence
    assert evidence.startswith("p = 10%: 48.0% mismatch, with BadNets-1 48.4%; the difference is")


def test_samplers_and_seeds_stay_apart(rows_of):
    points = at_ten("relabel_only", (0, 0, 240, 260), badnets1=REFERENCE)
    rows = [
        *(row for seed in (0, 1, 2) for row in rows_of(points, seed=seed)),
        *rows_of({("blend", 0.1): REFERENCE}, sampler="sde"),
    ]
    found = decide(rows, "mismatches-as-badnets1", "relabel_only")
    assert "(3 seeds)" in found.evidence
    assert decide(rows, "mismatches-as-badnets1", "blend").verdict is NOT_TESTED
    assert {one.subject for one in judge(rows)} == {
        "BadNets-1, class 8, DDIM",
        "Relabel-only, class 8, DDIM",
        "BadNets-2, class 8, SDE",
    }
