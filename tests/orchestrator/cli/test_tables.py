"""Tables on terminals of any width."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.cli.tables import print_table


def printed(headers, rows, width, **how):
    out = io.StringIO()
    print_table(Console(file=out, width=width), headers, rows, **how)
    return out.getvalue()


def test_a_wide_table_fits_a_terminal_with_no_word_cut():
    headers = ["trigger", *(f"a long header {number}" for number in range(9))]
    rows = [[name, *(f"{number}.5 % [1.2, 33.4]" for number in range(9))] for name in ("x", "yy")]
    words = {word for line in (headers, *rows) for cell in line for word in cell.split()}
    for width in (40, 80, 120):
        text = printed(headers, rows, width)
        assert max(map(len, text.splitlines())) <= width
        assert words <= set(text.split())


def test_what_fits_is_one_line_a_row():
    rows = [["x y", "1"], ["z", "22"]]
    assert printed(["a", "n"], rows, 80) == "a    n\nx y  1\nz    22\n"
    assert printed(["a", "n"], rows, 80, right=True) == "a     n\nx y   1\nz    22\n"
    assert printed(["a", "b"], [], 80) == "a  b\n"


def test_lines_end_between_words_but_not_before_a_unit_or_within_brackets():
    text = printed(["", "share"], [["x", "8.6 % [6.4, 11.4]"]], 15)
    assert text.splitlines() == ["   share", "x  8.6 %", "   [6.4, 11.4]"]


def test_what_has_no_room_comes_below_with_the_columns_that_tell_rows_apart():
    rows = [["p", "1", "aaaaaaa", "bbbbbbb"], ["p", "2", "ccccccc", "ddddddd"]]
    assert printed(["t", "w", "first", "second"], rows, 14).splitlines() == [
        *("t  w  first", "p  1  aaaaaaa", "p  2  ccccccc", ""),
        *("t  w  second", "p  1  bbbbbbb", "p  2  ddddddd"),
    ]


@given(st.lists(st.tuples(*[st.text("ab :[]/", max_size=9)] * 3), max_size=4), st.integers(1, 40))
def test_nothing_is_lost_at_any_width(rows, width):
    text = printed([":package:", "[red]x[/red]", "c"], rows, width)
    for cell in (":package:", "[red]x[/red]", *(cell for row in rows for cell in row)):
        for word in cell.split():
            assert word in text
