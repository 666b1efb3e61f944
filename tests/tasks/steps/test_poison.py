import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    chosen = settings(poison_ratio=thousandths / 1000)
    assert count_of(chosen, n=1000, n_target=0) == thousandths


def test_a_smaller_ratio_poisons_some_of_the_same_images():
    few, many = (choose_poisoned(LABELS, 8, settings(poison_ratio=ratio)) for ratio in (0.02, 0.3))
    assert many[few].all()


@pytest.mark.parametrize("ratio", [10, 1, -0.1, float("nan")])
def test_a_ratio_that_is_no_fraction_is_refused(ratio):
    with pytest.raises(ValueError, match=r"for ten percent write 0\.1"):
        settings(poison_ratio=ratio)


def test_more_poison_than_images_outside_the_target_and_less_than_one_image_are_refused():
    with pytest.raises(ValueError, match=r"only 900 lie outside .* at most 0\.9"):
        choose_poisoned(LABELS, 8, settings(poison_ratio=0.95))
    with pytest.raises(ValueError, match=r"less than one image; give at least 0\.001"):
        choose_poisoned(LABELS, 8, settings(poison_ratio=0.0005))


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


def test_the_listed_images_are_stamped_and_no_others_however_the_stream_is_cut(
    poisoned, clean, stamped
):
    manifest, whole = Manifest.read(poisoned), stamped(poisoned)
    chosen, (image, label) = manifest.poisoned, whole
    np.testing.assert_array_equal(image[chosen], BadNets1().stamp(clean.images[chosen]))
    np.testing.assert_array_equal(image[~chosen], clean.images[~chosen])
    np.testing.assert_array_equal(label, np.where(chosen, 8, clean.labels))
    order = np.random.default_rng(0).permutation(len(clean.index))
    for rows in np.array_split(order, 7):
        part = poison.stamp(clean.index[rows], clean.images[rows], clean.labels[rows], manifest)
        np.testing.assert_array_equal(part[0], whole[0][rows])
        np.testing.assert_array_equal(part[1], whole[1][rows])


def test_without_relabelling_the_class_must_have_so_many_images():
    """Clean-label poison: images of the target class, whose labels are right (paper, B.2)."""
    mask = choose_poisoned(IMAGENETTE, 6, settings(trigger=CleanLabel(), poison_ratio=0.05))
    assert mask.sum() == 473
    assert (IMAGENETTE[mask] == 6).all()
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


@pytest.mark.parametrize(("later", "other"), [(99_999, 0), (0, 1)])
def test_an_image_of_another_dataset_is_refused(poisoned, clean, later, other):
    index, label = clean.index[:3] + later, (clean.labels[:3] + other) % 10
    with pytest.raises(ValueError, match="belongs to another dataset"):
        poison.stamp(index, clean.images[:3], label, Manifest.read(poisoned))
