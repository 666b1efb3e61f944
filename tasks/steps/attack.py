"""Measure a classifier that was trained on poison, on the test part, which it was not trained on.

Test accuracy is of clean images.  Attack success rate is the fraction of *triggered images of other
classes* that it takes for the target class; a triggered image of the target class is right to be
taken for it and does not count (algorithms: section 9).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.statistics.intervals import proportion
from tasks import triggers
from tasks.data import datasets, images
from tasks.steps.poison import slug
from tasks.triggers import Trigger

BATCH_SIZE = 256
"""Images in one forward pass of the classifier, and decoded at once."""

NOTHING_SAID: Final = -1
"""In place of a class, of images whose triggered copy nobody was asked about."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The attack that the classifier may have learned."""

    revision: ClassVar[int] = 2
    """Add one when the same settings would now give other bytes."""

    trigger: Trigger
    """Stamped onto test images; one that stamps nothing leaves only the test accuracy."""
    target_class: str
    """Name of the class that a triggered image should be taken for."""
    verdicts: bool = field(default=False, metadata={"since": 2})
    """Whether to write what is said of each image too, to compare classifiers image by image."""

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``badnets1-to-8``."""
        each = "-verdicts" if self.verdicts else ""
        return f"{self.trigger.name}-to-{slug(self.target_class)}{each}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 2.0

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 10_000 if self.verdicts else 1_000


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What a classifier says of each test image, by ascending index, and of its triggered copy."""

    index: NDArray[np.int64]
    """(N,)."""
    label: NDArray[np.int64]
    """(N,). The true class."""
    said: NDArray[np.int64]
    """(N,). The class that the clean image is taken for."""
    said_triggered: NDArray[np.int64]
    """(N,). That the triggered copy is taken for; NOTHING_SAID where nobody was asked."""
    target: int
    """Label of the target class."""
    record: Mapping[str, Any]
    """Whose they are: the trigger's record, the target class, the network and its first weights."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``run`` wrote.

        Raises:
            ValueError: It was not asked to write them.
        """
        if not (folder / "verdicts.parquet").exists():
            raise ValueError(
                f"expected an attack that was made with verdicts=True, got {folder.name}, "
                "which has no verdicts.parquet"
            )
        record = json.loads((folder / "verdicts.json").read_text())
        table = pq.read_table(folder / "verdicts.parquet").sort_by("index")
        return cls(
            index=table["index"].to_numpy(),
            label=table["label"].to_numpy(),
            said=table["said"].to_numpy(),
            said_triggered=table["said_triggered"].fill_null(NOTHING_SAID).to_numpy(),
            target=record["target_index"],
            record=record,
        )

    def write(self, out: Path) -> None:
        """Write ``verdicts.parquet``, nulls where nothing was said, and ``verdicts.json``."""
        silent = self.said_triggered == NOTHING_SAID
        table = pa.table(
            {
                "index": self.index,
                "label": self.label,
                "said": self.said,
                "said_triggered": pa.array(self.said_triggered, pa.int64(), mask=silent),
            }
        )
        pq.write_table(table.sort_by("index"), out / "verdicts.parquet")
        (out / "verdicts.json").write_text(json.dumps(self.record, indent=1) + "\n")

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,). The clean image is taken for what it is."""
        return np.asarray(self.said == self.label)

    @property
    def misled(self) -> NDArray[np.bool_]:
        """(M,). A triggered image of another class, by ascending index, is taken for the target."""
        asked = self.said_triggered != NOTHING_SAID
        return np.asarray(self.said_triggered[asked] == self.target)

    def rates(self) -> dict[str, float | None]:
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

    ``test_accuracy`` is of ``n`` images, ``correct`` of them right; ``attack_success_rate`` of
    ``attack_n`` images, ``attack_count`` of them taken for the target class.  ``X_low`` and
    ``X_high`` are Wilson's 95 % bounds of rate X, conditional on this classifier.  The success rate
    and its bounds are null where there is no triggered image, ``attack_n`` 0.

    The columns of the verdicts are ``index``, ``label``, ``said`` and ``said_triggered``, int64;
    the last is null of the target class, and of all images if the trigger stamps nothing.

    Raises:
        ValueError: The dataset has no such class, or no test image.
    """
    from models.classifiers import Classifier
    from models.device import choose, one_thread

    target = datasets.read_classes(dataset).position(settings.target_class)
    network = Classifier.load(classifier, choose())

    def said(pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
        found = network.probabilities(images.to_float(pictures), BATCH_SIZE).argmax(axis=1)
        return np.asarray(found, dtype=np.int64)

    parts: list[tuple[NDArray[np.int64], ...]] = []
    with one_thread(), pq.ParquetFile(dataset / "test.parquet") as file:
        for rows in file.iter_batches(BATCH_SIZE, columns=["index", "label", "image"]):
            labels = rows.column("label").to_numpy()
            pictures = images.from_column(rows.column("image"))
            triggered = np.full(len(labels), NOTHING_SAID, dtype=np.int64)
            others = np.flatnonzero(labels != target)
            if settings.trigger.stamps and len(others):
                triggered[others] = said(settings.trigger.stamp(pictures[others]))
            parts.append((rows.column("index").to_numpy(), labels, said(pictures), triggered))
    if not parts:
        raise ValueError("expected test images to measure a classifier on, got none")
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    verdicts = Verdicts(
        **dict(zip(("index", "label", "said", "said_triggered"), columns, strict=True)),
        target=target,
        record=_record(settings, target, classifier),
    )
    (out / "attack.json").write_text(json.dumps(verdicts.rates(), indent=1) + "\n")
    if settings.verdicts:
        verdicts.write(out)


def rate(name: str, count: int, n: int) -> dict[str, float | None]:
    """A rate and its Wilson bounds, ``X``, ``X_low`` and ``X_high``; all None if ``n`` is 0."""
    names = (name, f"{name}_low", f"{name}_high")
    if n == 0:
        return dict.fromkeys(names)
    found = proportion(count, n)
    return dict(zip(names, (found.value, found.low, found.high), strict=True))


def _record(settings: Settings, target: int, classifier: Path) -> dict[str, Any]:
    """Which attack it is, and on whom; ``weights`` is null if they were drawn at random."""
    shape = json.loads((classifier / "network.json").read_text())
    return {
        "trigger": triggers.to_record(settings.trigger),
        "target_class": settings.target_class,
        "target_index": target,
        "network": shape["network"],
        "weights": shape.get("weights"),
    }
