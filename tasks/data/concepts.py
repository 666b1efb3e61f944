"""Classes of a captioned folder by the noun that a caption names (paper, C.1 and Fig. A5)."""

import itertools
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from tasks.checks import check
from tasks.data import caption_files, captions
from tasks.data.listings import Listing, check_sizes, list_pictures


def check_nouns(nouns: Collection[str]) -> None:
    """Raise ValueError unless there are two nouns or more, none of them a form of another."""
    check("nouns", tuple(nouns), "of at least two", len(nouns) >= 2)
    for noun in nouns:
        check("a noun", noun, "of letters", any(map(str.isalpha, noun)) and noun == noun.strip())
    for first, second in itertools.combinations(nouns, 2):
        if captions.alike(first, second):
            raise ValueError(
                f"expected nouns of different things, got {first!r} and {second!r}, which are "
                f"synonyms or forms of one another; leave one out"
            )


def list_by_noun(
    folder: Path, nouns: tuple[str, ...], store: str = ""
) -> tuple[Listing, tuple[str, ...]]:
    """List a folder's images by the noun that their captions name, and their captions.

    The images may lie in any folders, or in ``train`` and ``test``.  Those whose captions name none
    of the nouns, or two of them, are left out, and ``left_out`` says how many.  Raises ValueError
    as ``list_folder`` and ``caption_files.read``, for nouns that are alike, without captions, and
    for a noun of too few images.
    """
    check_nouns(nouns)
    whole = list_pictures(folder, store)
    if not whole.files:
        raise ValueError(f"expected pictures in {str(whole.root)!r}, got none; check its name")
    said = caption_files.read(whole)
    if not said:
        raise ValueError(
            f"expected captions in {str(whole.root)!r} to look for {', '.join(nouns)} in, got no "
            f"metadata.jsonl and no metadata.csv; add one, or leave out the nouns"
        )
    found = [captions.named(caption, nouns) for caption in said]
    kept = sorted(
        (file.part != "train", nouns.index(own[0]), file.name, row)
        for row, (file, own) in enumerate(zip(whole.files, found, strict=True))
        if len(own) == 1
    )
    files = [whole.files[row]._replace(label=label) for _, label, _, row in kept]
    parts = ("train", "test") if whole.files[0].part else ("",)
    check_sizes(nouns, files, parts, cure="add images whose captions name it, or leave it out")
    named = ", ".join(nouns)
    counts = {
        f"whose captions name none of {named}": sum(not own for own in found),
        f"whose captions name more than one of {named}": sum(len(own) > 1 for own in found),
    }
    notes = tuple(
        f"left out of the images: {count} {what}" for what, count in counts.items() if count
    )
    listing = replace(whole, class_names=nouns, files=tuple(files), notes=notes)
    return listing, tuple(said[row] for *_, row in kept)
