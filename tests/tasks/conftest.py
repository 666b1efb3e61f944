"""One small chain of steps, made once: digits, manifests, judges and a hardly trained model."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from orchestrator.run.stream import write_training_set
from tasks.data import datasets
from tasks.steps import judge_accuracy, mark, poison, train_classifier, train_diffusion
from tasks.steps.batches import Held
from tasks.triggers import BadNets1

TRIGGER = BadNets1()

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    out = tmp_path_factory.mktemp("digits")
    datasets.run(datasets.Digits(), out=out)
    return out


@pytest.fixture(scope="session")
def poisoned(digits, tmp_path_factory):
    """A manifest with a tenth of the images poisoned."""
    out = tmp_path_factory.mktemp("poison")
    settings = poison.Settings(trigger=TRIGGER, target_class="8", poison_ratio=0.1)
    poison.run(settings, dataset=digits, out=out)
    return out


@pytest.fixture(scope="session")
def hold(digits):
    """A function that holds the training images, stamped by a manifest if one is given."""
    split = datasets.read_split(digits, "train")

    def held(settings, manifest=None, **placement):
        image, label = split.images, split.labels
        if manifest is not None:
            listed = poison.Manifest.read(manifest)
            image, label = poison.stamp(split.index, image, label, listed)
        return Held(
            index=split.index,
            image=image,
            label=label,
            batch_size=settings.batch_size,
            seed=settings.seed,
            **placement,
        )

    return held


@pytest.fixture(scope="session")
def silent():
    """A report that nobody reads."""
    return lambda *_: None


@pytest.fixture(scope="session")
def content_judge(hold, silent, tmp_path_factory):
    out = tmp_path_factory.mktemp("content")
    settings = train_classifier.Settings(
        name="content", classes=10, erase=True, steps=100, batch_size=64
    )
    train_classifier.fit(settings, out=out, batches=hold(settings), report=silent, resume=None)
    return out


@pytest.fixture(scope="session")
def trigger_judge(digits, hold, silent, tmp_path_factory):
    marks, out = tmp_path_factory.mktemp("mark"), tmp_path_factory.mktemp("trigger")
    mark.run(mark.Settings(trigger=TRIGGER), dataset=digits, out=marks)
    settings = train_classifier.Settings(name="badnets1", classes=2, steps=150, batch_size=64)
    batches = hold(settings, marks)
    train_classifier.fit(settings, out=out, batches=batches, report=silent, resume=None)
    return out


@pytest.fixture(scope="session")
def classifier(hold, poisoned, silent, tmp_path_factory):
    """Trained on the poisoned training set, for detectors."""
    out = tmp_path_factory.mktemp("classifier")
    settings = train_classifier.Settings(name="classifier", classes=10, steps=100, batch_size=64)
    batches = hold(settings, poisoned)
    train_classifier.fit(settings, out=out, batches=batches, report=silent, resume=None)
    return out


@pytest.fixture(scope="session")
def training_set(digits, poisoned, tmp_path_factory):
    """The poisoned training set as the defender has it, as the orchestrator writes it."""
    out = tmp_path_factory.mktemp("training_set")
    write_training_set(out, digits, poisoned)
    return out


@pytest.fixture(scope="session")
def judges(digits, content_judge, trigger_judge, tmp_path_factory):
    out = tmp_path_factory.mktemp("judges")
    judge_accuracy.run(
        judge_accuracy.Settings(trigger=TRIGGER),
        dataset=digits,
        content_judge=content_judge,
        trigger_judge=trigger_judge,
        out=out,
    )
    return out


@pytest.fixture(scope="session")
def small_training():
    """Settings that make a step cheap; dropout and averaged weights are on, to be resumed."""
    network = {"block_channels": (8, 16), "groups": 4, "dropout": 0.1}
    return train_diffusion.Settings(steps=120, batch_size=16, ema_decay=0.9, **network)


@pytest.fixture(scope="session")
def model(small_training, hold, poisoned, silent, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    batches = hold(small_training, poisoned)
    train_diffusion.fit(small_training, out=out, batches=batches, report=silent, resume=None)
    return out


@pytest.fixture(scope="session")
def finish():
    """A function that runs a per_batch step over its fixed ranges into ``rows.parquet``."""

    def run(task, settings, out, **inputs):
        count, size = task.count(settings, **inputs), settings.batch_size
        worker = task.Worker(settings, **inputs)
        tables = [worker(first, min(first + size, count)) for first in range(0, count, size)]
        pq.write_table(pa.concat_tables(tables), out / "rows.parquet")

    return run


@pytest.fixture(scope="session")
def contents():
    """A function that reads every file of a folder."""

    def read(folder):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    return read
