"""The one glossary: what each term on a page means.  A page names the terms it needs."""

from analysis.names import ABOUT, about, name
from analysis.rows import Rows, values
from analysis.wording import titled

SAMPLERS = {
    "ddim": "DDIM with η = 0: no noise after the first. The authors' code samples both Stable "
    "Diffusion and CIFAR10 with it.",
    "ddpm": "Ancestral sampling: every step draws from the posterior with its own variance "
    "(“fixed small”), at evenly spaced time steps. The authors' code takes all steps, and β_t for "
    "the variance.",
    "sde": "SDE-DPM-Solver++ of order 2, which adds fresh noise at every step but the last. The "
    "paper names neither solver nor steps for its SDE sampling, and its code has none: this one "
    "is our choice.",
    "heun": "Heun's method of order 2 along the probability flow of EDM (Karras et al. 2022), "
    "without fresh noise; N steps take 2N − 1 network evaluations.",
}
NOISE_MODELS = {
    "ddpm": "Predicts the noise on a schedule of steps. It becomes a denoiser of any σ by x / √(1 "
    "+ σ²), with the step interpolated; it is the same model as in the other studies.",
    "edm": "Trained as a denoiser of any σ, with the preconditioning and loss weight of Karras et "
    "al. (2022); the paper's Tab. 5 uses it.",
}
ABOUT |= {"sampler": SAMPLERS, "noise_model": NOISE_MODELS}

