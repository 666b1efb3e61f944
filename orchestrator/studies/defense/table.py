"""The terminal's table of a ``defense`` study, and the order of its results file."""

from collections.abc import Sequence

from analysis.old.rows import PLACE_COLUMNS, Row
from analysis.page.wording import classifier_name, percent, ratio_name, sampler_name, trigger_name
from orchestrator.studies.defense.rows import ACCURACY, ATTACK, G1, Defense, defended
from orchestrator.studies.detection.rows import mean_of, samplings

DEFENSE_COLUMNS = (
    *PLACE_COLUMNS,
    "classifier",
    "image_set",
    "n",
    "test_accuracy",
    "test_accuracy_low",
    "test_accuracy_high",
    "attack_success_rate",
    "attack_success_rate_low",
    "attack_success_rate_high",
)
"""The columns a results file of defense starts with."""

NOTHING = "–"


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headers, and a line a trigger, poison ratio, way of generating and network.

    Of several seeds their number and the means; the sampler has a column where there are several.
    The clean pair stands first, once for every trigger that attacks it.
    """
    samplers = len({one.sampler for one in samplings(rows)}) > 1
    headers = ["trigger", "p", "w", *(["sampler"] if samplers else []), "seed", "classifier"]
    headers += ["TA train → gen", "ASR train → gen", "G1 in gen"]
    every = [one for subject in defended(rows) for one in subject.measured]
    # Sorting keeps the order of triggers, networks and ratios.
    ordered = sorted(every, key=lambda one: one.poison_ratio > 0)
    return headers, [_line(one, samplers) for one in ordered]


def _line(one: Defense, samplers: bool) -> list[str]:
    way = one.sampling if one.generation else None
    stamped = trigger_name(one.trigger)
    cells = [
        stamped if one.poison_ratio > 0 else f"{trigger_name('none')}, {stamped} attacks",
        ratio_name(one.poison_ratio),
        f"{way.guidance_weight:g}" if way else "",
    ]
    if samplers:
        cells.append(sampler_name(way.sampler) if way else "")
    cells += [_seeds(one.generation or one.training), classifier_name(one.classifier)]
    cells += [from_to(one, name) for name in (ACCURACY, ATTACK)]
    share = mean_of(one.generation, G1)
    return [*cells, "" if share is None else percent(share)]


def from_to(one: Defense, name: str) -> str:
    """TA or ASR of the training set and of the generations, a dash where there is none."""
    levels = (one.before(name), one.after(name))
    return " → ".join(percent(level.value) if level else NOTHING for level in levels)


def _seeds(rows: Sequence[Row]) -> str:
    seeds = sorted({int(row["seed"]) for row in rows})
    return str(seeds[0]) if len(seeds) == 1 else f"{len(seeds)} seeds" if seeds else NOTHING
