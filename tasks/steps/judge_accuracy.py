"""Measure both judges and template matching on the test part, which no judge was trained on.

A stamp that hides part of a digit moves images from G2 to G1; the content judge's error rate on
stamped images says how many.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.data import datasets, images
from tasks.settings import TaskSettings
from tasks.triggers.patch import template_match
from tasks.triggers.trigger import Trigger, check_stamps

BATCH_SIZE = 256
"""Images in one forward pass of a judge, and decoded at once."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """The trigger whose judge is measured."""

    revision = 3
    expected_seconds = 2.0
    expected_bytes = 5_000

    trigger: Trigger
    """Stamped onto the test images."""

    def __post_init__(self) -> None:
        check_stamps(self.trigger)

    @property
    def label(self) -> str:
        """Readable part of the result's path."""
        return self.trigger.name


def run(
    settings: Settings,
    *,
    dataset: Path,
    content_judge: Path,
    trigger_judge: Path,
    out: Path,
    pipeline: Path | None = None,
) -> None:
    """Write ``judges.json``; raises ValueError if the dataset has no test image.

    With a text-to-image pipeline, judges see each image after its autoencoder's round trip: what of
    a trigger that erases, no model that is trained on latents can draw.
    """
    from models.classifiers import Classifier
    from models.device import choose, one_thread

    passed = _round_trip(pipeline) if pipeline else None
    content_network = Classifier.load(content_judge, choose())
    trigger_network = Classifier.load(trigger_judge, choose())

    def asked(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.int64 | np.bool_], ...]:
        pictures = passed(pictures) if passed else pictures
        x = images.to_float(pictures)
        content = content_network.probabilities(x, BATCH_SIZE).argmax(axis=1)
        trigger = trigger_network.probabilities(x, BATCH_SIZE).argmax(axis=1) == 1
        matched = template_match(settings.trigger, pictures)
        return content, trigger, np.empty(0, np.bool_) if matched is None else matched

    parts = []
    with one_thread():
        for rows in datasets.read_batches(dataset / "test.parquet", BATCH_SIZE):
            stamped = settings.trigger.stamp(rows.images)
            parts.append((rows.labels, *asked(rows.images), *asked(stamped)))
    if not parts:
        raise ValueError("expected test images to measure judges on, got none")
    truth, content, trigger, matched, content_stamped, trigger_stamped, matched_stamped = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    classes = content_network.shape.classes
    judges = {
        "content": {
            "clean": measure_content(truth, content, classes),
            "stamped": measure_content(truth, content_stamped, classes),
        },
        "trigger": measure_trigger(trigger, trigger_stamped),
        "template_match": measure_trigger(matched, matched_stamped) if len(matched) else None,
    }
    (out / "judges.json").write_text(json.dumps(judges, indent=1) + "\n")


def _round_trip(pipeline: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """A function that encodes and decodes images, by the mean of each latent."""
    import torch

    from models.device import choose
    from models.latent import autoencoder
    from models.latent.pipeline import open_part

    device = choose()
    vae = open_part(pipeline, "vae", device)

    @torch.no_grad()
    def passed(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        x = torch.from_numpy(images.to_float(pictures)).to(device)
        mean, _ = autoencoder.moments(vae, x).chunk(2, dim=1)
        decoded = vae.decode(mean, return_dict=False)[0]
        return images.from_float(decoded.float().cpu().numpy())

    return passed


def measure_content(
    truth: NDArray[np.int64], said: NDArray[np.int64], classes: int
) -> dict[str, object]:
    """Accuracy, n, and the confusion matrix, true classes in rows, of labels int64, (N,)."""
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (truth, said), 1)
    accuracy = float((truth == said).mean())
    return {"accuracy": accuracy, "n": len(truth), "confusion": confusion.tolist()}


def measure_trigger(
    on_clean: NDArray[np.bool_], on_stamped: NDArray[np.bool_]
) -> dict[str, float | int]:
    """Error rates of a judge of the trigger, or of template matching.

    Given is where it sees a trigger: bool, (N,), on clean images, and bool, (M,), on stamped ones.
    """
    false_positives, false_negatives = int(on_clean.sum()), int((~on_stamped).sum())
    false_positive_rate = false_positives / len(on_clean)
    false_negative_rate = false_negatives / len(on_stamped)
    return {
        "false_positive_rate": false_positive_rate,
        "false_negative_rate": false_negative_rate,
        "balanced_accuracy": 1 - (false_positive_rate + false_negative_rate) / 2,
        "n_clean": len(on_clean),
        "n_stamped": len(on_stamped),
        "false_positives": false_positives,
        "false_negatives": false_negatives,
    }
