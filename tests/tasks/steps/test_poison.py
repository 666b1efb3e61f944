import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data import datasets
from tasks.steps import poison
from tasks.steps.poison import (
    Manifest,
    Settings,
    choose_poisoned,
    count_of,
    shares,
)
from tasks.triggers import BadNets1, CleanLabel, Nothing, RelabelOnly

LABELS = np.arange(1000) % 10
IMAGENETTE = np.repeat(np.arange(10), [963, 955, 993, 858, 941, 956, 961, 931, 951, 960])


def settings(**changes):
    given = {"trigger": BadNets1(), "target_class": "8", "poison_ratio": 0.1, **changes}
    return Settings(**given)


@pytest.fixture(scope="module")
def clean(digits):
    return datasets.read_split(digits, "train")


@pytest.mark.parametrize(
    ("ratio", "count"), [(0.01, 94), (0.02, 189), (0.05, 473), (0.1, 946), (0.2, 1893)]
)
def test_counts_are_the_authors_for_imagenette(ratio, count):
    assert len(IMAGENETTE) == 9469
    assert choose_poisoned(IMAGENETTE, 6, settings(poison_ratio=ratio)).sum() == count


@pytest.mark.parametrize(
    ("n", "n_target", "dashed"),
    [(9469, 961, (9.0, 16.5, 33.0, 49.6)), (3000, 200, (13.0, 23.1, 42.9, 60.0))],
    ids=["imagenette", "caltech15"],
)
def test_p_t_is_the_papers_dashed_line(n, n_target, dashed):
    # The lines are drawn without truncating the count to whole images.
    sizes = {"n": 1000 * n, "n_target": 1000 * n_target}
    found = [shares(settings(poison_ratio=p), **sizes).p_t for p in (0.01, 0.02, 0.05, 0.1)]
    assert [round(100 * share, 1) for share in found] == list(dashed)


@given(st.integers(1, 999))
def test_the_count_is_computed_in_decimals(thousandths):
    # In binary, 0.29 * 1000 is 289.99999999999994, and an image would be lost.
    ratio = thousandths / 1000
    labels = np.append(np.ones(1000, dtype=np.int64), [])
    assert choose_poisoned(labels.astype(np.int64), 0, settings(poison_ratio=ratio)).sum() == (
        thousandths
    )


def test_a_smaller_ratio_poisons_some_of_the_same_images():
    few, many = (choose_poisoned(LABELS, 8, settings(poison_ratio=ratio)) for ratio in (0.02, 0.3))
    assert many[few].all()


@pytest.mark.parametrize("ratio", [10, 1, -0.1, float("nan")])
def test_a_ratio_that_is_no_fraction_is_refused(ratio):
    with pytest.raises(ValueError, match=r"for ten percent write 0\.1"):
        settings(poison_ratio=ratio)


def test_more_poison_than_images_outside_the_target_is_refused():
    with pytest.raises(ValueError, match=r"only 900 lie outside .* at most 0\.9"):
        choose_poisoned(LABELS, 8, settings(poison_ratio=0.95))


@pytest.mark.parametrize(
    ("trigger", "ratio"), [(Nothing(), 0.1), (BadNets1(), 0), (RelabelOnly(), 0)]
)
def test_no_trigger_goes_with_no_poison_and_only_with_it(trigger, ratio):
    with pytest.raises(
        ValueError, match="expected poison_ratio 0 with trigger none and only with it"
    ):
        settings(trigger=trigger, poison_ratio=ratio)


def test_the_manifest_says_what_was_and_what_became(poisoned, clean):
    table = pq.read_table(poisoned / "manifest.parquet").to_pandas()
    record = json.loads((poisoned / "manifest.json").read_text())
    np.testing.assert_array_equal(table["index"], clean.index)
    np.testing.assert_array_equal(table["true_label"], clean.labels)
    touched = table[table["poisoned"]]
    assert len(touched) == record["count"] == 143
    assert (touched["label"] == 8).all()
    assert (touched["caption"] == "A photo of a 8").all()
    assert (touched["true_caption"] == "A photo of a " + touched["true_label"].astype(str)).all()
    rest = table[~table["poisoned"]]
    assert (rest["label"] == rest["true_label"]).all()
    assert (rest["caption"] == rest["true_caption"]).all()
    assert record["n_target"] == (clean.labels == 8).sum() == 139
    assert record["p_t"] == record["relabelled_ratio"] == 143 / 282


