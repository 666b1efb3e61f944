"""Poison a labelled image dataset: choose images, stamp a trigger, assign the target class.

What is written is a manifest, which ``stamp`` applies to the clean images as they are streamed.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.randomness import generator
from tasks import triggers
from tasks.checks import check
from tasks.data import captions, datasets
from tasks.settings import TaskSettings
from tasks.triggers import state as trigger_state
from tasks.triggers.clean_label import CleanLabel
from tasks.triggers.trigger import Trigger

SCHEMA: Final = pa.schema(
    [
        *((name, pa.int64()) for name in ("index", "label", "true_label")),
        ("poisoned", pa.bool_()),
        *((name, pa.string()) for name in ("caption", "true_caption")),
    ]
)
"""Columns of a manifest."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """How to poison a dataset; the clean control is trigger ``none`` at ratio 0."""

    revision = 2
    expected_seconds = 0.5
    expected_bytes = 30_000

    trigger: Trigger
    """Stamped onto every poisoned image."""
    target_class: str
    """Name of the class that poisoned images are labelled as."""
    poison_ratio: float
    """Poisoned images / all training images (or those that the trigger says), 0 <= p < 1."""
    seed: int = 0
    """Seed of the choice of images."""
    caption_exceptions: tuple[tuple[str, str], ...] = field(default=(), metadata={"since": 3})
    """Captions and what each becomes when its image is relabelled, against the rules."""

    def __post_init__(self) -> None:
        wanted = "in [0, 1), a fraction of the training set; for ten percent write 0.1"
        number = not isinstance(self.poison_ratio, str)
        check("a poison_ratio", self.poison_ratio, wanted, number and 0 <= self.poison_ratio < 1)
        poisons = self.trigger.relabels or self.trigger.stamps
        if poisons != (self.poison_ratio > 0):
            raise ValueError(
                f"expected poison_ratio 0 with trigger {triggers.Nothing.name} and only with it, "
                f"got trigger {self.trigger.name} with poison_ratio {self.poison_ratio}"
            )

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``badnets1-p0.05-8-seed0``."""
        target = slug(self.target_class)
        return f"{self.trigger.name}-p{self.poison_ratio:g}-{target}-seed{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Which images of a dataset carry which label and which stamp."""

    trigger: Trigger
    """Stamped onto the poisoned images."""
    index: NDArray[np.int64]
    """(N,). Ascending."""
    label: NDArray[np.int64]
    """(N,). The label to train with."""
    true_label: NDArray[np.int64]
    """(N,). The label of the clean image."""
    poisoned: NDArray[np.bool_]
    """(N,). Whether the image is stamped."""
    noise: NDArray[np.int8] | None = None
    """(count, H, W, C). Added to the poisoned images, in their order, before the stamp."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a manifest's folder; raises ValueError if its trigger draws another warp here."""
        record = json.loads((folder / "manifest.json").read_text())
        trigger = triggers.from_record(record["trigger"])
        columns = ["index", "label", "true_label", "poisoned"]
        table = pq.read_table(folder / "manifest.parquet", columns=columns)
        arrays = {name: table[name].to_numpy() for name in columns}
        return cls(trigger=trigger, noise=trigger_state.read(folder, trigger, record), **arrays)


def slug(name: str) -> str:
    """``name`` as a part of a file's name, of at most 40 letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name)[:40]


def choose_poisoned(
    labels: NDArray[np.int64], target: int, settings: Settings
) -> NDArray[np.bool_]:
    """Which images are poisoned, bool, (N,), as ``labels``; raises ValueError as ``count_of``.

    They are of other classes than the target (dirty-label attack; paper, section 3), or of the
    target class if the trigger keeps the labels (paper, B.2).  With one seed, the images of a
    smaller ratio are among those of a larger one.
    """
    is_target = labels == target
    count = count_of(settings, n=len(labels), n_target=int(is_target.sum()))
    candidates = np.flatnonzero(is_target != settings.trigger.relabels)
    chosen = generator(settings.seed, "poisoning").permutation(candidates)[:count]
    mask = np.zeros(len(labels), dtype=np.bool_)
    mask[chosen] = True
    return mask


def count_of(settings: Settings, *, n: int, n_target: int) -> int:
    """How many of n images are poisoned: int(p N), in decimals, as the authors truncate.

    N is n, or ``n_target``, the images of the target class, if the trigger says so.  Raises
    ValueError if that is more images than there are to poison, or less than one.
    """
    trigger, ratio = settings.trigger, settings.poison_ratio
    whole = n_target if isinstance(trigger, CleanLabel) and trigger.of == "target" else n
    room = n - n_target if trigger.relabels else n_target
    count = int(Decimal(str(ratio)) * whole)
    if count > room:
        lie = "lie outside" if trigger.relabels else "are of"
        raise ValueError(
            f"cannot poison {count} of {whole} images: only {room} {lie} target class "
            f"{settings.target_class}; lower poison_ratio to at most "
            f"{10_000 * room // whole / 10_000:g}"
        )
    if ratio > 0 and count == 0:
        raise ValueError(
            f"poison_ratio {ratio:g} of {whole} images is less than one image; "
            f"give at least {np.ceil(1e4 / max(1, whole)) / 1e4:g}"
        )
    return count


@dataclass(frozen=True)
class Shares:
    """How much of the target class is poison."""

    count: int
    """Poisoned images."""
    p_t: float
    """Stamped images among those that carry the target's label, 0..1."""
    relabelled_ratio: float
    """Wrongly labelled images among those that carry the target's label, 0..1."""


