"""What the commands print: studies, plans, results, explanations."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from orchestrator.step import ancestors

if TYPE_CHECKING:
    from orchestrator.plan import Plan
    from orchestrator.request import Request, Result
    from orchestrator.step import Step
    from orchestrator.store import Store
    from orchestrator.studies.study import Point


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def print_studies(console: Console) -> None:
    """Name, paper figure, points and rough cost of each study at each scale, from nothing."""
    from orchestrator import pace
    from orchestrator.plan import Plan, Planned
    from orchestrator.studies import STUDIES
    from orchestrator.studies.scales import SCALES

    table = Table("study", "paper", *(scale.name for scale in SCALES), box=None, pad_edge=False)
    for study in STUDIES:
        costs = []
        for scale in SCALES:
            points = study.points(scale, study.axes(scale))
            steps = ancestors(point.measure for point in points)
            planned = [Planned(step, True, "", pace.estimate(step)) for step in steps]
            seconds = Plan(points, planned).expected_seconds(cores())
            costs.append(f"{len(points)} points, {duration(seconds)}")
        table.add_row(study.name, study.paper, *costs)
    console.print(table)
    for study in STUDIES:
        console.print(f"\n{study.name}: {study.question}", markup=False)


def print_plan(plan: "Plan", label: str, console: Console) -> None:
    """Every point and step: cached or to run, why, and what it is expected to cost."""
    for planned in plan.steps:
        cost = duration(planned.seconds) if planned.runs else ""
        state = "run" if planned.runs else "cached"
        why = planned.why if planned.runs else ""
        line = f"{state:7} {planned.step.path}  {cost:>6}  {why}".rstrip()
        console.print(line, soft_wrap=True, markup=False)
    unfinished = plan.unfinished()
    for point in plan.points:
        state = "run" if point in unfinished else "cached"
        line = f"{state:7} point {point.name}  {_poison_of(point)}".rstrip()
        console.print(line, soft_wrap=True, markup=False)
    running, cached = len(plan.to_run), len(plan.steps) - len(plan.to_run)
    summary = f"{label}: {len(plan.points)} points, {len(unfinished)} to run; "
    summary += f"{running} steps to run, {cached} cached"
    if running:
        seconds = plan.expected_seconds(cores())
        summary += (
            f"; about {duration(seconds)} on {cores()} cores, {plan.expected_bytes / 1e6:.0f} MB"
        )
    console.print(summary, soft_wrap=True, markup=False)


def _poison_of(point: "Point") -> str:
    """How many images are poisoned, and p_t, from class counts alone."""
    from tasks import poison

    manifest = point.measure.inputs.get("manifest")
    if manifest is None:
        return ""
    settings, dataset = manifest.settings, manifest.inputs["dataset"].settings
    counts = dataset.counts()["train"]
    n, n_target = sum(counts), counts[dataset.class_names.index(settings.target_class)]
    count = poison.count_of(settings, n=n, n_target=n_target)
    p_t = poison.share_of_target(count, n_target) if settings.trigger.stamps else 0.0
    return f"{count} of {n} images poisoned, p_t {100 * p_t:.1f} %"


def print_result(request: "Request", result: "Result", console: Console) -> None:
    """The table of the points that are finished, the finding, and where the report is."""
    from analysis.results import summary, table
    from orchestrator.report import rows_of

    rows = rows_of(request)
    if rows:
        headers, lines = table(rows)
        shown = Table(*headers, box=None, pad_edge=False)
        for line in lines:
            shown.add_row(*line)
        console.print(shown)
        console.print(summary(rows), markup=False)
    if not result.made and len(rows) == len(result.points):
        console.print("everything was finished already; nothing was started.")
    for remark in (*result.remarks, *left_out(request)):
        console.print(remark, markup=False, soft_wrap=True)
    if result.page:
        console.print(f"report: {result.page}", soft_wrap=True, markup=False)
    else:
        console.print("no point is finished yet; run it first.")


def left_out(request: "Request") -> Iterator[str]:
    """Yield a line if files of the user's own images were left out or lost their colors."""
    from orchestrator.step import Step
    from tasks.datasets import read_classes

    dataset = Step(request.scale.dataset)
    if not request.store.has(dataset):
        return
    classes = read_classes(request.store.folder(dataset))
    if classes.skipped:
        names = f"{dataset.path}/skipped.csv"
        yield f"left out as broken: {len(classes.skipped)} files, listed in {names} of the store"
    if classes.turned_grey:
        yield f"turned grey: {classes.turned_grey} images in color; --channels 3 keeps their colors"


def print_explanation(request: "Request", wanted: str, console: Console) -> None:
    """Why a step is to run, or that it is cached.

    Raises:
        ValueError: When no step, or more than one, goes by that name.
    """
    steps = list(ancestors(point.measure for point in request.points()))
    found = [step for step in steps if wanted == step.path or step.digest.startswith(wanted)]
    if len(found) != 1:
        much = "no step" if not found else f"{len(found)} steps"
        raise ValueError(
            f"{much} of {request.label} goes by {wanted!r}; give a path or a digest as "
            f"`castlewalls plan {request.study.name}` prints it, with the same axes."
        )
    for line in explanation(request.store, found[0]):
        console.print(line, soft_wrap=True, markup=False)


def explanation(store: "Store", step: "Step", indent: str = "") -> Iterator[str]:
    """Yield why a step is to run, and why each source that it waits for is."""
    damage = store.damage(step, content=True)
    yield f"{indent}{step.path}: {damage or 'finished'}"
    if damage is not None:
        yield from (f"{indent}  {line}" for line in store.explain(step, content=True))
        for source in step.sources:
            if store.damage(source) is not None:
                yield from explanation(store, source, indent + "    ")


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``2.5 h``, ``12 days``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:,.0f} days"
