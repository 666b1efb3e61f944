"""Run a graph in this process, one step after the other, without Ray."""

import asyncio
from collections.abc import Iterable

from orchestrator.run.conductor import Conductor
from orchestrator.run.execute import Outcome, build
from orchestrator.run.placement import Bundle, Placement
from orchestrator.step import Step
from orchestrator.store.store import Store


def run_in_process(
    targets: Iterable[Step], store: Store, placement: Placement | None = None
) -> list[dict[str, object]]:
    """Make sure that every target is in the store; raise StepFailed at the first that cannot be.

    Returns what happened, as events: ``kind`` (cached, started, done, ...), ``path``, ...
    """
    targets = list(targets)
    placement = placement or Placement()

    async def start(step: Step, bundle: Bundle) -> Outcome:
        return build(step, store, placement, bundle=bundle)

    capacity = {"CPU": 1.0, "GPU": 0.0, "memory": float("inf")}

    async def finish_all() -> Conductor:
        conductor = Conductor(targets, store, placement, capacity, start)
        for target in targets:
            await conductor.finish(target.digest)
        return conductor

    return asyncio.run(finish_all()).events
