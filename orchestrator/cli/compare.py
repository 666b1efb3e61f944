"""``castlewalls compare``: points or whole runs side by side, and which settings set them apart."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

from rich.console import Console

from analysis.page.wording import counted, titled
from analysis.statistics.comparison import GENERATIONS, SEEDS_FOR_SPREAD
from orchestrator.cli import side_by_side
from orchestrator.cli.differing import Setting, settings_of_points, settings_of_runs, word
from orchestrator.cli.side_by_side import PLACE, SAME_IMAGES, Cell, Line
from orchestrator.cli.sides import Names, Side, Taken, behind
from orchestrator.cli.tables import print_table

HEADLINES = (
    *("trigger_ratio", "g1", "g2", "auroc", "tpr_at_1pct_fpr"),
    *("test_accuracy", "attack_success_rate"),
)
"""What a terminal shows of each point of whole runs; the CSV file has everything."""
MANY = 20
"""Differences from which on it is said that some of their intervals miss."""
LISTED = 6
"""Points of one run alone that are listed."""


@dataclass(frozen=True)
class Comparison:
    """Points or whole runs side by side, each called by a letter."""

    sides: tuple[Side, ...]
    """What is compared."""
    settings: tuple[Setting, ...]
    """Those that differ."""
    cells: tuple[Cell, ...]
    """One of points; of runs one a point that all have."""
    notes: tuple[str, ...]
    """What is not joined, and what the intervals rest on."""

    @property
    def runs(self) -> bool:
        """Whether whole runs are compared."""
        return self.sides[0].axes is not None

    @property
    def letters(self) -> str:
        """A letter a side."""
        return ascii_uppercase[: len(self.sides)]


def compare(names: Sequence[str], store: str) -> Comparison:
    """Set points, or whole runs, side by side.

    Args:
        names: Points by name, path or start of a digest, or runs by their reports' folders; of
            ``store``, or with the whole path of another one in front.
        store: Address of the store.

    Raises:
        ValueError: In one line, what was expected, what came and what to type instead.
        OSError: A store that cannot be read.
    """
    if not 2 <= len(names) <= len(ascii_uppercase):
        raise ValueError(
            f"expected 2 to {len(ascii_uppercase)} points or reports to compare, got {len(names)}."
        )
    known = Names(store)
    sides = tuple(map(known.side, names))
    _check(names, sides)
    if sides[0].axes is None:
        together = [tuple(side.points[0] for side in sides)]
        cells = [Cell({}, tuple((taken.measured,) for taken in together[0]))]
        settings = settings_of_points([taken.origin for taken in together[0]])
        alone: list[str] = []
    else:
        cells, left = side_by_side.joined([[x.measured for x in side.points] for side in sides])
        together = _together(sides, cells)
        axes = [side.axes or {} for side in sides]
        settings = settings_of_runs(axes, [[x.origin for x in points] for points in together])
        alone = [*_alone(sides, left)]
    notes = (*alone, *_notes(cells, together))
    return Comparison(sides, tuple(settings), tuple(cells), notes)


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write all that is compared as one table; fractions are 0..1.

    A line's ``kind`` is ``name`` (who is A, who is B), ``setting``, ``seeds``, ``metric`` or
    ``note``; lines of whole runs say at which point.

    Raises:
        OSError: The file cannot be written.
    """
    place = PLACE if comparison.runs else ()
    header = ["kind", *place, "name", "of"]
    for letter in comparison.letters.lower():
        header += [letter, f"{letter}_low", f"{letter}_high"]
    header += ["b_minus_a", "b_minus_a_low", "b_minus_a_high", "basis"]
    nowhere: list[object] = [None] * len(place)

    def line(kind: str, at: list[object], name: str, of: str, *words: str) -> list[object]:
        cells = [cell for text in words for cell in (text, None, None)]
        made = [kind, *at, name, of, *cells]
        return made + [None] * (len(header) - len(made))

    records = [
        line("name", nowhere, "", "", *(side.name for side in comparison.sides)),
        line("name", nowhere, "where", "", *(side.where for side in comparison.sides)),
        *(line("setting", nowhere, x.name, x.of, *x.values) for x in comparison.settings),
    ]
    for cell in comparison.cells:
        at = [cell.place[column] for column in place]
        records.append(line("seeds", at, "", "", *cell.seeds))
        records += [["metric", *at, *_record(found)] for found in side_by_side.lines(cell)]
    records += [line("note", nowhere, text, "") for text in comparison.notes]
    try:
        path.write_text(side_by_side.to_csv(header, records), encoding="utf-8")
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}; give another --csv.") from error


