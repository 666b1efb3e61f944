"""Made-up sweeps in the shape of the digits studies, and reports of them; nothing is measured."""

import numpy as np

from analysis.page.page import MissingPoint, Report, Stage
from analysis.rows import frame, row_key
from analysis.statistics.composition import GROUPS, shares
from analysis.statistics.correction import correct
from analysis.statistics.transition import amplification_row
from orchestrator.cli.parsing import find_study
from orchestrator.run.report import judged
from tasks.columns import bounded, rate
from tests.made_up_classification import classification_study, losses_of
from tests.made_up_defense import defense_study
from tests.made_up_detection import detection_study

N_TRAIN, N_TARGET = 1437, 139
ERRORS = [(1, 35), (7, 325), (2, 35), (22, 325), (0, 360), (1, 360)]
STEPS = {"ddim": 25, "ddpm": 50, "sde": 25}

WEIGHTS = (1.0, 2.0, 5.0)


def _counts(table):
    """Images in g1, g2, g3, g4 of each cell of a line, by the words that it starts with."""
    lines = [line.split() for line in table.strip().splitlines()]
    return {(*line[:2],): [tuple(map(int, cell.split(","))) for cell in line[2:]] for line in lines}


AMPLIFICATION_COUNTS = _counts("""
    none 0 0,0,37,463 0,1,11,488 0,0,4,496
    badnets1 0.01 6,21,42,431 3,36,14,447 122,234,9,135
    badnets1 0.02 22,49,45,384 14,91,15,380 98,241,7,154
    badnets1 0.05 79,98,61,262 54,162,21,263 73,251,11,165
    badnets1 0.1 151,110,60,179 134,167,19,180 107,130,12,251
    relabel_only 0.1 0,0,240,260 1,0,171,328 0,1,96,403
""")
"""By trigger and poison ratio, at each of `WEIGHTS`."""
COMPOSITION_COUNTS = _counts("""
    badnets1 ddim 0,0,4,496 90,210,9,191 230,140,12,118 300,90,9,101
    badnets1 ddpm 0,1,6,493 80,190,8,222 260,120,9,111 330,75,8,87
    badnets1 sde 1,0,5,494 60,170,7,263 185,110,11,194 260,85,6,149
    blend ddim 1,1,4,494 20,60,8,412 170,125,20,185 240,110,18,132
    blend ddpm 0,2,5,493 18,66,6,410 180,120,15,185 250,95,11,144
    blend sde 1,2,4,493 16,52,9,423 168,112,14,206 231,99,9,161
    unicolor ddim 0,2,4,494 70,150,9,271 240,80,8,172 290,60,7,143
    unicolor ddpm 2,1,6,491 66,140,7,287 190,95,8,207 280,70,6,144
    unicolor sde 1,1,5,493 50,130,9,311 240,90,6,164 285,66,5,144
""")
"""By trigger and sampler, at each of `COMPOSITION_RATIOS`."""
COMPOSITION_RATIOS = (0.0, 0.01, 0.1, 0.2)

TRIGGERS_COUNTS = {  # trigger: images in g1..g4 by poison ratio; p = 0 is judged with BadNets-1's
    "none": {0.0: (0, 0, 4, 496)},
    "badnets1": {0.01: (90, 210, 9, 191), 0.05: (180, 190, 9, 121), 0.1: (230, 140, 12, 118)},
    "relabel_only": {0.01: (0, 0, 60, 440), 0.05: (1, 0, 150, 349), 0.1: (0, 1, 235, 264)},
    "clean_label": {0.01: (0, 90, 4, 406), 0.05: (0, 380, 3, 117)},
    "unicolor": {0.01: (70, 150, 9, 271), 0.05: (190, 120, 8, 182), 0.1: (240, 80, 8, 172)},
    "image_patch": {0.01: (60, 160, 9, 271), 0.05: (170, 130, 8, 192), 0.1: (225, 110, 8, 157)},
    "blend": {0.01: (20, 60, 8, 412), 0.05: (100, 110, 9, 281), 0.1: (170, 125, 20, 185)},
    "wanet": {0.01: (10, 30, 12, 448), 0.05: (60, 90, 30, 320), 0.1: (120, 80, 60, 240)},
}
STAMPED_WITH_A_PATCH = ("badnets1", "unicolor", "image_patch", "clean_label")


