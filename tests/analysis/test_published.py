"""The paper's printed numbers: its own arithmetic must hold."""

import pytest

from analysis.published import COORDINATES, printed
from analysis.rows import groups, records, select


def test_dashed_lines_are_the_quotient_over_all_training_images():
    sizes = {"ImageNette": (9469, 961), "Caltech15": (3000, 200), "CIFAR10": (50000, 5000)}
    lines = records(printed(source=("Fig. 3", "Fig. A6"), trigger=None))
    assert len(lines) == 3 * 4
    for line in lines:
        n, target = sizes[line["dataset"].partition(",")[0]]
        ratio = line["poison_ratio"]
        assert ratio * n / (ratio * n + target) == pytest.approx(line["p_t"], abs=0.0005)


def test_the_four_groups_of_a_composition_add_up():
    cells = records(printed(detector=None, classifier=None, noise_model=None))
    whole = [cell for cell in cells if None not in [cell[f"g{number}"] for number in (1, 2, 3, 4)]]
    assert len(whole) == 9
    for cell in whole:
        assert sum(cell[f"g{number}"] for number in (1, 2, 3, 4)) == pytest.approx(1)


def test_every_printed_increase_of_an_auroc_is_generations_minus_training_set():
    pairs = groups(printed(source="Tab. 3"), "dataset", "detector", "trigger", "poison_ratio")
    assert len(pairs) == 3 * 3 * 2 * 3
    for _, pair in pairs:
        before, after = both_sets(pair)
        assert after["auroc"] - before["auroc"] == pytest.approx(after["auroc_gain"], abs=1e-9)
        assert after["auroc_gain"] > 0


def both_sets(pair):
    (before,) = records(select(pair, image_set="training"))
    (after,) = records(select(pair, image_set="generation"))
    return before, after


def test_every_table_is_whole_and_in_fractions():
    tables = {"Tab. 4": 2 * 3 * 3 * 2, "Tab. A3": 2 * 3 * 3 * 2, "Tab. 5": 3 + 3 * 4}
    for source, count in tables.items():
        cells = records(printed(source=source))
        assert len(cells) == count
        for cell in cells:
            numbers = [v for c, v in cell.items() if c.endswith(("accuracy", "rate")) and v]
            assert numbers
            assert all(0 < number <= 1 for number in numbers)
        assert len({tuple(cell[c] for c in ("dataset", *COORDINATES)) for cell in cells}) == count
