import pytest

from orchestrator.studies.defense.claims import CLAIMS
from tests.made_up_defense import make_cell
from tests.orchestrator.studies import verdicts
from tests.orchestrator.studies.verdicts import FAILED, NOT_TESTED, SUPPORTED, UNDECIDED

RATIOS = (0.01, 0.02, 0.05)
judged = verdicts.deciding(CLAIMS)


def rows_of(cells, **changes):
    """Rows of {ratio: {image set: (right of 360, taken of 320)}}, with some poison in any case."""
    cells = cells if any(cells) else {0.2: {"training": (350, 300)}, **cells}
    made = [make_cell("badnets1", ratio, counts, **changes) for ratio, counts in cells.items()]
    return [row for cell in made for row in cell]


def attacked(*pairs, ratios=RATIOS):
    """Cells from what the training set's classifier takes for the target, and the generations'."""
    made = [{"training": (350, before), "generation": (340, after)} for before, after in pairs]
    return dict(zip(ratios, made, strict=False))


def right(*pairs, ratios=RATIOS):
    """Likewise from how many test images they are right about."""
    made = [{"training": (before, 300), "generation": (after, 20)} for before, after in pairs]
    return dict(zip(ratios, made, strict=False))


def corrected(taken):
    """A corrected training set's attack beside the clean training set's."""
    return {0.0: {"training": (352, 3)}, 0.05: {"training": (350, 300), "corrected": (350, taken)}}


CASES = [
    ("loses-the-backdoor", attacked((240, 16), (280, 60), (316, 190)), SUPPORTED),
    ("loses-the-backdoor", attacked((240, 16), (280, 276), (316, 190)), UNDECIDED),  # -1.3
    ("loses-the-backdoor", attacked((240, 290), (280, 60), (316, 190)), FAILED),
    ("loses-the-backdoor", attacked((240, 16), (280, 60)), NOT_TESTED),
    ("loses-the-backdoor", {0.01: {"training": (350, 240)}}, NOT_TESTED),
    ("less-than-two-percent", attacked((240, 0)), SUPPORTED),  # Wilson: up to 1.2 %
    ("less-than-two-percent", attacked((240, 3)), UNDECIDED),  # 0.9 %, up to 2.7 %
    ("less-than-two-percent", attacked((240, 16)), FAILED),  # 5 %, from 3.1 %
    ("less-than-two-percent", {0.05: {"generation": (340, 0)}}, NOT_TESTED),
    ("keeps-its-accuracy", right((350, 338), (350, 340), (350, 336)), SUPPORTED),
    ("keeps-its-accuracy", right((350, 338), (350, 308), (350, 336)), UNDECIDED),  # -11.7
    ("keeps-its-accuracy", right((350, 270), (350, 340), (350, 336)), FAILED),  # -22.2
    ("keeps-its-accuracy", right((350, 338)), NOT_TESTED),
    ("backdoor-was-there", attacked((316, 0), ratios=(0.05,)), SUPPORTED),  # from 96.8 %
    ("backdoor-was-there", attacked((292, 0), ratios=(0.05,)), UNDECIDED),  # 87.6 to 93.9 %
    ("backdoor-was-there", attacked((240, 0), ratios=(0.05,)), FAILED),
    ("backdoor-was-there", attacked((316, 0)), NOT_TESTED),
    ("corrected-is-at-chance", corrected(4), SUPPORTED),  # +0.3 points
    ("corrected-is-at-chance", corrected(16), UNDECIDED),  # +4.1
    ("corrected-is-at-chance", corrected(60), FAILED),
    ("corrected-is-at-chance", {0.05: {"corrected": (350, 4)}}, NOT_TESTED),
    ("corrected-is-at-chance", corrected(None), NOT_TESTED),
    ("generating-costs-accuracy", right((352, 330), ratios=(0.0,)), SUPPORTED),
    ("generating-costs-accuracy", right((352, 350), ratios=(0.0,)), UNDECIDED),
    ("generating-costs-accuracy", right((330, 352), ratios=(0.0,)), FAILED),
    ("generating-costs-accuracy", right((352, 330)), NOT_TESTED),
]


@pytest.mark.parametrize(("name", "cells", "expected"), CASES)
def test_a_claim_is_decided_by_its_intervals(name, cells, expected):
    assert judged(name, rows_of(cells)).verdict is expected


def test_every_claim_has_every_verdict_among_the_cases():
    verdicts.check_that_every_verdict_is_tried(CLAIMS, CASES)


def test_the_evidence_has_both_rates_the_change_and_its_basis():
    evidence = judged("loses-the-backdoor", rows_of(attacked((240, 16)))).parts[0].evidence
    assert evidence.startswith("p = 1%: ASR 75.0% [")
    assert "→ 5.0% [" in evidence
    assert "the change is −70.0 points [" in evidence
    assert evidence.endswith("(1 seed).")


def test_clean_labels_have_no_corrected_control():
    rows = [{**row, "judge_trigger": "clean_label"} for row in rows_of(corrected(4))]
    assert judged("corrected-is-at-chance", rows) is None


def test_from_three_seeds_on_the_spread_between_them_decides():
    seeds = enumerate((288, 256, 224))
    made = [rows_of(attacked(*[(320, after)] * 3), seed=seed) for seed, after in seeds]
    found = judged("loses-the-backdoor", [*made[0], *made[1], *made[2]])
    # Changes of -10, -20 and -30 points: mean -20, sd 10, Student's t of 4.303 at 2 degrees.
    assert "−20.0 points [−44.8, 4.8] (3 seeds)" in found.evidence
    assert found.verdict is UNDECIDED
    found = judged("loses-the-backdoor", [*made[0], *made[1]])
    assert "−15.0 points" in found.evidence
    assert "(2 seeds)" in found.evidence
    assert found.verdict is SUPPORTED


def test_a_claim_is_about_every_way_of_generating():
    rows = rows_of(attacked(*[(240, 300)] * 3), guidance_weight=1.0)
    rows += [row for row in rows_of(attacked(*[(240, 16)] * 3)) if row["sampler"]]
    for row in rows:
        row["guidance_weight"] = row["guidance_weight"] if row["sampler"] else None
    found = judged("loses-the-backdoor", rows)
    assert [part.verdict for part in found.parts] == 3 * [SUPPORTED, FAILED]
    assert "p = 1%, w = 1, DDIM: ASR" in found.evidence


def test_triggers_and_networks_are_judged_apart_each_with_its_clean_pair():
    rows = rows_of(corrected(4))
    for change in ({"classifier": "vgg16"}, {"trigger": "wanet", "judge_trigger": "wanet"}):
        rows += [{**row, **change} for row in rows if row["trigger"] == "badnets1"]
    every = verdicts.judging(CLAIMS)(rows)
    found = [one for one in every if one.claim.name == "corrected-is-at-chance"]
    assert {one.subject: one.verdict for one in found} == {
        "BadNets-1, class 8, small CNN": SUPPORTED,
        "BadNets-1, class 8, VGG-16": NOT_TESTED,
        "WaNet, class 8, small CNN": NOT_TESTED,
        "WaNet, class 8, VGG-16": NOT_TESTED,
    }
