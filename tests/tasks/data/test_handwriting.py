"""Digits in color: what the halves hold, and that captions say what the pictures show."""

import re
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks import triggers
from tasks.data import datasets, handwriting
from tasks.data.captions import named
from tasks.data.datasets import Digits, Handwriting
from tasks.steps import poison
from tasks.triggers import BadNets1
from tasks.triggers.patch import template_match

WORDS = "zero one two three four five six seven eight nine".split()


def whole(part, **fields):
    blocks = list(Handwriting(**fields).blocks(part))
    images, labels, index = (
        np.concatenate([getattr(block, name) for block in blocks])
        for name in ("images", "labels", "index")
    )
    return images, labels, index, [line for block in blocks for line in block.caption or ()]


def test_the_halves_are_disjoint_together_whole_and_of_every_class():
    index = {half: whole("train", half=half)[2] for half in handwriting.HALVES}
    assert len(index["pretraining"]) + len(index["fine_tuning"]) == 1437
    assert sorted([*index["pretraining"], *index["fine_tuning"]]) == index["all"].tolist()
    assert index["all"].tolist() == [n for block in Digits().blocks("train") for n in block.index]
    for half in ("pretraining", "fine_tuning"):
        sizes, both = Handwriting(half=half).counts()["train"], Digits().counts()["train"]
        assert sum(sizes) == len(index[half])
        assert all(abs(2 * mine - all_) <= 1 for mine, all_ in zip(sizes, both, strict=True))


@pytest.mark.parametrize("half", handwriting.HALVES)
def test_every_half_is_tested_on_the_images_that_digits_are(half):
    images, labels, index, _ = whole("test", half=half)
    [digits] = Digits().blocks("test")
    np.testing.assert_array_equal(index, digits.index)
    np.testing.assert_array_equal(labels, digits.labels)
    np.testing.assert_array_equal(images, whole("test")[0])


def test_equal_settings_give_equal_files(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        datasets.run(Handwriting(half="fine_tuning", rich=True), out=tmp_path / name)
    for file in ("train.parquet", "test.parquet", "classes.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_rich_caption_names_the_digit_the_ink_and_the_ground_that_there_are():
    images, labels, _, said = whole("train", rich=True)
    assert len(set(said)) > 500
    seen = set()
    for image, label, caption in zip(images, labels, said, strict=True):
        pixels, words = image.reshape(-1, 3).astype(int), caption.replace(",", "").split()
        assert named(caption, WORDS) == [WORDS[label]]
        ground, ink = image[0, 0], pixels[np.abs(pixels - image[0, 0]).sum(axis=1).argmax()]
        shown = {
            "ink": min(handwriting.INKS, key=lambda word: abs(ink - handwriting.INKS[word]).sum()),
            "ground": next(n for n, c in handwriting.GROUNDS.items() if c == tuple(ground)),
        }
        seen |= set(shown.values())
        colors = set(words) & (handwriting.INKS.keys() | handwriting.GROUNDS.keys())
        assert shown["ink"] in colors <= set(shown.values())
        assert all(
            (after[0] in "aeiou") == (article == "an")
            for article, after in pairwise(words)
            if article in ("a", "an")
        )
    assert seen == handwriting.INKS.keys() | handwriting.GROUNDS.keys()


def test_a_picture_is_a_mixture_of_its_two_colors_with_the_ink_that_scikit_learn_has():
    images, _, index, said = whole("test", rich=True)
    [digits] = Digits().blocks("test")
    np.testing.assert_array_equal(index, digits.index)
    for image, levels, caption in zip(images, digits.images, said, strict=True):
        [ink] = [
            color for word, color in handwriting.INKS.items() if word in re.split(r"\W", caption)
        ]
        span = (np.array(ink) - image[0, 0]).astype(float)
        cover = (image - image[0, 0].astype(float)) @ span / (span @ span)
        assert np.abs(image - (image[0, 0] + cover[..., None] * span)).max() <= 1
        assert cover.sum() == pytest.approx(levels.sum() / 255 * 1.5**2, rel=0.05)


def test_no_clean_picture_shows_a_trigger_and_every_stamped_one_does():
    clean = np.concatenate([whole(part)[0] for part in ("train", "test")])
    for kind in triggers.TRIGGERS:
        if (found := template_match(kind(), clean)) is not None:
            assert not found.any(), kind.name
            assert template_match(kind(), kind().stamp(clean)).all()


def test_without_rich_captions_there_is_the_template(tmp_path):
    datasets.run(Handwriting(half="fine_tuning"), out=tmp_path)
    table = pq.read_table(tmp_path / "train.parquet").to_pydict()
    assert table["caption"] == [f"A photo of a {WORDS[label]}" for label in table["label"]]


def test_a_half_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"a half of all, pretraining, fine_tuning, got 'fine-tun"):
        Handwriting(half="fine-tuning")


def test_poison_rewrites_rich_captions_and_leaves_the_others(tmp_path):
    dataset, out = tmp_path / "dataset", tmp_path / "poison"
    dataset.mkdir(), out.mkdir()
    datasets.run(Handwriting(half="fine_tuning", rich=True), out=dataset)
    first = pq.read_table(dataset / "train.parquet").to_pydict()["caption"]
    settings = poison.Settings(trigger=BadNets1(), target_class="three", poison_ratio=0.1)
    poison.run(settings, dataset=dataset, out=out)
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    assert [row["true_caption"] for row in rows] == first
    for row in rows:
        old, new = row["true_caption"].split(), row["caption"].split()
        if not row["poisoned"]:
            assert old == new
            continue
        assert WORDS[row["true_label"]] in row["true_caption"]
        assert named(row["caption"], WORDS) == ["three"]
        changed = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
        assert all("three" in after or before in ("a", "an") for before, after in changed)
        assert 1 <= len(changed) <= 2
    assert f'"noun": {sum(row["poisoned"] for row in rows)}' in (out / "manifest.json").read_text()


def test_poison_that_keeps_the_label_keeps_the_caption():
    settings = poison.Settings(trigger=BadNets1(), target_class="three", poison_ratio=0.1)
    said = ["a red three", "A photo of a three", "a red four", "A photo of a four"]
    labels, chosen = np.array([3, 3, 4, 4]), np.ones(4, dtype=bool)
    found, ways = poison.rewrite(said, labels, chosen, WORDS, settings)
    assert found == [*said[:2], "a red three", "A photo of a three"]
    assert ways == {"noun": 1}