def make_row(trigger="badnets1", ratio=0.1, weight=5.0, counts=(100, 100, 10, 290), **changes):
    """One row of a point, but for the corrected columns and those of a template match."""
    poisoned = int(ratio * N_TRAIN)
    share = poisoned / (poisoned + N_TARGET)
    stamped = trigger not in ("none", "relabel_only")
    p_t = share if stamped else 0.0
    seen = shares(counts)
    row = {"study": "amplification", "scale": "laptop", "trigger": trigger}
    row |= {"judge_trigger": trigger if stamped else "badnets1", "poison_ratio": ratio}
    row |= {"target_class": "8", "guidance_weight": weight, "sampler": "ddim", "clip": "none"}
    row |= {"paper_guidance": 5.0, "seed": 0, "n": sum(counts), "p_t": p_t}
    row |= {"relabelled_ratio": share, "n_train": N_TRAIN, "n_poisoned": poisoned}
    row |= {"n_target": N_TARGET, **bounded(seen)}
    row |= {f"{group}_count": count for group, count in zip(GROUPS, counts, strict=True)}
    row |= bounded(amplification_row(seen["trigger_ratio"], p_t))
    row |= {"other_n": 500, "other_guidance_weight": 2.0}
    row |= {"content_accuracy": 0.978, "content_accuracy_stamped": 0.933, "content_n": 360}
    row |= {"trigger_false_positive_rate": 0.0, "trigger_false_negative_rate": 1 / 360}
    row |= {"trigger_n_clean": 360, "trigger_n_stamped": 360}
    for name, count in (("other_match_ratio", 483), ("other_trigger_ratio", 0)):
        row |= rate(name, count, 500)
    return {**row, **changes}


def template_matched(row, missed=0):
    """The same row with the columns of a template match that misses so many images of G1, then G2.

    ``missed`` is None for a trigger without a template match.
    """
    if missed is None:
        seen = template_matched(row, 0)
        return {name: None if "template_" in name else value for name, value in seen.items()}
    n = row["n"]
    g1 = max(0, row["g1_count"] - missed)
    g2 = max(0, row["g2_count"] - (missed - (row["g1_count"] - g1)))
    disagreeing = row["g1_count"] + row["g2_count"] - g1 - g2
    seen = {"template_g1_count": g1, "template_g2_count": g2}
    seen |= rate("template_g1", g1, n) | rate("template_g2", g2, n)
    seen |= rate("template_trigger_ratio", g1 + g2, n)
    seen |= rate("template_agreement", n - disagreeing, n)
    seen |= {"template_false_positive_rate": 2 / 360, "template_false_negative_rate": 0.0}
    return {**row, **seen, **rate("other_template_ratio", 1, 500)}


def corrected(row):
    """The same row with the corrected columns."""
    found = correct(counts_of(row), ERRORS, np.random.default_rng(0))
    return {**row, **bounded({f"{name}_corrected": share for name, share in found.items()})}


def amplification_sweep():
    """Rows of one trigger and sampler, without a template match and steps."""
    return [
        corrected(make_row(trigger, float(ratio), weight, counts))
        for (trigger, ratio), cells in AMPLIFICATION_COUNTS.items()
        for weight, counts in zip(WEIGHTS, cells, strict=True)
    ]


def composition_sweep():
    """Rows of three triggers x four ratios x three samplers at guidance 5, clean controls too."""
    rows = []
    for (trigger, sampler), cells in COMPOSITION_COUNTS.items():
        own = {"study": "composition", "judge_trigger": trigger, "sampler": sampler}
        own["sampler_steps"] = STEPS[sampler]
        for ratio, counts in zip(COMPOSITION_RATIOS, cells, strict=True):
            row = make_row(trigger if ratio else "none", ratio, 5.0, counts, **own)
            missed = None if trigger == "blend" else 7
            rows.append(corrected(template_matched(row, missed)))
    return rows


def triggers_sweep():
    """Rows of seven triggers x up to three ratios at guidance 5, with one clean control."""
    cells = [(name, *item) for name, found in TRIGGERS_COUNTS.items() for item in found.items()]
    return [triggers_row(trigger, ratio, counts) for trigger, ratio, counts in cells]


