"""Every claim can be decided on what a study measures unless told otherwise, at every scale."""

import pytest

from analysis.published import in_words
from analysis.rows import frame
from analysis.statistics.verdicts import Verdict
from orchestrator.run.report import claims_of
from orchestrator.run.report import judged as judge
from orchestrator.studies import STUDIES, studies_at
from orchestrator.studies.scales import SCALES
from tests.made_up import corrected, make_row, template_matched
from tests.made_up_classification import FILTERS, make_rows
from tests.made_up_defense import freshly_attacked, judged, make_defense_row
from tests.made_up_detection import bounded, make_detection_row

WITHOUT_A_PATCH = ("blend", "wanet")


def of_groups(axes):
    """Triggers where there is poison, mismatches too; a template match where there is a patch."""
    seen = axes["judge_trigger"] not in WITHOUT_A_PATCH
    stamped = axes["trigger"] not in ("none", "relabel_only")
    counts = (100, 100, 10, 290) if stamped else (0, 0, 30, 470)
    row = make_row(axes["trigger"], axes["poison_ratio"], axes["guidance_weight"], counts)
    return corrected(template_matched(row, missed=4 if seen else None))


def of_detection(axes):
    names = ("trigger", "poison_ratio", "detector", "image_set")
    row = make_detection_row(*(axes[name] for name in names))
    if axes["trigger"] == "none":
        row |= {"pretend_ratio": 0.1, "null_level": 0.99, "null_low": 0.45, "null_high": 0.55}
    elif axes["image_set"] == "generation":
        for name in ("training_auroc", "auroc_gain", "template_auroc_gain", "poisoned_shift"):
            row |= bounded(name, 0.5)
        for name in ("clean_shift", "equal_prevalence_gain", "auroc_poisoned_moved"):
            row |= bounded(name, 0.1)
    return row


def of_defense(axes):
    trigger, image_set, training = axes["judge_trigger"], axes["image_set"], (350, 240)
    counts = training if image_set == "training" else (345, 20)
    row = make_defense_row(trigger, axes["poison_ratio"], image_set, counts, training)
    if image_set == "generation":
        row = judged(row, 20)
    return freshly_attacked(row, 30, 200) if trigger == "wanet" else row


def of_classification(axes):
    made = make_rows(axes["judge_trigger"], 0.05, axes["noise_model"], ordinary=(350, 300))
    return made[FILTERS.index(axes["filter_ratio"])]


MADE = {
    "generations_row": of_groups,
    "detection_row": of_detection,
    "defense_row": of_defense,
    "classification_row": of_classification,
}


BOTH = [
    pytest.param(scale, study, id=f"{study.name}-{scale.name}")
    for scale in SCALES
    for study in studies_at(scale)
]


@pytest.mark.parametrize(("scale", "study"), BOTH)
def test_no_claim_is_left_untested_by_the_default_axes(study, scale):
    rows = [
        MADE[point.measure.task](point.axes)
        | point.axes
        | {"study": study.name, "scale": scale.name}
        | {
            name: getattr(point.measure.settings, name)
            for name in ("paper_guidance", "trigger_pixels")
            if hasattr(point.measure.settings, name)
        }
        for point in study.points(scale, study.chosen(scale))
    ]
    parts = [(one.claim.name, part) for one in judge(study, frame(rows)) for part in one.parts]
    assert parts
    assert not [part for part in parts if part[1].verdict is Verdict.NOT_TESTED]


def test_the_paper_s_numbers_of_a_claim_are_those_it_prints():
    claims = {claim.name: claim for study in STUDIES for claim in claims_of(study)}
    said = {name: in_words(**claim.printed) for name, claim in claims.items() if claim.printed}
    assert all(said.values())
    assert said["amplified-at-ten-percent"] == "trigger ratio 73.4 to 94.0%, p_t 49.6 to 60.0%"
    assert said["sde-lowers-g1-of-ddpm"] == "G1 52.7 to 69.8%"
    assert said["blend-amplifies-less"] == "amplification ×1.21 to ×1.49"
    assert said["easier-on-generations"] == "gain in AUROC +0.001 to +0.252"
