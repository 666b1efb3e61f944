"""The look of every figure: one palette, one type, and SVG with the same bytes every time.

Figures are drawn for white paper; `inlined` makes one a piece of a page, which can be dark.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER = "#ffffff"
"""Behind everything."""
INK = "#1d2433"
"""Words and marks that matter."""
MUTED = "#667085"
"""Ticks, axis words, the paper's values."""
LINE = "#e4e7ec"
"""Grid and frames."""
ON_DARK = "#fffffe"
"""Words on a dark bar; not `PAPER`, which turns dark on a dark page."""
ON_LIGHT = "#1d2434"
"""Words on a light bar; not `INK`, which turns light on a dark page."""

SET_COLORS = {"training": "#9468d1", "generation": "#2a9d8f"}
"""The sets that detectors look at; both are among `RAMP`."""

GROUP_COLORS = {"g1": "#c2413b", "g2": "#f0b135", "g3": "#b9bfd0", "g4": "#3b7a99"}
"""G1 and G2, the triggers, are warm; apart in lightness too, so they survive color blindness."""
GROUP_LABEL_COLORS = {"g1": ON_DARK, "g2": ON_LIGHT, "g3": ON_LIGHT, "g4": ON_DARK}
"""Words on a group's bar."""

RAMP = ("#3f8fd2", "#2a9d8f", "#9468d1", "#d1495b", "#b7791f")
"""Lines of one figure, in order; readable on white and on black, told apart by marker too."""
MARKERS = "osD^v"
"""Markers that go with `RAMP`."""

LABEL_SIZE = 9.0
"""Points of all words but titles: about 12 pixels where a panel is as wide as a phone."""

FONT_STACK = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
"""The reader's own sans serif; nothing is loaded."""

_VARIABLES = {
    PAPER: "card",
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    **{color: group for group, color in GROUP_COLORS.items()},
}

_SETTINGS = Path(__file__).with_name("figure.mplstyle")


@contextmanager
def _figure(width: float, height: float) -> "Iterator[Figure]":
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(fname=_SETTINGS):
        yield Figure(figsize=(width, height))


@contextmanager
def panel(
    width: float = 3.5, height: float = 3.4, tick_lines: int = 1, left: float = 0.135
) -> "Iterator[tuple[Figure, Axes]]":
    """A figure with one pair of axes, to be drawn and rendered inside of the block.

    Args:
        width: Inches; at 72 points an inch, near the pixels it takes on a phone.
        height: Inches.
        tick_lines: Lines of words of the ticks along x.
        left: Margin for the words of the ticks along y, a fraction of the width.
    """
    bottom = 0.115 + 0.04 * tick_lines
    with _figure(width, height) as figure:
        # Fixed margins: fitting them would measure text in a font that the reader does not have.
        yield figure, figure.add_axes((left, bottom, 0.98 - left, 0.82 - bottom))


@contextmanager
def panels(count: int) -> "Iterator[tuple[Figure, list[Axes]]]":
    """A figure with several pairs of axes side by side that share their y, likewise."""
    margin, width = 0.52, 1.6
    whole = margin + count * width
    with _figure(whole, 3.4) as figure:
        row: list[Axes] = []
        for number in range(count):
            left = (margin + number * width) / whole
            place = (left, 0.155, (width - 0.14) / whole, 0.665)
            row.append(figure.add_axes(place, sharey=row[0] if row else None))
            row[-1].tick_params(labelleft=not number)
        yield figure, row


def to_svg(figure: "Figure", salt: str) -> str:
    """Render a figure as SVG text: no date, no version, words as words, identifiers by ``salt``."""
    import matplotlib

    target = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        figure.savefig(
            target, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", target.getvalue(), flags=re.DOTALL)
    text = re.sub(r"(font(?:-family)?: [^;\"]*?)'DejaVu Sans'[^;\"]*", rf"\1{FONT_STACK}", text)
    # p_t and p*_gap get their subscripts here: mathtext would break words into placed glyphs.
    text = re.sub(r"(p\*?)_(t|gap|dom)\b", _subscript, text)
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def _subscript(match: re.Match[str]) -> str:
    """Lower and shrink a subscript, then climb back on a character that takes no room."""
    letter, below = match.groups()
    lowered = f'<tspan dy="2" style="font-size: 76%">{below}</tspan>'
    return f'{letter}{lowered}<tspan dy="-2">&#8203;</tspan>'


def inlined(svg: str, description: str) -> str:
    """Turn the text of `to_svg` into an element of a page; ``description`` is for screen readers.

    Colors become CSS variables, and identifiers go, so that many figures fit on one page.
    """
    element = svg[svg.index("<svg") :]
    element = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", element)
    element = re.sub(r' xmlns(:xlink)?="[^"]*"', "", element)
    element = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", element, count=1)
    element = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", element, count=1)
    for color, name in _VARIABLES.items():
        element = element.replace(color, f"var(--{name}, {color})")
    words = escape(description)
    return element.replace("<svg ", f'<svg role="img" aria-label="{words}" ', 1)
