import pytest

from analysis.old.verdicts import Verdict
from orchestrator.studies.claims import judge
from orchestrator.studies.defense.claims import CLAIMS
from orchestrator.studies.defense.rows import ATTACK, defended, minus, rank_correlation
from tests.made_up_defense import judged, make_cell, make_defense_row

SUPPORTED, FAILED = Verdict.SUPPORTED, Verdict.FAILED
UNDECIDED, NOT_TESTED = Verdict.UNDECIDED, Verdict.NOT_TESTED


def decide(name, cells, trigger="badnets1", seeds=(0,), **changes):
    """The judgment on one claim from {ratio: {image set: (right of 360, taken of 320)}}."""
    rows = [
        row
        for ratio, counts in cells.items()
        for seed in seeds
        for row in make_cell(trigger, ratio, counts, seed=seed, **changes)
    ]
    return next((one for one in judge(rows) if one.claim.name == name), None)


def attacked(*pairs, ratios=(0.01, 0.02, 0.05)):
    """Cells at 1, 2, 5 % from (taken by the training set's, by the generations')."""
    return {
        ratio: {"training": (350, before), "generation": (340, after)}
        for ratio, (before, after) in zip(ratios, pairs, strict=False)
    }


def right(*pairs, ratios=(0.01, 0.02, 0.05)):
    """Likewise from (right by the training set's, by the generations')."""
    return {
        ratio: {"training": (before, 300), "generation": (after, 20)}
        for ratio, (before, after) in zip(ratios, pairs, strict=False)
    }


def corrected(taken, clean=3, ratio=0.05):
    """A corrected training set's attack beside the clean training set's."""
    return {
        0.0: {"training": (352, clean)},
        ratio: {"training": (350, 300), "corrected": (350, taken)},
    }


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
    (
        "corrected-is-at-chance",
        {0.0: {"training": (352, 3)}, 0.05: {"training": (350, 300)}},
        NOT_TESTED,
    ),
    ("generating-costs-accuracy", right((352, 330), ratios=(0.0,)), SUPPORTED),
    ("generating-costs-accuracy", right((352, 350), ratios=(0.0,)), UNDECIDED),
    ("generating-costs-accuracy", right((330, 352), ratios=(0.0,)), FAILED),
    ("generating-costs-accuracy", right((352, 330)), NOT_TESTED),
]


@pytest.mark.parametrize(("name", "cells", "expected"), CASES)
def test_a_claim_is_decided_by_its_intervals(name, cells, expected):
    assert decide(name, cells).verdict is expected


def test_every_claim_has_every_verdict_among_the_cases():
    for claim in CLAIMS:
        assert {verdict for name, _, verdict in CASES if name == claim.name} == set(Verdict)


def test_the_evidence_has_both_levels_the_change_and_its_basis():
    evidence = decide("loses-the-backdoor", attacked((240, 16))).parts[0].evidence
    assert evidence.startswith("p = 1%: ASR 75.0% [")
    assert "→ 5.0% [" in evidence
    assert "the change is −70.0 points [" in evidence
    assert evidence.endswith("(1 seed).")


def test_clean_labels_have_no_corrected_control():
    assert decide("corrected-is-at-chance", corrected(4), trigger="clean_label") is None


def test_from_three_seeds_on_the_spread_between_them_decides():
    rows = [
        row
        for ratio in (0.01, 0.02, 0.05)
        for seed, after in enumerate((288, 256, 224))
        for row in make_cell(
            "badnets1", ratio, {"training": (350, 320), "generation": (340, after)}, seed=seed
        )
    ]
    found = next(one for one in judge(rows) if one.claim.name == "loses-the-backdoor")
    # Changes of -10, -20 and -30 points: mean -20, sd 10, Student's t of 4.303 at 2 degrees.
    assert "−20.0 points [−44.8, 4.8] (3 seeds)" in found.evidence
    assert found.verdict is UNDECIDED
    two = [row for row in rows if row["seed"] < 2]
    found = next(one for one in judge(two) if one.claim.name == "loses-the-backdoor")
    assert "−15.0 points" in found.evidence
    assert "(2 seeds)" in found.evidence
    assert found.verdict is SUPPORTED


