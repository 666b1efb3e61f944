import pytest

from orchestrator.studies.detection.published import (
    DATASETS,
    PUBLISHED_DETECTION,
    RATIOS,
    printed_at,
    published,
)


def test_every_printed_increase_is_generations_minus_training_set():
    assert len(PUBLISHED_DETECTION) == 3 * 3 * 2 * 3
    for cell in PUBLISHED_DETECTION:
        assert cell.generation - cell.training == pytest.approx(cell.increase, abs=1e-9), cell
        assert cell.increase > 0


def test_each_data_set_detector_trigger_and_ratio_is_there_once():
    places = {
        (cell.dataset, cell.detector, cell.trigger, cell.poison_ratio)
        for cell in PUBLISHED_DETECTION
    }
    assert len(places) == len(PUBLISHED_DETECTION)
    assert {cell.dataset for cell in PUBLISHED_DETECTION} == set(DATASETS)


def test_cells_are_found_by_detector_trigger_and_ratio():
    cells = published("strip", "blend", ["ImageNette, SD"])
    assert [cell.poison_ratio for cell in cells] == list(RATIOS)
    cell = printed_at(0.05, cells)
    assert (cell.training, cell.generation, cell.increase) == (0.873, 0.990, 0.117)
    assert printed_at(0.02, cells) is None
    assert published("cd", "unicolor") == []
