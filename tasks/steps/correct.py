"""Give the poisoned images of a manifest their true labels back: the upper bound of any defense.

The images stay stamped.  A classifier trained on them sees the trigger as often as an attacked one,
but on images of every class, so it learns that the trigger means nothing.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tasks.settings import TaskSettings
from tasks.steps import poison


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """There is nothing to choose."""

    revision = 1
    expected_seconds = 0.2
    expected_bytes = 30_000
    label = "true-labels"


def run(settings: Settings, *, manifest: Path, out: Path) -> None:  # noqa: ARG001 - the shape
    """Write the manifest with each image's true label and caption.

    ``manifest.json`` is the poison's, with ``p_t`` and ``relabelled_ratio`` 0, since no image is
    wrongly labelled as the target class.  The trigger's files, such as the grid of a warp, are
    copied.

    Raises:
        ValueError: Every label is already true.
    """
    table = pq.read_table(manifest / "manifest.parquet").sort_by("index")
    record = json.loads((manifest / "manifest.json").read_text())
    if table["label"].equals(table["true_label"]):
        raise ValueError(
            f"expected a manifest that relabels images, got one of {record['trigger']['name']}, "
            "whose labels are all true; train on it as it is"
        )
    columns = {name: table[name] for name in poison.SCHEMA.names}
    columns |= {"label": columns["true_label"], "caption": columns["true_caption"]}
    poison.write_manifest(out, columns, {**record, "p_t": 0.0, "relabelled_ratio": 0.0})
    for file in sorted(manifest.iterdir()):
        if file.suffix != ".json" and file.name != "manifest.parquet":
            shutil.copyfile(file, out / file.name)
