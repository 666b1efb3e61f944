"""List the pictures of a folder: classes, parts, files and captions.  No file is opened.

The folder is not trusted: links must stay inside, anything but files and folders is refused.
"""

import itertools
import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.data import pictures

LIKE_PARTS: Final = {"train", "training", "test", "testing", "val", "valid", "validation"}
"""Folder names of which two together are probably not classes."""
SYSTEM: Final = {
    *("$recycle.bin", "#recycle", "@eadir", "__macosx", "desktop.ini", "lost+found"),
    *("system volume information", "thumbs.db"),
}
"""Files and folders that operating systems create, in small letters."""
CAPTION_FILES: Final = ("metadata.jsonl", "metadata.csv")
"""Names of files of captions, as Hugging Face's ``ImageFolder`` has them."""


class File(NamedTuple):
    """A listed file of a class folder."""

    part: str
    """``train``, ``test``, or empty where the folder has no parts."""
    label: int
    """Number of its class."""
    name: str
    """Name relative to the folder, with ``/``."""
    size: int
    """Bytes."""
    modified: int
    """Time of the last write, nanoseconds since 1970."""
    changed: int
    """Time of the last change of its metadata, likewise; it cannot be set."""


@dataclass(frozen=True)
class Listing:
    """Every picture file of a folder."""

    root: Path
    """The folder, without links."""
    class_names: tuple[str, ...]
    """As on disk, composed (Unicode NFC), ascending."""
    files: tuple[File, ...]
    """``train`` before ``test``, then by class, then by name."""
    no_pictures: tuple[str, ...] = ()
    """Files of the class folders that are not pictures by their name."""
    store: str = ""
    """The store of results, absolute, if it lies in the folder and was left out."""
    captions: tuple[File, ...] = ()
    """Files of captions, by name; their part is empty and their label -1."""
    notes: tuple[str, ...] = ()
    """Further lines about what is left out."""

    @property
    def divided(self) -> bool:
        """Whether the folder itself is divided into ``train`` and ``test``."""
        return self.files[0].part != ""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,). The class of every file."""
        return np.array([file.label for file in self.files], dtype=np.int64)

    def left_out(self) -> Iterator[str]:
        """Yield a line about each kind of thing in the folder that is not data."""
        if self.store:
            yield f"left out of the images: {self.store!r}, a store of results"
        if self.no_pictures:
            count, first = len(self.no_pictures), self.no_pictures[0]
            what = " that by name is no picture" if count == 1 else "s that by name are no pictures"
            yield f"left out of the images: {count} file{what}, such as {first!r}"
        yield from self.notes


def list_folder(folder: Path, store: str = "") -> Listing:
    """List a folder of class folders, or of ``train`` and ``test`` (or ``val``) that hold them.

    A class is a folder with its sub-folders.  Left out are hidden files, those of SYSTEM, files
    beside the class folders, files that are not pictures by their name, and ``store``, absolute;
    CAPTION_FILES are listed apart.

    Raises ValueError if the folder or the store cannot be used, with the reason.
    """
    walk = _walk(folder, store)
    places = _parts(walk)
    classes = {part: _class_folders(walk, place) for part, place in places.items()}
    names = _agreed(walk.root, places, classes)
    files = [
        File(part, label, *found)
        for part, folders in classes.items()
        for label, name in enumerate(names)
        for found in walk.files(f"{places[part]}{folders[name]}")
    ]
    check_sizes(names, files, classes)
    for place in {"", *places.values()}:
        walk.find_captions(place)
    return _listing(walk, names, files)


def list_pictures(folder: Path, store: str = "") -> Listing:
    """List every picture of a folder, or of its ``train`` and ``test``, as one class without name.

    Left out and refused is what ``list_folder`` leaves out and refuses.
    """
    walk = _walk(folder, store)
    places = _parts(walk)
    files = [File(part, 0, *found) for part in places for found in walk.files(places[part][:-1])]
    if "" not in places:
        walk.find_captions("")
    return _listing(walk, ("",), files)


def _walk(folder: Path, store: str) -> "_Walk":
    """Raises ValueError if the store cannot be used."""
    root, real_store = Path(os.path.realpath(folder)), os.path.realpath(store) if store else ""
    if store and _holds_pictures(store):
        raise ValueError(
            f"expected a folder of its own as --store, but {store!r} holds pictures; give another "
            f"one, such as --store results"
        )
    if str(root) == real_store:
        raise ValueError(
            f"expected a folder of images apart from the store, but {str(root)!r} is the store of "
            f"results; give another folder as --images, or as --store"
        )
    return _Walk(root, real_store)


def _listing(walk: "_Walk", names: tuple[str, ...], files: list[File]) -> Listing:
    return Listing(
        root=walk.root,
        class_names=names,
        files=tuple(files),
        no_pictures=tuple(sorted(walk.no_pictures)),
        store=walk.left_out,
        captions=tuple(File("", -1, *found) for found in sorted(walk.captions)),
    )


def _parts(walk: "_Walk") -> dict[str, str]:
    """What the names in each part begin with."""
    names = set(walk.folders(""))
    for held_out in ("test", "val"):
        if names == {"train", held_out}:
            return {"train": "train/", "test": f"{held_out}/"}
    if sum(name.casefold() in LIKE_PARTS for name in names) > 1:
        raise ValueError(
            f"expected train/ and test/ (or val/) and no other folder in {str(walk.root)!r}, "
            f"got {_shown(names)}; rename them or move the others away"
        )
    return {"": ""}


def _class_folders(walk: "_Walk", place: str) -> dict[str, str]:
    """The name on disk of each class."""
    found: dict[str, str] = {}
    for name in walk.folders(place):
        composed = unicodedata.normalize("NFC", name)
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in composed):
            raise ValueError(f"expected a class name of letters, got {place + name!r}; rename it")
        if composed in found:
            raise ValueError(f"expected each class once, got {place + composed!r} twice; rename it")
        found[composed] = name
    return found


def _agreed(
    root: Path, places: Mapping[str, str], classes: Mapping[str, Mapping[str, str]]
) -> tuple[str, ...]:
    """The class names, which must be the same in every part and at least two."""
    for part, folders in classes.items():
        if len(folders) < 2:
            got = f"only {_shown(folders)}" if folders else "none"
            raise ValueError(
                f"expected at least two class folders in {str(root / places[part])!r}, got {got}; "
                f"give the folder that holds a folder of images for each class"
            )
    first, *others = classes.values()
    for folders in others:
        if lonely := first.keys() ^ folders.keys():
            raise ValueError(
                f"expected the same classes in both parts of {str(root)!r}, "
                f"got {_shown(lonely)} in one of them only; add or move it"
            )
    return tuple(sorted(first))


class _Walk:
    """Walks the folders below ``root`` and collects what it leaves out."""

    def __init__(self, root: Path, store: str) -> None:
        self.root, self.store, self.left_out = root, store, ""
        self.no_pictures: list[str] = []
        self.captions: list[tuple[str, int, int, int]] = []

    def folders(self, place: str) -> list[str]:
        """Names of the folders in a place, which is relative to ``root``."""
        found = [entry for entry in self._visible(place) if entry.is_dir()]
        for entry in found:
            if entry.is_symlink():
                raise _no_link(place + entry.name, "to a folder")
        return [entry.name for entry in found]

    def files(self, folder: str) -> list[tuple[str, int, int, int]]:
        """(name, size, modified, changed) of every picture under a folder, relative to ``root``."""
        found, folders = [], [folder]
        while folders:
            below = folders.pop()
            inside = f"{below}/" if below else ""
            self.find_captions(inside)
            for entry in self._visible(inside):
                name = inside + entry.name
                if entry.name in CAPTION_FILES and not _is_folder(entry):
                    continue
                if not (pictures.is_named_so(entry.name) or _is_folder(entry)):
                    self.no_pictures.append(name)
                    continue
                try:
                    name.encode()
                except UnicodeEncodeError:
                    error = f"expected file names in UTF-8, got {name!r}; rename it"
                    raise ValueError(error) from None
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                    continue
                found.append(self._regular(entry, name))
        return sorted(found)

    def find_captions(self, place: str) -> None:
        """Remember the files of captions in a place."""
        for entry in self._visible(place):
            if entry.name in CAPTION_FILES and not _is_folder(entry):
                self.captions.append(self._regular(entry, place + entry.name))

    def _regular(self, entry: os.DirEntry[str], name: str) -> tuple[str, int, int, int]:
        status = self._linked(name) if entry.is_symlink() else _status(entry)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"expected only files and folders, got {name!r}; move it away")
        return name, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _visible(self, place: str) -> list[os.DirEntry[str]]:
        folder = self.root / place
        try:
            with os.scandir(folder) as entries:
                named = [entry for entry in entries if not _is_system(entry.name)]
        except OSError as error:
            raise _unreadable(folder, error) from None
        kept = [entry for entry in named if os.path.realpath(entry.path) != self.store]
        if len(kept) < len(named):
            self.left_out = self.store
        return kept

    def _linked(self, name: str) -> os.stat_result:
        real = Path(os.path.realpath(self.root / name))
        if not real.exists():
            raise _no_link(name, "that leads nowhere")
        if real.is_dir():
            raise _no_link(name, "to a folder")
        if not real.is_relative_to(self.root):
            raise _no_link(name, "out of the folder")
        return real.stat()


def _holds_pictures(folder: str) -> bool:
    """Whether files directly in a folder have a picture's name; False if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return any(
                Path(entry.name).suffix and pictures.is_named_so(entry.name) and entry.is_file()
                for entry in entries
                if not _is_system(entry.name)
            )
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; False for links to nowhere or in circles."""
    return entry.is_dir(follow_symlinks=False) or (
        entry.is_symlink() and os.path.isdir(entry.path)  # noqa: PTH112
    )


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.casefold() in SYSTEM


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError as error:
        raise _unreadable(Path(entry.path).parent, error) from None


def check_sizes(
    names: tuple[str, ...],
    files: Collection[File],
    parts: Collection[str],
    cure: str = "add images or move the folder away",
) -> None:
    """Raise ValueError unless every class has an image in each part, or two if there is one."""
    least, wanted = (1, "an image") if len(parts) > 1 else (2, "two images or more")
    counts = Counter((file.part, file.label) for file in files)
    for part, label in itertools.product(parts, range(len(names))):
        if counts[part, label] < least:
            where = f"{part}/" if part else ""
            raise ValueError(
                f"expected {wanted} in class {where + names[label]!r}, got "
                f"{counts[part, label]}; {cure}"
            )


def _no_link(name: str, what: str) -> ValueError:
    return ValueError(
        f"expected files inside the folder, but {name!r} is a symbolic link {what}; "
        f"put a copy there instead"
    )


def _unreadable(folder: Path, error: OSError) -> ValueError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ValueError(
        f"expected a folder that can be read, got {str(folder)!r}: {reason}; "
        f"check its name and permissions"
    )


def _shown(names: Collection[str]) -> str:
    shown = ", ".join(repr(name) for name in sorted(names)[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
