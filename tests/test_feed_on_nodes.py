"""A training on a node that says it has a GPU, fed by nodes that have CPUs only."""

import pytest

from bench.chaos import Trainings, processes, results
from bench.drivers import Driver
from bench.nodes import Nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow]

WORDS = ["amplification", "--scale", "tiny", "--trigger", "badnets1", "--poison-ratio", "0.1"]
WORDS += ["--guidance-weight", "2", "--training-steps", "300", "--stream-memory", "0.05MB"]
"""One model, of seven epochs of two windows each."""
PLACED = ["--checkpoint-seconds", "0", "--gpus-per-training", "1", "--gpus-per-actor", "0"]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """The results of a run in this machine, whose training decodes its images itself."""
    store = tmp_path_factory.mktemp("embedded")
    driver = Driver([*WORDS, "--store", str(store)])
    assert driver.end() == 0, driver.said
    return results(store)


def test_data_nodes_feed_the_node_with_the_gpu_and_a_lost_one_costs_no_step(embedded, tmp_path):
    with Nodes(workers=2) as nodes:
        lost = nodes.workers[0]
        nodes.add(gpus=1)
        words = [*WORDS, *PLACED, "--data-cpus", "2", "--store", str(tmp_path)]
        driver = Driver([*words, "--address", nodes.address], nodes.environment)
        assert driver.wait_for(lambda: _training(driver) is not None), driver.said
        path = _training(driver)
        with Trainings(tmp_path) as trainings:
            digest = path.rpartition("-")[2]
            assert driver.wait_for(lambda: trainings.newest(digest) > 0), driver.said
            assert driver.wait_for(lambda: _decodes(nodes, lost)), driver.said
            nodes.kill(lost)
            newest = trainings.newest(digest)
            assert driver.end() == 0, driver.said
        assert newest < 300
        assert [event.path for event in driver.events("started")].count(path) == 1
        assert not driver.events("retry")
    assert results(tmp_path) == embedded


def test_on_one_cpu_a_training_that_asks_for_more_decodes_its_images_itself(embedded, tmp_path):
    with Nodes(workers=1) as nodes:
        words = [*WORDS, "--data-cpus", "2", "--store", str(tmp_path)]
        driver = Driver([*words, "--address", nodes.address], nodes.environment)
        assert driver.end() == 0, driver.said
    assert results(tmp_path) == embedded


def _training(driver):
    paths = [event.path for event in driver.events("started")]
    return next((path for path in paths if path.startswith("train_diffusion/")), None)


def _decodes(nodes, node):
    """Whether a task of Ray Data's runs on a node right now."""
    return any(title.startswith("ray::MapBatches") for _, title in processes(nodes, node))
