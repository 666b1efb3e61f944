"""What is written of a diffusion model's answers, and what is refused."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tasks.data import datasets
from tasks.steps import denoise_classify
from tasks.steps.denoise_classify import SCHEMA, Settings, Worker, kept
from tasks.triggers import BadNets1, Nothing
from tests.tasks.made import by_two_workers, write_images

SETTINGS = Settings(
    trigger=BadNets1(),
    target_class="8",
    filter_ratios=(0.0, 0.05, 0.2),
    draws=6,
    stages=(3,),
    test_images=26,
    batch_size=10,
    rows_at_once=128,
    maps=2,
)
RANGES = [(0, 10), (10, 20), (20, 26)]


@pytest.fixture(scope="module")
def given(model, digits):
    return {"model": model, "dataset": digits}


@pytest.fixture(scope="module")
def rows(given):
    worker = Worker(SETTINGS, **given)
    return pa.concat_tables([worker(*edges) for edges in RANGES])


@pytest.mark.parametrize(
    ("values", "ratio", "count"),
    [
        (3072, 0.0, 3072),
        (3072, 0.05, 2918),
        (64, 0.01, 63),
        (10, 0.9, 1),  # in floats 0.9999999999999998
    ],
)
def test_a_filter_keeps_the_whole_part_in_decimals(values, ratio, count):
    assert kept(ratio, values) == count


class TestRows:
    def test_only_the_triggered_have_what_is_said_of_the_triggered(self, rows):
        others = [label != 8 for label in rows["label"].to_pylist()]
        assert others.count(False) > 0
        for name in ("said_triggered", "calls_triggered", "on_trigger_true", "on_trigger_target"):
            assert rows[name].is_valid().to_pylist() == others
        first_two = np.flatnonzero(others)[:2].tolist()
        for name in ("map_true", "map_target"):
            column = rows[name].to_pylist()
            assert [place for place, one in enumerate(column) if one is not None] == first_two
            assert all(len(column[place]) == 64 and min(column[place]) >= 0 for place in first_two)

    def test_shares_are_of_whole_values_and_there_are_none_where_nothing_is_dropped(self, rows):
        for name in ("on_trigger_true", "on_trigger_target"):
            for nothing, *shares in filter(None, rows[name].to_pylist()):
                assert nothing is None
                # Of 64 values 4 and 13 are dropped in each of the 3 draws before the first stage.
                for share, dropped in zip(shares, (4, 13), strict=True):
                    count = share * 3 * dropped
                    assert count == pytest.approx(round(count), abs=1e-9)
                    assert 0 <= round(count) <= 3 * 4  # no more than the trigger's 4 pixels a draw


def test_whoever_classifies_which_range_writes_the_same(rows, given):
    assert by_two_workers(denoise_classify, SETTINGS, RANGES, **given).equals(rows)


def test_every_ratio_from_one_pass_is_what_one_pass_each_gives(given):
    without = replace(SETTINGS, stages=())
    together = Worker(without, **given)(0, 10)
    for place, ratio in enumerate(SETTINGS.filter_ratios):
        alone = Worker(replace(without, filter_ratios=(ratio,)), **given)(0, 10)
        for name in ("said", "said_triggered", "on_trigger_true", "on_trigger_target"):
            for one, all_of_them in zip(
                alone[name].to_pylist(), together[name].to_pylist(), strict=True
            ):
                assert one == (None if all_of_them is None else [all_of_them[place]])
        for name in ("calls", "map_true"):
            assert alone[name].equals(together[name])


def test_the_triggered_are_classified_as_clean_images_that_look_so(rows, given, digits, tmp_path):
    """The same images, stamped beforehand, with the same indices: the noise is the index's own."""
    shutil.copytree(digits, tmp_path / "stamped")
    split = datasets.read_split(digits, "test")
    first = np.argsort(split.index)[:10]
    others = first[split.labels[first] != 8]
    pictures = BadNets1().stamp(split.images[others])
    file = tmp_path / "stamped" / "test.parquet"
    write_images(file, pictures, split.labels[others], split.index[others])
    settings = replace(SETTINGS, trigger=Nothing(), test_images=None)
    worker = Worker(settings, model=given["model"], dataset=tmp_path / "stamped")
    found = worker(0, len(others))
    triggered = rows.slice(0, 10).filter(rows.slice(0, 10)["said_triggered"].is_valid())
    assert found["index"].equals(triggered["index"])
    assert found["said"].to_pylist() == triggered["said_triggered"].to_pylist()
    assert found["calls"].to_pylist() == triggered["calls_triggered"].to_pylist()


def test_what_stamps_nothing_attacks_nobody(given, rows):
    found = Worker(replace(SETTINGS, trigger=Nothing()), **given)(0, 10)
    for name in [*SCHEMA.names[-4:], "said_triggered", "calls_triggered"]:
        assert found[name].null_count == 10
    assert found["said"].equals(rows.slice(0, 10)["said"])


class TestRefusing:
    def test_more_test_images_than_there_are(self, given):
        assert denoise_classify.count(replace(SETTINGS, test_images=360), **given) == 360
        assert denoise_classify.count(replace(SETTINGS, test_images=None), **given) == 360
        with pytest.raises(ValueError, match=r"test images of at most 360, .* got 361"):
            denoise_classify.count(replace(SETTINGS, test_images=361), **given)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"filter_ratios": (0.0, 1.0)}, r"filter ratios in \[0, 1\), .* write 0.01, got"),
            ({"filter_ratios": (0.1, 0.1)}, "ascending, at least one"),
            ({"filter_ratios": ()}, "ascending, at least one"),
            ({"stages": (4, 2)}, r"stages below the 6 draws, .* ascending, got \(4, 2\)"),
            ({"draws": 0, "stages": ()}, "stages below the 0 draws, at least one of these"),
            ({"margin": float("nan")}, "margin above 0"),
            ({"test_images": 0}, "test_images of at least 1"),
        ],
    )
    def test_settings_that_cannot_be(self, changes, message):
        with pytest.raises(ValueError, match=message) as caught:
            replace(SETTINGS, **changes)
        assert "\n" not in str(caught.value)
