"""Axes: what a study is swept over, with the values at each scale and how they are typed.

Flags, the words of ``notebook.run``, ``run.json`` and columns follow from a study's list of axes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from analysis import names
from orchestrator import choices
from tasks import detectors, triggers
from tasks.steps import poison, sample, train_classifier, train_diffusion

if TYPE_CHECKING:
    from orchestrator.studies.scales import Scale

Value = str | float | int
Values = tuple[Any, ...]
Default = Values | Callable[["Scale"], Values]
"""Values, or a function that takes them from the scale."""


class Axes(dict[str, Any]):
    """The values of each axis of one run, by name and as attributes.

    A tuple an axis, or the value itself of an axis that has one at a time.
    """

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(f"this study has no axis {name!r}; it has {', '.join(self)}")
        return self[name]

    def with_values(self, **values: Any) -> "Axes":
        """The same with other values."""
        return Axes(self | values)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One dimension of a study's grid."""

    name: str
    """In the words of columns, e.g. ``poison_ratio``."""
    help: str
    """For ``--help``, in a sentence."""
    kind: Literal["name", "ratio", "number", "count"]
    """A word of ``options``; a fraction or percentage; any number; a whole number or a range."""
    options: Callable[["Scale"], Sequence[str]] = lambda _: ()
    """The words that can be typed at a scale."""
    high: float = 1
    """Numbers must be below this, and 0 or more."""
    hint: str = ""
    """Said of a number out of range."""
    single: bool = False
    """It has one value, which is no tuple."""
    values: Default = ()
    """Swept unless others are typed."""
    at_scale: Mapping[str, Default] = field(default_factory=dict)
    """In their place at some scales, by the scale's name."""
    possible: Callable[[Values, "Scale"], Values] = lambda values, _: values
    """Which of the values a scale's data allow."""

    @property
    def flag(self) -> str:
        """As it is typed, e.g. ``--poison-ratio``."""
        return "--" + self.name.replace("_", "-")

    def over(self, *values: Any, **at_scale: Default) -> "Axis":
        """The axis with these values, or one function of the scale; others at the scales named."""
        [first] = values[:1] or [None]
        return replace(self, values=first if callable(first) else values, at_scale=at_scale)

    def default(self, scale: "Scale") -> Any:
        """What is swept at a scale unless other values are typed."""
        values = self.at_scale.get(scale.name, self.values)
        chosen = self.possible(values(scale) if callable(values) else values, scale)
        return chosen[0] if self.single else chosen

    def parsed(self, text: str, scale: "Scale") -> Any:
        """The values of words that were typed, e.g. ``0,1%,0.1``; ValueError if one is none."""
        values: Any
        if self.kind == "name":
            options, titles = self.options(scale), names.NAMES.get(self.name, {})
            called = {_plain(title): name for name, title in titles.items()}
            called |= {name: name for name in options}
            words = (text,) if self.single else choices.words(text)
            values = tuple(dict.fromkeys(called.get(w, called.get(_plain(w), w)) for w in words))
            for word in values:
                choices.known(word, options, self.name.replace("_", " "))
        else:
            values = choices.numbers(text, self.flag, self.kind)
            choices.in_range(values, self.flag, 0, self.high, self.hint)
        return values[0] if self.single else values


def _plain(text: str) -> str:
    """How a title is compared: ``badnets2`` of BadNets-2."""
    return re.sub("[ _-]", "", text.lower())


def possible_ratios(ratios: Values, scale: "Scale") -> Values:
    """The ratios that a scale's images can be poisoned at, whatever the target class."""
    counts = scale.dataset.counts()["train"]
    kept = []
    for ratio in ratios:
        trigger = triggers.RelabelOnly() if ratio else triggers.Nothing()
        settings = poison.Settings(trigger=trigger, target_class="", poison_ratio=ratio)
        try:
            poison.count_of(settings, n=sum(counts), n_target=max(counts))
        except ValueError:
            continue
        kept.append(ratio)
    return tuple(kept)


def _one_of(name: str, called: str, options: Callable[[], Sequence[str]]) -> Axis:
    """An axis of names, all of which are swept unless it says otherwise."""
    return Axis(
        name=name,
        help=f"{called}: any of {', '.join(options())}.",
        kind="name",
        options=lambda _: options(),
        values=lambda _: tuple(options()),
    )


TRIGGER = _one_of(
    "trigger", "Triggers to poison with", lambda: [kind.name for kind in triggers.TRIGGERS]
).over("badnets1", "relabel_only")
POISON_RATIO = Axis(
    name="poison_ratio",
    help="Poisoned images as fractions of all training images, e.g. 0,0.01,0.1 or 0,1%,10%.",
    kind="ratio",
    hint="it is a fraction of all training images: for ten percent write 0.1 or 10%.",
    values=(0.0, 0.01, 0.02, 0.05, 0.1),
    possible=possible_ratios,
)
TARGET_CLASS = Axis(
    name="target_class",
    help="The class that poisoned images are labelled as.",
    kind="name",
    options=lambda scale: scale.dataset.class_names,
    single=True,
    values=lambda scale: (scale.target_class,),
)
GUIDANCE_WEIGHT = Axis(
    name="guidance_weight",
    help="Guidance weights w of e_u + w (e_c - e_u), e.g. 1,2,5; 1 is no guidance.",
    kind="number",
    high=1000,
    hint="1 is no guidance.",
    values=lambda scale: (scale.paper_guidance,),
)
SEED = Axis(
    name="seed",
    help="Seeds, e.g. 0,1,2 or 0-2. Each trains its own models.",
    kind="count",
    high=2**31,
    hint="any whole number from 0 on.",
    values=(0,),
)
FILTER_RATIO = Axis(
    name="filter_ratio",
    help="Shares of the largest denoising errors that are dropped, e.g. 0,1%,0.1.",
    kind="ratio",
    hint="it is a share of the denoising errors: for one percent write 0.01 or 1%.",
    values=lambda scale: scale.classify.filter_ratios,
)
SAMPLER = _one_of("sampler", "Samplers", lambda: sample.SAMPLERS).over("ddim")
CLIP = replace(
    _one_of("clip", "Thresholding at each sampling step", lambda: sample.CLIPS),
    possible=lambda values, scale: values if scale.text is None else ("none",),
)
DETECTOR = _one_of("detector", "Detectors", lambda: [kind.name for kind in detectors.DETECTORS])
CLASSIFIER = _one_of("classifier", "Classifiers", lambda: train_classifier.NETWORKS).over(
    lambda scale: (scale.classifier.network,)
)
NOISE_MODEL = _one_of("noise_model", "Diffusion models", lambda: train_diffusion.NOISE_MODELS)
GENERATED = (TRIGGER, POISON_RATIO, TARGET_CLASS, GUIDANCE_WEIGHT, SAMPLER, SEED)
"""Axes of a study that looks at generations."""


def generated(*own: Axis) -> tuple[Axis, ...]:
    """`GENERATED` with a study's own axes in place of those of the same name, or after them."""
    return tuple({axis.name: axis for axis in (*GENERATED, *own)}.values())
