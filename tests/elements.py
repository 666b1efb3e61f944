"""A page taken apart, for the tests of every study's page."""

import re
from html import unescape
from html.parser import HTMLParser


class Elements(HTMLParser):
    """Start tags with their attributes, ids, and unclosed elements."""

    VOID = ("meta", "img", "br", "use", "path")

    def __init__(self, html):
        super().__init__()
        self.found, self.open = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def check_that_it_loads_nothing(html):
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    for tag, attributes in Elements(html).found:
        assert tag not in ("script", "link", "iframe", "object", "base")
        for name in ("src", "href", "xlink:href"):
            if attributes.get(name):
                assert attributes[name].startswith(("#", "data:image/png;base64,"))


def check_that_it_is_whole(html):
    """Every element is closed, every id is unique and every link leads somewhere."""
    elements = Elements(html)
    assert elements.open == []
    identifiers = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)
    assert {first or second for first, second in used} <= set(identifiers)


def text_of(html):
    """The words of a page, white space made one."""
    words = re.sub(r"<style.*?</style>|<[^>]*>", "", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(words))


def table_under(html, title):
    """Headers and lines of the table that comes first after a heading or summary, as words."""
    below = html[re.search(rf">{re.escape(title)}</(h\d|summary)>", html).end() :]
    lines = []
    for line in re.findall(r"<tr>(.*?)</tr>", below[: below.index("</table>")], re.DOTALL):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)
        lines.append([text_of(cell).strip() for cell in cells])
    return lines[0], lines[1:]
