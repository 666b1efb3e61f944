"""Run a study: plan, make what is missing, report."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console

from analysis.wording import counted
from orchestrator.console import SOME_FAILED, between, complain
from orchestrator.graph import plan as planning
from orchestrator.graph.costs import Costs
from orchestrator.run import report
from orchestrator.run.placement import Nodes, Placement
from orchestrator.run.request import Request, Result
from orchestrator.step import brief
from orchestrator.store.store import NOT_BUILT

if TYPE_CHECKING:
    from orchestrator.run.tracking import Mirror


def run(request: Request, console: Console) -> Result:
    """Make every point of a study that is missing, and write the report.

    When every point is there, neither Ray nor Tune is started, nor MLflow if it lacks nothing.
    Raises ValueError if no node has what a step needs, OSError if the store cannot be written to,
    NoCluster if no cluster answers at the address, or a node of it cannot take part.
    """
    from orchestrator.run import tracking

    plan = planning.make(request.points(), request.store)
    if not plan.to_run:
        page = report.up_to_date(request)
        result = Result(points=plan.points, page=page)
        if page is None:
            result = report.reported(request, result)
        if not tracking.behind(request.store, request.label):
            return result
        return _mirrored(result, _mirror(request, plan))
    from orchestrator.run import cluster

    request.store.check_writable(plan.expected_bytes)
    _discard_damaged(request, plan)
    with cluster.ended_by_sigterm():
        with _placed(request, plan, console) as (placement, token):
            mirror = _mirror(request, plan)
            result = _sweep(request, plan, placement, token, console, mirror)
        return _mirrored(report.reported(request, result), mirror)


def _discard_damaged(request: Request, plan: planning.Plan) -> None:
    """Remove the results among those to run: they are planned because they are damaged."""
    store, steps = request.store, plan.to_run
    damages = store.damages(steps, content={step.digest for step in steps})
    for step in steps:
        if damages[step.digest] not in (None, NOT_BUILT):
            store.discard(step)


def _mirror(request: Request, plan: planning.Plan) -> "Mirror":
    """Start to mirror the points that are finished to MLflow."""
    from orchestrator.run.tracking import Mirror

    study = request.study
    tags = {
        "name": f"{request.label} {time.strftime('%Y-%m-%d %H:%M')}",
        "scale": request.scale.name,
        "command": report.command(request),
    }
    for axis, value in dict(request.axes).items():
        tags[axis] = str(brief(value if isinstance(value, str) else ",".join(map(str, value))))
    mirror = Mirror(request.store, study.name, request.label, tags, *study.columns)
    unfinished = {point.measure.digest for point in plan.unfinished()}
    mirror.add(point for point in plan.points if point.measure.digest not in unfinished)
    mirror.start()
    return mirror


def _mirrored(result: Result, mirror: "Mirror") -> Result:
    """Wait for MLflow, and add what it is to be known of it to the remarks."""
    remark = mirror.close(result.page.parent if result.page else None)
    return replace(result, remarks=[*result.remarks, remark]) if remark else result


@contextmanager
def _placed(
    request: Request, plan: planning.Plan, console: Console
) -> Iterator[tuple[Placement, str]]:
    """Start or join Ray, once it is known that every step has a place.

    Yields how steps are spread, and the token of ``Store.probe``; empty on one machine.
    """
    from orchestrator.run import cluster, nodes

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    def placed(there: Nodes) -> Placement:
        placement = request.placement.fitted(plan.to_run, there, nodes.summed(there))
        if request.address is None or not nodes.grows_unseen():
            nodes.refuse_impossible(plan.to_run, placement, there)
        return placement

    if request.address is None:  # before Ray is started, which takes seconds
        placement = placed([nodes.this_machine(cluster.EMBEDDED_OBJECT_STORE)])
    with ExitStack() as lasting:
        how: dict[str, Any] = {"dashboard": request.dashboard, "verbose": request.verbose}
        dashboard = lasting.enter_context(cluster.connected(request.address, **how, say=say))
        seen = ""
        if request.address is not None:
            placement = placed(nodes.possible())
            seen = lasting.enter_context(cluster.store_seen(request.store))
        _announce(plan, placement, dashboard, say)
        yield placement, seen


def _announce(
    plan: planning.Plan, placement: Placement, dashboard: str | None, say: Callable[[str], None]
) -> None:
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
    steps = f"{counted(len(plan.to_run), 'step')} to run"
    if nodes.grows_unseen():
        say(
            f"{steps} on {where} and on nodes that the autoscaler adds. Their hardware is not "
            f"known here: if they have GPUs, give --gpus-per-training and --gpus-per-actor"
        )
    elif gpus:  # nobody has measured how long anything takes there
        say(f"{steps} on {where}")
    else:
        say(f"{steps}, {between(*plan.expected_range(cores))} on {where}")
    if spread := placement.described():
        say(spread)


def _sweep(
    request: Request,
    plan: planning.Plan,
    placement: Placement,
    token: str,
    console: Console,
    mirror: "Mirror",
) -> Result:
    """Let Tune drive the unfinished points, showing progress."""
    from orchestrator.graph import remaining
    from orchestrator.run import conductor_actor, nodes, progress, sweep

    unfinished = {point.measure.digest: point for point in plan.unfinished()}
    targets = [point.measure for point in unfinished.values()]
    conductor = conductor_actor.ConductorHandle(targets, request.store, placement, token)

    there = nodes.summed(nodes.there())
    cores = None if there["GPU"] else int(there["CPU"])
    costs = Costs(request.store)
    left = remaining.Remaining(plan, costs, placement.distributed, cores)
    made = set()

    def heard(event: progress.Event) -> None:
        left.hear(event)
        if event["kind"] == "done":
            made.add(str(event["digest"]))
            if event["digest"] in unfinished:
                mirror.add([unfinished[event["digest"]]])

    view = progress.display(console, len(plan.to_run), left)
    points, about = list(unfinished.values()), (request.label, request.study.columns)
    try:
        with progress.Follower(conductor.poll, view, heard, _abandon):
            failures = sweep.sweep(points, request.store, conductor.name, *about)
    except Exception:  # whatever Tune makes of a head that is gone: say that instead
        conductor.refuse_lost()
        raise
    finally:
        if cores is not None and request.address is None:  # else it is other machines' pace
            costs.keep()
    return Result(points=plan.points, failures=failures, made=frozenset(made))


def _abandon(error: Exception) -> NoReturn:
    """End this process at once: Ray would wait for its head, then abort with a trace of its own."""
    complain(error)
    sys.stdout.flush()
    os._exit(SOME_FAILED)
