"""From the axes of a point to its steps: the graph that studies of generations share."""

from dataclasses import replace

from orchestrator.step import Step
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point
from tasks import assess, dissect, mark, measure, poison, sample
from tasks.triggers import Trigger


class Graph:
    """The steps of a scale for one target class; equal steps are one step by their digests."""

    def __init__(self, scale: Scale, target_class: str) -> None:
        self.scale, self.target_class = scale, target_class
        counts = scale.dataset.counts()["train"]
        self.n, self.target = sum(counts), scale.dataset.class_names.index(target_class)
        self.n_target = counts[self.target]
        self.dataset = Step(scale.dataset)
        self.content_judge = Step(scale.content_judge, {}, {"dataset": self.dataset})

    def point(
        self,
        trigger: Trigger,
        *,
        poison_ratio: float,
        guidance_weight: float,
        sampler: str,
        seed: int,
        judged_by: Trigger | None = None,
    ) -> Point:
        """Poison, train, sample, dissect and measure once.

        Args:
            trigger: Stamped onto the poisoned images.
            poison_ratio: Fraction of all training images.
            guidance_weight: w of e_u + w (e_c - e_u).
            sampler: A name of ``SAMPLERS``.
            seed: Of poison choice, training and sampling.
            judged_by: The trigger whose judge looks; needed for a trigger that stamps nothing.

        Raises:
            ValueError: A ratio that poisons less than an image, or more than there is.
        """
        judge = judged_by or trigger
        settings = measure.Settings(
            trigger=trigger.name,
            judge_trigger=judge.name,
            target_class=self.target_class,
            poison_ratio=poison_ratio,
            guidance_weight=guidance_weight,
            sampler=sampler,
            sampler_steps=self.scale.sampler_steps[sampler],
            seed=seed,
            other_guidance_weight=self.scale.others.guidance_weight,
        )
        classes = range(len(self.scale.dataset.class_names))
        generations = self._sample(
            self._model(trigger, poison_ratio, seed),
            replace(
                self.scale.generations,
                conditions=(self.target,),
                guidance_weight=guidance_weight,
                sampler=sampler,
                steps=self.scale.sampler_steps[sampler],
                seed=seed,
            ),
        )
        others = tuple(label for label in classes if label != self.target)
        other = self._sample(
            self._model(trigger, poison_ratio, seed),
            replace(self.scale.others, conditions=others, seed=seed),
        )
        inputs = {
            "manifest": self._poison(trigger, poison_ratio, seed),
            "judges": self._judges(judge),
            "dissection": self._dissect(generations, judge),
            "generations": generations,
            "other_dissection": self._dissect(other, judge),
        }
        names = ("trigger", "judge_trigger", "poison_ratio", "target_class")
        axes = {name: getattr(settings, name) for name in names}
        axes |= {"guidance_weight": guidance_weight, "sampler": sampler, "seed": seed}
        return Point(axes=axes, measure=Step(settings, inputs))

    def _poison(self, trigger: Trigger, ratio: float, seed: int) -> Step:
        settings = poison.Settings(
            trigger=trigger, target_class=self.target_class, poison_ratio=ratio, seed=seed
        )
        poison.count_of(settings, n=self.n, n_target=self.n_target)
        return Step(settings, {"dataset": self.dataset})

    def _model(self, trigger: Trigger, ratio: float, seed: int) -> Step:
        streams = {"dataset": self.dataset, "manifest": self._poison(trigger, ratio, seed)}
        return Step(replace(self.scale.diffusion, seed=seed), {}, streams)

    def _sample(self, model: Step, settings: sample.Settings) -> Step:
        return Step(settings, {"model": model})

    def _trigger_judge(self, trigger: Trigger) -> Step:
        marked = Step(mark.Settings(trigger=trigger), {"dataset": self.dataset})
        return Step(self.scale.trigger_judge, {}, {"dataset": self.dataset, "manifest": marked})

    def _judges(self, trigger: Trigger) -> Step:
        judges = {
            "dataset": self.dataset,
            "content_judge": self.content_judge,
            "trigger_judge": self._trigger_judge(trigger),
        }
        return Step(assess.Settings(trigger=trigger), judges)

    def _dissect(self, generations: Step, trigger: Trigger) -> Step:
        inputs = {
            "generations": generations,
            "content_judge": self.content_judge,
            "trigger_judge": self._trigger_judge(trigger),
            "judges": self._judges(trigger),
        }
        return Step(dissect.Settings(trigger=trigger), inputs)
