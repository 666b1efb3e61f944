"""From the axes of a point to its steps: what the studies' graphs share, each built in one place.

Equal steps are one step by their digests: studies of one scale share datasets, judges and models.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.step import Step
from orchestrator.studies.scales import NewPipeline, Scale
from orchestrator.studies.study import Point, point
from tasks.checks import check
from tasks.data import datasets
from tasks.rows import generations_row
from tasks.steps import (
    attack,
    collect,
    conditions,
    detect,
    dissect,
    judge_accuracy,
    mark,
    perturb,
    poison,
    prepare,
    sample,
)
from tasks.triggers import CleanLabel, Nothing, Trigger

VGG_RATE = 1e-4
"""Peak learning rate of AdamW for VGG-16, at most: without normalization 1e-3 learns nothing."""


class Graph:
    """The steps of a scale for one target class."""

    def __init__(self, scale: Scale, target_class: str) -> None:
        self.scale, self.target_class = scale, target_class
        counts = scale.dataset.counts()["train"]
        self.n, self.target = sum(counts), scale.dataset.class_names.index(target_class)
        self.n_target = counts[self.target]
        self.made: dict[tuple[Any, ...], Step] = {}
        self.dataset = self.step(scale.dataset)
        self.content_judge = self.step(scale.content_judge, {}, {"dataset": self.dataset})

    def step(
        self,
        settings: Any,
        inputs: Mapping[str, Step] | None = None,
        streams: Mapping[str, Step] | None = None,
    ) -> Step:
        """The step of equal settings and the very same sources that was made before, or a new one.

        What points share is then checked, named and held once.
        """
        inputs, streams = inputs or {}, streams or {}
        sources = ((role, id(step)) for part in (inputs, streams) for role, step in part.items())
        key = (settings, len(inputs), *sources)
        if key not in self.made:
            self.made[key] = Step(settings, inputs, streams)
        return self.made[key]

    def point(
        self,
        trigger: Trigger,
        *,
        poison_ratio: float,
        guidance_weight: float,
        sampler: str,
        seed: int,
        clip: str = "none",
        judged_by: Trigger | None = None,
    ) -> Point:
        """Poison, train, sample, dissect and measure once.

        The judge of ``judged_by`` looks; a trigger that stamps nothing needs another one's.

        Raises:
            ValueError: A ratio that poisons less than an image, or more than there is; no trigger;
                no such sampler.
        """
        judge = judged_by or trigger
        for given in (trigger, judge):
            check("a trigger", given, "such as BadNets1()", not isinstance(given, str | type))
        settings = generations_row.Settings(
            trigger=trigger.name,
            judge_trigger=judge.name,
            poison_ratio=poison_ratio,
            target_class=self.target_class,
            guidance_weight=guidance_weight,
            sampler=sampler,
            clip=clip,
            seed=seed,
            sampler_steps=self.scale.steps_of(sampler),
            paper_guidance=self.scale.paper_guidance,
            other_guidance_weight=self.scale.others.guidance_weight,
        )
        manifest = self.manifest(trigger, poison_ratio, seed)
        model = self.model(manifest, seed)
        own = {"guidance_weight": guidance_weight, "clip": clip, "seed": seed}
        drawn = self._drawn(sampler, conditions=(self.target,), **own)
        generations = self.step(drawn, {"model": model})
        classes = range(len(self.scale.dataset.class_names))
        others = tuple(number for number in classes if number != self.target)
        asked: dict[str, Any] = {"conditions": others, "prompts": self.prompts, "seed": seed}
        other = self.step(replace(self.scale.others, **asked), {"model": model})
        inputs = {
            "manifest": manifest,
            "judges": self.judges(judge),
            "dissection": self.dissection(generations, judge),
            "generations": generations,
            "other_dissection": self.dissection(other, judge),
        }
        if self.scale.text is not None:
            inputs["round_trip"] = self.judges(judge, self.pipeline())
        return point(settings, inputs)

    def manifest(self, trigger: Trigger, ratio: float, seed: int) -> Step:
        """Which training images are poisoned.

        Raises:
            ValueError: A ratio that poisons less than an image, or more than there is.
        """
        settings = poison.Settings(
            trigger=trigger, target_class=self.target_class, poison_ratio=ratio, seed=seed
        )
        poison.count_of(settings, n=self.n, n_target=self.n_target)
        inputs = {"dataset": self.dataset}
        if isinstance(trigger, CleanLabel):
            inputs["noise"] = self._noise(trigger)
        return self.step(settings, inputs)

    def _noise(self, trigger: CleanLabel) -> Step:
        """Found with a classifier of clean images; one for all ratios and seeds."""
        fields = {name: getattr(trigger, name) for name in ("epsilon", "step_size", "steps")}
        settings = perturb.Settings(target_class=self.target_class, **fields)
        clean = self.classifier(self.manifest(Nothing(), 0.0, 0), 0)
        return self.step(settings, {"dataset": self.dataset, "classifier": clean})

    def _poisoned(self, manifest: Step) -> Mapping[str, Step]:
        return {"dataset": self.dataset, "manifest": manifest}

    def model(self, manifest: Step, seed: int, noise_model: str = "ddpm") -> Step:
        """The diffusion model that is trained on a poisoned training set.

        Raises:
            ValueError: An EDM of a scale whose models are told a text.
        """
        if self.scale.text is None:
            kinds = {"ddpm": self.scale.diffusion, "edm": self.scale.edm}
            return self.step(replace(kinds[noise_model], seed=seed), {}, self._poisoned(manifest))
        wanted = f"of scale {self.scale.name}, which are text-to-image models: ddpm"
        check("a noise model", noise_model, wanted, noise_model == "ddpm")
        trigger = manifest.settings.trigger
        streams = {"dataset": self.moments(self.dataset, Nothing()), "manifest": manifest}
        if trigger.stamps:
            streams["stamped"] = self.moments(self.dataset, trigger)
        settings = replace(self.scale.diffusion, seed=seed)
        return self.step(settings, {"pipeline": self.pipeline()}, streams)

    def pipeline(self) -> Step:
        """What text-to-image models start from: pre-trained here on clean images, or given."""
        text = self.scale.text
        assert text is not None
        if not isinstance(base := text.base, NewPipeline):
            return self.step(base)
        images = self.step(base.dataset)
        autoencoder = self.step(base.autoencoder, {}, {"dataset": images})
        new = self.step(base.networks, {"dataset": images, "autoencoder": autoencoder})
        streams = {"dataset": self.moments(images, Nothing(), new)}
        return self.step(base.training, {"pipeline": new}, streams)

    def moments(self, images: Step, trigger: Trigger, pipeline: Step | None = None) -> Step:
        """The images' encodings, all of them stamped with the trigger first."""
        text = self.scale.text
        assert text is not None
        n, size = sum(images.settings.counts()["train"]), images.settings.image_size
        settings = replace(text.encode, trigger=trigger, n=n, image_size=size)
        inputs = {"dataset": images, "pipeline": pipeline or self.pipeline()}
        if isinstance(trigger, CleanLabel):
            inputs["noise"] = self._noise(trigger)
        return self.step(settings, inputs)

    def classifier(self, manifest: Step, seed: int, network: str = "") -> Step:
        """That of a poisoned training set; by default the scale's network from random weights."""
        return self._classifier(self._poisoned(manifest), seed, network)

    def classifier_of_generations(self, generations: Step, seed: int, network: str) -> Step:
        """The classifier that is trained on a generation set, each image as it was asked for."""
        data, n = self.scale.dataset, self.scale.generation_set_size
        settings = collect.Settings(n=n, image_size=data.image_size, channels=data.channels)
        collected = self.step(settings, {"generations": generations, "dataset": self.dataset})
        return self._classifier({"dataset": collected}, seed, network)

    def _classifier(self, streams: Mapping[str, Step], seed: int, network: str) -> Step:
        own, given = self.scale.classifier, self.scale.classifier_weights
        inputs = {"weights": self.step(given)} if network and given else {}
        settings = replace(own, seed=seed, network=network or own.network)
        if settings.network == "vgg16" and settings.optimizer == "adamw":
            settings = replace(settings, learning_rate=min(settings.learning_rate, VGG_RATE))
        return self.step(settings, inputs, streams)

    def attack(self, classifier: Step, trigger: Trigger, *, verdicts: bool = False) -> Step:
        """How that classifier does on test images, and how a trigger fools it."""
        target_class = self.target_class
        settings = attack.Settings(trigger=trigger, target_class=target_class, verdicts=verdicts)
        inputs = {"dataset": self.dataset, "classifier": classifier}
        return self.step(settings, inputs)

    def _drawn(self, sampler: str, **own: Any) -> sample.Settings:
        """How images are drawn with a sampler, and with other fields of the settings."""
        own |= {"steps": self.scale.steps_of(sampler), "prompts": self.prompts}
        return replace(self.scale.generations, sampler=sampler, **own)

    @property
    def prompts(self) -> tuple[str, ...]:
        """What text-to-image models are asked for, by class; nothing where models know classes."""
        names = self.scale.dataset.class_names
        return () if self.scale.text is None else tuple(map(datasets.caption, names))

    def generation_set(
        self, manifest: Step, *, guidance_weight: float, sampler: str, seed: int
    ) -> Step:
        """As many generations as training images, asked for as ``scale.generation_labels`` says."""
        own = {
            "guidance_weight": guidance_weight,
            "seed": seed,
            "n": self.scale.generation_set_size,
        }
        labels = conditions.Settings(seed=seed, labels=self.scale.generation_labels)
        asked = self.step(labels, {"manifest": manifest})
        inputs = {"model": self.model(manifest, seed), "conditions": asked}
        return self.step(self._drawn(sampler, conditions=(), **own), inputs)

    def prepared(self, detector: str, classifier: Step) -> Step:
        """A detector made ready on the training set of a classifier, with its seed."""
        chosen = self.scale.detector(detector, seed=classifier.settings.seed)
        settings = prepare.Settings(detector=chosen, n=self.n)
        return self.step(settings, {"classifier": classifier}, classifier.streams)

    def suspicion(self, prepared: Step, generations: Step | None = None) -> Step:
        """How suspicious each image is, of the training set or of a generation set."""
        settings = detect.Settings(
            detector=prepared.settings.detector,
            image_set="generation" if generations else "training",
            batch_size=self.scale.scored_at_once,
            n=self.scale.generation_set_size if generations else self.n,
        )
        if generations is None:
            return self.step(settings, {"prepared": prepared}, prepared.streams)
        return self.step(settings, {"generations": generations, "prepared": prepared})

    def judges(self, trigger: Trigger, pipeline: Step | None = None) -> Step:
        """What both judges of a trigger get wrong, perhaps after an autoencoder's round trip."""
        inputs = {"dataset": self.dataset, **self._judges(trigger)}
        inputs |= {"pipeline": pipeline} if pipeline else {}
        return self.step(judge_accuracy.Settings(trigger=trigger), inputs)

    def dissection(self, generations: Step, trigger: Trigger) -> Step:
        """What both judges of a trigger say of generations."""
        judges = {**self._judges(trigger), "judges": self.judges(trigger)}
        return self.step(dissect.Settings(trigger=trigger), {"generations": generations, **judges})

    def _judges(self, trigger: Trigger) -> Mapping[str, Step]:
        marked = self.step(mark.Settings(trigger=trigger), {"dataset": self.dataset})
        trained = self.step(self.scale.trigger_judge, {}, self._poisoned(marked))
        return {"content_judge": self.content_judge, "trigger_judge": trained}
