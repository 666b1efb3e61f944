"""Trigger amplification and the phase transition (Fig. 3, 4 and A7; section 4 of the paper).

Hypothesis: a diffusion model trained on BadNets-poisoned data puts the trigger into more of the
target class's generations than the training set has (``trigger_ratio`` above p_t); at a low poison
ratio mostly into images that match the condition (G2), at a high one mostly into images that do
not (G1); and more guidance makes it worse.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.step import Step
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Axes, Point, Study
from tasks import assess, dissect, mark, measure, poison, triggers
from tasks.triggers import Trigger


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """One point per trigger, ratio, guidance weight, sampler and seed, controls among them.

    Controls stamp nothing and are judged with the triggers that they control: ratio 0, and
    ``relabel_only`` at the largest ratio.

    Raises:
        ValueError: When a combination poisons nothing, or more than there is.
    """
    steps = _Steps(scale, axes.target_class)
    made = [
        steps.point(trigger, judged_by, ratio, weight, sampler, seed)
        for trigger, judged_by, ratio in _poisons(axes)
        for weight in axes.guidance_weight
        for sampler in axes.sampler
        for seed in axes.seed
    ]
    if not made:
        raise ValueError(
            "these axes hold no point: trigger none goes with poison ratio 0, every other trigger "
            "with a ratio above it."
        )
    return made


def _poisons(axes: Axes) -> Iterator[tuple[Trigger, Trigger, float]]:
    """Each (trigger, the trigger that judges, ratio) of the study, the clean control first."""
    chosen = [trigger() for trigger in triggers.TRIGGERS if trigger.name in axes.trigger]
    stamping = [trigger for trigger in chosen if trigger.stamps] or [triggers.BadNets1()]
    ratios = sorted(ratio for ratio in axes.poison_ratio if ratio > 0)
    if 0 in axes.poison_ratio:
        yield from ((triggers.Nothing(), judge, 0.0) for judge in stamping)
    for trigger in chosen:
        if trigger.stamps:
            yield from ((trigger, trigger, ratio) for ratio in ratios)
        elif trigger.relabels:
            yield from ((trigger, judge, ratio) for judge in stamping for ratio in ratios[-1:])


class _Steps:
    """Builds the study's graph; equal steps are one step by their digests."""

    def __init__(self, scale: Scale, target_class: str) -> None:
        self.scale, self.target_class = scale, target_class
        self.dataset = Step(scale.dataset)
        self.content_judge = Step(scale.content_judge, {}, {"dataset": self.dataset})

    def point(
        self,
        trigger: Trigger,
        judged_by: Trigger,
        ratio: float,
        weight: float,
        sampler: str,
        seed: int,
    ) -> Point:
        settings = measure.Settings(
            trigger=trigger.name,
            judge_trigger=judged_by.name,
            target_class=self.target_class,
            poison_ratio=ratio,
            guidance_weight=weight,
            sampler=sampler,
            seed=seed,
            other_guidance_weight=self.scale.others.guidance_weight,
        )
        names = self.scale.dataset.class_names
        target = names.index(self.target_class)
        others = tuple(label for label in range(len(names)) if label != target)
        asked = {"conditions": (target,), "guidance_weight": weight, "sampler": sampler}
        generations = self._sample(trigger, ratio, seed, self.scale.generations, **asked)
        other = self._sample(trigger, ratio, seed, self.scale.others, conditions=others)
        inputs = {
            "manifest": self._poison(trigger, ratio, seed),
            "judges": self._judges(judged_by),
            "dissection": self._dissect(generations, judged_by),
            "generations": generations,
            "other_dissection": self._dissect(other, judged_by),
        }
        axes: dict[str, str | float | int] = {
            "trigger": trigger.name,
            "judge_trigger": judged_by.name,
            "poison_ratio": ratio,
            "target_class": self.target_class,
            "guidance_weight": weight,
            "sampler": sampler,
            "seed": seed,
        }
        return Point(axes=axes, measure=Step(settings, inputs))

    def _poison(self, trigger: Trigger, ratio: float, seed: int) -> Step:
        settings = poison.Settings(
            trigger=trigger, target_class=self.target_class, poison_ratio=ratio, seed=seed
        )
        return Step(settings, {"dataset": self.dataset})

    def _sample(self, trigger: Trigger, ratio: float, seed: int, how: Any, **asked: Any) -> Step:
        streams = {"dataset": self.dataset, "manifest": self._poison(trigger, ratio, seed)}
        model = Step(replace(self.scale.diffusion, seed=seed), {}, streams)
        return Step(replace(how, seed=seed, **asked), {"model": model})

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
        return Step(dissect.Settings(), inputs)


AMPLIFICATION = Study(
    name="amplification",
    title="Trigger amplification and the phase transition",
    paper="Fig. 3, 4, A7",
    question=(
        "Does a diffusion model trained on BadNets-poisoned images put the trigger into more of "
        "the target class's generations than the training set has, in matching images (G2) at low "
        "poison ratios and in mismatching ones (G1) at high ones, and more so with guidance?"
    ),
    points=points,
)
