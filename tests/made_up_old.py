"""Reports of the studies that are not converted yet."""

import numpy as np

from analysis.old.report import Stage, StudyReport
from tests.made_up_detection import detection_study


def detection_report():
    """A finished report of `made_up_detection.detection_study`."""
    rows, scores, groups = detection_study()
    surroundings = _surroundings(rows, ("badnets1", "blend", "unicolor"), groups)
    return StudyReport(
        study="detection",
        title="Finding poison among the training images and among the generations",
        question="Tab. 3, Fig. A9. Is poison easier to find among a poisoned model's generations?",
        scores=scores,
        **surroundings,
    )

    return StudyReport()


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
    "detection": detection_report,
}
