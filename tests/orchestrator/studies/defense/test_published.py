import pytest

from orchestrator.studies.defense.published import (
    LARGEST_DROP,
    PUBLISHED_DEFENSE,
    RATIOS,
    TRIGGERS,
    printed_in,
    published,
)

# The decrease of ASR that is printed beneath each cell, in points at 1, 2, 5 %.
DECREASES = {
    ("Tab. 4", "ImageNette, SD", "badnets1"): (86.739, 83.904, 47.274),
    ("Tab. 4", "ImageNette, SD", "blend"): (66.648, 80.406, 86.377),
    ("Tab. 4", "ImageNette, SD", "wanet"): (95.610, 97.370, 96.480),
    ("Tab. 4", "Caltech15, SD", "badnets1"): (94.583, 90.417, 89.584),
    ("Tab. 4", "Caltech15, SD", "blend"): (39.107, 49.108, 29.762),
    ("Tab. 4", "Caltech15, SD", "wanet"): (60.425, 63.385, 48.177),
    ("Tab. A3", "vgg16", "badnets1"): (54.157, 65.526, 27.234),
    ("Tab. A3", "vgg16", "blend"): (17.873, 28.592, 37.330),
    ("Tab. A3", "vgg16", "wanet"): (97.794, 97.907, 98.105),
    ("Tab. A3", "densenet121", "badnets1"): (97.935, 65.143, 29.016),
    ("Tab. A3", "densenet121", "blend"): (57.466, 50.537, 27.941),
    ("Tab. A3", "densenet121", "wanet"): (98.219, 98.756, 98.530),
}


def test_every_attack_falls_by_what_is_printed_beneath_it_but_for_one_misprint():
    assert len(PUBLISHED_DEFENSE) == 4 * 3 * 3
    wrong = []
    for (source, what, trigger), decreases in DECREASES.items():
        cells = [
            cell
            for cell in published(trigger)
            if cell.source == source and what in (cell.dataset, cell.classifier)
        ]
        assert [cell.poison_ratio for cell in cells] == list(RATIOS)
        for cell, decrease in zip(cells, decreases, strict=True):
            fallen = 100 * (cell.training_attack - cell.generation_attack)
            if fallen != pytest.approx(decrease, abs=0.002):
                wrong.append((what, trigger, cell.poison_ratio, round(fallen, 3)))
    assert wrong == [("densenet121", "badnets1", 0.02, 63.462)]  # printed as 65.143


def test_numbers_are_fractions_and_places_are_unique():
    places = set()
    for cell in PUBLISHED_DEFENSE:
        places.add((cell.source, cell.dataset, cell.classifier, cell.trigger, cell.poison_ratio))
        assert cell.trigger in TRIGGERS
        assert 0.9 > cell.generation_attack >= 0
        assert 1 > cell.training_accuracy > cell.generation_accuracy > 0.88
    assert len(places) == len(PUBLISHED_DEFENSE)


def test_test_accuracy_falls_by_2_to_11_points():
    drops = [cell.training_accuracy - cell.generation_accuracy for cell in PUBLISHED_DEFENSE]
    assert min(drops) == pytest.approx(0.02293)
    assert max(drops) == LARGEST_DROP == pytest.approx(0.11167)


def test_a_table_is_looked_up_at_our_ratios():
    found = printed_in("Tab. 4", "wanet", [0.01, 0.1])
    assert [(ratio, cell.dataset) for ratio, cell in found] == [
        (0.01, "ImageNette, SD"),
        (0.01, "Caltech15, SD"),
    ]
    assert printed_in("Tab. 4", "clean_label", [0.01]) == []
