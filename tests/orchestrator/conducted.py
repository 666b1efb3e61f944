"""Steps, and a stand-in for what runs them, for tests of the conductor.

Where a test needs no bytes, the stand-in only says how a step ended: it takes some turns of the
event loop, no time.
"""

import asyncio
from collections import Counter

from orchestrator.run.conductor import Conductor
from orchestrator.run.execute import Outcome
from orchestrator.run.placement import Placement
from orchestrator.step import Step
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import TINY
from tasks.data import datasets
from tasks.steps import mark, poison, train_classifier
from tasks.triggers import BadNets1

DATASET = Step(datasets.Digits())
MARK = Step(mark.Settings(trigger=BadNets1()), {"dataset": DATASET})
TRAINING = Step(train_classifier.Settings(name="c", classes=10, steps=70), {}, {"dataset": DATASET})
DONE = Outcome(kind="done")
LASTING = Outcome(kind="failed", message="a bad setting")
TRANSIENT = Outcome(kind="failed", message="its process was lost", transient=True)


def resources(cpus, gpus=0, gib=2**20):
    return {"CPU": float(cpus), "GPU": float(gpus), "memory": gib * 2.0**30}


PLENTY = resources(64)


def manifest(**changes):
    chosen = {"trigger": BadNets1(), "target_class": "8", "poison_ratio": 0.1, **changes}
    return Step(poison.Settings(**chosen), {"dataset": DATASET})


POISON = manifest()
STREAMS = {"dataset": DATASET, "manifest": POISON}


def study(seeds=(0,), ratios=(0.0, 0.1), weights=(1.0, 2.0), triggers=("badnets1",)):
    axes = AMPLIFICATION.chosen(TINY).with_values(
        seed=seeds, poison_ratio=ratios, guidance_weight=weights, trigger=triggers
    )
    return [point.measure for point in AMPLIFICATION.points(TINY, axes)]


class Recorder:
    """Says how steps end, in the order in which they are given turns, and what ran meanwhile."""

    def __init__(self, turns=lambda _: 0, ends=None):
        self.turns, self.ends = turns, ends or {}
        self.started, self.finished = [], []
        self.running = {}
        self.peak = Counter()

    async def __call__(self, step, bundle):
        self.started.append(step.digest)
        assert {source.digest for source in step.sources} <= set(self.finished)
        self.running[step.digest] = bundle.total
        self.peak |= sum(map(Counter, self.running.values()), Counter())
        for _ in range(self.turns(step)):
            await asyncio.sleep(0)
        del self.running[step.digest]
        ends = self.ends.get(step.digest)
        outcome = ends.pop(0) if ends else DONE
        if outcome.kind == "done":
            self.finished.append(step.digest)
        return outcome


def conduct(targets, store, start, placement=None, capacity=PLENTY):
    """Finish all targets side by side; returns the conductor and each target's failure or None."""

    async def finish_all():
        conductor = Conductor(targets, store, placement or Placement(), capacity, start)
        finishing = (conductor.finish(target.digest) for target in targets)
        return conductor, await asyncio.gather(*finishing, return_exceptions=True)

    return asyncio.run(finish_all())


def paths(events, kind):
    return [event["path"] for event in events if event["kind"] == kind]