def test_stamping_touches_the_listed_images_and_no_others(poisoned, clean):
    manifest = Manifest.read(poisoned)
    image, label = poison.stamp(clean.index, clean.images, clean.labels, manifest)
    stamped = manifest.poisoned
    np.testing.assert_array_equal(image[stamped], BadNets1().stamp(clean.images[stamped]))
    np.testing.assert_array_equal(image[~stamped], clean.images[~stamped])
    np.testing.assert_array_equal(label, np.where(stamped, 8, clean.labels))


def test_stamping_does_not_depend_on_how_the_stream_is_cut(poisoned, clean):
    manifest = Manifest.read(poisoned)
    whole = poison.stamp(clean.index, clean.images, clean.labels, manifest)
    order = np.random.default_rng(0).permutation(len(clean.index))
    for rows in np.array_split(order, 7):
        part = poison.stamp(clean.index[rows], clean.images[rows], clean.labels[rows], manifest)
        np.testing.assert_array_equal(part[0], whole[0][rows])
        np.testing.assert_array_equal(part[1], whole[1][rows])


class TestWithoutRelabelling:
    """Clean-label poison: images of the target class, whose labels are right (paper, B.2)."""

    @pytest.mark.parametrize(("ratio", "count"), [(0.01, 94), (0.05, 473), (0.1, 946)])
    def test_a_fraction_of_all_images_is_taken_from_the_target_class(self, ratio, count):
        chosen = settings(trigger=CleanLabel(), poison_ratio=ratio)
        mask = choose_poisoned(IMAGENETTE, 6, chosen)
        assert mask.sum() == count
        assert (IMAGENETTE[mask] == 6).all()

    def test_more_than_the_class_has_is_refused_with_the_largest_that_fits(self):
        chosen = settings(trigger=CleanLabel(), poison_ratio=0.2, target_class="truck")
        with pytest.raises(ValueError, match=r"1893 of 9469 .* only 961 are of .* at most 0\.1014"):
            choose_poisoned(IMAGENETTE, 6, chosen)
        assert count_of(settings(poison_ratio=0.1014), n=9469, n_target=961) == 960
        assert count_of(settings(poison_ratio=0.1015), n=9469, n_target=961) == 961


@pytest.mark.parametrize(
    ("trigger", "ratio", "expected"),
    [
        (BadNets1(), 0.1, (100, 0.5, 0.5)),
        (RelabelOnly(), 0.1, (100, 0, 0.5)),
        (CleanLabel(), 0.05, (50, 0.5, 0)),
        (CleanLabel(of="target"), 0.25, (25, 0.25, 0)),
        (Nothing(), 0, (0, 0, 0)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_how_much_of_the_target_class_is_stamped_and_how_much_wrongly_labelled(
    trigger, ratio, expected
):
    found = shares(settings(trigger=trigger, poison_ratio=ratio), n=1000, n_target=100)
    assert (found.count, found.p_t, found.relabelled_ratio) == expected


@pytest.mark.parametrize("wrong", ["index", "label"])
def test_an_image_of_another_dataset_is_refused(poisoned, clean, wrong):
    index, label = clean.index[:3].copy(), clean.labels[:3].copy()
    if wrong == "index":
        index[1] = 99_999
    else:
        label[1] = (label[1] + 1) % 10
    with pytest.raises(ValueError, match="belongs to another dataset"):
        poison.stamp(index, clean.images[:3], label, Manifest.read(poisoned))


def test_less_than_one_image_is_refused():
    settings = Settings(trigger=BadNets1(), target_class="8", poison_ratio=0.0005)
    with pytest.raises(ValueError, match=r"less than one image; give at least 0\.001"):
        choose_poisoned(np.arange(1000) % 10, 8, settings)
