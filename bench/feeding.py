"""Seconds of an epoch whose images other CPUs decode: `python bench/feeding.py`.

50,000 color images of 32 pixels in batches of 256: decoded by Ray Data's tasks alone, learned from
in memory alone, and both at once on two CPUs; the peak memory of the training's process and of the
tasks' over an epoch of these and of four times as many; photographs of 512 pixels decoded and
stamped a second by one task and by two.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

import streaming  # noqa: E402

from orchestrator.run import environment  # noqa: E402, F401 - before Ray, for what it sets

# isort: split
import numpy as np  # noqa: E402
import psutil  # noqa: E402
import ray  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from models.precision import to_float  # noqa: E402
from models.randomness import generator  # noqa: E402
from orchestrator.run.feed import Feed  # noqa: E402
from orchestrator.run.stream import RowGroups, batches  # noqa: E402
from tasks.steps.train_diffusion import Settings  # noqa: E402

SETTINGS = Settings(
    image_size=streaming.SIDE,
    channels=streaming.CHANNELS,
    batch_size=256,
)
STREAMED = replace(SETTINGS, window_bytes=streaming.WINDOW_BYTES)
PHOTOGRAPHS, SIDE = 2000, 512
GROUP = 85  # rows of a row group of such images, as an image folder's are written


@dataclass(frozen=True)
class Folder:
    """A training set in a folder that all of this machine's processes see, as a ``feed.Source``."""

    path: Path

    def row_groups(self) -> RowGroups:
        """Its file and manifest."""
        return RowGroups.open(self.path, self.path / "manifest")


def main() -> None:
    """Measure, and print JSON."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        few, many = Path(scratch, "few"), Path(scratch, "many")
        streaming.write(few, streaming.FEW)
        streaming.write(many, streaming.MANY)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        found = seconds(few)
        found["peak"] = [peak(few), peak(many)]
        for stored_as in ("jpeg", "png"):
            folder = Path(scratch, stored_as)
            photographs(folder, stored_as)
            found[f"{stored_as} a second"] = [decoded(folder, cpus) for cpus in (1, 2)]
    found["over the larger"] = found["both"] / max(found["decoded"], found["trained"])
    print(json.dumps(found, indent=1))


def fed(folder: Path) -> Any:
    """Batches that one CPU decodes."""
    source: Any = Folder(folder)
    return batches(STREAMED, folder, folder / "manifest", read=Feed(source, 1))


def seconds(folder: Path) -> dict[str, Any]:
    """Of an epoch, each way, from the middle of one to the middle of the next."""
    elsewhere, step = fed(folder), training()
    held = batches(SETTINGS, folder, folder / "manifest")
    n = elsewhere.per_epoch
    found: dict[str, Any] = {"batches": n}
    ways: dict[str, tuple[Any, Callable[[Any], None]]] = {
        "decoded": (elsewhere, lambda _: None),
        "trained": (held, step),
        "both": (elsewhere, step),
    }
    for name, (made, work) in ways.items():
        drawn = made(n // 2 - 10, n // 2 + n)
        for _ in range(10):  # the pipeline starts
            work(next(drawn))
        began = time.perf_counter()
        for _ in range(n):
            work(next(drawn))
        found[name] = time.perf_counter() - began
        drawn.close()
    return found


def training() -> Callable[[Any], None]:
    """A function that takes a step of a network that is about as slow as decoding is."""
    wide = streaming.SIDE**2 * streaming.CHANNELS
    network = torch.nn.Sequential(
        torch.nn.Linear(wide, 512), torch.nn.ReLU(), torch.nn.Linear(512, streaming.CLASSES)
    )
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def step(batch: Any) -> None:
        x = to_float(torch.from_numpy(batch["image"])).flatten(1)
        loss = torch.nn.functional.cross_entropy(network(x), torch.from_numpy(batch["label"]))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


def peak(folder: Path) -> dict[str, int]:
    """Peak memory of this process over an epoch, and the largest of a task's, bytes."""
    own, tasks = psutil.Process(), []
    for process in own.children(recursive=True):
        if process.name().startswith("ray::"):
            tasks.append(process.pid)
    for pid in ("self", *tasks):
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    made = fed(folder)
    for _ in made(0, made.per_epoch):
        pass
    return {"training": streaming._peak(), "task": max(map(streaming._peak, tasks))}


def photographs(folder: Path, stored_as: str) -> None:
    """Write made-up photographs, noisy ones, and a manifest that poisons a tenth of them."""
    draws = generator(0, "bench images")
    coarse = draws.integers(0, 248, (16, SIDE // 32, SIDE // 32, 3), dtype=np.uint8)
    fine = np.stack([np.array(Image.fromarray(one).resize((SIDE, SIDE))) for one in coarse])
    fine += draws.integers(0, 8, fine.shape, dtype=np.uint8)
    streaming.write_table(folder, fine, PHOTOGRAPHS, group=GROUP, stored_as=stored_as)


def decoded(folder: Path, cpus: int) -> float:
    """Images a second that so many tasks decode and stamp."""
    source: Any = Folder(folder)
    settings = replace(STREAMED, image_size=SIDE, window_bytes=256 * 2**20, batch_size=50)
    made = batches(settings, folder, folder / "manifest", read=Feed(source, cpus))
    drawn = made(0, 2 * made.per_epoch)
    for _ in range(made.per_epoch // 2):
        next(drawn)
    began = time.perf_counter()
    for _ in range(made.per_epoch):
        next(drawn)
    taken = time.perf_counter() - began
    drawn.close()
    return 50 * made.per_epoch / taken


if __name__ == "__main__":
    main()
