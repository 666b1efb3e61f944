"""Give the poisoned images of a manifest their true labels back: the upper bound of any defense.

The images stay stamped, so a classifier learns that the trigger means nothing.
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
    """Write the manifest with each image's true label and caption, and the trigger's own files.

    ``manifest.json`` is the poison's, with ``p_t`` and ``relabelled_ratio`` 0, since no image is
    wrongly labelled as the target class.
    """
    table = pq.read_table(manifest / "manifest.parquet").sort_by("index")
    record = json.loads((manifest / "manifest.json").read_text())
    columns = {name: table[name] for name in poison.SCHEMA.names}
    columns |= {"label": columns["true_label"], "caption": columns["true_caption"]}
    poison.write_manifest(out, columns, {**record, "p_t": 0.0, "relabelled_ratio": 0.0})
    for file in sorted(manifest.iterdir()):
        if file.suffix != ".json" and file.name != "manifest.parquet":
            shutil.copyfile(file, out / file.name)