def print_comparison(comparison: Comparison, console: Console) -> None:
    """The settings that differ, the metrics, and what their intervals rest on."""
    for letter, side in zip(comparison.letters, comparison.sides, strict=True):
        _say(console, f"{letter}: {side.name}  ({side.where})")
    _say(console, "")
    settings = [[x.name, x.of, *x.values] for x in comparison.settings]
    if settings:
        print_table(console, ["setting", "of", *comparison.letters], settings)
    else:
        _say(console, "no setting differs.")
    _say(console, "")
    headers = [*comparison.letters, *(["B − A"] if len(comparison.sides) == 2 else [])]
    if comparison.runs:
        _print_runs(comparison, headers, console)
    else:
        found = filter(side_by_side.is_short, side_by_side.lines(comparison.cells[0]))
        print_table(console, ["metric", *headers], list(map(side_by_side.shown, found)))
    _say(console, "")
    for text in comparison.notes:
        _say(console, text)


def _check(names: Sequence[str], sides: Sequence[Side]) -> None:
    """Refuse what cannot be set side by side.

    Raises:
        ValueError: A thing twice, points beside runs, or rows of different kinds.
    """
    seen: dict[tuple[str, str], str] = {}
    for name, side in zip(names, sides, strict=True):
        if (key := (side.name, side.where)) in seen:
            raise ValueError(f"{seen[key]!r} and {name!r} are the same; name two different ones.")
        seen[key] = name
    for kinds, wanted in (
        (["a point" if side.axes is None else "a run" for side in sides], "points or whole runs"),
        ([side.task for side in sides], "rows of one task"),
    ):
        if len(set(kinds)) > 1:
            got = ", ".join(f"{name!r}: {kind}" for name, kind in zip(names, kinds, strict=True))
            raise ValueError(f"expected {wanted} side by side, got {got}.")


def _together(sides: Sequence[Side], cells: Sequence[Cell]) -> list[tuple[Taken, ...]]:
    """A point of every run each time: those of a cell and a seed, or the cell's first ones."""
    taken = {id(one.measured): one for side in sides for one in side.points}
    together = []
    for cell in cells:
        by_seed = [{one.row.get("seed"): taken[id(one)] for one in side} for side in cell.sides]
        common = [seed for seed in by_seed[0] if all(seed in side for side in by_seed)]
        together += [tuple(side[seed] for side in by_seed) for seed in common]
        if not common:
            together.append(tuple(next(iter(side.values())) for side in by_seed))
    return together


def _alone(sides: Sequence[Side], left: Sequence[Sequence[side_by_side.Measured]]) -> Iterator[str]:
    """Yield a line a run with points that not every run has."""
    for letter, side, measured in zip(ascii_uppercase, sides, left, strict=False):
        wanted = set(map(id, measured))
        names = [x.origin[0].name for x in side.points if id(x.measured) in wanted]
        if names:
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            some = f"{', '.join(names[:LISTED])}{more}"
            yield f"only in {letter}: {counted(len(names), 'point')}: {some}"


def _notes(cells: Sequence[Cell], together: Sequence[Sequence[Taken]]) -> Iterator[str]:
    """Yield what every number rests on, and of two sides what their difference does."""
    if not cells:
        yield "no point is in every run: there is nothing to set side by side."
        return
    seeds = max(len(side) for cell in cells for side in cell.sides)
    yield (
        "Intervals are 95 %, for the trained models at hand: what another training (--seed) would "
        "change is not in them."
        if seeds < SEEDS_FOR_SPREAD
        else "Intervals are 95 %: Student's over the seeds where there are three or more, else for "
        "the trained models at hand alone."
    )
    if len(cells[0].sides) > 2:
        yield "Name two alone for B − A and its intervals."
    else:
        lines = [line for cell in cells for line in side_by_side.lines(cell)]
        yield from _notes_of_two(lines)
        by_counts = any(line.basis.startswith("Newcombe") for line in lines)
        if any(line.difference is not None for line in lines):
            pairs = [(one, other) for one, other in together]
            yield from map(titled, _notes_of_pairs(pairs, by_counts))


