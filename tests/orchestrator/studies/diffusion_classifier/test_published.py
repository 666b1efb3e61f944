import pytest

from orchestrator.studies.diffusion_classifier.published import (
    FILTER_RATIOS,
    LARGEST_DROP,
    PUBLISHED_CLASSIFICATION,
    published,
)


def test_the_table_is_whole_and_its_corners_are_as_printed():
    assert [line.poison_ratio for line in PUBLISHED_CLASSIFICATION] == [0.01, 0.05, 0.1]
    for line in PUBLISHED_CLASSIFICATION:
        assert len(line.accuracy) == len(line.attack) == len(FILTER_RATIOS) == 4
        assert 1 >= line.classifier_attack > line.attack[0]
    first, _, last = PUBLISHED_CLASSIFICATION
    assert (first.classifier_accuracy, first.classifier_attack) == pytest.approx((0.9485, 0.994))
    assert (first.accuracy[0], first.attack[0]) == pytest.approx((0.9556, 0.6238))
    assert (last.accuracy[3], last.attack[3]) == pytest.approx((0.9087, 0.4566))


def test_every_filter_lowers_both_numbers_and_accuracy_by_at_most_3_84_points():
    for line in PUBLISHED_CLASSIFICATION:
        for numbers in (line.accuracy, line.attack):
            assert list(numbers) == sorted(numbers, reverse=True)
    assert pytest.approx(0.9471 - 0.9087) == LARGEST_DROP


def test_it_is_about_badnets1_at_three_ratios():
    assert published("badnets1", 0.05).attack == pytest.approx((0.9704, 0.6886, 0.4543, 0.39))
    assert published("badnets1", 0.02) is None
    assert published("blend", 0.05) is None
