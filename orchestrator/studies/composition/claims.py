"""The paper's claims that a sweep of ``composition`` can test, each with its rule.

The rules were fixed before any data of this study were seen, but for template matching's.  Samplers
and triggers are compared at one guidance weight and with the usual way of thresholding, none.
"""

from functools import partial

from analysis.claims import Claim, Subject
from analysis.evidence import (
    CLEAN,
    EVERY,
    above_training,
    above_training_by_template_match,
    clean_draws_no_trigger,
    difference,
    each,
    group_above,
    more_mismatches,
    reported,
    stamped,
    template_matched,
)
from analysis.names import place
from analysis.rows import groups, poisoned, select, values
from analysis.statistics.verdicts import Part, Verdict, below

RATIO = 0.1
"""The poison ratio of the paper's pies (Fig. 2, A4, A6 and A8)."""
AUTHORS_SAMPLER = "ddim"
"""What the authors' code samples with, Stable Diffusion and CIFAR10 alike."""


def usual_clip(subject: Subject) -> str | None:
    """The first way of thresholding that was measured: the authors', which is none."""
    return next(iter(values(subject.study, "clip")), None)


def mismatches_grow(subject: Subject) -> list[Part]:
    """G1 at the highest ratio above G1 at the lowest, under every sampler."""
    rows = stamped(subject, guidance_weight=reported(subject), clip=usual_clip(subject))
    parts = []
    for sampler, own in groups(poisoned(rows), "sampler"):
        points, where = groups(own, "poison_ratio"), place(**sampler)
        if len(points) < 2:
            lacking = f"{where}: a second poison ratio was not measured."
            parts.append(Part(Verdict.NOT_TESTED, lacking))
            continue
        (low, few), (high, many) = points[0], points[-1]
        compared = difference("g1", f"G1 is {{}} at {place(**high)} and {{}} at {place(**low)}")
        parts.append(compared(many, few, where))
    return parts


EXTENSION = "The paper measured BadNets-1 alone: the verdict on any other trigger is our extension."
_claim = partial(Claim, by=("judge_trigger", "target_class"))
_under = partial(each, clip=usual_clip, poison_ratio=RATIO, guidance_weight=reported)
_under_each = partial(_under, sampler=EVERY)
_against_sde = {"sampler": "sde"}
_pies = {"poison_ratio": RATIO, "printed_guidance_weight": 5.0}
_triggers = {"trigger": ("badnets1", "blend", "unicolor"), **_pies}


CLAIMS = (
    _claim(
        name="sde-lowers-g1-of-ddpm",
        statement="SDE sampling generates fewer mismatching trigger images (G1) than DDPM "
        "sampling does (52.7% against 69.8%).",
        source="App. D.2, Fig. A8",
        rule="At p = 10% the whole interval of G1 under DDPM minus G1 under SDE lies above 0. "
        + EXTENSION,
        printed={"metrics": ("g1",), "sampler": ("ddpm", "sde"), **_pies},
        test=_under(
            difference("g1", "G1 is {}, under SDE {}"), sampler="ddpm", beside=_against_sde
        ),
    ),
    _claim(
        name="sde-lowers-g1-of-ddim",
        statement="So it does against DDIM, which the authors' code samples CIFAR10 with.",
        source="Our question, not a figure of the paper",
        rule="At p = 10% the whole interval of G1 under DDIM minus G1 under SDE lies above 0.",
        test=_under(
            difference("g1", "G1 is {}, under SDE {}"), sampler="ddim", beside=_against_sde
        ),
    ),
    _claim(
        name="threat-persists-under-sde",
        statement="The threat exists in SDE sampling too: triggers come out more often than they "
        "went in (63.5% against 50.0%).",
        source="App. D.2, Fig. A8",
        rule="Under SDE at p = 10% the whole interval of G1 + G2 lies above p_t. " + EXTENSION,
        printed={"metrics": ("trigger_ratio", "p_t"), "sampler": "sde", **_pies},
        test=_under(above_training, sampler="sde"),
    ),
    _claim(
        name="amplified-under-ddim",
        statement="Under the authors' own sampler, DDIM, triggers come out more often than they "
        "went in (BadNets-1 73.4%, BadNets-2 59.9%, one color 69.4%, each against 49.6%).",
        source="§4, Fig. 2 and A4",
        rule="Under DDIM at p = 10% the whole interval of G1 + G2 lies above p_t.",
        printed={"metrics": ("trigger_ratio", "p_t"), "sampler": "ddim", **_triggers},
        test=_under(above_training, sampler=AUTHORS_SAMPLER),
    ),
    _claim(
        name="amplified-by-template-match",
        statement="Template matching, which needs no training, sees the same: the patch itself is "
        "amplified, not something that the trigger judge mistakes for it.",
        source="Our control, added when the judge's figures for the digits were known",
        rule="At p = 10% the whole interval of the trigger ratio by template matching lies above "
        "p_t under every sampler measured.",
        test=_under_each(above_training_by_template_match, of=template_matched),
    ),
    _claim(
        name="mismatches-dominate",
        statement="At p = 10% most images with a trigger mismatch the prompt: G1 exceeds G2.",
        source="§4, Fig. 2, A4, A6 and A8",
        rule="At p = 10% the whole interval of G1 − G2 lies above 0 under every sampler measured.",
        printed={"metrics": ("g1", "g2"), **_triggers},
        test=_under_each(group_above("g1", "g2")),
    ),
    _claim(
        name="mismatches-grow",
        statement="G1 grows with the poison ratio.",
        source="App. C.2 and D.2, Fig. A6 (e) and A8 (e)",
        rule="The whole interval of G1 at the highest poison ratio minus G1 at the lowest (clean "
        "models apart) lies above 0 under every sampler measured. " + EXTENSION,
        test=mismatches_grow,
    ),
    _claim(
        name="mismatches-whatever-the-trigger",
        statement="Whatever the trigger's pattern, poisoning makes the model draw images that do "
        "not match the prompt.",
        source="App. B.3, Fig. A4",
        rule="At p = 10% the whole interval of the mismatches, G1 + G3, minus the clean model's "
        "lies above 0 under every sampler measured.",
        printed={"metrics": ("mismatch_ratio",), **_triggers},
        test=_under_each(more_mismatches(), beside=CLEAN),
    ),
    _claim(
        name="blend-amplifies-less",
        statement="BadNets-2 is amplified less than BadNets-1 (×1.21 against ×1.48 of p_t).",
        source="§4, Fig. 2 (1) and (2)",
        rule="Under DDIM at p = 10%, where both have one p_t, the whole interval of G1 + G2 of "
        "BadNets-2 minus that of BadNets-1 lies below 0; each is seen by its own judge.",
        printed={"metrics": ("amplification",), **_pies, "dataset": "ImageNette, Stable Diffusion"},
        test=_under(
            difference("trigger_ratio", "BadNets-2 is in {}, BadNets-1 in {}", below),
            about=lambda trigger: trigger == "blend",
            sampler=AUTHORS_SAMPLER,
            beside={"trigger": "badnets1", "judge_trigger": "badnets1"},
        ),
    ),
    _claim(
        name="clean-models-draw-no-trigger",
        control=True,
        statement="Without poison no trigger is drawn (the control that all of this rests on).",
        source="Our control, not a figure of the paper",
        rule="Under every sampler measured the whole interval of the trigger ratio lies below 2 "
        "points above the judge's false-positive rate (the margin is ours).",
        test=lambda subject: clean_draws_no_trigger(
            select(subject.rows, clip=usual_clip(subject)), "sampler"
        ),
    ),
)
