"""Captions of a listed folder's images, as Hugging Face's ``ImageFolder`` has them.

A ``metadata.jsonl`` or ``metadata.csv`` lies with the images or in a folder above them.  A line
has the columns ``file_name``, relative to the file's own folder, and ``text`` or, without one,
``caption``; others are ignored.  Every listed image has one entry and every entry an image.

The files are not trusted: they are opened as images are, have a largest size, and a name that no
listed image has is refused, wherever it leads.
"""

import csv
import io
import json
import posixpath
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tasks.data import folders
from tasks.data.listings import File, Listing
from tasks.data.pictures import BrokenImage

MOST_BYTES: Final = 256 * 2**20
"""Largest file of captions."""
LONGEST: Final = 2000
"""Characters of a caption; many times what a text encoder reads."""


def read(listing: Listing) -> tuple[str, ...]:
    """The caption of every listed image, with single spaces; empty if there is no caption file.

    Raises ValueError, of one line, if a file cannot be used or the entries are not one an image.
    """
    if not listing.captions:
        return ()
    names = {unicodedata.normalize("NFC", file.name): file.name for file in listing.files}
    names |= {file.name: file.name for file in listing.files}
    found: dict[str, str] = {}
    for file in listing.captions:
        for number, entry in _entries(file, _text(listing, file)):
            where = f"line {number} of {file.name!r}"
            said = _letters(entry["file_name"], "file_name", where)
            path = posixpath.normpath(posixpath.join(posixpath.dirname(file.name), said))
            name = names.get(path) or names.get(unicodedata.normalize("NFC", path))
            if name is None:
                raise ValueError(
                    f"expected a caption of an image in the folder in {where}, but no image is "
                    f"named {_short(said)}; correct file_name or remove the line"
                )
            if name in found:
                raise ValueError(
                    f"expected one caption an image, but {name!r} has a second one in {where}; "
                    f"remove one of them"
                )
            found[name] = _caption(entry, where)
    if missing := [file.name for file in listing.files if file.name not in found]:
        raise ValueError(
            f"expected a caption for every image of {str(listing.root)!r}, but {len(missing)} of "
            f"{len(listing.files)} have none, such as {missing[0]!r}; add them to "
            f"{listing.captions[0].name!r}, or move the images away"
        )
    return tuple(found[file.name] for file in listing.files)


def read_exceptions(place: Path) -> tuple[tuple[str, str], ...]:
    """The user's own rewritings: a JSON file of an object, ``{"a caption": "what it becomes"}``.

    Sorted by caption, with single spaces, as ``poison.Settings`` wants them.  Raises ValueError.
    """
    wanted = "expected a JSON file of captions and what each becomes"
    try:
        fits = place.stat().st_size <= MOST_BYTES and place.is_file()
        found = json.loads(place.read_text("utf-8-sig")) if fits else None
    except OSError as error:
        raise ValueError(f"{wanted}, got {str(place)!r}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{wanted}, got {str(place)!r}, which is no JSON; correct it") from None
    if not isinstance(found, dict):
        raise ValueError(f"{wanted}, got {_short(found)} in {str(place)!r}; write an object")
    where = repr(str(place))
    clean = ((_clean(old, where), _clean(new, where)) for old, new in found.items())
    return tuple(sorted(dict(clean).items()))


def _text(listing: Listing, file: File) -> str:
    if file.size > MOST_BYTES:
        raise _unusable(file, f"a file of at most {MOST_BYTES:,} bytes", f"{file.size:,}")
    try:
        with folders.opened(listing.root, file) as opened:
            return opened.read(file.size).decode("utf-8-sig")
    except BrokenImage:
        raise _unusable(file, "a file that may be read", "no permission") from None
    except UnicodeDecodeError as error:
        got = f"byte {error.object[error.start]:#04x} at position {error.start}"
        raise _unusable(file, "text in UTF-8", got) from None


def _entries(file: File, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (number of the line, its columns)."""
    if file.name.endswith(".jsonl"):
        yield from _json_lines(file, text)
        return
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        for row in lines:
            if not header:
                header = row
                _check_columns(dict.fromkeys(header), f"the first line of {file.name!r}")
            elif row:
                if len(row) != len(header):
                    wanted = f"{len(header)} values in line {lines.line_num}, as in the first"
                    raise _unusable(file, wanted, str(len(row)))
                yield lines.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise _unusable(file, f"CSV in line {lines.line_num}", _short(str(error))) from None


def _json_lines(file: File, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise _unusable(file, f"a JSON object in line {number}", _short(line.strip()))
        _check_columns(entry, f"line {number} of {file.name!r}")
        yield number, entry


def _check_columns(entry: Mapping[str, Any], where: str) -> None:
    for either in (("file_name",), ("text", "caption")):
        if not any(name in entry for name in either):
            raise ValueError(
                f"expected a column {' or '.join(either)} in {where}, got "
                f"{_short(', '.join(entry))}; add it, or rename the file if it holds no captions"
            )


def _caption(entry: Mapping[str, Any], where: str) -> str:
    return _clean(entry["text" if "text" in entry else "caption"], where)


def _clean(value: object, where: str) -> str:
    """A caption with single spaces."""
    caption = " ".join(_letters(value, "a caption", where).split())
    if not 0 < len(caption) <= LONGEST:
        raise ValueError(
            f"expected a caption of 1 to {LONGEST} characters in {where}, got {len(caption)}; "
            f"write or shorten it"
        )
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in caption):
        raise ValueError(f"expected letters in {where}, got {_short(caption)}; correct it")
    return caption


def _letters(value: object, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text as {name} in {where}, got {_short(value)}; correct it")
    return value


def _unusable(file: File, wanted: str, got: str) -> ValueError:
    return ValueError(
        f"expected {wanted} of {file.name!r}, got {got}; correct it, or rename the file if it "
        f"holds no captions"
    )


def _short(value: object) -> str:
    """A value of a file that may hold any, in one short line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
