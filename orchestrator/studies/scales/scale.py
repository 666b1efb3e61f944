"""A scale: one dial that sets the data, the networks and the lengths of everything."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tasks import detectors, triggers
from tasks.checks import check_name
from tasks.data.datasets import Dataset
from tasks.detectors import Detector
from tasks.latent import encode, fine_tune, new_pipeline, pipeline, train_autoencoder
from tasks.steps import denoise_classify, sample, train_classifier, train_diffusion, weights
from tasks.triggers import Trigger

LEAST_STEPS, LEAST_IMAGES = 100, 100
"""A diffusion model of fewer updates draws noise; fewer images a point decide nothing."""
HEUN_STEPS = 18
"""Of sampler ``heun`` at every scale, 35 network evaluations (Karras et al. 2022, for CIFAR10)."""


@dataclass(frozen=True, kw_only=True)
class NewPipeline:
    """A text-to-image pipeline that is made and pre-trained here."""

    dataset: Dataset
    """Clean images and captions that it learns from."""
    autoencoder: train_autoencoder.Settings
    """Trained first."""
    networks: new_pipeline.Settings
    """Sizes of the text encoder and of the U-Net."""
    training: fine_tune.Settings
    """How these two are trained, on moments."""


@dataclass(frozen=True, kw_only=True)
class TextFamily:
    """Text-to-image models, which are fine-tuned."""

    base: NewPipeline | pipeline.Settings
    """What they are fine-tuned from; the latter is somebody's folder."""
    encode: encode.Settings
    """How images are encoded; trigger, number and size are the dataset's."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Everything about a study but its axes."""

    name: str
    dataset: Dataset
    target_class: str
    """Name of the class that poison is labelled as unless another is typed."""
    diffusion: Any
    """Of every diffusion model: of ``train_diffusion``, or with ``text`` of ``fine_tune``; its seed
    is the point's."""
    text: TextFamily | None = None
    """None where models know classes."""
    content_judge: train_classifier.Settings
    """Trained once, on clean images; it does not depend on any axis."""
    trigger_judge: train_classifier.Settings
    """Trained once per trigger, on clean images half of which are stamped."""
    generations: sample.Settings
    """How the target class is sampled; condition, guidance, sampler and seed are the point's."""
    others: sample.Settings
    """How the other classes are sampled, once per model; conditions and seed are the point's."""
    sampler_steps: Mapping[str, int]
    """Steps of each sampler on the target class."""
    paper_guidance: float = 5.0
    """Guidance weight of the paper's figures, in our convention."""
    own_triggers: tuple[Trigger, ...] = ()
    """Triggers with other than their default fields."""
    detectors: tuple[Detector, ...] = ()
    """Detectors with other than their default fields; their seeds are the point's."""
    classifier: train_classifier.Settings
    """Trained on the poisoned training set, or on a generation set; its seed is the point's."""
    classifier_weights: weights.Settings | None = None
    """What classifiers start from where networks are compared; None for random weights."""
    scored_at_once: int = 256
    """Images that a detector is given at a time."""
    generation_set_n: int | None = None
    """Most images of a generation set; None for as many as there are to train on."""
    generation_labels: str = "observed"
    """What a generation set is asked for as: ``observed`` labels, or those of the ``clean`` set."""
    edm: train_diffusion.Settings
    """Of every EDM; its seed is the point's."""
    classify: denoise_classify.Settings
    """How diffusion models classify; trigger, target class and seed are the point's."""

    def steps_of(self, sampler: str) -> int:
        """Steps of a sampler on the target class; ValueError if there is no such sampler."""
        check_name("a sampler", sampler, sample.SAMPLERS)
        return HEUN_STEPS if sampler == "heun" else self.sampler_steps[sampler]

    def trigger(self, name: str) -> Trigger:
        """The trigger that a name of ``TRIGGERS`` stands for at this scale."""
        own = (trigger for trigger in self.own_triggers[::-1] if trigger.name == name)
        return next(own, None) or triggers.from_name(name)()

    def detector(self, name: str, seed: int = 0) -> Detector:
        """The detector that a name of ``DETECTORS`` stands for at this scale."""
        own = (detector for detector in self.detectors[::-1] if detector.name == name)
        chosen: Any = next(own, None) or detectors.from_name(name)()
        return replace(chosen, seed=seed) if hasattr(chosen, "seed") else chosen

    @property
    def generation_set_size(self) -> int:
        """Images of a generation set: as many as there are to train on, unless fewer are set."""
        n = sum(self.dataset.counts()["train"])
        return n if self.generation_set_n is None else min(n, self.generation_set_n)


def shortened(scale: Scale, percent: int) -> Scale:
    """The scale with so many percent of its training steps and of its images a point.

    Neither falls below LEAST_STEPS or LEAST_IMAGES, unless it was there already.
    """

    def part(whole: int, least: int) -> int:
        return min(whole, max(least, whole * percent // 100))

    if percent == 100:
        return scale
    n = part(scale.generations.n, LEAST_IMAGES)
    return replace(
        scale,
        diffusion=replace(scale.diffusion, steps=part(scale.diffusion.steps, LEAST_STEPS)),
        edm=replace(scale.edm, steps=part(scale.edm.steps, LEAST_STEPS)),
        generations=replace(scale.generations, n=n),
        others=replace(scale.others, n=min(scale.others.n, n)),
        generation_set_n=part(scale.generation_set_size, LEAST_IMAGES),
    )