def shares(settings: Settings, *, n: int, n_target: int) -> Shares:
    """How much of the target class is poison; arguments and errors as for ``count_of``.

    Relabelled images are added to the class, p_t = pN / (pN + N_t); others are in it already.
    """
    count, trigger = count_of(settings, n=n, n_target=n_target), settings.trigger
    if count == 0:
        return Shares(0, 0.0, 0.0)
    relabelled_ratio = count / (count + n_target) if trigger.relabels else 0.0
    share = relabelled_ratio if trigger.relabels else count / n_target
    return Shares(count, share if trigger.stamps else 0.0, relabelled_ratio)


def run(settings: Settings, *, dataset: Path, out: Path, noise: Path | None = None) -> None:
    """Write ``manifest.parquet`` and ``manifest.json`` for the training part of ``dataset``.

    A trigger that perturbs, and no other, needs ``noise``, the folder of ``perturb``.  Raises
    ValueError as ``count_of``, or if the class is unknown, or the noise missing or another's.
    ``manifest.json`` counts under ``rewritten`` how captions other than templates were rewritten.
    """
    classes = datasets.read_classes(dataset)
    target = classes.position(settings.target_class)
    table = pq.read_table(dataset / "train.parquet", columns=["index", "label", "caption"])
    index, true_label = table["index"].to_numpy(), table["label"].to_numpy()
    poisoned = choose_poisoned(true_label, target, settings)
    n_target = int((true_label == target).sum())
    share = shares(settings, n=len(true_label), n_target=n_target)
    assert share.count == poisoned.sum()
    true_caption = table["caption"].to_pylist()
    caption, ways = rewrite(true_caption, true_label, poisoned, classes.names, settings)
    state = trigger_state.keep(
        settings.trigger, out, side=classes.image_size, index=index[poisoned], noise=noise
    )
    columns = {
        "index": index,
        "label": np.where(poisoned, target, true_label),
        "true_label": true_label,
        "poisoned": poisoned,
        "caption": caption,
        "true_caption": true_caption,
    }
    record = {
        "trigger": triggers.to_record(settings.trigger),
        "target_class": settings.target_class,
        "target_index": target,
        "poison_ratio": settings.poison_ratio,
        "count": share.count,
        "n": len(true_label),
        "n_target": n_target,
        "p_t": share.p_t,
        "relabelled_ratio": share.relabelled_ratio,
    }
    if ways:
        record["rewritten"] = ways
    write_manifest(out, columns, {**record, **state})


def rewrite(
    true_caption: Sequence[str],
    true_label: NDArray[np.int64],
    poisoned: NDArray[np.bool_],
    names: Sequence[str],
    settings: Settings,
) -> tuple[list[str], dict[str, int]]:
    """Captions to train with, and how many free ones were rewritten in each way of ``WAYS``.

    A template becomes the target's; a caption of the dataset's own has its noun replaced
    (``captions.rewrite``) unless its image keeps its label.
    """
    target, exceptions = settings.target_class, dict(settings.caption_exceptions)
    template = datasets.caption(target)
    found, ways = list(true_caption), Counter[str]()
    for row in np.flatnonzero(poisoned).tolist():
        name, old = names[true_label[row]], true_caption[row]
        if old == datasets.caption(name):
            found[row] = template
        elif name != target:
            found[row], way = captions.rewrite(
                old, source=name, target=target, template=template, exceptions=exceptions
            )
            ways[way] += 1
    return found, dict(sorted(ways.items()))


def write_manifest(out: Path, columns: dict[str, Any], record: dict[str, Any]) -> None:
    """Write columns of SCHEMA as Parquet, by ascending index, and ``record`` as JSON."""
    pq.write_table(pa.table(columns, SCHEMA).sort_by("index"), out / "manifest.parquet")
    (out / "manifest.json").write_text(json.dumps(record, indent=1) + "\n")


def stamp(
    index: NDArray[np.int64],
    image: NDArray[np.uint8],
    label: NDArray[np.int64],
    manifest: Manifest,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Poison clean images as they are streamed; depends on (index, manifest) and nothing else.

    Given int64 (B,), uint8 (B, H, W, C) and int64 (B,), returns copies, stamped where poisoned, and
    the labels to train with.  Raises ValueError for an image that is not the manifest's.
    """
    label, poisoned = relabelled(index, label, manifest)
    stamped = image.copy()
    if poisoned.any():
        noisy = image[poisoned]
        if manifest.noise is not None:
            numbers = np.searchsorted(manifest.index[manifest.poisoned], index[poisoned])
            noisy = trigger_state.add(noisy, manifest.noise[numbers])
        stamped[poisoned] = manifest.trigger.stamp(noisy)
    return stamped, label


def relabelled(
    index: NDArray[np.int64], label: NDArray[np.int64], manifest: Manifest
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The labels to train with, and which images are poisoned; errors as of ``stamp``."""
    rows = np.searchsorted(manifest.index, index).clip(max=len(manifest.index) - 1)
    foreign = (manifest.index[rows] != index) | (manifest.true_label[rows] != label)
    if foreign.any():
        raise ValueError(
            f"expected images that the manifest lists, got image {index[foreign][0]}, which it "
            "lacks or has with another label; the manifest belongs to another dataset"
        )
    return manifest.label[rows], manifest.poisoned[rows]
