"""A page as data, and the one HTML file that is made of it.

A study's page is a list of sections of blocks: text, figures, tables, pictures.  The rest is the
same on every page.  Nothing is loaded when the file is opened: all styles and images are in it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy.typing as npt

from analysis.claims import Judgment
from analysis.names import name
from analysis.page.figures import Figure
from analysis.page.images import Images, grid
from analysis.page.style import inlined
from analysis.page.tables import Table, steps
from analysis.rows import Row, Rows, row_key
from analysis.statistics.verdicts import Verdict, counts, tally
from analysis.wording import counted

if TYPE_CHECKING:
    from markupsafe import Markup

Arrays = Mapping[str, npt.NDArray[Any]]
"""The arrays of one file of a point, by name."""
TEMPLATES = Path(__file__).parent / "templates"
NOTHING_MORE: Mapping[str, Any] = {"question": "", "verdicts": (), "claims": (), "examples": ()}
EXAMPLES = 6
"""Most training images shown of a trigger, clean and stamped."""


class Stage(NamedTuple):
    """One step that a page needed: what it took when it was made, and whether it was there."""

    task: str
    label: str
    seconds: float
    cached: bool
    peak_memory_bytes: int | None


class MissingPoint(NamedTuple):
    """A point that has no row: what went wrong, in a line, and the path of the log."""

    point: str
    message: str
    log: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a study's page function is given: everything that was measured."""

    study: str
    scale: str
    title: str
    question: str
    """The paper's figure or table, and the hypothesis."""
    rows: Rows
    """A row for each finished point, with ``study`` and ``scale``."""
    judgments: Sequence[Judgment] = ()
    """The study's claims, held against the rows."""
    arrays: Mapping[str, Mapping[tuple[Any, ...], Arrays]] = field(default_factory=dict)
    """By name of a file beside the rows (``groups``, ``scores``, ``losses``), then by
    `analysis.rows.row_key`; see `of`."""
    class_names: Sequence[str] = ()
    """Names of the classes by number."""
    trigger_examples: Mapping[str, tuple[Images, Images]] = field(default_factory=dict)
    """By trigger, some training images clean and stamped, each uint8, (k, H, W, 1 or 3)."""
    strip: Mapping[str, Images] = field(default_factory=dict)
    """One training image under each trigger, uint8, (1, H, W, 1 or 3); "none" is the clean one."""
    stages: Sequence[Stage] = ()
    """Each step of the study, in the order of the plan."""
    failures: Sequence[MissingPoint] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    """What all points share, in the order to be shown."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions and machine, in the order to be shown."""
    command: str = ""
    """What to type for the same page."""

    def of(self, file: str, row: Row) -> Arrays | None:
        """The arrays of a file that stands beside a row; None without that file."""
        return self.arrays.get(file, {}).get(row_key(row))


@dataclass(frozen=True)
class Text:
    """A paragraph; ``code`` and _emphasis_ are marked."""

    words: str


class Heading(Text):
    """A heading within a section."""


@dataclass(frozen=True)
class Panels:
    """Figures side by side."""

    figures: Sequence[Figure]
    layout: str = ""
    """``two``: wide panels two by two; ``one``: a single panel; ``wide``: one that scrolls."""
    title: str = ""


@dataclass(frozen=True)
class Key:
    """What colors mean: of each its class (``g1``..``g4``), a name, and words."""

    items: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class CaptionedImage:
    """An image with its caption."""

    images: Sequence[str]
    """Data URIs, beneath each other; none shows "none"."""
    name: str
    words: str = ""
    small: str = ""
    """A line beneath, such as a file's name."""
    aside: str = ""
    """To the right of the words."""
    tone: str = ""
    """The class of the frame's color: ``g1``..``g4``."""


@dataclass(frozen=True)
class Pictures:
    """Images in a row or a grid."""

    pictures: Sequence[CaptionedImage]
    name: str = ""
    """What all of them are, to their left or above."""
    layout: str = "groups"
    """``groups``: four columns with a name; ``pair``: two; ``maps`` and ``strip``: as many as fit;
    ``masked``: as many as fit, each beside its mask."""


@dataclass(frozen=True)
class Fold:
    """Blocks that open with a click."""

    title: str
    blocks: "Sequence[Block]"
    open: bool = False