def _notes_of_two(lines: Sequence[Line]) -> Iterator[str]:
    """Yield how differences were computed, and where there are none."""
    given = [line.basis for line in lines if line.difference is not None]
    methods = {
        "Newcombe": "Newcombe's 95 % interval for two independent sets of images, given the models "
        "and the judges of both sides",
        "Student": "Student's 95 % interval over paired seeds",
    }
    used = [words for name, words in methods.items() if any(x.startswith(name) for x in given)]
    if used:
        yield f"B − A: {'; '.join(used)}."
    if len(given) >= MANY:
        yield f"Each of the {len(given)} intervals of B − A is 95 % by itself: 1 in 20 may miss."
    if any(line.basis == SAME_IMAGES for line in lines):
        yield "B − A is empty where both sides count the same images, which are no two samples."
    if any(not line.basis and line.values[0].low is not None for line in lines):
        yield (
            "AUROCs, accuracies, corrected and divided numbers have no B − A: their counts are not "
            "known, or both sides were measured on the same images."
        )


def _notes_of_pairs(pairs: Sequence[tuple[Taken, Taken]], by_counts: bool) -> Iterator[str]:
    """Yield what two sides share, or do not, that a difference should be read with."""
    own = [pair for pair in pairs if not _same(*pair, _generations)]
    if shared := sum(_same(*pair, _model) for pair in own):
        yield f"{_at(shared, pairs)}both sides draw from one model, and B − A is of that model."
    if by_counts and (shared := sum(_same(*pair, _noise) for pair in own)):
        yield (
            f"{_at(shared, pairs)}the generations of both sides start from the same noise (one "
            "seed), so they are not independent: Newcombe's interval is mostly too wide, but too "
            "narrow where the same noise has the trigger on one side or the other, seldom on both."
        )
    if other := sum(_judges(one) is not None and not _same(one, two, _judges) for one, two in own):
        yield f"{_at(other, pairs)}other judges looked: part of B − A may be theirs."


def _at(count: int, pairs: Sequence[object]) -> str:
    """Where a note holds, if not everywhere."""
    return "" if count == len(pairs) else f"at {count} of {len(pairs)} points "


def _same(first: Taken, second: Taken, what: Callable[[Taken], object]) -> bool:
    """Whether two points share something that both have."""
    return what(first) is not None and what(first) == what(second)


def _generations(taken: Taken) -> object:
    return taken.measured.images.get(GENERATIONS)


def _model(taken: Taken) -> object:
    drawn = behind(taken.origin, "generations")
    return drawn.sources.get("model") if drawn else None


def _noise(taken: Taken) -> object:
    drawn = behind(taken.origin, "generations")
    return drawn.settings.get("seed") if drawn else None


def _judges(taken: Taken) -> object:
    return taken.origin[0].sources.get("judges")


def _record(line: Line) -> list[object]:
    """A metric's cells, from its name on."""
    cells: list[object] = [line.name, ""]
    for value in line.values:
        cells += [value.value, value.low, value.high]
    gap = line.difference
    return [*cells, *((gap.value, gap.low, gap.high) if gap else (None,) * 3), line.basis]


def _print_runs(comparison: Comparison, headers: Sequence[str], console: Console) -> None:
    """A few lines a point, with the columns of its place that vary."""
    cells = comparison.cells
    if not cells:
        return
    varying = [name for name in PLACE if len({cell.place[name] for cell in cells}) > 1]
    rows = []
    for cell in cells:
        place = [word(cell.place[name]) for name in varying]
        for line in side_by_side.lines(cell):
            if line.name in HEADLINES:
                rows.append([*place, *side_by_side.shown(line)])
                place = [""] * len(varying)
    print_table(console, [*(name.replace("_", " ") for name in varying), "metric", *headers], rows)
    _say(
        console, f"{counted(len(cells), 'point')} in every run; --csv FILE has all metrics of each."
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)
