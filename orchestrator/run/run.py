"""Run a study: plan, make what is missing, report."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

from rich.console import Console

from orchestrator.cli import printing
from orchestrator.cli.options import SOME_FAILED, complain
from orchestrator.graph import plan as planning
from orchestrator.graph.costs import Costs
from orchestrator.run import report
from orchestrator.run.placement import Nodes, Placement
from orchestrator.run.request import Request, Result
from orchestrator.step import Step, brief
from orchestrator.store.store import NOT_BUILT, Store


def run(request: Request, console: Console) -> Result:
    """Make every point of a study that is missing, and write the report.

    Nothing is started, neither Ray nor Tune nor MLflow, when every point is there, unless MLflow
    lacks something that an earlier launch could not send.

    Raises:
        ValueError: For a need that no node can satisfy.
        OSError: When the store cannot be written to.
        NoCluster: When no cluster answers at the address, or a node of it cannot take part.
    """
    from orchestrator.run import tracking

    plan = planning.make(request.points(), request.store)
    if not plan.to_run:
        result = report.reported(request, Result(points=plan.points))
        if not tracking.behind(request.store):
            return result
        return _remarked(result, tracking.catch_up(request.store, request.study.name, plan.points))
    written = {*(step.task for step in plan.to_run), report.REPORTS}
    request.store.check_writable(plan.expected_bytes, written)
    _discard_damaged(request.store, plan.to_run)
    return _run(request, plan, console)


def _discard_damaged(store: Store, steps: Sequence[Step]) -> None:
    """Remove the results among those to run: they are planned because they are damaged."""
    damages = store.damages(steps, content={step.digest for step in steps})
    for step in steps:
        if damages[step.digest] not in (None, NOT_BUILT):
            store.discard(step)


def _run(request: Request, plan: planning.Plan, console: Console) -> Result:
    """Start or join Ray, sweep, report, and mirror all of it to MLflow meanwhile."""
    from orchestrator.run import cluster, tracking

    unfinished = {point.measure.digest for point in plan.unfinished()}
    with cluster.ended_by_sigterm():
        with _placed(request, plan, console) as (placement, seen):
            mirror = tracking.Mirror(
                request.store, request.study.name, _launch_tags(request), plan.points
            )
            mirror.add(point for point in plan.points if point.measure.digest not in unfinished)
            mirror.start()
            result = _sweep(request, plan, placement, seen, console, mirror)
        result = report.reported(request, result)
        return _remarked(result, mirror.close(result.page.parent if result.page else None))


def _remarked(result: Result, remark: str | None) -> Result:
    return replace(result, remarks=[*result.remarks, remark]) if remark else result


@contextmanager
def _placed(
    request: Request, plan: planning.Plan, console: Console
) -> Iterator[tuple[Placement, str]]:
    """Start or join Ray, once it is known that every step has a place.

    Yields:
        How steps are spread, and the token by which a node sees the store; none on one machine.
    """
    from orchestrator.run import cluster, nodes

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    def placed(there: Nodes) -> Placement:
        placement = request.placement.fitted(plan.to_run, there, nodes.summed(there))
        if request.address is None or not nodes.grows_unseen():
            nodes.refuse_impossible(plan.to_run, placement, there)
        return placement

    how: dict[str, Any] = {"dashboard": request.dashboard, "verbose": request.verbose, "say": say}
    if request.address is None:
        placement = placed([nodes.this_machine(cluster.EMBEDDED_OBJECT_STORE)])
        with cluster.connected(None, **how) as dashboard:
            _announce(plan, placement, dashboard, say)
            yield placement, ""
    else:
        with cluster.connected(request.address, **how) as dashboard:
            placement = placed(nodes.possible())
            with cluster.store_seen(request.store) as seen:
                _announce(plan, placement, dashboard, say)
                yield placement, seen


def _announce(plan: planning.Plan, placement: Placement, dashboard: str | None, say: Any) -> None:
    """Say what is about to run, and on what."""
    from orchestrator.run import nodes

    if dashboard:
        say(f"Ray's dashboard: http://{dashboard}")
    there, possible = nodes.there(), nodes.possible()
    most = nodes.summed(possible)
    cores, gpus = int(most["CPU"]), int(most["GPU"])
    where = f"{cores} cores" + (f" and {gpus} GPUs" if gpus else "")
    if len(possible) > 1:
        now = f" ({len(there)} of them there now)" if len(possible) > len(there) else ""
        where += f" of {len(possible)} nodes{now}"
    steps = f"{len(plan.to_run)} steps to run"
    if nodes.grows_unseen():
        say(
            f"{steps} on {where} and on what the autoscaler adds, of which nothing is known here: "
            f"if that has GPUs, give --gpus-per-training and --gpus-per-actor"
        )
    elif gpus:  # nobody has measured how long anything takes there
        say(f"{steps} on {where}")
    else:
        say(f"{steps}, {printing.between(*plan.expected_range(cores))} on {where}")
    if calls := printing.network_calls(plan):
        say(calls)
    if spread := placement.described():
        say(spread)


def _sweep(
    request: Request,
    plan: planning.Plan,
    placement: Placement,
    seen: str,
    console: Console,
    mirror: Any,
) -> Result:
    """Let Tune drive the unfinished points, showing progress."""
    from orchestrator.graph import remaining
    from orchestrator.run import cluster, nodes, progress, sweep

    unfinished = {point.measure.digest: point for point in plan.unfinished()}
    targets = [point.measure for point in unfinished.values()]
    conductor = cluster.Conducting(targets, request.store, placement, seen)

    there = nodes.summed(nodes.there())
    cores = None if there["GPU"] else int(there["CPU"])
    costs = Costs(request.store)
    left = remaining.Remaining(plan, costs, placement.distributed, cores)

    def heard(event: progress.Event) -> None:
        left.hear(event)
        if event["kind"] == "done" and event["digest"] in unfinished:
            mirror.add([unfinished[event["digest"]]])

    view = progress.display(console, len(plan.to_run), left)
    try:
        with progress.Watch(conductor.poll, view, heard, _abandon) as watch:
            failures = sweep.sweep(
                list(unfinished.values()),
                request.store,
                conductor.name,
                label=request.label,
            )
    except Exception:
        conductor.refuse_lost()  # if the head is gone, that is what to say
        raise
    finally:
        if cores is not None and request.address is None:  # else it is other machines' pace
            costs.keep()
    made = frozenset(str(event["digest"]) for event in watch.events if event["kind"] == "done")
    return Result(points=plan.points, failures=failures, made=made)


def _abandon(error: Exception) -> NoReturn:
    """End this process at once: Ray would wait for its head, then abort with a trace of its own."""
    complain(error)
    sys.stdout.flush()
    os._exit(SOME_FAILED)


def _launch_tags(request: Request) -> Mapping[str, str]:
    axes = {
        name: brief(value if isinstance(value, str) else ",".join(map(str, value)))
        for name, value in request.study.swept(request.axes).items()
    }
    name = f"{request.label} {time.strftime('%Y-%m-%d %H:%M')}"
    asked = {"scale": request.scale.name, "command": report.command(request)}
    return {"name": name, **asked, **axes}
