"""What the commands print: studies, plans, results, explanations."""

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from analysis.wording import counted
from orchestrator.cli.tables import print_lines, print_table
from orchestrator.console import between, duration
from orchestrator.process import cores
from orchestrator.step import ancestors

if TYPE_CHECKING:
    from orchestrator.graph.plan import Plan
    from orchestrator.run.request import Request, Result
    from orchestrator.step import Step
    from orchestrator.store.store import Store
    from orchestrator.studies.scales import Scale
    from orchestrator.studies.study import Point, Study


def print_studies(console: Console) -> None:
    """Name, paper figure, points and rough cost of each study at each scale, from nothing."""
    from orchestrator.graph import costs
    from orchestrator.graph import plan as planning
    from orchestrator.studies import STUDIES, studies_at
    from orchestrator.studies.scales import SCALES

    def cost(study: "Study", scale: "Scale") -> str:
        if study not in studies_at(scale):
            return "none"
        points = study.points(scale, study.chosen(scale))
        steps = list(ancestors(point.measure for point in points))
        if costs.for_gpus(steps):
            gpu = next(iter(costs.GPUS))
            hours = sum(stage.hours(gpu) for stage in costs.by_stage(steps))
            return f"{counted(len(points), 'point')}, {hours:,.0f} h of an {gpu}"
        plan = planning.from_nothing(points, lambda x: costs.guessed(costs.stated(x)))
        return f"{counted(len(points), 'point')}, {between(*plan.expected_range(cores()))}"

    rows = [
        [study.name, study.paper, *(cost(study, scale) for scale in SCALES)] for study in STUDIES
    ]
    print_table(console, ["study", "paper", *(scale.name for scale in SCALES)], rows)
    for study in STUDIES:
        console.print(f"\n{study.name}: {study.question}", markup=False)


def print_plan(plan: "Plan", label: str, console: Console) -> None:
    """Every point and step: cached or to run, why, and what it is expected to cost."""
    lines = []
    for planned in plan.steps:
        if planned.runs:
            cost = duration(planned.seconds)
            lines.append(f"run     {planned.step.path}  {cost:>6}  {planned.why}".rstrip())
        else:
            lines.append(f"cached  {planned.step.path}")
    unfinished = plan.unfinished()
    waiting = {point.measure.digest for point in unfinished}
    for point in plan.points:
        state = "run" if point.measure.digest in waiting else "cached"
        lines.append(f"{state:7} point {point.name}  {_poison_of(point)}".rstrip())
    print_lines(console, *lines)
    print_gpu_hours(plan, console)
    running = len(plan.to_run)
    summary = f"{label}: {counted(len(plan.points), 'point')}, {len(unfinished)} to run; "
    summary += f"{counted(running, 'step')} to run, {len(plan.steps) - running} cached"
    if running:
        expected = between(*plan.expected_range(cores()))
        summary += f"; {expected} on {cores()} cores, {plan.expected_bytes / 1e6:.0f} MB"
    print_lines(console, summary)


def print_gpu_hours(plan: "Plan", console: Console) -> None:
    """What the plan costs on GPUs, if it is meant for them, and what that is worth."""
    from orchestrator.graph import costs

    if not plan.to_run or not costs.for_gpus(planned.step for planned in plan.steps):
        return
    stages = costs.by_stage(plan.to_run)
    rows = []
    for stage in (*stages, costs.total(stages)):
        hours = [f"{stage.hours(gpu):,.1f}" for gpu in costs.GPUS]
        rows.append([stage.name, f"{stage.steps}", f"{stage.operations / 1e15:,.1f}", *hours])
    console.print("\nGPU-hours by stage, on one or another GPU:")
    print_table(console, ["", "steps", "PFLOP", *costs.GPUS], rows, right=True)
    lines = [
        f"operations counted, rates assumed: {costs.UTILIZATION:.0%} of the datasheets' TF32 or "
        "bf16. Read them as an order of magnitude; --pace times your GPU."
    ]
    if hours_of := [stage.paper_hours for stage in stages if stage.name == "diffusion models"]:
        lines.append(
            f"at the paper's pace ({costs.PAPER}) the diffusion models take "
            f"{hours_of[0]:,.0f} GPU-hours."
        )
    if unknown := sum(stage.unknown for stage in stages):
        lines.append(f"not among the hours: {unknown} steps of a method without a count.")
    print_lines(console, *lines, _others(plan))


