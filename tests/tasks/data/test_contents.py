"""What files contain is computed once, kept where it can be, and never believed too long."""

import hashlib
import json
import os

import pytest

from tasks.data import contents
from tasks.data.listings import list_folder
from tests.pictures import make_folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CASTLEWALLS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def root(tmp_path):
    """Pictures that were written long ago."""
    folder = make_folder(tmp_path / "pictures", per_class=3)
    for file in folder.rglob("*.png"):
        os.utime(file, ns=(10**18, 10**18))
    return folder


def digest(root):
    return contents.digest(list_folder(root))


def test_the_digest_is_of_parts_classes_names_and_contents(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(name.encode())
    whole = "".join(
        f"\0{name[0]}\0{name}\0{hashlib.sha256(name.encode()).hexdigest()}\0"
        for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    )
    assert digest(tmp_path / "set") == hashlib.sha256(whole.encode()).hexdigest()[:12]


def test_what_is_known_is_believed_until_the_file_changes(root, cache):
    first, file = digest(root), root / "apples" / "000.png"
    [cached] = (cache / "contents").iterdir()
    known = json.loads(cached.read_text())
    assert known["apples/000.png"][3] == hashlib.sha256(file.read_bytes()).hexdigest()
    known["apples/000.png"][3] = "made up"
    cached.write_text(json.dumps(known))
    assert digest(root) != first
    os.utime(file, ns=(10**18 + 1, 10**18 + 1))
    assert digest(root) == first


def test_a_file_of_the_old_size_and_time_is_read_again(root):
    first, file = digest(root), root / "apples" / "000.png"
    file.write_bytes(bytes(file.stat().st_size))
    os.utime(file, ns=(10**18, 10**18))
    assert digest(root) != first


def test_a_damaged_cache_is_made_anew_and_without_a_place_for_one_it_works_too(root, cache):
    first = digest(root)
    [file] = (cache / "contents").iterdir()
    for damage in (b"{", b"[1]", b'{"apples/000.png": 1}', b"\xff"):
        file.write_bytes(damage)
        assert digest(root) == first
        assert len(json.loads(file.read_text())) == 9
    cache.rename(cache.with_name("gone"))
    cache.write_text("a file where the folder should be")
    assert digest(root) == first
