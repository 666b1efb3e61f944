"""The authors' CIFAR10 settings: what they are, and two steps of them on a handful of images."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from bench.local import run_in_process
from orchestrator.step import Step
from orchestrator.store.store import Store
from orchestrator.studies import AMPLIFICATION, COMPOSITION
from orchestrator.studies.scales import CIFAR10
from tasks.data import images
from tasks.data.datasets import Cifar10
from tests.pictures import make_cifar10

BADNETS1_AT_TEN_PERCENT = {"trigger": "badnets1", "poison_ratio": 0.1, "sampler": "sde"}


def point_of(scale):
    points = COMPOSITION.points(scale, COMPOSITION.chosen(scale))
    return next(point for point in points if point.axes.items() >= BADNETS1_AT_TEN_PERCENT.items())


def test_it_is_what_the_authors_trained():
    diffusion, judge = CIFAR10.diffusion, CIFAR10.content_judge
    assert (diffusion.block_channels, diffusion.layers_per_block) == ((64, 128, 128, 128), 2)
    assert (diffusion.attention_levels, diffusion.attention_heads) == ((0, 1, 2, 3), 1)
    trained = (diffusion.betas, diffusion.schedule, diffusion.learning_rate)
    assert trained == ("linear", "warmup_cosine", 5e-4)
    assert (diffusion.batch_size, diffusion.steps, diffusion.ema_decay) == (2000, 25_000, None)
    judged = (judge.network, judge.optimizer, judge.learning_rate, judge.weight_decay)
    assert judged == ("resnet18", "sgd", 1e-2, 5e-4)
    assert replace(CIFAR10.classifier, name=judge.name) == judge
    assert CIFAR10.classifier.schedule == "cosine"
    assert (CIFAR10.generation_set_n, CIFAR10.detectors) == (None, ())
    # The authors' 0, 1, 2, 5 and 10 in our convention, and their figures' 5.
    assert AMPLIFICATION.chosen(CIFAR10).guidance_weight == (1, 2, 3, 6, 11)
    assert {point.axes["guidance_weight"] for point in [point_of(CIFAR10)]} == {6}


@pytest.mark.slow
def test_its_graph_takes_two_steps_on_a_handful_of_images(tmp_path):
    make_cifar10(tmp_path / "data", per_class=4)
    scale = replace(
        CIFAR10,
        dataset=Cifar10.open(tmp_path / "data"),
        diffusion=replace(CIFAR10.diffusion, steps=2, batch_size=4),
        generations=replace(CIFAR10.generations, n=2, batch_size=2),
        sampler_steps={"ddim": 2, "ddpm": 2, "sde": 2},
    )
    judge = replace(scale.content_judge, steps=2, batch_size=4)
    generations = point_of(scale).measure.inputs["generations"]
    content_judge = Step(judge, {}, {"dataset": Step(scale.dataset)})
    store = Store(tmp_path / "store")
    run_in_process([generations, content_judge], store)
    rows = pq.read_table(store.folder(generations) / "rows.parquet")
    assert images.from_column(rows["image"]).shape == (2, 32, 32, 3)
    assert rows["label"].to_pylist() == [4, 4]  # deer
    assert store.has(content_judge)
