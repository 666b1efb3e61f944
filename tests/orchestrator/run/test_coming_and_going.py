"""Steps that are lost and started again; nodes that are lost, and others that come."""

import asyncio
from collections import Counter

from orchestrator.run.conductor import ATTEMPTS, Conductor, StepFailed
from orchestrator.run.placement import Placement
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.store import Store
from tests.orchestrator.conducted import (
    DATASET,
    DONE,
    MARK,
    TRAINING,
    TRANSIENT,
    Recorder,
    conduct,
    manifest,
    paths,
)


class TestAttempts:
    """How often a training that is lost again and again is started anew."""

    @staticmethod
    def lost_after(positions, store):
        """Each attempt publishes a checkpoint at its position, if it has one, and is lost."""
        positions = iter(positions)

        async def start(step, bundle):
            if step.shape == "fit":
                position = next(positions, None)
                if position == "done":
                    return DONE
                if position is not None:
                    Checkpoints(store, step).publish(
                        position, lambda folder: (folder / "weights").write_bytes(b"")
                    )
                return TRANSIENT
            return DONE

        return start

    def started(self, positions, store):
        conductor, [failure] = conduct([TRAINING], store, self.lost_after(positions, store))
        return len(paths(conductor.events, "started")) - 1, failure  # one is the dataset's

    def test_without_a_checkpoint_it_is_given_up_at_the_usual_count(self, tmp_path):
        count, failure = self.started([None] * 10, Store(tmp_path))
        assert count == ATTEMPTS
        assert "its process was lost" in str(failure)

    def test_each_newer_checkpoint_gives_it_as_many_more(self, tmp_path):
        store = Store(tmp_path)
        assert self.started([None, 10, None, 20, None, 30, "done"], store) == (7, None)
        assert self.started([None, 40, None, None, None, "done"], store)[0] == 2 + ATTEMPTS

    def test_the_same_checkpoint_again_gives_none(self, tmp_path):
        count, failure = self.started([10] * 10, Store(tmp_path))
        assert count == 1 + ATTEMPTS
        assert isinstance(failure, StepFailed)


FEW = {"CPU": 1.0, "GPU": 0.0, "memory": 2.0**40}
NONE = {"CPU": 0.0, "GPU": 0.0, "memory": 0.0}


class TestNodesThatComeAndGo:
    @staticmethod
    async def until(condition):
        while not condition():
            await asyncio.sleep(0)

    def test_a_step_waits_for_a_node_that_is_lost_and_says_so_once(self, tmp_path):
        recorder = Recorder()

        async def lose_and_gain():
            conductor = Conductor([MARK], Store(tmp_path), Placement(), FEW, recorder, grows=True)
            conductor.resize(NONE)
            finished = asyncio.ensure_future(conductor.finish(MARK.digest))
            await self.until(lambda: conductor.queue)
            conductor.resize({**NONE, "CPU": 0.5})
            assert recorder.started == []
            said = [event for event in conductor.events if event["kind"] == "waiting"]
            conductor.resize(FEW)
            await finished
            return said, conductor

        said, conductor = asyncio.run(asyncio.wait_for(lose_and_gain(), 30))
        assert [event["path"] for event in said] == [DATASET.path]
        assert said[0]["message"] == "for a node: it needs more CPU than there is: 1 of 0"
        assert recorder.finished == [DATASET.digest, MARK.digest]
        assert conductor.free == conductor.capacity == FEW

    def test_what_was_held_on_a_lost_node_is_not_free_twice(self, tmp_path):
        """Two CPUs, both held; one is lost, and its step ends with it: one is left, not two."""
        gate = asyncio.Event()
        running = Counter()

        async def start(step, bundle):
            if step.task == "datasets":
                return DONE
            running[step.digest] += 1
            await gate.wait()
            return DONE

        targets = [manifest(seed=seed) for seed in range(6)]

        async def lose():
            two = {**FEW, "CPU": 2.0}
            conductor = Conductor(targets, Store(tmp_path), Placement(), two, start, grows=True)
            conductor.begin()
            await self.until(lambda: len(running) == 2)
            conductor.resize(FEW)
            assert conductor.free["CPU"] == -1
            gate.set()
            await asyncio.gather(*conductor.runs.values())
            return conductor

        conductor = asyncio.run(asyncio.wait_for(lose(), 30))
        assert conductor.free == FEW
        assert len(running) == 6

    def test_a_step_that_waits_for_a_node_keeps_nothing_from_others(self, tmp_path):
        recorder = Recorder()
        placement = Placement(gpus_per_training=1)
        capacity = {"CPU": 2.0, "GPU": 0.0, "memory": 2.0**40}

        async def gain():
            conductor = Conductor(
                [MARK, TRAINING], Store(tmp_path), placement, capacity, recorder, grows=True
            )
            conductor.begin()
            await conductor.finish(MARK.digest)
            assert TRAINING.digest not in recorder.started
            conductor.resize({**capacity, "GPU": 1.0})
            await conductor.finish(TRAINING.digest)

        asyncio.run(asyncio.wait_for(gain(), 30))

    def test_a_fraction_of_a_cpu_is_cut_for_the_cluster_as_it_was(self, tmp_path):
        """Else a bundle would need nothing while there is no CPU at all."""
        recorder = Recorder()
        placement = Placement(training_workers=2)

        async def lose_and_gain():
            conductor = Conductor([TRAINING], Store(tmp_path), placement, FEW, recorder, grows=True)
            await conductor.finish(DATASET.digest)
            conductor.resize(NONE)
            conductor.begin()
            await self.until(lambda: conductor.queue)
            [waiting] = conductor.queue
            conductor.resize(FEW)
            await conductor.finish(TRAINING.digest)
            return waiting.bundle.cpus

        assert asyncio.run(asyncio.wait_for(lose_and_gain(), 30)) == 0.5
