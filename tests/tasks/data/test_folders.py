"""Which folders are listed, which are refused, and that no file is trusted."""

import os
import shutil
import unicodedata

import pytest
from PIL import Image

from tasks.data import folders, pictures
from tasks.data.folders import BrokenImage, channels_of
from tasks.data.listings import list_folder
from tests.pictures import CLASSES, make_folder


def refused(root, message):
    """That a folder is refused in one line, which says all of this."""
    with pytest.raises(ValueError, match=message) as caught:
        list_folder(root)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, BrokenImage)


@pytest.fixture
def root(tmp_path):
    return make_folder(tmp_path / "pictures", per_class=3)


def read(listing, file):
    return folders.read(listing.root, file, side=8, channels=3)


def test_files_are_listed_by_class_and_name(root):
    (root / "apples" / "a deeper").mkdir()
    shutil.copy(root / "apples" / "000.png", root / "apples" / "a deeper" / "é.png")
    listing = list_folder(root)
    names = [f"{name}/{number:03}.png" for name in CLASSES for number in range(3)]
    assert [file.name for file in listing.files] == [
        *names[:3],
        "apples/a deeper/é.png",
        *names[3:],
    ]
    assert listing.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert listing.class_names == CLASSES
    assert not listing.divided


def test_what_systems_leave_behind_is_neither_a_class_nor_a_picture(root):
    before = list_folder(root)
    for name in ("@eaDir", "__MACOSX", "lost+found", "$RECYCLE.BIN", ".git"):
        make_folder(root / name, classes=(".",), per_class=2)
        make_folder(root / "apples" / name, classes=(".",), per_class=2)
    (root / "lost+found").chmod(0)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._000.png"):
        (root / "apples" / name).write_bytes(b"\0\1")
    assert list_folder(root) == before
    assert list(before.left_out()) == []


def test_files_that_by_name_are_no_pictures_are_counted_and_left_out(root):
    before = list_folder(root)
    names = ("apples/000.json", "apples/deeper/notes.TXT", "red pears/sizes.csv", "Äpfel/a.mp4")
    (root / "apples" / "deeper").mkdir()
    for name in names:
        (root / name).write_text("{}")
    listing = list_folder(root)
    assert listing.files == before.files
    assert listing.no_pictures == tuple(sorted(names))
    [line] = listing.left_out()
    assert line == (
        "left out of the images: 4 files that by name are no pictures, such as 'apples/000.json'"
    )


def test_the_store_of_a_run_is_no_data_before_it_holds_anything_and_when_linked(root, tmp_path):
    before = list_folder(root)
    (tmp_path / "elsewhere" / "logs").mkdir(parents=True)
    (root / "artifacts").symlink_to(tmp_path / "elsewhere")
    refused(root, "'artifacts' is a symbolic link to a folder")
    listing = list_folder(root, str(root / "artifacts"))
    assert listing.files == before.files
    line = f"left out of the images: {str(tmp_path / 'elsewhere')!r}, a store of results"
    assert list(listing.left_out()) == [line]
    with pytest.raises(ValueError, match=r"apart from the store, but .* is the store of results"):
        list_folder(root, str(root))


def test_a_class_name_is_composed_but_its_folder_is_found(root):
    decomposed = unicodedata.normalize("NFD", "Äpfel")
    (root / "Äpfel").rename(root / decomposed)
    listing = list_folder(root)
    assert listing.class_names == CLASSES
    assert listing.files[-1].name == f"{decomposed}/002.png"
    read(listing, listing.files[-1])


def test_a_class_of_one_image_and_a_missing_folder_are_refused(root):
    make_folder(root, classes=("lonely",), per_class=1)
    refused(root, "expected two images or more in class 'lonely', got 1; add images")
    refused(root / "missing", "got '.*missing': No such file or directory; check its name")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_an_unreadable_folder_is_refused_and_an_unreadable_file_is_broken(root):
    (root / "apples").chmod(0)
    refused(root, "a folder that can be read, got '.*apples': Permission denied")
    (root / "apples").chmod(0o600)
    refused(root, "a folder that can be read, got '.*apples': Permission denied")
    (root / "apples").chmod(0o700)
    (root / "apples" / "000.png").chmod(0)
    listing = list_folder(root)
    with pytest.raises(BrokenImage, match="may not be read"):
        read(listing, listing.files[0])


