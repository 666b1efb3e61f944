"""The one glossary: what each term on a page means.  A page names the terms it needs."""

import tomllib
from pathlib import Path

from analysis.names import ABOUT, about, name
from analysis.rows import Rows, values
from analysis.wording import titled

_TEXTS = {
    part: {term: " ".join(words.split()) for term, words in texts.items()}
    for part, texts in tomllib.loads(
        Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    ).items()
}
GLOSSARY = _TEXTS.pop("terms")
"""By term, what it means."""
ABOUT |= _TEXTS


def definitions(*terms: str, **kinds: Rows) -> list[tuple[str, str]]:
    """What a page defines.

    Args:
        terms: Keys of `GLOSSARY`, in reading order.
        kinds: By column rows: each value in it that `analysis.names.ABOUT` has is described.
    """
    found = [(term, GLOSSARY[term]) for term in terms]
    for column, rows in kinds.items():
        kind = titled(column.replace("_", " "))
        found += [
            (f"{kind} {name(column, value)}", words)
            for value in values(rows, column)
            if (words := about(column, value))
        ]
    return found
