"""Run a study: plan, make what is missing, report."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console

from orchestrator import pace, report, show
from orchestrator import plan as planning
from orchestrator.request import Request, Result


def run(request: Request, console: Console) -> Result:
    """Make every point of a study that is missing, and write the report.

    Nothing is started, neither Ray nor Tune nor MLflow, when every point is there.

    Raises:
        ValueError: For a need that no node can satisfy.
        OSError: When the store cannot be written to.
        NoCluster: When no cluster answers at the address.
    """
    if request.scale.to_be_timed:
        targets = [point.measure for point in request.points()]
        pace.measure(targets, request.store, console.print)
    plan = planning.make(request.points(), request.store)
    if not plan.to_run:
        return report.reported(request, Result(points=plan.points))
    request.store.check_writable(plan.expected_bytes)
    for step in plan.to_run:
        if request.store.folder(step).exists():
            request.store.discard(step)  # planned because it is damaged
    return _run(request, plan, console)


def _run(request: Request, plan: planning.Plan, console: Console) -> Result:
    """Start or join Ray, sweep, report, and mirror all of it to MLflow meanwhile."""
    from orchestrator import cluster, tracking

    unfinished = {point.measure.digest for point in plan.unfinished()}
    mirror = tracking.Mirror(request.store, request.study.name, _launch_tags(request))
    mirror.add(point for point in plan.points if point.measure.digest not in unfinished)
    with cluster.connected(
        request.address, dashboard=request.dashboard, verbose=request.verbose
    ) as dashboard:
        if dashboard:
            console.print(f"Ray's dashboard: http://{dashboard}")
        cluster.refuse_impossible(list(plan.to_run), request.placement)
        mirror.start()
        result = _sweep(request, plan, console, mirror)
    result = report.reported(request, result)
    remark = mirror.close(result.page.parent if result.page else None)
    return replace(result, remarks=[remark] if remark else [])


def _sweep(request: Request, plan: planning.Plan, console: Console, mirror: Any) -> Result:
    """Let Tune drive the unfinished points, showing progress."""
    from orchestrator import cluster, progress, sweep

    unfinished = {point.measure.digest: point for point in plan.unfinished()}
    targets = [point.measure for point in unfinished.values()]
    conductor = cluster.Conducting(targets, request.store, request.placement)

    def heard(event: progress.Event) -> None:
        if event["kind"] == "done" and event["digest"] in unfinished:
            mirror.add([unfinished[event["digest"]]])

    expected = show.duration(plan.expected_seconds(show.cores()))
    console.print(f"{len(plan.to_run)} steps to run, about {expected} on {show.cores()} cores")
    view = progress.display(console, len(plan.to_run))
    with progress.Watch(conductor.poll, view, heard) as watch:
        failures = sweep.sweep(
            list(unfinished.values()),
            request.store,
            conductor.name,
            label=request.label,
            slots=cluster.slots(targets, request.placement),
        )
    made = frozenset(str(event["digest"]) for event in watch.events if event["kind"] == "done")
    return Result(points=plan.points, failures=failures, made=made)


def _launch_tags(request: Request) -> Mapping[str, str]:
    axes = {
        name: value if isinstance(value, str) else ",".join(map(str, value))
        for name, value in request.study.swept(request.axes).items()
    }
    name = f"{request.label} {time.strftime('%Y-%m-%d %H:%M')}"
    asked = {"scale": request.scale.name, "command": report.command(request)}
    return {"name": name, **asked, **axes}
