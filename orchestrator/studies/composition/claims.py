"""The paper's claims that a ``composition`` sweep can test, each with its rule.

Adding one: write a function from one trigger's rows under all samplers to parts, and list it in
``CLAIMS``.  The rules were fixed before any data of this study were seen, but for the template
match's.
Samplers and triggers are compared at one guidance weight, `AcrossSamplers.reported_guidance`: 5,
the paper's, where any poisoned point has it, and the highest weight measured otherwise.
"""

from collections.abc import Callable, Sequence
from typing import Any

from analysis.page.wording import percent, points, ratio_name, sampler_name, trigger_name
from analysis.published import AUTHORS_SAMPLER
from analysis.rows import AcrossSamplers, Family, Row, across_samplers, guided
from analysis.statistics.comparison import between_points
from analysis.statistics.evidence import (
    TEMPLATE_MATCH_SOURCE,
    above_training,
    clean_draws_no_trigger,
    group_above,
    missing,
    no_control,
    pooled_share,
    seen_by_template_match,
)
from analysis.statistics.verdicts import Claim, Judgment, Part, Verdict, above, held

RATIO = 0.1
"""The poison ratio of the paper's pies (Fig. 2, A4, A6 and A8)."""


def sde_lowers_g1_of_ddpm(subject: AcrossSamplers) -> list[Part]:
    """G1 under DDPM above G1 under SDE."""
    return [_g1_above_sde(subject, "ddpm")]


def sde_lowers_g1_of_ddim(subject: AcrossSamplers) -> list[Part]:
    """G1 under DDIM above G1 under SDE."""
    return [_g1_above_sde(subject, "ddim")]


def threat_persists_under_sde(subject: AcrossSamplers) -> list[Part]:
    """G1 + G2 above p_t under SDE."""
    return [_amplified(subject, "sde")]


def amplified_under_ddim(subject: AcrossSamplers) -> list[Part]:
    """G1 + G2 above p_t under DDIM."""
    return [_amplified(subject, AUTHORS_SAMPLER)]


def amplified_by_template_match(subject: AcrossSamplers) -> list[Part]:
    """Template matching's G1 + G2 above p_t under every sampler; nothing without a patch."""
    weight = subject.reported_guidance
    return _under_each(subject, lambda family: seen_by_template_match(family, (RATIO,), weight))


def mismatches_dominate(subject: AcrossSamplers) -> list[Part]:
    """G1 above G2 under every sampler."""
    weight = subject.reported_guidance
    return _under_each(subject, lambda family: [group_above(family, "g1", "g2", RATIO, weight)])


def mismatches_grow(subject: AcrossSamplers) -> list[Part]:
    """G1 at the highest ratio above G1 at the lowest, under every sampler."""
    weight = subject.reported_guidance
    return _under_each(subject, lambda family: [_growth(family, weight)])


def mismatches_whatever_the_trigger(subject: AcrossSamplers) -> list[Part]:
    """G1 + G3 above the clean model's, under every sampler."""
    weight = subject.reported_guidance
    return _under_each(subject, lambda family: [_more_mismatches(family, weight)])


def blend_amplifies_less(subject: AcrossSamplers) -> list[Part]:
    """Trigger ratio of BadNets-1 above that of BadNets-2 at equal p_t; about BadNets-2 alone."""
    if subject.trigger != "blend":
        return []
    blend = subject.at(AUTHORS_SAMPLER, RATIO)
    badnets = subject.at(AUTHORS_SAMPLER, RATIO, "badnets1")
    for name, rows in (("badnets1", badnets), ("blend", blend)):
        if not rows:
            return [_unmeasured(subject, AUTHORS_SAMPLER, name)]
    gap = between_points(badnets, blend, "trigger_ratio")
    evidence = (
        f"{sampler_name(AUTHORS_SAMPLER)}, p = {ratio_name(RATIO)}: BadNets-1 is in "
        f"{pooled_share(badnets, 'trigger_ratio')}, BadNets-2 in "
        f"{pooled_share(blend, 'trigger_ratio')} of its model's generations, both against p_t = "
        f"{percent(float(blend[0]['p_t']))}; the difference is {points(gap.estimate)} "
        f"({gap.basis})."
    )
    return [Part(above(gap.estimate), evidence)]


