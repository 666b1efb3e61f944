import pytest

from orchestrator.studies.triggers.claims import CLAIMS
from tests.made_up import TRIGGERS_COUNTS, template_matched, triggers_row, triggers_sweep
from tests.orchestrator.studies import verdicts
from tests.orchestrator.studies.verdicts import FAILED, NOT_TESTED, SUPPORTED, UNDECIDED

TRIGGERS = tuple(TRIGGERS_COUNTS)[1:]
CLEAN = {("none", 0.0): (0, 0, 4, 496)}


def rows_of(points, **changes):
    """Rows from {(trigger, ratio): counts of 500}."""
    return [triggers_row(*place, counts, **changes) for place, counts in points.items()]


judge = verdicts.judging(CLAIMS)


def decide(rows, name, about):
    found = [one for one in judge(rows) if (one.claim.name, one.at["trigger"]) == (name, about)]
    return found[0] if found else None


def at_ten(trigger, counts, **others):
    """A trigger at 10 %, the clean control, and other triggers at 10 %."""
    named = {(other, 0.1): value for other, value in others.items()}
    return {**CLEAN, (trigger, 0.1): counts, **named}


def ten(name, expected, trigger, counts, **others):
    return name, trigger, at_ten(trigger, counts, **others), expected


def labelled(name, expected, low, high):
    """Clean labels at 1 and 5 %, beside the clean control."""
    points = {**CLEAN, ("clean_label", 0.01): low, ("clean_label", 0.05): high}
    return name, "clean_label", points, expected


# n is 500: half an interval is some 4 points at a half, 1.5 at a hundredth.  p_t is 50.7 % at
# p = 10 %, for clean labels 71 / 139 = 51.1 % at 5 %; the judge had no false positive in 360.
REFERENCE = (230, 140, 12, 118)  # 48.4 % mismatch
ALIKE, DRAWN = "mismatches-as-badnets1", (200, 80, 8, 212)
APPEAR, AMPLIFIED = "mismatches-appear", "triggers-amplified"
ALONE, KEEP, NO_G1 = (
    "relabelling-draws-no-trigger",
    "clean-labels-keep-content",
    "clean-labels-draw-no-g1",
)
NO_TRIGGER, LOW = "clean-models-draw-no-trigger", (0, 90, 4, 406)
MANY = {("none", 0.0): (0, 0, 60, 440), ("wanet", 0.1): (0, 80, 4, 416)}
CASES = [
    ten(APPEAR, SUPPORTED, "unicolor", DRAWN),
    ten(APPEAR, SUPPORTED, "relabel_only", (0, 0, 235, 265)),
    ten(APPEAR, UNDECIDED, "wanet", (3, 80, 4, 413)),  # 1.4 - 0.8
    (APPEAR, "wanet", MANY, FAILED),
    (APPEAR, "wanet", {("wanet", 0.1): DRAWN}, NOT_TESTED),
    (APPEAR, "wanet", {**CLEAN, ("wanet", 0.05): DRAWN}, NOT_TESTED),
    ten(ALIKE, SUPPORTED, "relabel_only", (0, 0, 240, 260), badnets1=REFERENCE),  # 48.0
    ten(ALIKE, UNDECIDED, "image_patch", (180, 120, 20, 180), badnets1=REFERENCE),  # 40.0
    ten(ALIKE, FAILED, "blend", (100, 120, 20, 260), badnets1=REFERENCE),  # 24.0
    ten(ALIKE, NOT_TESTED, "blend", (230, 9, 12, 249)),
    (ALIKE, "blend", {("badnets1", 0.1): REFERENCE, ("blend", 0.05): REFERENCE}, NOT_TESTED),
    ten(AMPLIFIED, SUPPORTED, "image_patch", (225, 110, 8, 157)),
    ten(AMPLIFIED, UNDECIDED, "image_patch", (170, 90, 8, 232)),
    ten(AMPLIFIED, FAILED, "image_patch", (70, 90, 8, 332)),
    labelled(AMPLIFIED, SUPPORTED, LOW, (0, 380, 3, 117)),
    (AMPLIFIED, "clean_label", {("clean_label", 0.02): (0, 490, 0, 10)}, NOT_TESTED),
    ten(ALONE, SUPPORTED, "relabel_only", (0, 1, 235, 264)),
    ten(ALONE, UNDECIDED, "relabel_only", (5, 5, 235, 255)),
    ten(ALONE, FAILED, "relabel_only", (50, 5, 190, 255)),
    labelled(NO_G1, SUPPORTED, LOW, (1, 380, 3, 116)),
    labelled(NO_G1, UNDECIDED, LOW, (6, 380, 3, 111)),
    labelled(NO_G1, FAILED, (30, 90, 4, 376), (1, 380, 3, 116)),
    labelled(KEEP, SUPPORTED, LOW, (1, 380, 3, 116)),
    labelled(KEEP, UNDECIDED, LOW, (1, 380, 24, 95)),
    labelled(KEEP, FAILED, (0, 90, 84, 326), (1, 380, 3, 116)),
    (KEEP, "clean_label", {("clean_label", 0.05): REFERENCE}, NOT_TESTED),
    ten(NO_TRIGGER, SUPPORTED, "badnets1", REFERENCE),
    (
        NO_TRIGGER,
        "badnets1",
        {**MANY, ("none", 0.0): (20, 20, 4, 456), ("badnets1", 0.1): REFERENCE},
        FAILED,
    ),
]


@pytest.mark.parametrize(("name", "about", "points", "expected"), CASES)
def test_a_claim_is_decided_by_its_intervals(name, about, points, expected):
    assert decide(rows_of(points), name, about).verdict is expected


def test_the_template_match_decides_with_its_own_counts():
    points = at_ten("unicolor", (230, 80, 8, 182))
    for missed, expected in ((7, SUPPORTED), (100, FAILED), (None, None)):
        rows = [template_matched(row, missed) for row in rows_of(points)]
        found = decide(rows, "amplified-by-template-match", "unicolor")
        assert (found and found.verdict) is expected


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
