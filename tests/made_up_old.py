"""Reports of the studies that are not converted yet."""

import numpy as np

from analysis.old.report import Stage, StudyReport
from tests.made_up import strip_of
from tests.made_up_classification import classification_study, losses_of
from tests.made_up_defense import defense_study


def defense_report():
    """A finished report of `made_up_defense.defense_study`."""
    rows = defense_study()
    return StudyReport(
        study="defense",
        title="Training classifiers on the generations",
        question="Tab. 4, A3. Does a classifier of the generations lose its backdoor?",
        strip=strip_of(["none", "badnets1", "blend", "wanet", "clean_label"]),
        **_surroundings(rows, ("badnets1",), {}),
    )


def classification_report():
    """A finished report of `made_up_classification.classification_study`, with its maps."""
    rows = classification_study()
    return StudyReport(
        study="diffusion_classifier",
        title="The diffusion model as a classifier",
        question="Tab. 5. Does a poisoned diffusion model classify more robustly?",
        losses=losses_of(rows),
        **_surroundings(rows, ("badnets1", "blend", "rectangle"), {}),
    )


def _surroundings(rows, triggers, groups=None):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
    return {
        "scale": "laptop",
        "rows": rows,
        "groups": groups,
        "trigger_examples": dict.fromkeys(triggers, (images, images)),
        "stages": [
            Stage("sample", "p0.1-w5", 7.25, False, 300 * 2**20),
            Stage("train_diffusion", "p0.1", 128.3, True, None),
        ],
        "settings": {"dataset": "digits: 8 px, 1 channel(s), 10 classes", "steps": 1000},
        "environment": {"python": "3.11"},
        "command": "castlewalls run " + rows[0]["study"],
        "ema_decay": 0.995,
    }


REPORTS = {
    "defense": defense_report,
    "diffusion_classifier": classification_report,
}