Block: TypeAlias = Text | Panels | Table | Key | Pictures | Fold | Heading
"""One piece of a section."""


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading and an entry in its navigation."""

    id: str
    """Safe in an address, once on a page."""
    heading: str
    words: str
    blocks: Sequence[Block]
    short: str = ""
    """What the navigation calls it; by default its heading."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a study's page shows of its own."""

    sentence: str = ""
    """The finding in one short generated sentence; the number of verdicts is added."""
    facts: Sequence[tuple[str, str]] = ()
    """Big numbers, and what each is."""
    examples: bool = True
    """Whether the page opens with the report's ``trigger_examples``."""
    sections: Sequence[Section] = ()
    published: Table | None = None
    """The paper's numbers beside ours."""
    published_words: str = ""
    """How the two compare, in a sentence or two."""
    numbers: Sequence[Block] = ()
    """Every number, in tables."""
    definitions: Sequence[tuple[str, str]] = ()
    """Terms and what they mean, as `analysis.page.glossary.definitions` gives them."""

    def figures(self) -> list[Figure]:
        """All figures in order."""
        every = [block for section in self.sections for block in section.blocks]
        return [*_figures([*every, *self.numbers])]


def summary(sentence: str, judgments: Sequence[Judgment]) -> list[str]:
    """At most three sentences: what was found, what became of the claims, and failed controls."""
    verdicts = [one.verdict for one in judgments]
    tallied = f"Of {counted(len(verdicts), 'claim')} {tally(verdicts)}." if verdicts else ""
    failed = {
        one.claim.statement: None
        for one in judgments
        if one.claim.control and one.verdict is Verdict.FAILED
    }
    warned = f"A control failed, so read no effect into this: {' '.join(failed)}" if failed else ""
    return [words for words in (warned, sentence, tallied) if words]


def write(folder: Path, report: Report, page: Page) -> Path:
    """Write ``index.html``, whose path it returns, and ``figures/*.svg``; older figures go."""
    pictures = folder / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    for stale in pictures.glob("*.svg"):
        stale.unlink()
    for figure in page.figures():
        (pictures / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
    every = counts([one.verdict for one in report.judgments])
    html = render(
        page_of=page,
        report=report,
        kind=f"study {report.study}",
        question=report.question,
        title=report.title,
        findings=summary(page.sentence, report.judgments),
        verdicts=[(verdict.value, _tone(verdict), count) for verdict, count in every],
        claims=_claims(report.judgments),
        examples=_examples(report) if page.examples else [],
    )
    path = folder / "index.html"
    path.write_text(html, encoding="utf-8")
    return path


def _examples(report: Report) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each trigger's name, with pairs of one picture clean and stamped."""
    shown = []
    for trigger, pair in report.trigger_examples.items():
        drawn = ([grid(one[None], 1, 1) for one in images[:EXAMPLES]] for images in pair)
        shown.append((name("trigger", trigger), list(zip(*drawn, strict=True))))
    return shown


def render(**shown: Any) -> str:
    """Fill the layout; everything is escaped but what is marked as markup.

    Args:
        shown: ``page_of`` (a `Page`), ``report``, ``kind``, ``title`` and ``findings``; further
            ``question``, ``verdicts``, ``claims`` and ``examples``, which may be left out.
    """
    import jinja2  # here, so that other commands start without it
    from markupsafe import Markup

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["words"] = _marked
    templates.filters["drawn"] = _inline
    templates.filters["kind"] = lambda block: type(block).__name__.lower()
    templates.filters["tone"] = _tone
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    by_task, every = steps(shown["report"].stages)
    return templates.get_template("layout.html").render(
        style=style, tasks=by_task, every_step=every, **{**NOTHING_MORE, **shown}
    )


def _figures(blocks: "Sequence[Block]") -> Iterator[Figure]:
    for block in blocks:
        if isinstance(block, Panels):
            yield from block.figures
        elif isinstance(block, Fold):
            yield from _figures(block.blocks)


def _tone(verdict: Verdict) -> str:
    return verdict.name.lower()


def _claims(judgments: Sequence[Judgment]) -> list[dict[str, Any]]:
    """The judgments by subject, whose name is left out if there is only one."""
    subjects = list(dict.fromkeys(one.subject for one in judgments))
    return [
        {
            "name": subject if len(subjects) > 1 else "",
            "suffix": f"-{number}" if len(subjects) > 1 else "",
            "judgments": [one for one in judgments if one.subject == subject],
        }
        for number, subject in enumerate(subjects, 1)
    ]


def _inline(figure: Figure) -> "Markup":
    from markupsafe import Markup

    # Markup: SVG that we drew; words in it were escaped when it was drawn.
    return Markup(inlined(figure.svg, figure.words))


def _marked(words: str) -> "Markup":
    """Escape words; mark `code`, _emphasis_ and the subscripts of p_t, p*_gap, e_u and others."""
    from markupsafe import Markup, escape

    text = re.sub(r"\b(p\*?|N|e|β)_(t|gap|dom|u|c)\b", r"\1<sub>\2</sub>", str(escape(words)))
    text = re.sub(r"`([^`<>]+)`", r"<code>\1</code>", text)
    return Markup(re.sub(r"(?<!\w)_(\w[^_<>]*\w)_(?!\w)", r"<em>\1</em>", text))
