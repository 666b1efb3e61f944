"""Check a GPU, in under ten minutes: `make gpu`, or `python bench/gpu.py`; Ray is not needed.

First the tests marked ``gpu``, then speeds: training at ``cifar10-fast`` and ``cifar10`` against a
bare loop of torch (``gpu_bare.py``) and against eager float32, sampling, the diffusion classifier.
Writes ``bench/results/gpu.json``, and with ``--keep`` a table into ``docs/measured.md``.  ``--toy``
does all of it in a minute at a toy size, also on a CPU.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

import gpu_bare  # noqa: E402

from models import precision, sampling  # noqa: E402
from models.ddpm import Ddpm  # noqa: E402
from models.diffusion_classifier import DiffusionClassifier, Method, Watch  # noqa: E402
from orchestrator.graph import pace  # noqa: E402
from orchestrator.graph.costs import GPUS  # noqa: E402
from orchestrator.graph.operations import forward  # noqa: E402
from orchestrator.studies.scales import CIFAR10, CIFAR10_FAST, TINY  # noqa: E402
from tasks.steps import train_diffusion  # noqa: E402

IMAGES = 5000  # made up, of the resident training set
WARM, SECONDS = 30, 20.0  # steps before a rate is measured (it compiles), and of each measurement
MEASURED = ROOT / "docs" / "measured.md"
START, END = "<!-- gpu: written by bench/gpu.py -->", "<!-- /gpu -->"


def main() -> int:
    """Check, measure, show and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toy", action="store_true", help="A toy size, also on a CPU.")
    parser.add_argument("--no-tests", action="store_true", help="Speeds only.")
    parser.add_argument("--keep", action="store_true", help="Keep the table in docs/measured.md.")
    asked = parser.parse_args()
    if not asked.toy and not torch.cuda.is_available():
        print("expected a GPU that torch sees, found none; try --toy", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tested = 0 if asked.no_tests else _tests()
    rows = dict(_training(device, asked.toy)) | _drawing(device, asked.toy)
    found = {"device": _name(device), "torch": torch.__version__, "toy": asked.toy, **rows}
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    table = _table(found)
    print(table)
    if asked.keep:
        _keep(table)
    return tested


def _tests() -> int:
    """Run the tests marked gpu; where there is none they are skipped, and say so."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(ROOT / "tests" / "models")]
    return subprocess.run(command, cwd=ROOT).returncode


def _training(device: torch.device, toy: bool) -> Mapping[str, Any]:
    """Rows of the table: images a second, share of the peak, memory."""
    scales = {"tiny": TINY} if toy else {"cifar10-fast": CIFAR10_FAST, "cifar10": CIFAR10}
    rows: dict[str, Any] = {}
    for name, scale in scales.items():
        settings = replace(scale.diffusion, steps=10**6, precision="bf16", schedule="ramp")
        settings = replace(settings, batch_size=min(settings.batch_size, 512))
        bare = gpu_bare.step_of(settings, device, images=IMAGES)
        eager = replace(settings, precision="fp32", steps=precision.COMPILED_FROM - 1)
        seconds = 1.0 if toy else SECONDS
        ways: dict[str, Callable[[], float]] = {
            "ours, bf16": lambda: 1 / pace.step_seconds(settings, seconds),  # noqa: B023
            "bare loop, bf16": lambda: _rate(bare, device, toy),  # noqa: B023
            "ours, eager fp32": lambda: 1 / pace.step_seconds(eager, seconds),  # noqa: B023
        }
        for way, steps_a_second in ways.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            rate = steps_a_second() * settings.batch_size
            row = {"images_per_second": rate, "peak_share": _share(rate, settings, way)}
            rows[f"training, {name}, {way}"] = row | {"memory_gib": _memory(device)}
    return rows


def _drawing(device: torch.device, toy: bool) -> dict[str, Any]:
    """Sampled images a second with guidance, and calls a second of the diffusion classifier."""
    scale = TINY if toy else CIFAR10_FAST
    settings, size = scale.diffusion, 8 if toy else 250
    network = train_diffusion.build(settings).to(device).eval()
    model = train_diffusion.model_of(settings, network)
    precision.arranged(model.network, device, precision="bf16", passes=10**6)
    shape, condition = model.image_shape, torch.zeros(size, dtype=torch.long, device=device)
    noise, sampler = sampling.initial_noise(0, range(size), shape).to(device), sampling.Ddim()

    def draw() -> None:
        with precision.computing("bf16", device):
            sampler.sample(
                model, noise, condition, step_noises=iter(()), steps=10, guidance_weight=2.0,
                clip="none",
            )  # fmt: skip

    method = Method(
        counts=(int(np.prod(shape)),), draws=5, stages=(), margin=3.0, reduction="mean",
        p_mean=-1.2, p_std=1.2, sigma_data=0.5, seed=0, rows_at_once=64 if toy else 512,
    )  # fmt: skip
    assert isinstance(model, Ddpm)
    classifier = DiffusionClassifier(model, method, device)
    pictures = np.zeros((10, *shape), dtype=np.float32)
    watch = Watch(np.zeros((10, 2), dtype=np.int64), None)

    def classify() -> None:
        with precision.computing("bf16", device):
            classifier(pictures, list(range(10)), watch)

    drawn = _rate(draw, device, toy, warm=2) * size * 10 / scale.generations.steps
    calls = _rate(classify, device, toy, warm=2) * 10 * settings.classes * method.draws
    name = f"sampling, w = 2, {scale.generations.steps} steps, bf16"
    return {
        name: {"images_per_second": drawn, "memory_gib": _memory(device)},
        "diffusion classifier, bf16": {"calls_per_second": calls, "memory_gib": _memory(device)},
    }


def _rate(step: Callable[[], None], device: torch.device, toy: bool, warm: int = WARM) -> float:
    """How often a second it is done, once it is warm."""
    for _ in range(2 if toy else warm):
        step()
    _wait(device)
    began, done = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < (1.0 if toy else SECONDS):
        for _ in range(5):
            step()
        _wait(device)
        done += 5
    return done / taken


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _share(rate: float, settings: Any, way: str) -> float | None:
    """Of the datasheet's peak, which is known of some cards."""
    card = next((gpu for gpu in GPUS if gpu.replace("RTX ", "") in _name(None)), None)
    if card is None:
        return None
    peak = GPUS[card] * 1e12 * (2 if "bf16" in way else 1)
    return 3 * forward(settings) * rate / peak


def _memory(device: torch.device) -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None


def _name(device: torch.device | None) -> str:
    cuda = torch.cuda.is_available() if device is None else device.type == "cuda"
    return torch.cuda.get_device_name() if cuda else f"CPU, {platform.machine()}"


def _table(found: Mapping[str, Any]) -> str:
    """Markdown: a line a measurement."""
    lines = [
        f"{found['device']}, torch {found['torch']}" + (", toy size" if found["toy"] else ""),
        "",
        "| | a second | share of the peak | peak memory, GiB |",
        "|---|---|---|---|",
    ]
    for name, row in found.items():
        if isinstance(row, dict):
            rate = row.get("images_per_second") or row.get("calls_per_second") or 0.0
            unit = "images" if "images_per_second" in row else "calls"
            share, memory = row.get("peak_share"), row.get("memory_gib")
            said = [f"{rate:,.0f} {unit}", "" if share is None else f"{share:.0%}"]
            lines.append(
                f"| {name} | {' | '.join(said)} | {'' if memory is None else f'{memory:.1f}'} |"
            )
    return "\n".join(lines) + "\n"


def _keep(table: str) -> None:
    """Put the table between its marks in docs/measured.md."""
    text = MEASURED.read_text()
    written = f"{START}\n{table}{END}"
    place = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
    found, count = place.subn(lambda _: written, text)
    MEASURED.write_text(found if count else f"{text.rstrip()}\n\n## On a GPU\n\n{written}\n")


if __name__ == "__main__":
    sys.exit(main())
