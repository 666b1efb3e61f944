"""Run a study: plan, then make what is missing."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console

from orchestrator import plan as planning
from orchestrator.placement import Placement
from orchestrator.step import ancestors
from orchestrator.store import Store
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Axes, Point, Study

if TYPE_CHECKING:
    from orchestrator.sweep import Failure


class NoCluster(RuntimeError):
    """No Ray cluster answers where the user says there is one."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run, where to keep it, and on what."""

    study: Study
    scale: Scale
    axes: Axes
    store: Store
    placement: Placement = field(default_factory=Placement)
    address: str | None = None
    """An existing Ray cluster; None starts one in this machine."""
    dashboard: bool = False
    """Start Ray's dashboard, on loopback."""
    verbose: bool = False
    """Let Ray and the workers print."""

    @property
    def label(self) -> str:
        """Study and scale, and a digest of the axes when they are not the scale's own."""
        plain = f"{self.study.name}-{self.scale.name}"
        return plain if self.axes == self.scale.axes else f"{plain}-{self.axes.digest}"

    def points(self) -> Sequence[Point]:
        """The study's points for these axes."""
        return self.study.points(self.scale, self.axes)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run came to."""

    points: Sequence[Point]
    failures: Sequence["Failure"] = ()
    made: frozenset[str] = frozenset()
    """Digests of the steps that this run made."""
    remarks: Sequence[str] = ()
    """What the user should know although nothing failed for it."""


def run(request: Request, console: Console) -> Result:
    """Make every point of a study that is missing.

    Nothing is started, neither Ray nor Tune nor MLflow, when every point is there.

    Raises:
        ValueError: For a need that no node can satisfy.
        OSError: When the store cannot be written to.
        NoCluster: When no cluster answers at the address.
    """
    points = request.points()
    plan = planning.make(points, request.store)
    if not plan.to_run:
        return Result(points=points)
    request.store.check_writable(plan.expected_bytes)
    for step in plan.to_run:
        if request.store.folder(step).exists():
            request.store.discard(step)  # planned because it is damaged

    from orchestrator import cluster

    with cluster.connected(request.address, dashboard=request.dashboard, verbose=request.verbose):
        cluster.refuse_impossible(list(plan.to_run), request.placement)
        return _sweep(request, plan, console)


def _sweep(request: Request, plan: planning.Plan, console: Console) -> Result:
    """Let Tune drive the unfinished points, showing progress and mirroring to MLflow."""
    from orchestrator import cluster, progress, sweep, tracking

    unfinished = plan.unfinished()
    targets = [point.measure for point in unfinished]
    waiting = {point.measure.digest: point for point in unfinished}
    mirror = tracking.Mirror(request.store, request.study.name, _launch_tags(request))
    mirror.add(point for point in plan.points if point.measure.digest not in waiting)
    conductor = cluster.start_conductor(targets, request.store, request.placement)

    def heard(event: progress.Event) -> None:
        if event["kind"] == "done" and event["digest"] in waiting:
            mirror.add([waiting[event["digest"]]])

    view = progress.display(console, len(plan.to_run))
    mirror.start()
    with progress.Watch(cluster.Follower(conductor).poll, view, heard) as watch:
        failures = sweep.sweep(
            unfinished,
            request.store,
            conductor,
            label=request.label,
            slots=cluster.slots(targets, request.placement),
        )
    remark = mirror.close()
    made = frozenset(str(event["digest"]) for event in watch.events if event["kind"] == "done")
    return Result(
        points=plan.points,
        failures=failures,
        made=made,
        remarks=[remark] if remark else [],
    )


def _launch_tags(request: Request) -> Mapping[str, str]:
    axes: dict[str, Any] = vars(request.axes)
    return {
        "name": f"{request.label} {time.strftime('%Y-%m-%d %H:%M')}",
        "scale": request.scale.name,
        **{
            name: ",".join(map(str, value))
            for name, value in axes.items()
            if name != "target_class"
        },
        "target_class": request.axes.target_class,
    }


def log_of(point: Point, store: Store) -> str:
    """Path of the log that says most about why a point failed, or an empty string."""
    logs = [store.log_path(step) for step in ancestors([point.measure]) if not store.has(step)]
    return next((str(path) for path in logs if path.exists()), "")
