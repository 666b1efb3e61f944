"""Test accuracy and attack success rate of a classifier, on the test part.

The latter is the fraction of *triggered images of other classes* that it takes for the target class
(algorithms: section 9).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks import triggers
from tasks.columns import Row, rate
from tasks.data import datasets, images
from tasks.settings import TaskSettings
from tasks.steps.poison import slug
from tasks.triggers.trigger import Trigger

BATCH_SIZE = 256
"""Images in one forward pass of the classifier, and decoded at once."""

NOTHING_SAID: Final = -1
"""Stands for the class where there is no triggered copy."""
COLUMNS: Final = ("index", "label", "said", "said_triggered")


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """The attack on a classifier."""

    revision = 2
    expected_seconds = 2.0

    trigger: Trigger
    """Stamped onto test images; if it stamps nothing, only the test accuracy is measured."""
    target_class: str
    """Name of the class that triggered images should be taken for."""
    verdicts: bool = field(default=False, metadata={"since": 2})
    """Whether to write the verdict on each image too, to compare classifiers image by image."""

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``badnets1-to-8``."""
        each = "-verdicts" if self.verdicts else ""
        return f"{self.trigger.name}-to-{slug(self.target_class)}{each}"

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 10_000 if self.verdicts else 1_000


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Verdicts of a classifier on each test image and its triggered copy, by ascending index."""

    index: NDArray[np.int64]
    """(N,)."""
    label: NDArray[np.int64]
    """(N,). The true class."""
    said: NDArray[np.int64]
    """(N,). The class that the clean image is taken for."""
    said_triggered: NDArray[np.int64]
    """(N,). The class that the triggered copy is taken for; NOTHING_SAID where there is none."""
    target: int
    """Label of the target class."""
    record: Mapping[str, Any]
    """The trigger's record, the target class, the network and the weights that it started from."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``run`` wrote with ``verdicts``."""
        record = json.loads((folder / "verdicts.json").read_text())
        table = pq.read_table(folder / "verdicts.parquet").sort_by("index")
        arrays = {name: table[name].fill_null(NOTHING_SAID).to_numpy() for name in COLUMNS}
        return cls(**arrays, target=record["target_index"], record=record)

    def of(self, trigger: str, target_class: str, network: str) -> Self:
        """These verdicts; raises ValueError if they are of another attack."""
        expected = (trigger, target_class, network)
        record = self.record
        found = (record["trigger"]["name"], record["target_class"], record["network"])
        if expected != found:
            raise ValueError(f"expected an attack of {expected}, got the one of {found}")
        return self

    def write(self, out: Path) -> None:
        """Write ``verdicts.parquet``, with nulls for NOTHING_SAID, and ``verdicts.json``."""
        arrays = [getattr(self, name) for name in COLUMNS]
        table = pa.table([pa.array(one, mask=one == NOTHING_SAID) for one in arrays], [*COLUMNS])
        pq.write_table(table.sort_by("index"), out / "verdicts.parquet")
        (out / "verdicts.json").write_text(json.dumps(self.record, indent=1) + "\n")

    def first(self, n: int) -> Self:
        """The verdicts on the first ``n`` images."""
        return replace(self, **{name: getattr(self, name)[:n] for name in COLUMNS})

    def check_same_images(self, other: "Verdicts") -> None:
        """Raise ValueError if another classifier was shown other images or triggered copies."""
        shown = (
            (one.index, one.label, one.said_triggered == NOTHING_SAID) for one in (self, other)
        )
        if not all(map(np.array_equal, *shown)):
            raise ValueError("expected both classifiers to be shown the same images, got others")

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,). Whether the clean image is taken for what it is."""
        return np.asarray(self.said == self.label)

    @property
    def misled(self) -> NDArray[np.bool_]:
        """(M,). Whether a triggered image, by ascending index, is taken for the target class."""
        asked = self.said_triggered != NOTHING_SAID
        return np.asarray(self.said_triggered[asked] == self.target)

    def rates(self) -> Row:
        """What ``attack.json`` holds."""
        right, misled = self.right, self.misled
        return {
            **rate("test_accuracy", int(right.sum()), len(right)),
            "n": len(right),
            "correct": int(right.sum()),
            **rate("attack_success_rate", int(misled.sum()), len(misled)),
            "attack_n": len(misled),
            "attack_count": int(misled.sum()),
        }


def run(settings: Settings, *, dataset: Path, classifier: Path, out: Path) -> None:
    """Write ``attack.json`` and, if asked for, ``verdicts.parquet`` and ``verdicts.json``.

    ``test_accuracy`` is ``correct / n``, ``attack_success_rate`` is ``attack_count / attack_n``, or
    null without a triggered image.  ``X_low`` and ``X_high`` are Wilson's 95% bounds of rate X,
    conditional on this classifier.  The verdicts' columns COLUMNS are int64; the last is null for
    images of the target class, and for all if the trigger stamps nothing.  Raises ValueError if the
    dataset has no such class, or no test image.
    """
    from models.classifiers import Classifier
    from models.device import choose, one_thread

    target = datasets.read_classes(dataset).position(settings.target_class)
    network = Classifier.load(classifier, choose())

    def said(pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
        found = network.probabilities(images.to_float(pictures), BATCH_SIZE).argmax(axis=1)
        return np.asarray(found, dtype=np.int64)

    parts: list[tuple[NDArray[np.int64], ...]] = []
    with one_thread():
        for rows in datasets.read_batches(dataset / "test.parquet", BATCH_SIZE):
            triggered = np.full(len(rows.labels), NOTHING_SAID, dtype=np.int64)
            others = np.flatnonzero(rows.labels != target)
            if settings.trigger.stamps and len(others):
                triggered[others] = said(settings.trigger.stamp(rows.images[others]))
            parts.append((rows.index, rows.labels, said(rows.images), triggered))
    if not parts:
        raise ValueError("expected test images to measure a classifier on, got none")
    columns = map(np.concatenate, zip(*parts, strict=True))
    shape = json.loads((classifier / "network.json").read_text())
    record = {
        "trigger": triggers.to_record(settings.trigger),
        "target_class": settings.target_class,
        "target_index": target,
        "network": shape["network"],
        "weights": shape.get("weights"),  # null if they were drawn at random
    }
    verdicts = Verdicts(**dict(zip(COLUMNS, columns, strict=True)), target=target, record=record)
    (out / "attack.json").write_text(json.dumps(verdicts.rates(), indent=1) + "\n")
    if settings.verdicts:
        verdicts.write(out)