@pytest.mark.parametrize("names", [("train", "test", "val"), ("Train", "Test")])
def test_what_looks_like_parts_is_not_taken_for_classes(names, tmp_path):
    for name in names:
        make_folder(tmp_path / name)
    refused(tmp_path, r"train/ and test/ \(or val/\) and no other folder")


@pytest.mark.parametrize(
    ("place", "target", "said"),
    [
        ("apples/link.png", "../../secret.png", "out of the folder"),
        ("apples/link.png", "link.png", "that leads nowhere"),
        ("link", "red pears", "to a folder"),
        ("apples/deeper/link", "../../red pears", "to a folder"),
    ],
)
def test_links_to_anything_but_a_file_inside_are_refused(root, tmp_path, place, target, said):
    Image.new("L", (8, 8)).save(tmp_path / "secret.png")
    (root / "apples" / "deeper").mkdir()
    (root / place).symlink_to(target)
    refused(root, f"'{place}' is a symbolic link {said}")


def test_what_is_neither_a_file_nor_a_folder_is_refused_without_waiting(root):
    os.mkfifo(root / "apples" / "pipe.png")
    refused(root, "only files and folders, got 'apples/pipe.png'")


def test_a_class_name_that_cannot_be_read_aloud_is_refused(root):
    make_folder(root, classes=("two\nlines",))
    refused(root, "class name of letters")


def swap_for_a_link(file, tmp_path):
    shutil.copy2(file, tmp_path / "secret.png")
    file.unlink()
    file.symlink_to(tmp_path / "secret.png")


def swap_for_a_folder_link(file, tmp_path):
    shutil.copytree(file.parent, tmp_path / "secrets")
    shutil.rmtree(file.parent)
    file.parent.symlink_to(tmp_path / "secrets")


def swap_for_a_pipe(file, tmp_path):
    file.unlink()
    os.mkfifo(file)


def write_more(file, tmp_path):
    file.write_bytes(file.read_bytes() + b"more")


@pytest.mark.parametrize(
    "change", [swap_for_a_link, swap_for_a_folder_link, swap_for_a_pipe, write_more]
)
def test_a_file_that_is_swapped_after_listing_is_not_read(change, root, tmp_path):
    listing = list_folder(root)
    change(root / listing.files[0].name, tmp_path)
    with pytest.raises(ValueError, match=r"has changed since \('apples/000.png'\)") as caught:
        read(listing, listing.files[0])
    assert not isinstance(caught.value, BrokenImage)


def test_a_file_of_too_many_bytes_is_broken_and_not_read(root):
    with (root / "apples" / "000.png").open("ab") as file:
        file.truncate(pictures.MOST_BYTES + 1)  # sparse
    listing = list_folder(root)
    with pytest.raises(BrokenImage, match="more than 268,435,456 bytes"):
        read(listing, listing.files[0])


def test_grey_folders_have_one_channel_and_others_three(root, tmp_path):
    assert channels_of(list_folder(root)) == 3
    grey = make_folder(tmp_path / "grey", channels=1, per_class=4)
    assert channels_of(list_folder(grey)) == 1
    (grey / "apples" / "000.png").write_bytes(b"no picture")
    assert channels_of(list_folder(grey)) == 1
    Image.new("RGB", (8, 8)).save(grey / "red pears" / "002.png")
    assert channels_of(list_folder(grey)) == 3


@pytest.mark.parametrize("place", [b"\xff", b"apples/\xff.png"])
def test_names_in_no_unicode_are_refused(root, place):
    (root / os.fsdecode(place)).mkdir()
    refused(root, "rename it")
