"""Give the poisoned images of a manifest their true labels back: the ceiling of every defense.

The images stay stamped.  A classifier that is trained on them has seen the trigger as often as one
that was attacked, but on images of every class, so it learns that it means nothing.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow.parquet as pq

from tasks.steps import poison


@dataclass(frozen=True, kw_only=True)
class Settings:
    """There is one way to be right."""

    revision: ClassVar[int] = 1
    """Add one when the same settings would now give other bytes."""

    @property
    def label(self) -> str:
        """Readable part of the artifact's path."""
        return "true-labels"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 0.2

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 30_000


def run(settings: Settings, *, manifest: Path, out: Path) -> None:  # noqa: ARG001 - the shape
    """Write the manifest again, each image with its true label and caption.

    ``manifest.json`` is the poison's, but that no image is labelled as the target class which is
    not of it: ``p_t`` and ``relabelled_ratio`` are 0.  Files of the trigger's own, such as the grid
    of a warp, are copied.

    Raises:
        ValueError: Every label is right as it is.
    """
    table = pq.read_table(manifest / "manifest.parquet").sort_by("index")
    record = json.loads((manifest / "manifest.json").read_text())
    if table["label"].equals(table["true_label"]):
        raise ValueError(
            f"expected a manifest that relabels images, got one of {record['trigger']['name']}, "
            "whose labels are all true; train on it as it is"
        )
    captions = table["true_caption"].to_pylist()
    poison.write_manifest(
        out,
        index=table["index"].to_numpy(),
        label=table["true_label"].to_numpy(),
        true_label=table["true_label"].to_numpy(),
        poisoned=table["poisoned"].to_numpy(),
        caption=captions,
        true_caption=captions,
        record={**record, "p_t": 0.0, "relabelled_ratio": 0.0},
    )
    for file in sorted(manifest.iterdir()):
        if file.suffix != ".json" and file.name != "manifest.parquet":
            shutil.copyfile(file, out / file.name)