def clean_models_draw_no_trigger(subject: AcrossSamplers) -> list[Part]:
    """The clean control's trigger ratio at the judge's false-positive rate, every sampler."""
    return _under_each(subject, clean_draws_no_trigger)


def _under_each(subject: AcrossSamplers, test: Callable[[Family], list[Part]]) -> list[Part]:
    return [_named(family.sampler, part) for family in subject.families for part in test(family)]


def _named(sampler: str, part: Part) -> Part:
    evidence = part.evidence[:1].lower() + part.evidence[1:]
    return Part(part.verdict, f"{sampler_name(sampler)}, {evidence}")


def _amplified(subject: AcrossSamplers, sampler: str) -> Part:
    family = subject.under(sampler)
    weight = subject.reported_guidance
    part = above_training(family, RATIO, weight) if family else missing(RATIO, weight)
    return _named(sampler, part)


def _g1_above_sde(subject: AcrossSamplers, sampler: str) -> Part:
    other, sde = subject.at(sampler, RATIO), subject.at("sde", RATIO)
    for name, rows in ((sampler, other), ("sde", sde)):
        if not rows:
            return _unmeasured(subject, name, subject.trigger)
    gap = between_points(other, sde, "g1")
    evidence = (
        f"p = {ratio_name(RATIO)}: G1 is {pooled_share(other, 'g1')} under "
        f"{sampler_name(sampler)}, {pooled_share(sde, 'g1')} under SDE; the difference is "
        f"{points(gap.estimate)} ({gap.basis})."
    )
    return Part(above(gap.estimate), evidence)


def _growth(family: Family, weight: float) -> Part:
    ratios = [ratio for ratio in family.poison_ratios if family.at(ratio, weight)]
    if len(ratios) < 2:
        evidence = f"a second poison ratio at guidance {weight:g} was not measured."
        return Part(Verdict.NOT_TESTED, evidence)
    few, many = (family.at(ratio, weight) for ratio in (ratios[0], ratios[-1]))
    growth = between_points(many, few, "g1")
    evidence = (
        f"from p = {ratio_name(ratios[0])} to {ratio_name(ratios[-1])}: G1 goes from "
        f"{pooled_share(few, 'g1')} to {pooled_share(many, 'g1')}; the difference is "
        f"{points(growth.estimate)} ({growth.basis})."
    )
    return Part(above(growth.estimate), evidence)


def _more_mismatches(family: Family, weight: float) -> Part:
    rows, clean = family.at(RATIO, weight), guided(family.clean, weight)
    if not rows or not clean:
        return no_control() if rows else missing(RATIO, weight)
    gain = between_points(rows, clean, "mismatch_ratio")
    evidence = (
        f"p = {ratio_name(RATIO)}: {pooled_share(rows, 'mismatch_ratio')} mismatch against the "
        f"clean model's {pooled_share(clean, 'mismatch_ratio')}; the difference is "
        f"{points(gain.estimate)} ({gain.basis})."
    )
    return Part(above(gain.estimate), evidence)


def _unmeasured(subject: AcrossSamplers, sampler: str, trigger: str) -> Part:
    return Part(
        Verdict.NOT_TESTED,
        f"{trigger_name(trigger)} under {sampler_name(sampler)} at p = {ratio_name(RATIO)} and "
        f"guidance {subject.reported_guidance:g} was not measured.",
    )


EXTENSION = "The paper measured BadNets-1 alone: the verdict on any other trigger is our extension."

