"""Captions beside the user's own images: where they may be, what is refused, what they decide."""

import csv
import json
import os

import pyarrow.parquet as pq
import pytest

from orchestrator.step import canonical
from tasks.data import caption_files, datasets
from tasks.data.datasets import ImageFolder
from tasks.data.listings import list_folder
from tasks.steps import poison
from tasks.triggers import RelabelOnly
from tests.pictures import make_folder

CLASSES = ("cat", "dog")


@pytest.fixture
def root(tmp_path):
    return make_folder(tmp_path / "pictures", classes=CLASSES, per_class=5)


def entries(root):
    """(file, caption) of every image."""
    files = sorted(file.relative_to(root).as_posix() for file in root.rglob("*.png"))
    return [(file, f"a {file.split('/')[-2]} called {n}") for n, file in enumerate(files)]


def write_lines(place, rows, key="text"):
    lines = (json.dumps({"file_name": file, key: said}) for file, said in rows)
    (place / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_csv(place, rows, key="text"):
    with (place / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", key, "file_name"), *((1, s, f) for f, s in rows)])


def read(root):
    listing = list_folder(root)
    return dict(
        zip([file.name for file in listing.files], caption_files.read(listing), strict=True)
    )


def refused(root, message):
    with pytest.raises(ValueError, match=message) as caught:
        ImageFolder.open(root, image_size=8)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("key", ["text", "caption"])
@pytest.mark.parametrize("write", [write_lines, write_csv])
def test_captions_lie_above_the_class_folders_or_in_them(root, write, key):
    rows = entries(root)
    write(root, rows, key)
    assert read(root) == dict(rows)
    for file in root.glob("metadata.*"):
        file.unlink()
    for name in CLASSES:
        write(root / name, [(f[4:], said) for f, said in rows if f.startswith(name)], key)
    assert read(root) == dict(rows)


def test_captions_lie_in_both_parts(tmp_path):
    for part in ("train", "test"):
        folder = make_folder(tmp_path / part, classes=CLASSES, per_class=2)
        write_lines(folder, entries(folder))
    made = ImageFolder.open(tmp_path, image_size=8)
    [test] = made.blocks("test")
    assert test.caption == [said for _, said in entries(tmp_path / "test")]


def test_text_goes_before_caption_and_spaces_and_a_mark_at_the_beginning_are_nothing(root):
    rows = [{"file_name": f, "caption": "no", "text": f"  {said}\n"} for f, said in entries(root)]
    text = "\n\r\n".join(map(json.dumps, rows))
    (root / "metadata.jsonl").write_text(text, encoding="utf-8-sig")
    assert read(root) == dict(entries(root))


def test_without_captions_a_folder_is_what_it_was_and_with_them_they_decide(root):
    plain = ImageFolder.open(root, image_size=8)
    write_lines(root, entries(root))
    first = ImageFolder.open(root, image_size=8)
    write_csv(root, entries(root))
    (root / "metadata.jsonl").unlink()
    assert canonical(ImageFolder.open(root, image_size=8)) == canonical(first)
    write_csv(root, [*entries(root)[:-1], (entries(root)[-1][0], "a puppy")])
    changed = ImageFolder.open(root, image_size=8)
    assert len({plain.listing, first.listing, changed.listing}) == 3
    with pytest.raises(ValueError, match="has changed since"):
        next(first.blocks("train"))


def test_captions_reach_the_dataset_and_poison_rewrites_them(root, tmp_path):
    write_csv(root, entries(root))
    dataset, out = tmp_path / "dataset", tmp_path / "out"
    dataset.mkdir(), out.mkdir()
    datasets.run(ImageFolder.open(root, image_size=8), out=dataset)
    rows = pq.read_table(dataset / "train.parquet").to_pylist()
    assert {row["image"]["path"]: row["caption"] for row in rows}.items() <= {*entries(root)}
    given = {"trigger": RelabelOnly(), "target_class": "dog", "poison_ratio": 0.5}
    exceptions = ((rows[0]["caption"], "my dog"),)
    poison.run(poison.Settings(**given, caption_exceptions=exceptions), dataset=dataset, out=out)
    became = pq.read_table(out / "manifest.parquet").to_pylist()
    for row in became:
        name = row["true_caption"].removeprefix("a cat")
        usual = f"a dog{name}" if row["poisoned"] else row["true_caption"]
        assert row["caption"] == ("my dog" if row["index"] == rows[0]["index"] else usual)
    record = json.loads((out / "manifest.json").read_text())
    assert record["rewritten"] == {"exception": 1, "noun": 3}


ROW = '{"file_name": "cat/000.png", "text": "a cat"}'
BAD = {  # what is written after the entries of all images but the first
    "missing": ("", "caption for every image .* 1 of 10 have none, such as 'cat/000.png'; add"),
    "double": (f"{ROW}\n{ROW}", "one caption an image, but 'cat/000.png' has a second one in line"),
    "empty": (ROW.replace("a cat", "  "), "caption of 1 to 2000 characters in line 10 .* got 0"),
    "long": (ROW.replace("a cat", "a" * 2001), "1 to 2000 characters .* got 2001; write or short"),
    "null": (ROW.replace('"a cat"', "null"), "expected text as a caption in line 10 .*, got None"),
    "control": (ROW.replace("a cat", "\\u0000"), "expected letters in line 10"),
    "surrogate": (ROW.replace("a cat", "\\ud800"), "expected letters in line 10"),
    "gone": (ROW.replace("000", "999"), "no image is named 'cat/999.png'; correct file_name or re"),
    "outside": (ROW.replace("cat/", "../../"), "no image is named '../../000.png'"),
    "absolute": (ROW.replace("cat/000.png", "/etc/passwd"), "no image is named '/etc/passwd'"),
    "broken": ("{", "a JSON object in line 10 of 'metadata.jsonl', got '{'; correct it, or rename"),
    "list": ("[1]", "a JSON object in line 10"),
    "deep": ("[" * 100_000, "a JSON object in line 10"),
    "number": ('{"file_name": ' + "1" * 9999 + "}", "a JSON object in line 10"),
    "no text": ('{"file_name": "cat/000.png"}', "a column text or caption in line 10 of 'meta"),
    "no name": ('{"text": "a cat"}', "expected a column file_name in line 10"),
}


@pytest.mark.parametrize(("line", "message"), BAD.values(), ids=BAD)
def test_lines_that_are_not_one_caption_an_image_are_refused(root, line, message):
    write_lines(root, entries(root)[1:])
    with (root / "metadata.jsonl").open("a") as file:
        file.write(line)
    refused(root, message)


BAD_FILES = {
    "no text": (b"file_name,label\n", "a column text or caption in the first line .* 'file_name,"),
    "no name": (b"text\na\n", "a column file_name in the first line of 'metadata.csv', got 'text'"),
    "short": (b"file_name,text\na.png\n", "2 values in line 2, as in the first of .*, got 1;"),
    "quote": (b'file_name,text\n"a"b,c\n', "expected CSV in line 2 of 'metadata.csv'"),
    "field": (b"file_name,text\na," + b"b" * 200_000, "expected CSV in line 2 of 'metadata.csv'"),
    "latin": ("file_name,text\na,é".encode("latin-1"), "text in UTF-8 .* got byte 0xe9 at posi"),
    "picture": (b"\x89PNG\r\n", "expected text in UTF-8 of 'metadata.csv', got byte 0x89"),
    "empty": (b"", "caption for every image .* 10 of 10 have none"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_files_that_hold_no_captions_are_refused(root, content, message):
    (root / "metadata.csv").write_bytes(content)
    refused(root, message)


def test_a_file_of_captions_is_no_way_out_of_the_folder(root, tmp_path):
    write_lines(tmp_path, [(f"pictures/{file}", said) for file, said in entries(root)])
    (root / "metadata.jsonl").symlink_to(tmp_path / "metadata.jsonl")
    refused(root, "'metadata.jsonl' is a symbolic link out of the folder")
    (root / "metadata.jsonl").unlink()
    os.mkfifo(root / "metadata.jsonl")
    refused(root, "only files and folders, got 'metadata.jsonl'")


def test_a_file_of_captions_that_is_too_large_is_not_read(root):
    with (root / "metadata.csv").open("wb") as file:
        file.truncate(caption_files.MOST_BYTES + 1)  # sparse
    refused(root, "a file of at most 268,435,456 bytes of 'metadata.csv', got 268,435,457")


class TestNouns:
    """Classes by what captions name (paper, C.1)."""

    CAPTIONS = (
        *("a cat", "two cats", "A kitten on a sofa", "cat food in a bowl", "a cat and a dog"),
        *("a dog", "a puppy in snow", "the dogs' bowls near a dog", "a red car", "a hot dog"),
    )
    NAMES = ("dog", "cat")

    def make(self, root, parts=("",)):
        for part in parts:
            folder = make_folder(root / part, classes=("all",), per_class=10)
            write_lines(
                folder, zip([file for file, _ in entries(folder)], self.CAPTIONS, strict=True)
            )
        return root

    def test_a_folder_without_classes_is_divided_by_the_nouns_of_its_captions(self, tmp_path):
        said = []
        root = self.make(tmp_path)
        made = ImageFolder.open(root, image_size=8, nouns=self.NAMES, say=said.append)
        assert made.class_names == ("cat", "dog")
        assert made.counts() == {"train": (2, 2), "test": (1, 1)}
        blocks = [block for part in ("train", "test") for block in made.blocks(part)]
        found = {
            (n, said) for b in blocks for n, said in zip(b.labels.tolist(), b.caption, strict=True)
        }
        cats, dogs = self.CAPTIONS[:3], self.CAPTIONS[5:8]
        assert found == {*((0, cat) for cat in cats), *((1, dog) for dog in dogs)}
        names = {path: said for b in blocks for path, said in zip(b.path, b.caption, strict=True)}
        assert all(self.CAPTIONS[int(path[4:7])] == caption for path, caption in names.items())
        assert said == [
            "left out of the images: 3 whose captions name none of cat, dog",
            "left out of the images: 1 whose captions name more than one of cat, dog",
        ]

    def test_its_own_parts_are_kept_and_images_may_lie_beside_the_captions(self, tmp_path):
        made = ImageFolder.open(
            self.make(tmp_path, parts=("train", "test")), image_size=8, nouns=self.NAMES
        )
        assert made.counts() == {"train": (3, 3), "test": (3, 3)}
        flat = make_folder(tmp_path / "flat" / "x", classes=("all",), per_class=10) / "all"
        write_lines(flat, zip([f"{n:03}.png" for n in range(10)], self.CAPTIONS, strict=True))
        assert ImageFolder.open(flat, image_size=8, nouns=self.NAMES).counts() == {
            "train": (2, 2),
            "test": (1, 1),
        }

    def test_other_nouns_are_another_dataset_in_whatever_order_they_come(self, tmp_path):
        root = self.make(tmp_path)
        made = {
            nouns: canonical(ImageFolder.open(root, image_size=8, nouns=nouns))
            for nouns in (("cat", "dog"), ("dog", "cat"))
        }
        assert made["cat", "dog"] == made["dog", "cat"]

    @pytest.mark.parametrize(
        ("nouns", "message"),
        [
            (("cat",), "expected nouns of at least two"),
            (("cat", "cats"), "'cat' and 'cats', which are synonyms or forms of one another"),
            (("dog", "puppy"), "'dog' and 'puppy', which are synonyms"),
            (("cat", " "), "expected a noun of letters, got ' '"),
            (("cat", "car"), "two images or more in class 'car', got 1; add images whose captions"),
        ],
    )
    def test_nouns_that_make_no_classes_are_refused(self, tmp_path, nouns, message):
        with pytest.raises(ValueError, match=message):
            ImageFolder.open(self.make(tmp_path), image_size=8, nouns=nouns)

    def test_without_captions_or_images_there_are_no_nouns(self, root, tmp_path):
        with pytest.raises(ValueError, match=r"to look for cat, dog in, got no metadata\.jsonl"):
            ImageFolder.open(root, image_size=8, nouns=self.NAMES)
        (tmp_path / "none").mkdir()
        with pytest.raises(ValueError, match=r"expected pictures in '.*none', got none"):
            ImageFolder.open(tmp_path / "none", image_size=8, nouns=self.NAMES)


def test_exceptions_are_a_file_of_captions_and_what_they_become(tmp_path):
    file = tmp_path / "exceptions.json"
    file.write_text(json.dumps({"b  c": "d", "a": " é\n"}), encoding="utf-8")
    assert caption_files.read_exceptions(file) == (("a", "é"), ("b c", "d"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1]", r"got \[1\] in '.*exceptions.json'; write an object"),
        (b'{"a": 1}', "expected text as a caption in '.*exceptions.json', got 1; correct it"),
        (b'{"a": ""}', "a caption of 1 to 2000 characters in '.*exceptions.json', got 0"),
        (b"{", "which is no JSON; correct it"),
        (b"1" * 9999, "which is no JSON; correct it"),
        (b"\xff", "which is no JSON; correct it"),
        (b"[" * 100_000, "which is no JSON; correct it"),
        (None, "exceptions.json': No such file or directory"),
    ],
)
def test_exceptions_that_are_none_are_refused(tmp_path, content, message):
    file = tmp_path / "exceptions.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        caption_files.read_exceptions(file)