def print_pace(plan: "Plan", rates: Mapping[str, float], console: Console) -> None:
    """What the plan takes on this machine, at the ``pace.rates`` of its networks."""
    from orchestrator.graph import costs, pace

    stages = costs.by_stage(plan.to_run, rates)
    rows = [
        [stage.name, f"{stage.steps}", f"{stage.operations / 1e12:,.1f}", duration(stage.seconds)]
        for stage in (*stages, costs.total(stages))
    ]
    console.print(f"\nTime by stage on {pace.device()}, one step after another:")
    print_table(console, ["", "steps", "TFLOP", "time"], rows, right=True)
    print_lines(
        console,
        "training steps were timed; drawing, classifying and judging are taken to compute as fast.",
        _others(plan),
    )


def _others(plan: "Plan") -> str:
    """The steps without a network."""
    from orchestrator.graph import costs

    seconds = [one.seconds for one in plan.steps if one.runs and not costs.operations(one.step)]
    return f"{len(seconds)} other steps take a CPU core about {duration(sum(seconds))}."


def _poison_of(point: "Point") -> str:
    """How many images are poisoned, and p_t, from class counts alone."""
    from tasks.steps import poison

    manifest = point.measure.inputs.get("manifest")
    if manifest is None:
        return ""
    settings, dataset = manifest.settings, manifest.inputs["dataset"].settings
    counts = dataset.counts()["train"]
    n, n_target = sum(counts), counts[dataset.class_names.index(settings.target_class)]
    share = poison.shares(settings, n=n, n_target=n_target)
    return f"{share.count} of {n} images poisoned, p_t {100 * share.p_t:.1f} %"


def print_result(request: "Request", result: "Result", console: Console) -> None:
    """The table of the points that are finished, the finding, and where the report is."""
    from orchestrator.run.report import left_out, rows_of, sentences, table_of

    rows = rows_of(request)
    if len(rows):
        print_table(console, *table_of(request.study, rows))
        console.print(" ".join(sentences(request.study, rows)), markup=False)
    lines = [*result.remarks, *left_out(request)]
    if not result.made and len(rows) == len(result.points):
        lines.insert(0, "everything was finished already; nothing was started.")
    if result.page:
        lines.append(f"report: {result.page}")
        if request.store.remote:
            kept = result.page.parent.relative_to(request.store.root).as_posix()
            lines.append(f"kept as {kept} in {request.store.address}")
    elif result.failures:
        lines.append("no point could be finished.")
    else:
        lines.append("no point is finished yet; run it first.")
    print_lines(console, *lines)


def print_explanation(request: "Request", wanted: str, console: Console) -> None:
    """Why a step is to run, or that it is cached; ValueError unless one step goes by the name."""
    steps = list(ancestors(point.measure for point in request.points()))
    found = [s for s in steps if wanted and (wanted == s.path or s.digest.startswith(wanted))]
    if len(found) != 1:
        much = f"{len(found)} steps go by" if found else "no step goes by"
        name = shlex.quote((request.study.words or ("", request.study.name))[-1])
        raise ValueError(
            f"{much} {wanted!r} in {request.label}; give a path or a digest as `castlewalls plan "
            f"{name}` prints it, with the same --scale and axes."
        )
    print_lines(console, *explanation(request.store, found[0]))


def explanation(store: "Store", step: "Step", indent: str = "") -> Iterator[str]:
    """Yield why a step is to run, and why each source that it waits for is."""
    from orchestrator.store.reasons import Reasons

    damage = store.damage(step, content=True)
    yield f"{indent}{step.path}: {damage or 'finished'}"
    if damage is not None:
        yield from (f"{indent}  {line}" for line in Reasons(store).why(step, damage))
        for source in step.sources:
            if store.damage(source) is not None:
                yield from explanation(store, source, indent + "    ")
