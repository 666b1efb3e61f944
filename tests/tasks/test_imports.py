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


def test_what_settings_allow_is_what_there_is():
    from analysis.names import NAMES
    from models import classifiers, sampling, thresholding
    from tasks.steps import sample, train_classifier

    assert tuple(sampler.name for sampler in sampling.SAMPLERS) == sample.SAMPLERS
    assert thresholding.CLIPS == sample.CLIPS == tuple(NAMES["clip"])
    assert tuple(classifiers.NETWORKS) == train_classifier.NETWORKS
