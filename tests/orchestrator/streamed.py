"""What the tests of streams share: a made-up dataset, a measure of memory, a way to pry."""

import json
import tracemalloc
from pathlib import Path
from types import ModuleType

import numpy as np

from tasks.data import images


def synthetic(folder, n, side, group):
    """A dataset's folder: n color images that compress well, in row groups of ``group``."""
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    index = np.arange(n)
    image = np.empty((n, side, side, 3), np.uint8)
    image[:] = (index % 251)[:, None, None, None]
    table = images.to_table(index=index, label=index % 5, caption=[None] * n, images=image)
    pq.write_table(table, folder / "train.parquet", row_group_size=group)
    counts = np.bincount(index % 5, minlength=5).tolist()
    record = {
        "names": list("abcde"),
        "image_size": side,
        "channels": 3,
        "counts": {"train": counts},
    }
    (folder / "classes.json").write_text(json.dumps(record))
    return folder


def peak(do):
    """Most bytes that Python and numpy hold while something is done."""
    tracemalloc.start()
    kept = do()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept
    return most


def reachable(value, depth=8):
    """Everything that hangs below a value by attributes, items and elements."""
    yield value
    if depth == 0 or isinstance(value, str | bytes | np.ndarray | Path | type | ModuleType):
        return
    if isinstance(value, dict):
        below = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set):
        below = list(value)
    else:
        below = list(getattr(value, "__dict__", {}).values())
        below += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        frame = getattr(value, "gi_frame", None)  # of a generator that waits
        below += [] if frame is None else list(frame.f_locals.values())
    for item in below:
        yield from reachable(item, depth - 1)
