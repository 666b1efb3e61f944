"""What a study, its points and its axes are."""

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from orchestrator.step import Step, canonical
from tasks import detectors

if TYPE_CHECKING:
    from orchestrator.run.request import Request, Result
    from orchestrator.studies.scales import Scale


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The values that a study is swept over."""

    trigger: tuple[str, ...]
    """Names from ``TRIGGERS``."""
    poison_ratio: tuple[float, ...]
    """Fractions of all training images; 0 is the clean control."""
    guidance_weight: tuple[float, ...]
    """w of e_u + w (e_c - e_u); 1 is none."""
    sampler: tuple[str, ...]
    """Names from ``SAMPLERS``."""
    seed: tuple[int, ...]
    """Each reseeds poison choice, training and sampling together."""
    target_class: str
    """Name of the class that poison is labelled as."""
    detector: tuple[str, ...] = field(
        default=tuple(kind.name for kind in detectors.DETECTORS), metadata={"since": 2}
    )
    """Names from ``DETECTORS``; of a study that detects, which the others ignore."""
    classifier: tuple[str, ...] = field(default=(), metadata={"since": 3})
    """Names from ``NETWORKS``; of a study that defends, which the others ignore."""
    clip: tuple[str, ...] = field(default=("none",), metadata={"since": 5})
    """Names from ``CLIPS``; of ``composition``, which the others ignore."""
    noise_model: tuple[str, ...] = field(default=("ddpm",), metadata={"since": 4})
    """Names from ``NOISE_MODELS``; of a study that classifies, which the others ignore."""
    filter_ratio: tuple[float, ...] = field(default=(), metadata={"since": 4})
    """Shares of the denoising errors that are dropped, likewise."""

    @property
    def digest(self) -> str:
        """Eight hex digits of the values."""
        text = json.dumps(canonical(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One cell of a study's grid; its ``measure`` step ends in one row."""

    axes: Mapping[str, str | float | int | None]
    """Axis name to value, in the columns' words; None where the point has no such thing."""
    measure: Step

    @property
    def name(self) -> str:
        """Readable and unique in its study, e.g. ``badnets1-p0.05-w2-ddim-seed0``."""
        return str(self.measure.settings.label)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question to the data: a function from a scale and axes to points."""

    name: str
    title: str
    paper: str
    """The figure or table of the paper."""
    question: str
    """The hypothesis, in a sentence or two."""
    points: Callable[["Scale", Axes], Sequence[Point]]
    package: str = ""
    """Its folder, as ``__name__``: there are ``claims.py`` (``CLAIMS``) and ``page.py`` (``page``).

    A study without one has no claims and the plain page.
    """
    columns: tuple[str, ...] = ()
    """What its rows measure, most telling first: its tables and results file start with them."""
    axes: Callable[["Scale"], Axes] = lambda scale: scale.axes
    """What is swept at a scale unless the command line says otherwise."""
    detects: bool = False
    """Whether detectors look at the images; then there is an axis of detectors."""
    defends: bool = False
    """Whether classifiers are trained on generation sets; then there is an axis of classifiers."""
    classifies: bool = False
    """Whether diffusion models classify; then there are axes of noise models and filter ratios,
    and none of guidance weights and samplers."""
    thresholds: bool = False
    """Whether samplers threshold in several ways; then there is an axis of them."""
    page: "Callable[[Request, Result, Sequence[Point], Path], Path] | None" = None
    """Writes the page of the finished points into a folder, returns its path; None: the usual."""
    words: tuple[str, ...] = ()
    """What is typed after ``castlewalls`` for it; by default ``run`` and its name."""

    def part(self, name: str) -> ModuleType | None:
        """The module of its folder that is called ``name``; None of a study without a folder."""
        return importlib.import_module(f"{self.package}.{name}") if self.package else None

    def swept(self, axes: Axes) -> dict[str, str | tuple[str | float, ...]]:
        """The axes that this study has, by name."""
        return {name: value for name, value in vars(axes).items() if self._has(name)}

    @property
    def uses(self) -> tuple[str, ...]:
        """What the study does beyond sampling and dissecting, in the words of ``Scale.digest``."""
        does = {
            "detection": self.detects,
            "defense": self.defends,
            "classification": self.classifies,
        }
        return tuple(name for name, done in does.items() if done)

    def images_a_point(self, scale: "Scale") -> int:
        """How many generations a point rests on, those of the other classes aside."""
        if self.classifies:
            return scale.classify.n
        return scale.generation_set_size if self.has_generation_set else scale.generations.n

    @property
    def has_generation_set(self) -> bool:
        """Whether as many images are generated as there are to train on."""
        return self.detects or self.defends

    def _has(self, axis: str) -> bool:
        return {
            "detector": self.detects,
            "classifier": self.defends,
            "noise_model": self.classifies,
            "filter_ratio": self.classifies,
            "guidance_weight": not self.classifies,
            "sampler": not self.classifies,
            "clip": self.thresholds,
        }.get(axis, True)
