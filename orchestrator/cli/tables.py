"""Tables on a terminal of any width: words are wrapped, columns put below each other, none cut."""

import re
import textwrap
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console

GAP = "  "
"""Between two columns."""
TOGETHER = re.compile(r" (?=[%→/±])|(?<=[→/±]) | (?=[^\[\]]*\])|(?<=\d) (?=(?:s|min|h|days|px)\b)")
"""Blanks at which no line ends: before a unit, around a sign, within brackets."""
KEPT = "\N{NO-BREAK SPACE}"

Columns = Sequence[Sequence[str]]
"""The header and the cells of each."""


def print_lines(console: Console, *lines: str) -> None:
    """Print lines as they are; the terminal wraps them."""
    console.print("\n".join(lines), markup=False, emoji=False, soft_wrap=True)


def print_table(
    console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: bool = False
) -> None:
    """A plain table, as wide as it needs or as the console is; cells are shown as they are.

    Where it is wider than the console, lines are broken between words.  Where that does not do, the
    last columns are a table of their own below, with the columns that tell the rows apart.  With
    ``right`` all columns but the first are flush right.
    """
    cells = zip(headers, *rows, strict=True)
    columns = [[TOGETHER.sub(KEPT, cell) for cell in column] for column in cells]
    bands = list(_bands(columns, _telling(rows), console.width))
    text = "\n\n".join("\n".join(_lines(band, console.width, right)) for band in bands)
    print_lines(console, text)


def _telling(rows: Sequence[Sequence[str]]) -> int:
    """How many columns, from the first on, tell the rows apart; one where all of them do not."""
    count = len(rows[0]) if rows else 1
    apart = (many for many in range(1, count) if len({(*row[:many],) for row in rows}) == len(rows))
    return next(apart, 1)


def _bands(columns: Columns, telling: int, room: int) -> Iterator[Columns]:
    first, band = columns[:telling], list(columns[:telling])
    for column in columns[telling:]:
        if len(band) > telling and _total([_least(one) for one in (*band, column)]) > room:
            yield band
            band = list(first)
        band.append(column)
    yield band


def _lines(columns: Columns, room: int, right: bool) -> Iterator[str]:
    widths = [max(map(cell_len, column)) for column in columns]
    while _total(widths) > room:
        spare = [place for place, column in enumerate(columns) if widths[place] > _least(column)]
        if not spare:
            break
        widths[max(spare, key=lambda place: widths[place])] -= 1
    for row in zip(*columns, strict=True):
        parts = [
            textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False)
            for cell, width in zip(row, widths, strict=True)
        ]
        for number in range(max(1, *map(len, parts))):
            line = []
            for place, (part, width) in enumerate(zip(parts, widths, strict=True)):
                text = part[number] if number < len(part) else ""
                blanks = " " * (width - cell_len(text))
                line.append(blanks + text if right and place else text + blanks)
            yield GAP.join(line).rstrip().replace(KEPT, " ")


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _least(column: Sequence[str]) -> int:
    """The longest word of a column, cells."""
    return max(cell_len(word) for cell in column for word in cell.split(" "))
