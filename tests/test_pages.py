"""Report pages in a real browser: what a reader sees on a phone and on a desk, by day and night."""

import asyncio
import os
import re
from pathlib import Path

import pytest

from tests import browser, made_up
from tests.elements import check_that_it_is_whole, check_that_it_loads_nothing

CHECKS = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")
WINDOWS = {"phone": (390, 844), "desk": (1280, 900)}

TEXT, FIGURE_TEXT = 11.0, 8.0
"""CSS pixels that text needs at least; in a figure as scaled with it."""
CONTRAST = 4.5
"""Contrast that text needs at least: WCAG 2.2, success criterion 1.4.3."""

FLAWS = """<!doctype html>
<html><head><meta name="viewport" content="width=device-width"><title>Flaws</title><style>
  body { margin: 0; background: white; color: black; }
  a { color: inherit; }
  .faint { color: #999; }
  @media (prefers-color-scheme: dark) {
    body { background: #111; color: white; }
    .faint { color: #666; }
  }
</style></head><body>
  <p id="small" style="font-size: 10px">small</p>
  <p id="faint" class="faint">faint</p>
  <p><a href="#nowhere">a link</a></p>
  <div id="wide" style="width: 2000px">wide</div>
  <div style="overflow: auto"><p style="width: 2000px">wide in a box that scrolls</p></div>
  <img id="absent" src="http://127.0.0.1:9/x.png" alt="not there">
  <details><summary>More</summary>
    <svg id="empty" style="width: 50px"></svg>
    <svg id="flat" style="width: 0"><rect width="9" height="9" /></svg>
  </details>
  <div style="color: black; background: white"><svg style="width: 50px" viewBox="0 0 100 100">
    <rect y="50" width="100" height="50" />
    <text id="tiny" x="5" y="20" style="font-size: 15px">tiny</text>
    <text id="same" x="15" y="20" style="font-size: 16px">same</text>
    <text id="dim" x="5" y="80" style="font-size: 17px" fill="#333">dim</text>
    <text id="cut" x="60" y="40" style="font-size: 20px">cut off</text>
  </svg></div>
  <script>console.error("aloud"); console.log("softly"); missing();</script>
</body></html>
"""
"""A page with one flaw of every kind, and things beside them that are none."""

FLAWS_FOUND = {
    'figures: #absent img "" shows nothing',
    'figures: #empty svg "" shows nothing',
    'figures: #flat svg "" takes no room',
    'figures: #cut text "cut off" is cut off in svg "tiny same dim cut off"',
    'figure words: #tiny text "tiny" and #same text "same" lie on each other',
    "width: the page is 2000 px wide",
    'width: #wide div "wide" reaches from 0 to 2000 px',
    'text size: #small p "small" is 10.0 px',
    'figure text size: #tiny text "tiny" is 7.5 px',
    "links: nothing is called #nowhere",
    "heading: 0 headings of the page",
    'light text: #faint p.faint "faint" has a contrast of 2.85',
    'dark text: #faint p.faint "faint" has a contrast of 3.29',
    'light figure text: #dim text "dim" in svg "tiny same dim cut off" has a contrast of 1.66',
    'dark figure text: #dim text "dim" in svg "tiny same dim cut off" has a contrast of 1.66',
    "console: error: aloud",
    "console: error: Failed to load resource: net::ERR_UNSAFE_PORT",
    "console: error: Uncaught ReferenceError: missing is not defined",
    "requests: http://127.0.0.1:9/x.png",
}
"""Contrasts by hand: (1 + 0.05) / (0.3185 + 0.05), (0.1329 + 0.05) / (0.0056 + 0.05),
(0.0331 + 0.05) / (0 + 0.05)."""


@pytest.fixture(scope="module")
def address():
    """A running browser's; without one the tests are skipped, in continuous integration failed."""
    program = browser.find()
    if program is None:
        names = os.environ.get("CASTLEWALLS_BROWSER") or ", ".join(browser.NAMES)
        reason = f"no browser to open pages in: there is no program {names}"
        if os.environ.get("CASTLEWALLS_NEEDS_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with browser.running(program) as listening:
        yield listening


async def look(address: str, page: Path, width: int, height: int) -> list[str]:
    """Open a page in a window of ``width`` x ``height`` and return every complaint about it."""
    async with browser.tab(address, width, height) as tab:
        await tab.show(page)
        await tab.evaluate(CHECKS)
        before = await tab.evaluate(f"checks.wide({width})")
        await tab.evaluate("checks.open()")
        found = {
            "figures": await tab.evaluate("checks.undrawn()"),
            "figure words": await tab.evaluate("checks.collisions()"),
            "width": before or await tab.evaluate(f"checks.wide({width})"),
            "text size": await tab.evaluate(f"checks.smallText({TEXT})"),
            "figure text size": await tab.evaluate(f"checks.smallFigureText({FIGURE_TEXT})"),
            "links": await tab.evaluate("checks.lostLinks()"),
            "heading": await tab.evaluate("checks.headings()"),
        }
        for scheme in ("light", "dark"):
            await tab.prefer(scheme)
            for words, check in (("text", "faint"), ("figure text", "faintFigureText")):
                found[f"{scheme} {words}"] = await tab.evaluate(f"checks.{check}({CONTRAST})")
        asked = [url for url in tab.requests() if url != page.as_uri()]
        found = {"console": tab.console(), "requests": asked, **found}
    return [f"{about}: {complaint}" for about, said in found.items() for complaint in said]


@pytest.mark.parametrize("study", made_up.REPORTS)
def test_a_report_page_is_whole_and_loads_nothing(html_of, study):
    check_that_it_loads_nothing(html := html_of(study))
    check_that_it_is_whole(html)
    for tag in re.findall(r"<img [^>]*>|<svg [^>]*>", html):
        assert re.search(r'(alt|aria-label)="[^"]{5,}"', tag), tag[:200]


@pytest.mark.parametrize("study", made_up.REPORTS)
@pytest.mark.parametrize("window", WINDOWS)
def test_a_report_page_has_no_flaw_in_a_browser(address, written, study, window):
    found = asyncio.run(look(address, written(study) / "index.html", *WINDOWS[window]))
    assert not found, "\n".join([f"{len(found)} complaints, the first of them:", *found[:20]])


def test_every_kind_of_flaw_is_found(address, tmp_path):
    page = tmp_path / "flaws.html"
    page.write_text(FLAWS, encoding="utf-8")
    assert set(asyncio.run(look(address, page, *WINDOWS["phone"]))) == FLAWS_FOUND
