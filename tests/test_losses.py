"""A study on a head without CPUs and two nodes of one CPU: shared, and with parts of it killed."""

import hashlib
import json
import random
import shutil
from pathlib import Path

import pytest

from bench.chaos import REPORT_EVERY, Trainings, kind_of, play, processes, results, told
from bench.drivers import Driver
from bench.nodes import Nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow]

WORDS = ["amplification", "--scale", "tiny", "--trigger", "badnets1", "--poison-ratio", "0.1"]
WORDS += ["--guidance-weight", "2", "--training-steps", "300", "--checkpoint-seconds", "0"]
"""One model, of six reports; twelve steps."""
NOT_OF_THE_MODEL = ("datasets", "poison", "mark", "train_classifier", "judge_accuracy")


@pytest.fixture(scope="module")
def nodes():
    with Nodes() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The store of a run embedded in this machine."""
    store = tmp_path_factory.mktemp("undisturbed")
    driver = Driver([*WORDS, "--store", str(store)])
    assert driver.end() == 0, driver.said
    return store


@pytest.fixture
def half_made(undisturbed, tmp_path_factory):
    """A function that makes a store which lacks the diffusion model and what is made of it."""

    def make() -> Path:
        store = tmp_path_factory.mktemp("half")
        for task in NOT_OF_THE_MODEL:
            shutil.copytree(undisturbed / task, store / task)
        return store

    return make


def on(nodes: Nodes, store: Path) -> Driver:
    command = [*WORDS, "--store", str(store), "--address", nodes.address]
    return Driver(command, nodes.environment)


def altered(store: Path) -> list[Path]:
    """Files of results that are not what their records say."""
    return [
        path.parent / name
        for path in store.glob("*/*/record.json")
        for name, recorded in json.loads(path.read_text())["files"].items()
        if hashlib.sha256((path.parent / name).read_bytes()).hexdigest() != recorded["sha256"]
    ]


def left_over(store: Path) -> list[Path]:
    """Folders of attempts that came to nothing, and checkpoints that nobody needs any more."""
    tasks = {path.parent.parent for path in store.glob("*/*/record.json")}
    attempts = [path for task in tasks for path in task.glob(".*")]
    return attempts + [path for path in store.glob(".checkpoints/*/*/*")]


def test_two_drivers_at_once_on_one_store_both_end_in_the_results_of_the_embedded_run(
    undisturbed, nodes, tmp_path
):
    drivers = [on(nodes, tmp_path), on(nodes, tmp_path)]
    assert [driver.end() for driver in drivers] == [0, 0], "".join(each.said for each in drivers)
    assert results(tmp_path) == results(undisturbed)
    assert altered(tmp_path) == left_over(tmp_path) == []
    tables = {each.said.partition("report:")[0].partition("\ntrigger ")[2] for each in drivers}
    assert len(tables) == 1


def test_a_node_that_dies_in_a_training_costs_the_updates_since_the_checkpoint_and_no_others(
    undisturbed, nodes, half_made
):
    driver = on(nodes, store := half_made())
    assert driver.wait_for(lambda: len(driver.events("started")) == 1), driver.said
    [(_, path)] = driver.events("started")
    digest = path.rpartition("-")[2]
    with Trainings(store) as trainings:
        assert driver.wait_for(lambda: trainings.newest(digest) > 0), driver.said
        kinds = {
            node: {kind_of(title) for _, title in processes(nodes, node)} for node in nodes.workers
        }
        [node] = [node for node, found in kinds.items() if "worker" in found]
        nodes.kill(node)
        newest = trainings.newest(digest)  # nobody is left who could write another
        nodes.add()
        assert driver.end() == 0, driver.said
    assert 0 < newest < 300
    assert [event.path for event in driver.events("started")].count(path) == 2
    assert trainings.resumed(digest) == [0, newest]
    assert trainings.again({path: 2}) < REPORT_EVERY
    assert results(store) == results(undisturbed)
    records = [
        json.loads((made / path / "record.json").read_text()) for made in (store, undisturbed)
    ]
    assert records[0]["files"] == records[1]["files"]


@pytest.mark.parametrize("victims", [("node",), ("worker", "actor"), ("conductor", "driver")])
def test_what_is_killed_at_a_random_moment_changes_no_result(
    undisturbed, nodes, half_made, victims
):
    chance = random.Random(seed := random.randrange(10**6))
    expected = results(undisturbed)
    victim = chance.choice(victims)
    made = None
    while made is None:  # the run may be over before there is anything to kill
        made = play(nodes, WORDS, half_made(), expected, victim, chance)
    assert made.same, f"seed {seed}: {told(made)}"
    assert not made.finished, f"seed {seed}: {told(made)}"
