"""What every word and number of a report means, in the words the page uses."""

from collections.abc import Sequence

from analysis.old.rows import COMPOSITION, TRIGGERS, Row, has_template_match, study_of
from analysis.page.wording import authors_weight

Definition = tuple[str, str]
"""A term and what it means."""


POISON_RATIO: Definition = (
    "Poison ratio p",
    "Poisoned images over all training images, target class and all: int(p·N) images are "
    "drawn from the other classes, stamped with the trigger and relabelled to the target "
    "class. (The paper's section 3 and code count this way; its appendix A.2 divides by "
    "the non-target images, which its own dashed lines contradict.) p = 0 is the clean "
    "control.",
)

SEED: Definition = (
    "Seed",
    "Reseeds the choice of poison, the training and the sampling together. The split "
    "into training and test images and the two judges stay as they are.",
)

TRANSITION: Definition = (
    "p*_gap, p*_dom",
    "The phase transition, which the paper shows but does not number. p*_gap is the "
    "smallest poison ratio with G1 ≥ p_t, p*_dom the smallest with G1 ≥ G2, each "
    "linear in log p between the ratios measured. The two need not coincide. Their intervals, from "
    "three seeds on, reach from where the upper bounds of the curve (Student's over the seeds) "
    "first reach zero to where the lower ones do.",
)

TEMPLATE_MATCH: Definition = (
    "Template match",
    "A second opinion on the trigger that needs no training: it compares the pixels where the "
    "trigger's patch is stamped with the patch itself, and sees the trigger where, over the pixels "
    "of every color of the patch, the mean difference from that color is below a tenth of the "
    "range (for black and white the authors' own unused check: black below 0.1, white above 0.9). "
    "It cannot be fooled by content, but it looks at one place only and a faint patch escapes it. "
    "Agreement is the share of a point's images on which judge and template match say the same. A "
    "trigger without a patch, such as BadNets-2, which covers the whole image, has no template "
    "match. All "
    "groups, amplification and verdicts rest on the trained judge.",
)

SAMPLERS: dict[str, str] = {
    "ddim": "DDIM with η = 0: no noise after the first; what the authors' code samples both "
    "Stable Diffusion and CIFAR10 with",
    "ddpm": "DDPM, ancestral sampling: every step draws from the posterior with its own "
    "variance (“fixed small”), at evenly spaced time steps of the training's (the authors' code "
    "takes all of them, and β_t for the variance)",
    "sde": "SDE-DPM-Solver++ of order 2, which adds fresh noise at every step but the last. The "
    "paper names neither solver nor steps of its SDE sampling, and its code has none: this one "
    "is our choice",
    "heun": "Heun's method of order 2 along the probability flow of EDM (Karras et al. 2022), "
    "without noise on the way; N steps take 2N − 1 network evaluations",
}
"""What each sampler is."""

CLEAN_LABEL: Definition = (
    "Poison ratio and p_t of clean labels",
    "Clean-label poison is drawn from the target class itself and keeps its label, so nothing is "
    "relabelled, p_t is the number of poisoned images over N_t, and p cannot exceed N_t / N. The "
    "paper does not say what its p is a fraction of; here it is of all training images unless set "
    "otherwise, so at one p all triggers poison as many images.",
)

KINDS: dict[str, str] = {
    "badnets1": "BadNets-1 is a black and white square in the lower right corner, a tenth of the "
    "image's side (2 pixels below 30)",
    "blend": "BadNets-2 is a pattern blended over the whole image, (1 − α) x + α K with α = 0.2 "
    "as in the authors' code; the paper's text adds α K instead, which is an option here. K is a "
    "cat's face that we draw in place of the authors' Hello Kitty, unless a file was given",
    "unicolor": "One color is a square of a single color with the place and size of BadNets-1's; "
    "yellow unless set otherwise, on grey images its luminance, 226 of 255 (the paper says neither "
    "color, size nor place)",
    "image_patch": "The image patch is a small picture in the lower right corner, as large as "
    "BadNets-1's square: a bomb that we draw in place of the authors', unless a file was given",
    "wanet": "WaNet warps the whole image a little: every pixel is taken from a place nearby, "
    "shifted by a field that is drawn once at random and upsampled from a grid; by default as fine "
    "as the image, with strength 1, as the paper says, and saved with the poison",
    "clean_label": "Clean-label poison is of the target class and keeps its label: noise (PGD, at "
    "most ε grey levels a pixel) makes a clean classifier unsure of it, and BadNets-1's square is "
    "stamped on top. Test images get the square alone. The paper gives none of its settings; ours "
    "are 20 steps of 2 levels, ε = 16, unless set otherwise",
    "rectangle": "A rectangle of a single color, white unless set otherwise, lies in the lower "
    "right corner: a trigger of any size, to set its area against what a defense can remove",
}
"""What each trigger is."""


