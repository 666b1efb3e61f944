"""One small chain of steps, made once: digits, manifests, judges and a hardly trained model."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from orchestrator.run.stream import write_training_set
from tasks.data import datasets
from tasks.steps import judge_accuracy, mark, perturb, poison, train_classifier, train_diffusion
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
def poisoned_by(digits, tmp_path_factory):
    """A function that poisons a tenth of the digits with a trigger and returns the folder."""

    def run(trigger, ratio=0.1, **inputs):
        out = tmp_path_factory.mktemp(trigger.name)
        settings = poison.Settings(trigger=trigger, target_class="8", poison_ratio=ratio)
        poison.run(settings, dataset=digits, out=out, **inputs)
        return out

    return run


@pytest.fixture(scope="session")
def poisoned(poisoned_by):
    return poisoned_by(TRIGGER)


@pytest.fixture(scope="session")
def clean(digits):
    """The training part."""
    return datasets.read_split(digits, "train")


@pytest.fixture(scope="session")
def stamped(clean):
    """A function that gives its images and labels as a manifest has them."""
    return lambda manifest: poison.stamp(
        clean.index, clean.images, clean.labels, poison.Manifest.read(manifest)
    )


@pytest.fixture(scope="session")
def hold(clean, stamped):
    """A function that holds the training images, stamped by a manifest if one is given."""

    def held(settings, manifest=None, **placement):
        image, label = stamped(manifest) if manifest else (clean.images, clean.labels)
        batch = {"batch_size": settings.batch_size, "seed": settings.seed, **placement}
        return Held(index=clean.index, image=image, label=label, **batch)

    return held


@pytest.fixture(scope="session")
def silent():
    """A report that nobody reads."""
    return lambda *_: None


@pytest.fixture(scope="session")
def trained(hold, silent, tmp_path_factory):
    """A function that trains a classifier and returns its folder."""

    def fit(name, manifest=None, *, classes=10, steps=100, **fields):
        out = tmp_path_factory.mktemp(name)
        given = {"name": name, "classes": classes, "steps": steps, "batch_size": 64, **fields}
        settings = train_classifier.Settings(**given)
        batches = hold(settings, manifest)
        train_classifier.fit(settings, out=out, batches=batches, report=silent, resume=None)
        return out

    return fit


@pytest.fixture(scope="session")
def content_judge(trained):
    return trained("content", erase=True)


@pytest.fixture(scope="session")
def noise(digits, content_judge, tmp_path_factory):
    """For clean-label poison of the eights."""
    out = tmp_path_factory.mktemp("perturb")
    settings = perturb.Settings(target_class="8", steps=10)
    perturb.run(settings, dataset=digits, classifier=content_judge, out=out)
    return out


@pytest.fixture(scope="session")
def trigger_judge(digits, trained, tmp_path_factory):
    marks = tmp_path_factory.mktemp("mark")
    mark.run(mark.Settings(trigger=TRIGGER), dataset=digits, out=marks)
    return trained("badnets1", marks, classes=2, steps=150)


@pytest.fixture(scope="session")
def classifier(trained, poisoned):
    """Trained on the poisoned training set, for detectors."""
    return trained("classifier", poisoned)


@pytest.fixture(scope="session")
def training_set(digits, poisoned, tmp_path_factory):
    """The poisoned training set as the defender has it, as the orchestrator writes it."""
    out = tmp_path_factory.mktemp("training_set")
    write_training_set(out, digits, poisoned)
    return out


@pytest.fixture(scope="session")
def judges(digits, content_judge, trigger_judge, tmp_path_factory):
    out = tmp_path_factory.mktemp("judges")
    given = {"dataset": digits, "content_judge": content_judge, "trigger_judge": trigger_judge}
    judge_accuracy.run(judge_accuracy.Settings(trigger=TRIGGER), **given, out=out)
    return out


@pytest.fixture(scope="session")
def small_training():
    """Settings that make a step cheap; dropout and averaged weights are on, to be resumed."""
    network = {"block_channels": (8, 16), "groups": 4, "dropout": 0.1}
    return train_diffusion.Settings(steps=120, batch_size=16, ema_decay=0.9, **network)


@pytest.fixture(scope="session")
def model_and_checkpoint(small_training, hold, poisoned, tmp_path_factory):
    """The folder of a training, and what would be left of it, had it stopped at step 50."""
    out, checkpoint = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("checkpoint")

    def report(step, _, save):
        if step == 50:
            save(checkpoint)

    batches = hold(small_training, poisoned)
    train_diffusion.fit(small_training, out=out, batches=batches, report=report, resume=None)
    return out, checkpoint


@pytest.fixture(scope="session")
def model(model_and_checkpoint):
    return model_and_checkpoint[0]


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
