"""Digests of a listed folder's files, cached for each folder in CASTLEWALLS_CACHE or ~/.cache.

A file is read again only when its size or times change.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tasks.data import folders, pictures
from tasks.data.listings import File, Listing

Say = Callable[[str], Any]
Remembered = dict[str, list[Any]]
"""By file name: size, both times, and sha256."""

PATIENCE, AGAIN = 1.0, 30.0
"""Seconds until the first line about reading, and between two lines."""
SETTLED: Final = 2 * 10**9
"""Nanoseconds; a file written more recently may change again within a tick of the clock."""


def digest(listing: Listing, say: Say = lambda _: None, captions: Sequence[str] = ()) -> str:
    """Twelve hex digits that change when a file or its caption is added, removed or modified.

    A file that cannot be read or is too large counts by its size.  ``say`` is called with a line
    when reading takes a while.  Raises ValueError if a file has changed since it was listed.
    """
    whole = hashlib.sha256(b"captions\0" if captions else b"")
    contents = _contents(listing, say)
    said: list[tuple[str, ...]] = [(caption,) for caption in captions]
    for file, own in zip(listing.files, said or [()] * len(listing.files), strict=True):
        parts = (file.part, listing.class_names[file.label], file.name, contents[file.name], *own)
        whole.update("".join(f"{part}\0" for part in parts).encode())
    return whole.hexdigest()[:12]


def _contents(listing: Listing, say: Say) -> Mapping[str, str]:
    """The sha256 of every file by name."""
    place = _place(listing.root)
    known = _read(place)
    found = {
        file.name: known[file.name][3]
        for file in listing.files
        if known.get(file.name, [])[:3] == _stamp(file)
    }
    missing = [file for file in listing.files if file.name not in found]
    if not missing:
        return found
    began, due, size = time.time_ns(), time.monotonic() + PATIENCE, 0
    total = sum(file.size for file in missing)
    try:
        for file in missing:
            found[file.name] = _content(listing.root, file)
            size += file.size
            if time.monotonic() > due:
                due = time.monotonic() + AGAIN
                say(
                    f"reading {len(missing):,} files of {listing.root}, once, to know what they "
                    f"hold: {size / max(1, total):.0%} ..."
                )
    finally:
        done = (file for file in listing.files if file.name in found)
        settled = (file for file in done if file.modified < began - SETTLED)
        _keep(place, {file.name: [*_stamp(file), found[file.name]] for file in settled})
    return found


def _stamp(file: File) -> list[int]:
    return [file.size, file.modified, file.changed]


def _content(root: Path, file: File) -> str:
    if file.size <= pictures.MOST_BYTES:
        with suppress(pictures.BrokenImage), folders.opened(root, file) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    return f"{file.size} bytes"


def _place(root: Path) -> Path:
    """The cache file of a folder."""
    home = os.path.expanduser("~/.cache/castlewalls")  # noqa: PTH111 - without a home no error
    cache = Path(os.environ.get("CASTLEWALLS_CACHE") or home)
    return cache / "contents" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.json"


def _read(place: Path) -> Remembered:
    try:
        known = json.loads(place.read_bytes())
        return {name: [*found] for name, found in known.items() if len(found) == 4}
    except (OSError, ValueError, AttributeError, TypeError):  # none yet, or damaged
        return {}


def _keep(place: Path, known: Remembered) -> None:
    fresh = place.with_suffix(f".{os.getpid()}")
    with suppress(OSError):  # a full disk or a read-only folder: not cached
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(known))
        fresh.replace(place)
