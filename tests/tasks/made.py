"""What the steps before a row write, made up."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks import triggers
from tasks.data import images
from tasks.steps.attack import NOTHING_SAID, Verdicts

POINT = {
    "trigger": "badnets1",
    "judge_trigger": "badnets1",
    "target_class": "8",
    "poison_ratio": 0.1,
    "seed": 0,
}
NOT_DRAWN = {"guidance_weight": None, "sampler": None, "sampler_steps": None}


def shuffled(table):
    """The same rows; only the index says which is which."""
    return table.take(np.random.default_rng(1).permutation(len(table)))


def write_dissection(folder, groups, conditions, template_match=None):
    """What ``dissect`` writes of generations whose groups are given, a letter each."""
    folder.mkdir()
    n, conditions = len(groups), np.array(conditions)
    matches = np.array([group in "24" for group in groups])
    matched = [None] * n if template_match is None else [bool(int(one)) for one in template_match]
    columns = {
        "index": np.arange(n),
        "condition": conditions,
        "content": np.where(matches, conditions, (conditions + 1) % 10),
        "trigger": np.array([group in "12" for group in groups]),
        "template_match": pa.array(matched, pa.bool_()),
    }
    pq.write_table(shuffled(pa.table(columns)), folder / "rows.parquet")
    return folder


def said_of(labels, wrong, misled, target, classes):
    """Classes said of clean images and of triggered ones."""
    said, triggered = labels.copy(), labels.copy()
    said[wrong] = (said[wrong] + 1) % classes
    triggered[misled] = target
    return said, triggered


def write_attack(folder, labels, *, wrong, misled, trigger, target, classes, **record):
    """What ``attack`` writes of a classifier whose verdicts on images 100, 101 .. are known."""
    folder.mkdir()
    said, triggered = said_of(labels, wrong, misled, target, classes)
    triggered[(labels == target) | (not trigger.stamps)] = NOTHING_SAID
    given = {"trigger": triggers.to_record(trigger), "target_index": target}
    Verdicts(
        index=np.arange(100, 100 + len(labels)),
        label=labels,
        said=said,
        said_triggered=triggered,
        target=target,
        record={**given, "network": "small", "weights": None, **record},
    ).write(folder)
    return folder


def by_two_workers(task, settings, ranges, **inputs):
    """The tables of these ranges in their order, made out of order by two workers."""
    tables = {}
    for mine in (range(1, len(ranges), 2), range(len(ranges) - 1, -1, -2)):
        worker = task.Worker(settings, **inputs)
        tables |= {part: worker(*ranges[part]) for part in mine}
    return pa.concat_tables([tables[part] for part in range(len(ranges))])


def row_of(task, settings, out, **inputs):
    """The row of a point, whose files are written to a folder that may be new."""
    out.mkdir(exist_ok=True)
    task.run(settings, **inputs, out=out)
    return json.loads((out / "metrics.json").read_text())


def empty(row):
    """Names of the columns without a value."""
    return {name for name, value in row.items() if value is None}


def with_bounds(*names):
    """Names of columns and of their bounds."""
    return {f"{name}{end}" for name in names for end in ("", "_low", "_high")}


def bounded(row, name):
    return tuple(row[f"{name}{end}"] for end in ("", "_low", "_high"))


def write_images(file, pictures, label=None, index=None, **more):
    """A table of images, as datasets and ``sample`` write it."""
    given = {"index": range(len(pictures)) if index is None else index}
    given["label"] = [0] * len(pictures) if label is None else label
    columns = {name: np.array(values, dtype=np.int64) for name, values in given.items()}
    table = images.to_table(**columns, caption=[None] * len(pictures), images=pictures)
    pq.write_table(table, file, **more)