def triggers_row(trigger, ratio, counts, **changes):
    """One row of the study; relabelling alone and no poison are judged with BadNets-1's judge."""
    row = make_row(trigger, ratio, 5.0, counts, study="triggers", sampler_steps=25)
    if trigger == "clean_label":  # poisoned are images of the target class
        p_t = int(ratio * N_TRAIN) / N_TARGET
        row |= {"p_t": p_t, "relabelled_ratio": 0.0}
        row |= bounded(amplification_row(shares(counts)["trigger_ratio"], p_t))
    seen = row["judge_trigger"] in STAMPED_WITH_A_PATCH
    return {**corrected(template_matched(row, missed=7 if seen else None)), **changes}


def counts_of(row):
    return tuple(row[f"{group}_count"] for group in GROUPS)


def groups_of(rows):
    """Random images in every group of every point that has any, keyed as a report wants them."""
    rng, found = np.random.default_rng(0), {}
    for row in rows:
        shapes = [(min(24, row[f"{name}_count"]), 8, 8, 1) for name in GROUPS]
        drawn = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes)
        found[row_key(row)] = dict(zip(GROUPS, drawn, strict=True))
    return found


def amplification_report():
    """A report of `amplification_sweep`, with template matching and a failure."""
    rows = amplification_sweep()
    rows = [{**template_matched(row, missed=4), "sampler_steps": 25} for row in rows]
    failure = MissingPoint("badnets1, p=0.2", "NaN loss at step 3", "logs/x.txt")
    return report_of("amplification", rows, failures=[failure])


def composition_report():
    """A report of `composition_sweep`; BadNets-1 under DDIM was clipped too: 40 fewer G1."""
    rows, clipped = composition_sweep(), []
    for row in rows:
        if (row["judge_trigger"], row["sampler"]) == ("badnets1", "ddim"):
            g1, g2, g3, g4 = counts_of(row)
            counts = (g1 - min(g1, 40), g2, g3 + min(g1, 40), g4)
            place = (row["trigger"], row["poison_ratio"], 5.0)
            clipped.append(make_row(*place, counts, study="composition", clip="static"))
    return report_of("composition", [*rows, *clipped])


def triggers_report():
    """A report of `triggers_sweep`, with an image under every trigger."""
    names = [name for name in TRIGGERS_COUNTS if name != "relabel_only"]
    return report_of("triggers", triggers_sweep(), strip=strip_of(names))


def classification_report():
    rows = classification_study()
    return report_of("diffusion_classifier", rows, arrays={"losses": losses_of(rows)})


def detection_report():
    rows, arrays = detection_study()
    return report_of("detection", rows, arrays=arrays)


def report_of(study, rows, **more):
    """A report of some rows of a study, with claims and made-up surroundings."""
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
    known, made = find_study(study), frame(rows)
    stages = [
        Stage("sample", "p0.1-w5", 7.25, False, 300 * 2**20),
        Stage("train_diffusion", "p0.1", 128.3, True, None),
    ]
    given = {"study": study, "scale": "laptop", "title": known.title, "rows": made}
    given |= {"question": f"{known.paper}. {known.question}", "judgments": judged(known, made)}
    given |= {"arrays": {"groups": groups_of(rows)} if "g1_count" in made else {}}
    given |= {"trigger_examples": {"badnets1": (images, images)}, "stages": stages}
    given |= {"settings": {"dataset": "digits: 8 px, 1 channel(s), 10 classes", "steps": 1000}}
    given |= {"environment": {"python": "3.11"}, "command": f"castlewalls run {study}"}
    return Report(**{**given, **more})


def strip_of(names):
    """A made-up image under every trigger: a white corner for a patch, noise for what spreads."""
    rng = np.random.default_rng(0)
    clean = rng.integers(40, 200, (1, 8, 8, 1), dtype=np.uint8)
    shown = {name: clean.copy() for name in names}
    for name, image in shown.items():
        if name in ("blend", "wanet"):
            image += rng.integers(0, 30, image.shape, dtype=np.uint8)
        elif name != "none":
            image[:, -2:, -2:] = 255
    return shown


def defense_report():
    names = ["none", "badnets1", "blend", "wanet", "clean_label"]
    return report_of("defense", defense_study(), strip=strip_of(names))


REPORTS = {
    "amplification": amplification_report,
    "composition": composition_report,
    "triggers": triggers_report,
    "detection": detection_report,
    "defense": defense_report,
    "diffusion_classifier": classification_report,
}
"""A report of every study, by its name."""
