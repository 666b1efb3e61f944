"""Memory that steps state against the peak that they reach, each in a process of its own.

    memory.py                       a table for 8, 32 and 64 pixels, in some minutes
    memory.py 8 32                  for these sides
    memory.py one FOLDER SIDE NAME  one step, in this process

Peaks are of the whole process, torch and Python included, as ``record.json`` has them.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from orchestrator.run.execute import build
from orchestrator.run.placement import Placement
from orchestrator.step import Step, ancestors
from orchestrator.store.store import Store
from tasks.data import datasets
from tasks.detectors import CognitiveDistillation, FeatureConsistency, Strip
from tasks.steps import (
    attack,
    denoise_classify,
    detect,
    dissect,
    judge_accuracy,
    mark,
    perturb,
    prepare,
    sample,
    train_classifier,
    train_diffusion,
)
from tasks.triggers import BadNets1

SIDES = (8, 32, 64)
WITHIN = 1.5
"""Most that a peak may differ from what was stated, either way, as a factor."""
TRIGGER = BadNets1()
CLASSES = ("dark", "light")
EACH = 400
"""Pictures of a class."""


def pictures(folder: Path, side: int) -> None:
    """Two classes that a classifier learns in a few steps."""
    generator = np.random.default_rng(0)
    for name, level in zip(CLASSES, (60, 190), strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(EACH):
            drawn = level + generator.integers(-20, 20, (side, side, 3))
            Image.fromarray(drawn.astype(np.uint8)).save(folder / name / f"{number:03}.png")


def steps(folder: Path, side: int) -> dict[str, Step]:
    """The steps that are measured, by name; others on the way are not."""
    data = Step(datasets.ImageFolder.open(folder, image_size=side, channels=3))
    streams = {"dataset": data}
    marked = Step(mark.Settings(trigger=TRIGGER), {"dataset": data})
    image = {"image_size": side, "channels": 3, "classes": 2}
    few = {**image, "steps": 3, "schedule": "ramp"}
    wide = {"block_channels": (64, 128, 128), "layers_per_block": 2, "attention_levels": (1, 2)}

    def model(**more: object) -> Step:
        return Step(train_diffusion.Settings(**{**few, **more}), {}, streams)

    def classifier(network: str, **more: object) -> Step:
        settings = {"name": "content", "steps": 12, "batch_size": 64, **image, **more}
        return Step(train_classifier.Settings(network=network, **settings), {}, streams)

    def drawn(of: Step, **more: object) -> Step:
        how = {"conditions": (0, 1), "guidance_weight": 2.0, "steps": 2, "n": 64}
        return Step(sample.Settings(**{**how, "batch_size": 64, **more}), {"model": of})

    def looking(detector: object) -> Step:
        ready = Step(prepare.Settings(detector=detector), {"classifier": small}, streams)
        settings = detect.Settings(detector=detector, image_set="training", batch_size=128)
        return Step(settings, {"prepared": ready}, streams)

    laptop, larger, edm = model(), model(batch_size=16, **wide), model(noise_model="edm")
    small, resnet = classifier("small", steps=40), classifier("resnet18")
    seen = train_classifier.Settings(
        **{**image, "name": TRIGGER.name, "steps": 12, "batch_size": 32}
    )
    judges = {
        "content_judge": small,
        "trigger_judge": Step(seen, {}, {**streams, "manifest": marked}),
    }
    assessed = Step(judge_accuracy.Settings(trigger=TRIGGER), {"dataset": data, **judges})
    found = {"generations": drawn(laptop, n=400), **judges, "judges": assessed}
    fct = FeatureConsistency(epochs=1, draws=2)
    told = {"trigger": TRIGGER, "target_class": "dark"}
    classify = denoise_classify.Settings(
        **told, filter_ratios=(0.0,), draws=4, stages=(), test_images=16, batch_size=16,
        rows_at_once=128, classes=2,
    )  # fmt: skip
    return {
        "train, laptop's U-Net": laptop,
        "train, larger U-Net": larger,
        "train, EDM": edm,
        "train, small": small,
        "train, resnet18": resnet,
        "sample, laptop's U-Net": drawn(laptop),
        "sample, larger U-Net": drawn(larger),
        "sample, EDM": drawn(edm, sampler="heun"),
        "judge_accuracy": assessed,
        "dissect": Step(dissect.Settings(trigger=TRIGGER), found),
        "attack, resnet18": Step(
            attack.Settings(**told), {"dataset": data, "classifier": resnet}
        ),
        "prepare, FCT": Step(prepare.Settings(detector=fct), {"classifier": small}, streams),
        "detect, CD": looking(CognitiveDistillation(steps=2)),
        "detect, STRIP": looking(Strip(overlays=100)),
        "detect, FCT": looking(fct),
        "perturb": Step(
            perturb.Settings(target_class="dark", steps=2), {"dataset": data, "classifier": small}
        ),
        "denoise_classify": Step(classify, {"dataset": data, "model": laptop}),
    }  # fmt: skip


def one(folder: Path, side: int, name: str) -> None:
    """Make a step whose sources are there, in this process."""
    store = Store(folder / "store")
    for step in ancestors([steps(folder / str(side), side)[name]]):
        if step.task == "judge_accuracy" and name != "judge_accuracy":
            passed(step, store)
        outcome = build(step, store, Placement())
        if outcome.kind != "done":
            raise SystemExit(outcome.message)


def passed(step: Step, store: Store) -> None:
    """Publish judges that are good enough to be asked; these were hardly trained."""
    good = {"content": {"clean": {"accuracy": 1.0}}, "trigger": {"balanced_accuracy": 1.0}}
    store.discard(step)
    with store.publish(step) as attempt:
        (attempt.folder / "judges.json").write_text(json.dumps(good))


def peak(folder: Path, side: int, name: str) -> int:
    """Peak of the process that makes a step and nothing else, bytes."""
    step, store = steps(folder / str(side), side)[name], Store(folder / "store")
    without_sources = not all(store.has(source) for source in step.sources)
    for _ in range(1 + without_sources):
        store.discard(step)
        command = [sys.executable, __file__, "one", str(folder), str(side), name]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name} at {side} pixels: {done.stderr.strip().splitlines()[-1]}")
    return int(store.record(step)["peak_memory_bytes"])


def main() -> int:
    """Print the table."""
    if sys.argv[1:2] == ["one"]:
        one(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
        return 0
    missed = 0
    print(f"{'':>4} {'step':26} {'stated':>9} {'measured':>9} {'factor':>7}")
    with tempfile.TemporaryDirectory(prefix="memory-") as made:
        for side in [int(word) for word in sys.argv[1:]] or SIDES:
            pictures(Path(made, str(side)), side)
            for name, step in steps(Path(made, str(side)), side).items():
                stated = Placement().bundle(step, {"CPU": 1.0}).memory
                measured = peak(Path(made), side, name)
                missed += not 1 / WITHIN <= measured / stated <= WITHIN
                print(
                    f"{side:>4} {name:26} {stated >> 20:>5} MiB {measured >> 20:>5} MiB "
                    f"{measured / stated:>7.2f}",
                    flush=True,
                )
    print(f"{missed} missed the factor of {WITHIN}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