CLAIMS: tuple[Claim[AcrossSamplers], ...] = (
    Claim(
        name="sde-lowers-g1-of-ddpm",
        statement="SDE sampling generates fewer mismatching trigger images (G1) than DDPM "
        "sampling does (52.7% against 69.8%).",
        source="App. D.2, Fig. A8",
        rule="At p = 10% the whole interval of G1 under DDPM minus G1 under SDE lies above 0. "
        + EXTENSION,
        test=sde_lowers_g1_of_ddpm,
    ),
    Claim(
        name="sde-lowers-g1-of-ddim",
        statement="So it does against DDIM, which the authors' code samples CIFAR10 with.",
        source="Our question, not a figure of the paper",
        rule="At p = 10% the whole interval of G1 under DDIM minus G1 under SDE lies above 0.",
        test=sde_lowers_g1_of_ddim,
    ),
    Claim(
        name="threat-persists-under-sde",
        statement="The threat exists in SDE sampling too: triggers come out more often than they "
        "went in (63.5% against 50.0%).",
        source="App. D.2, Fig. A8",
        rule="Under SDE at p = 10% the whole interval of G1 + G2 lies above p_t. " + EXTENSION,
        test=threat_persists_under_sde,
    ),
    Claim(
        name="amplified-under-ddim",
        statement="Under the authors' own sampler, DDIM, triggers come out more often than they "
        "went in (BadNets-1 73.4%, BadNets-2 59.9%, one color 69.4%, each against 49.6%).",
        source="§4, Fig. 2 and A4",
        rule="Under DDIM at p = 10% the whole interval of G1 + G2 lies above p_t.",
        test=amplified_under_ddim,
    ),
    Claim(
        name="amplified-by-template-match",
        statement="The same by the training-free template match: what is amplified is the patch "
        "itself, "
        "not something that the trigger judge takes for it.",
        source=TEMPLATE_MATCH_SOURCE,
        rule="At p = 10% the whole interval of the template match's trigger ratio lies above p_t "
        "under "
        "every sampler measured.",
        test=amplified_by_template_match,
    ),
    Claim(
        name="mismatches-dominate",
        statement="At p = 10% most images with a trigger mismatch the prompt: G1 exceeds G2.",
        source="§4, Fig. 2, A4, A6 and A8",
        rule="At p = 10% the whole interval of G1 − G2 lies above 0 under every sampler measured.",
        test=mismatches_dominate,
    ),
    Claim(
        name="mismatches-grow",
        statement="G1 grows with the poison ratio.",
        source="App. C.2 and D.2, Fig. A6 (e) and A8 (e)",
        rule="The whole interval of G1 at the highest poison ratio minus G1 at the lowest (clean "
        "models apart) lies above 0 under every sampler measured. " + EXTENSION,
        test=mismatches_grow,
    ),
    Claim(
        name="mismatches-whatever-the-trigger",
        statement="Whatever the trigger's pattern, poisoning makes the model draw images that do "
        "not match the prompt.",
        source="App. B.3, Fig. A4",
        rule="At p = 10% the whole interval of the mismatches, G1 + G3, minus the clean model's "
        "lies above 0 under every sampler measured.",
        test=mismatches_whatever_the_trigger,
    ),
    Claim(
        name="blend-amplifies-less",
        statement="BadNets-2 is amplified less than BadNets-1 (×1.21 against ×1.48 of p_t).",
        source="§4, Fig. 2 (1) and (2)",
        rule="Under DDIM at p = 10%, where both have one p_t, the whole interval of G1 + G2 of "
        "BadNets-1 minus that of BadNets-2 lies above 0; each is seen by its own judge.",
        test=blend_amplifies_less,
    ),
    Claim(
        name="clean-models-draw-no-trigger",
        statement="Without poison no trigger is drawn (the control that all of this rests on).",
        source="Our control, not a figure of the paper",
        rule="Under every sampler measured the whole interval of the trigger ratio lies below 2 "
        "points above the judge's false-positive rate (the margin is ours).",
        test=clean_models_draw_no_trigger,
    ),
)
"""Every claim a ``composition`` report decides, in the order of the page."""


def judge(rows: Sequence[Row]) -> tuple[Judgment[Any], ...]:
    """Hold every claim against every trigger and target under all samplers."""
    return held(across_samplers(rows), CLAIMS)
