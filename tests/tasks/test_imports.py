"""What importing the tasks costs, and what the functions are shown."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import tasks

MODULES = sorted(m.name for m in pkgutil.walk_packages(tasks.__path__, "tasks."))
HEAVY = {"torch", "diffusers", "accelerate", "torchvision", "ray", "mlflow", "sklearn", "scipy"}


def test_importing_every_task_loads_nothing_heavy():
    code = f"import {', '.join(MODULES)}, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"numpy", "tasks.steps.sample"} <= set(loaded)
    assert not HEAVY & set(loaded)


@pytest.mark.parametrize("name", ["tasks.steps.train_diffusion", "tasks.steps.train_classifier"])
def test_a_training_is_shown_no_dataset_and_no_manifest(name):
    parameters = inspect.signature(importlib.import_module(name).fit).parameters
    given = {"settings", "out", "batches", "report", "resume"}
    assert set(parameters) - {"weights"} == given  # of ImageNet, for classifiers


def test_the_samplers_that_settings_allow_are_the_ones_there_are():
    from models.sampling import SAMPLERS
    from tasks.steps import sample

    assert tuple(sampler.name for sampler in SAMPLERS) == sample.SAMPLERS


def test_the_ways_of_thresholding_are_named_alike_everywhere():
    from analysis.names import NAMES
    from models.thresholding import CLIPS
    from tasks.steps import sample

    assert CLIPS == sample.CLIPS == tuple(NAMES["clip"])


def test_the_networks_that_settings_allow_are_the_ones_there_are():
    from models.classifiers import NETWORKS
    from tasks.steps import train_classifier

    assert tuple(NETWORKS) == train_classifier.NETWORKS