def definitions(rows: Sequence[Row], *, ema_decay: float | None) -> list[Definition]:
    """Every definition that the rows of a study call for, in reading order.

    Args:
        rows: What was measured.
        ema_decay: Of the weights that were sampled from; None when they are the last ones.
    """
    images = sorted({int(row["n"]) for row in rows})
    weights = sorted({float(row["guidance_weight"]) for row in rows})
    transition = [] if study_of(rows) in (COMPOSITION, TRIGGERS) else [TRANSITION]
    template_match = [TEMPLATE_MATCH] if any(map(has_template_match, rows)) else []
    return [
        POISON_RATIO,
        (
            "p_t",
            "pN / (pN + N_t): of the training images under the target label, the share that "
            "carries the trigger; the paper's dashed line. Relabel-only stamps nothing, so its "
            "p_t is 0, and the same quotient is drawn dotted as its share of relabelled images.",
        ),
        *([CLEAN_LABEL] if any(row["trigger"] == "clean_label" for row in rows) else []),
        (
            "G1, G2, G3, G4",
            "Images generated for the target class, split by the two judges: G1 trigger and "
            "mismatch, G2 trigger and match, G3 no trigger and mismatch, G4 no trigger and match. "
            "The paper calls the mismatches of relabel-only G1; here they are G3.",
        ),
        (
            "Trigger ratio, amplification",
            "The trigger ratio is G1 + G2. Amplification is the trigger ratio over p_t, and its "
            "difference the trigger ratio minus p_t; both are about the target class only. "
            "Without a stamp p_t is 0 and the quotient is left empty.",
        ),
        *transition,
        guidance(weights),
        *samplers(rows),
        *triggers(rows),
        (
            "n",
            f"Images generated and judged at each point: {_joined(images)}. The paper "
            "dissects 1,000.",
        ),
        (
            "Intervals",
            "95%. Of a proportion: Wilson's, conditional on the trained model: they say how far n "
            "images determine what this model does, and nothing about what another training run "
            "would have done. Where there are at least three seeds, Student's over the seeds, "
            "which includes training; tables then give the mean and standard deviation over seeds. "
            "Differences: Newcombe's between points, Bonett and Price's between groups of the same "
            "images. Ratios of proportions: Walter's.",
        ),
        SEED,
        ("Weights", weights_sampled(ema_decay)),
        (
            "Judges",
            "Two classifiers trained on the clean training split, the trigger judge with stamps "
            "put on half of the images of every class, so that content does not give a trigger "
            "away. Both are the plain argmax, without thresholds. Their errors are measured on the "
            "test split, on which nothing was selected.",
        ),
        *template_match,
        (
            "Corrected values",
            "G1 to G4 with the judges' errors undone: the four seen fractions are a known mixture "
            "of the four true ones, solved by least squares on the simplex. Assumed: given the "
            "true group the two judges err independently, and on generated images as often as on "
            "test images. Intervals are a parametric bootstrap over both the image counts and the "
            "judges' own test counts, and none is narrower than perfect judges would leave it: a "
            "corrected 0 means that the judges' errors alone would explain what was seen, and its "
            "upper bound is what so many images cannot tell from 0.",
        ),
        (
            "Other conditions",
            "Once for every model, whatever the samplers of its points, images of the classes that "
            "are not the target: how many match what was asked for, and how many carry the "
            "trigger. The paper compares FID.",
        ),
        (
            "Attack success rate (ASR)",
            "Not measured in this study: it belongs to classifiers. Where it is, it counts "
            "non-target test images only.",
        ),
    ]


def samplers(rows: Sequence[Row]) -> list[Definition]:
    """What the samplers of some rows are, with their steps where the rows say them."""
    parts = []
    for sampler in sorted({str(row["sampler"]) for row in rows if row["sampler"] is not None}):
        steps = sorted({int(row["sampler_steps"]) for row in rows if _stepped(row, sampler)})
        taken = f" ({_joined(steps)} steps)" if steps else ""
        parts.append(f"{SAMPLERS.get(sampler, sampler)}{taken}.")
    return [("Sampler", " ".join(parts))] if parts else []


def triggers(rows: Sequence[Row]) -> list[Definition]:
    """What the triggers of some rows are, as far as we have built them."""
    names = sorted({str(row["judge_trigger"]) for row in rows})
    parts = [f"{KINDS[name]}." for name in names if name in KINDS]
    return [("Trigger", " ".join(parts))] if parts else []


def _stepped(row: Row, sampler: str) -> bool:
    return row["sampler"] == sampler and row.get("sampler_steps") is not None


def guidance(weights: Sequence[float]) -> Definition:
    """What the guidance weights of a study are, in our convention and in the authors'."""
    ours = _joined([f"{weight:g}" for weight in weights])
    theirs = _joined([f"{authors_weight(weight):g}" for weight in weights])
    return (
        "Guidance weight w",
        "The predicted noise is e_u + w (e_c − e_u); w = 1 is no guidance. The authors' DDPM "
        f"code means (1 + w) e_c − w e_u instead, one less: our {ours} would be their {theirs}, "
        "and the 5 of their CIFAR10 figures is our 6. Their Stable Diffusion counts as we do.",
    )


def weights_sampled(ema_decay: float | None) -> str:
    """Which weights of a model its images are sampled from."""
    if ema_decay is None:
        return (
            "Images are sampled from the last weights, without a moving average, as the "
            "authors' DDPM does."
        )
    return (
        f"Images are sampled from an exponential moving average (EMA) of the weights, decay "
        f"{ema_decay:g}. The authors use none for their DDPM and 0.9999 for Stable Diffusion."
    )


def _joined(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