def test_an_attack_that_was_not_measured_is_said():
    cells = {0.01: {"training": (350, None), "generation": (340, None)}}
    found = decide("loses-the-backdoor", cells)
    assert found.verdict is NOT_TESTED
    assert "p = 1%: the generations gave no such number." in found.evidence
    assert "p = 2%: the generations were not measured." in found.evidence
    assert decide("keeps-its-accuracy", cells).parts[0].verdict is SUPPORTED
    strong = {0.05: {"training": (350, None)}}
    assert "the training set gave no such number" in decide("backdoor-was-there", strong).evidence


def test_a_claim_is_about_every_way_of_generating():
    ratios = (0.01, 0.02, 0.05)
    rows = [make_defense_row(ratio=ratio, counts=(350, 240)) for ratio in ratios]
    for weight, after in ((1.0, 300), (2.0, 16)):
        for ratio in ratios:
            pair, training = (340, after), (350, 240)
            rows.append(
                make_defense_row(
                    "badnets1", ratio, "generation", pair, training, guidance_weight=weight
                )
            )
    found = next(one for one in judge(rows) if one.claim.name == "loses-the-backdoor")
    assert found.verdict is FAILED
    assert len(found.parts) == 6
    assert "p = 1%, w = 1, DDIM: ASR" in found.evidence


def test_triggers_and_networks_are_told_apart():
    cell = {"training": (350, 240), "generation": (340, 16)}
    rows = [
        *make_cell("wanet", 0.01, cell),
        *make_cell("badnets1", 0.01, cell, classifier="vgg16"),
        *make_cell("badnets1", 0.01, cell),
        *make_cell("badnets1", 0.0, cell),
    ]
    found = defended(rows)
    assert [(one.trigger, one.classifier) for one in found] == [
        ("badnets1", "small"),
        ("badnets1", "vgg16"),
        ("wanet", "small"),
    ]
    assert [len(one.clean) for one in found] == [2, 0, 0]
    assert [len(one.rows) for one in found] == [2, 2, 2]


def test_rates_that_no_row_pairs_are_subtracted_seed_by_seed():
    def of(*taken):
        return [
            make_defense_row(counts=(350, count), seed=seed) for seed, count in enumerate(taken)
        ]

    one = minus(of(48), of(32), ATTACK)
    assert one.estimate.value == pytest.approx(0.05)
    assert one.basis == "1 seed"
    three = minus(of(32, 64, 96), of(0, 0, 0), ATTACK)
    assert three.estimate.value == pytest.approx(0.2)
    assert three.estimate.high - 0.2 == pytest.approx(0.2484, abs=1e-4)
    assert three.basis == "3 seeds"
    assert minus(of(48), of(None), ATTACK) is None
    assert minus(of(48), [make_defense_row(seed=1)], ATTACK) is None


class TestWhetherTheAttackFollowsG1:
    def points(self, *pairs):
        return [
            judged(make_defense_row(image_set="generation", counts=(340, taken), seed=seed), g1)
            for seed, (g1, taken) in enumerate(pairs)
        ]

    def test_the_same_order_is_one_and_the_reverse_minus_one(self):
        assert rank_correlation(self.points((1, 5), (2, 6), (9, 7))) == (pytest.approx(1.0), 3)
        assert rank_correlation(self.points((9, 5), (2, 6), (1, 7))) == (pytest.approx(-1.0), 3)

    def test_one_swap_of_four_is_four_fifths(self):
        # 1 - 6 (1 + 1) / (4 (16 - 1)) = 0.8
        found = rank_correlation(self.points((1, 5), (2, 7), (3, 6), (4, 8)))
        assert found == (pytest.approx(0.8), 4)

    def test_too_few_points_and_points_that_are_all_alike_have_none(self):
        assert rank_correlation(self.points((1, 5), (2, 6))) == (None, 2)
        assert rank_correlation(self.points((1, 5), (1, 6), (1, 7))) == (None, 3)
        assert rank_correlation([]) == (None, 0)

    def test_rows_without_a_judge_an_attack_or_poison_are_left_out(self):
        rows = [
            *self.points((1, 5)),
            make_defense_row(image_set="generation", counts=(340, 9)),
            judged(make_defense_row(image_set="generation", counts=(340, None)), 3),
            judged(make_defense_row(ratio=0.0, image_set="generation", counts=(340, 9)), 3),
            make_defense_row(counts=(340, 9)),
        ]
        assert rank_correlation(rows) == (None, 1)