GLOSSARY = {
    "Poison ratio p": "Poisoned images over all training images: int(p·N) images are drawn from "
    "the other classes, stamped with the trigger and labelled as the target class. The paper's "
    "section 3 and code count this way; its appendix A.2 divides by the non-target images, which "
    "its own dashed lines contradict. p = 0 is the clean control.",
    "p_t": "pN / (pN + N_t): of the training images with the target label, the share that carries "
    "the trigger; the paper's dashed line. Relabel-only stamps nothing, so its p_t is 0, and the "
    "same quotient is drawn dotted as its share of relabelled images.",
    "Poison ratio of clean labels": "Clean-label poison is drawn from the target class and keeps "
    "its label: p_t is the number of poisoned images over N_t, and p cannot exceed N_t / N. The "
    "paper does not say what its p is a fraction of; here it is of all training images, so at one "
    "p all triggers poison equally many.",
    "G1, G2, G3, G4": "Images generated for the target class, split by two judges: G1 has the "
    "trigger and does not match what was asked for, G2 has it and matches, G3 has no trigger and "
    "does not match, G4 has none and matches. The paper calls the mismatches of relabel-only G1; "
    "here they are G3.",
    "Trigger ratio, amplification": "The trigger ratio is G1 + G2. Amplification is the trigger "
    "ratio over p_t, and its difference is the trigger ratio minus p_t; both are about the target "
    "class only. Without a stamp p_t is 0 and there is no amplification.",
    "p*_gap, p*_dom": "The phase transition, which the paper shows without a number. p*_gap is the "
    "smallest poison ratio with G1 ≥ p_t, p*_dom the smallest with G1 ≥ G2, each linear in log p "
    "between the measured ratios. From three seeds on they have intervals, which reach from where "
    "the upper bounds of the curve (Student's over the seeds) first reach zero to where the lower "
    "bounds do.",
    "Guidance weight w": "The predicted noise is e_u + w (e_c − e_u); w = 1 is no guidance. The "
    "authors' DDPM code means (1 + w) e_c − w e_u, one less: the 5 of their CIFAR10 figures is our "
    "6. Their Stable Diffusion counts as we do.",
    "Thresholding": "At every step a sampler estimates the finished image, and under guidance the "
    "estimate leaves the range of images. The authors cut off only the finished image, which is "
    "the default here. _Clipped at each step_ cuts the estimate to [−1, 1]; _dynamic thresholding_ "
    "cuts it to its 99.5% quantile and scales it down (Saharia et al. 2022).",
    "n": "Images that were generated and judged at a point; the paper dissects 1,000.",
    "Intervals": "95%. Of a proportion: Wilson's, conditional on the trained model. They say how "
    "far n images determine what this model does, and nothing about another training run. From "
    "three seeds on: Student's over the seeds, which includes training; tables then give the mean "
    "and the standard deviation over seeds. Of differences: Newcombe's between points, Bonett and "
    "Price's between groups of the same images. Of ratios of proportions: Walter's.",
    "Seed": "Reseeds the choice of poison, the training and the sampling together. The split into "
    "training and test images and the judges stay the same.",
    "Weights": "Images are sampled from an exponential moving average (EMA) of the weights where "
    "the settings give its decay, else from the last weights. The authors use none for their DDPM "
    "and 0.9999 for Stable Diffusion.",
    "Judges": "Two classifiers trained on the clean training split; the trigger judge sees stamps "
    "on half of the images of every class, so that content does not give a trigger away. Both "
    "answer with the plain argmax. Their errors are measured on the test split, on which nothing "
    "was selected.",
    "Template match": "A second opinion on the trigger that needs no training. It compares the "
    "pixels of the patch's place with the patch itself, and sees the trigger if, over the pixels "
    "of every color of the patch, the mean difference from that color is below a tenth of the "
    "range. Content cannot fool it, but it looks at one place only and misses a faint patch. A "
    "trigger without a patch, such as BadNets-2, has no template match. Agreement is the share of "
    "images on which judge and template match say the same. Groups and verdicts rest on the judge.",
    "Corrected values": "G1 to G4 with the judges' errors undone: the four shares that were seen "
    "are a known mixture of the true ones, solved by least squares on the simplex. It assumes that "
    "the two judges err independently given the true group, and as often on generated images as on "
    "test images. Intervals are a parametric bootstrap over the image counts and the judges' test "
    "counts, and none is narrower than perfect judges would leave it. A corrected 0 means that the "
    "judges' errors alone would explain what was seen.",
    "Other classes": "Once for every model, images of the classes that are not the target: how "
    "many match what was asked for, and how many carry the trigger. The paper compares FID.",
    "Detector": "Sees images, their labels and the classifier that was trained on the poisoned "
    "training set, and nothing else: no flags, no true labels. It gives each image a suspicion in "
    "a unit of its own; higher means more likely poisoned.",
    "Training set, generations": "The training set as it was trained on, poison included; and as "
    "many images drawn from the diffusion model that was trained on it, asked for the labels of "
    "the training set. One classifier and one prepared detector look at both.",
    "Positives, negatives": "What a detector should find, and everything else. Positives of the "
    "training set are the poisoned images. Positives of the generations are those in which the "
    "trigger judge sees the trigger (G1 and G2); the paper does not say how it labels them. A "
    "generation with a trace too faint for the judge counts as clean.",
    "AUROC": "The chance that a positive is more suspicious than a negative, ties counting half: 1 "
    "is perfect, 0.5 is chance. It depends on the order of the suspicions alone, not on how many "
    "positives there are. Below 0.5 the order is upside down; it is never flipped. Without a "
    "positive or without a negative there is none.",
    "TPR at 1% FPR, at 5% FPR": "Of the positives, the share that is flagged by the threshold that "
    "flags at most 1% (5%) of the negatives.",
    "Intervals of AUROCs": "95%. Of an AUROC: Wilson's, for as many images as would give DeLong's "
    "variance; where hardly an image is out of order, the variance is taken for the largest "
    "possible one, so that an AUROC of 1 has an interval too. Of a difference: joined from the two "
    "AUROCs' (Zou and Donner), for two labelings of the same images with their correlation. They "
    "are conditional on the classifier, the prepared detector and the diffusion model. Two seeds "
    "are joined likewise; from three seeds on they are Student's over the seeds. How often each "
    "holds the truth is simulated in `docs/coverage.md`.",
    "What moved": "The shift of the positives is the chance that a positive of the generations is "
    "more suspicious than one of the training set; 0.5 means unmoved. The same for negatives. "
    "_Positives moved_ is the AUROC of the generations' positives against the training set's "
    "negatives, _negatives moved_ the reverse.",
    "Equal prevalence": "Both sets with positives removed at random until both have the smaller of "
    "the two shares of positives: the AUROC stays, and its interval is that of so many positives.",
    "Null point": "A clean model and its generations, with flags given at random: there is nothing "
    "to find, and the AUROC should be 0.5. Each of k null points has its interval at level 1 − "
    "0.05/k, which must contain 0.5 and lie within 0.5 ± 0.1 (ours).",
    "Test accuracy (TA)": "Of the clean test images, the share that is classified correctly.",
    "Attack success rate (ASR)": "Of the test images that are not of the target class, stamped "
    "with the trigger, the share that is classified as the target class.",
    "ASR with a fresh warp": "WaNet's warp is drawn at random, and the ASR is measured with the "
    "very warp that was trained on. The authors draw a new one wherever they use it, so the ASR "
    "with a warp that nobody trained on is given too.",
    "Generation set": "Images drawn from the diffusion model that was trained on the poisoned "
    "training set: as many as there are training images unless the scale has a limit, asked for "
    "the labels of the training set, poisoned ones included. Each is labelled as it was asked "
    "for; nobody looks at it before the classifier is trained.",
    "Corrected training set": "The control that removes label poison alone: the same images, "
    "stamps included, each with its true label. Clean-label poison has no such control.",
    "Clean pair": "p = 0: a classifier of the clean training set, and one of the generations of a "
    "model that was trained on it. The second against the first is what generating costs.",
    "Training a classifier": "Every classifier of a network is trained alike for a fixed number of "
    "updates and measured after the last one. Nothing is chosen on test images. The authors' code "
    "reports the highest TA and the highest ASR over all epochs, each on its own.",
    "Change, paired": "One rate minus another one of the same trigger, ratio and seed. Both models "
    "answer the same test images, so the interval of one seed is the paired one (Newcombe's, with "
    "the correlation), conditional on the trained models.",
    "Intervals over test images": "95%. Of one rate: Wilson's, conditional on the trained model. "
    "Two seeds are joined (Zou and Donner); from three seeds on it is Student's over the seeds, "
    "which includes training, and never narrower than the seeds' own intervals on average, because "
    "the test images are the same for all. Two models that answer the same images count as "
    "independent unless a change is paired, which is cautious.",
    "G1 in the generation set": "Of all images of the generation set, the share in which the "
    "trigger judge sees the trigger and whose content is not what was asked for.",
    "Rank correlation (Spearman)": "1 is the same order, 0 none, −1 the reverse. The points share "
    "models, seeds and test images, so there is no test of it, and it proves no cause.",
    "Diffusion classifier": "A class-conditional diffusion model denoises an image under every "
    "class, several times with noise of level σ, ln σ drawn from N(−1.2, 1.2²), the same noise for "
    "all classes. The loss of a class is the mean of the squared errors that are kept (or their "
    "K-th smallest, if the settings say so), weighted by (σ² + σ_data²) / (σ σ_data)² and averaged "
    "over the draws. The class with the smallest loss is the answer. Nothing is trained for it.",
    "Filter ratio": "The share of the squared errors that is dropped, the largest ones: K = int((1 "
    "− filter ratio) · values) are kept, for each image, draw and class, before weighting.",
    "Losses and the trigger": "The squared error of each value (a pixel of a channel), weighted "
    "and averaged over the draws of the first stage, in which every class is still asked. The "
    "share on the trigger is, of the values that the filter drops of triggered images, how many "
    "lie on pixels that the trigger paints.",
    "Elimination": "After some draws, classes that can no longer win at any filter ratio are asked "
    "no further: one is dropped when another one beats it by more than the stated margin under "
    "every filter ratio. Network calls are counted exactly.",
}
"""By term, what it means."""


def definitions(*terms: str, **kinds: Rows) -> list[tuple[str, str]]:
    """What a page defines.

    Args:
        terms: Keys of `GLOSSARY`, in reading order.
        kinds: By column rows: each value in it that `analysis.names.ABOUT` has is described.
    """
    found = [(term, GLOSSARY[term]) for term in terms]
    for column, rows in kinds.items():
        for value in values(rows, column):
            if words := about(column, value):
                kind = titled(column.replace("_", " "))
                found.append((f"{kind} {name(column, value)}", words))
    return found
