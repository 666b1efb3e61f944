"""Numbers as people read them: percent, points and times, with their intervals."""

from collections.abc import Sequence
from math import inf, isfinite

from analysis.statistics.intervals import Estimate
from analysis.statistics.transition import Crossing

TRIGGER_NAMES = {
    "none": "no poison",
    "relabel_only": "relabel-only",
    "badnets1": "BadNets-1",
    "blend": "BadNets-2",
    "unicolor": "one color",
    "image_patch": "image patch",
    "wanet": "WaNet",
    "clean_label": "clean-label",
    "rectangle": "rectangle",
}
"""How pages call the triggers; anything else is called by its own word."""


def trigger_name(trigger: str) -> str:
    """The trigger as a page calls it."""
    return TRIGGER_NAMES.get(trigger, trigger)


def titled(words: str) -> str:
    """Words as a heading starts: the first letter is a capital, the others stay."""
    return words[:1].upper() + words[1:]


SAMPLER_NAMES = {"ddim": "DDIM", "ddpm": "DDPM", "sde": "SDE", "heun": "Heun"}
"""How pages call the samplers; anything else is called by its own word."""


def sampler_name(sampler: str) -> str:
    """The sampler as a page calls it."""
    return SAMPLER_NAMES.get(sampler, sampler)


CLIP_NAMES = {"none": "", "static": "clipped at each step", "dynamic": "dynamic thresholding"}
"""How pages call thresholding; none, which is the usual way, is not spoken of."""


def clip_name(clip: str) -> str:
    """Thresholding as a page calls it."""
    return CLIP_NAMES.get(clip, clip)


DETECTOR_NAMES = {"cd": "CD", "strip": "STRIP", "fct": "FCT"}
"""How pages call the detectors, in the paper's order; anything else by its own word."""


def detector_name(detector: str) -> str:
    """The detector as a page calls it."""
    return DETECTOR_NAMES.get(detector, detector)


IMAGE_SET_NAMES = {
    "training": "training set",
    "corrected": "corrected training set",
    "generation": "generations",
}
"""How pages call the sets that detectors look at, and that classifiers are trained on."""


def image_set_name(image_set: str) -> str:
    """The set of images as a page calls it."""
    return IMAGE_SET_NAMES.get(image_set, image_set)


CLASSIFIER_NAMES = {
    "small": "small CNN",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "vgg16": "VGG-16",
    "densenet121": "DenseNet-121",
}
"""How pages call the networks, from small to large; anything else by its own word."""


def classifier_name(classifier: str) -> str:
    """The network as a page calls it."""
    return CLASSIFIER_NAMES.get(classifier, classifier)


NOISE_MODEL_NAMES = {"ddpm": "DDPM", "edm": "EDM"}
"""How pages call the noise models; anything else by its own word."""


def noise_model_name(noise_model: str) -> str:
    """The noise model as a page calls it."""
    return NOISE_MODEL_NAMES.get(noise_model, noise_model)


def stamp_name(trigger: str, pixels: int | None) -> str:
    """The trigger, and of a rectangle, which comes in any size, how many pixels it has."""
    name = trigger_name(trigger)
    if trigger != "rectangle" or pixels is None:
        return name
    return f"{name} of {counted(pixels, 'pixel')}"


def ratio_name(fraction: float) -> str:
    """A poison or filter ratio in as few digits as it has: 0.01 is "1%"."""
    return f"{100 * fraction:.6g}%"


def authors_weight(guidance_weight: float) -> float:
    """Our guidance weight as the authors' DDPM code counts it, (1 + w) e_c - w e_u."""
    return guidance_weight - 1


def percent(fraction: float) -> str:
    """A fraction in percent with one decimal."""
    return f"{100 * fraction:.1f}%"


def percent_interval(estimate: Estimate) -> str:
    """A fraction with its interval: "24.4% [20.8, 28.4]"."""
    return (
        f"{percent(estimate.value)} [{_plain(100 * estimate.low)}, {_plain(100 * estimate.high)}]"
    )


def bounds(estimate: Estimate) -> str:
    """The interval of a fraction alone, in percent: "20.8 to 28.4"."""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def points(estimate: Estimate) -> str:
    """A difference of fractions with its interval: "+16.8 points [13.0, 20.8]"."""
    value, low, high = (100 * bound for bound in (estimate.value, estimate.low, estimate.high))
    sign = "+" if value > 0 else ""
    return f"{sign}{_plain(value)} points [{_plain(low)}, {_plain(high)}]"


def area(value: float) -> str:
    """An AUROC, with the paper's three decimals: "0.966"."""
    return f"{value:.3f}"


def area_interval(estimate: Estimate) -> str:
    """An AUROC with its interval: "0.966 [0.941, 0.983]"."""
    return f"{area(estimate.value)} [{area(estimate.low)}, {area(estimate.high)}]"


def gain(value: float) -> str:
    """A difference of AUROCs: "+0.038", "−0.012"."""
    return _signed(f"{value:+.3f}")


def gain_interval(estimate: Estimate) -> str:
    """A difference of AUROCs with its interval: "+0.038 [+0.010, +0.066]"."""
    return f"{gain(estimate.value)} [{gain(estimate.low)}, {gain(estimate.high)}]"


def times(value: float) -> str:
    """A ratio: "×9.41"; one decimal from ten on, where a second would be noise."""
    if not isfinite(value):
        return "×∞"
    return f"×{value:.2f}" if value < 10 else f"×{value:.1f}"


def times_interval(estimate: Estimate) -> str:
    """A ratio with its interval: "×9.4 [8.9, 9.9]"."""
    return f"{times(estimate.value)} [{times(estimate.low)[1:]}, {times(estimate.high)[1:]}]"


def crossing_place(crossing: Crossing, poison_ratios: Sequence[float]) -> str:
    """Where a p* lies: "6.2%", "≤ 1%" when there already, "> 10%" when not reached."""
    return _crossed(crossing.value, poison_ratios)


def crossing_interval(crossing: Crossing, poison_ratios: Sequence[float]) -> str:
    """The interval of a p*, open where it leaves the ratios measured; empty where it has none."""
    if crossing.interval is None:
        return ""
    bounds = [_crossed(bound, poison_ratios) for bound in crossing.interval]
    return " to ".join(dict.fromkeys(bounds))


def _crossed(ratio: float, poison_ratios: Sequence[float]) -> str:
    if ratio == inf:
        return f"> {ratio_name(poison_ratios[-1])}"
    if ratio <= poison_ratios[0]:
        return f"≤ {ratio_name(poison_ratios[0])}"
    return percent(ratio)


def listed(words: list[str], conjunction: str = "and") -> str:
    """Words as a sentence lists them: "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def counted(number: int, word: str) -> str:
    """A number with its word: "1 image", "2 images"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _signed(number: str) -> str:
    """A true minus sign, and no sign on what is rounded to zero."""
    return "0.000" if number in ("+0.000", "-0.000") else number.replace("-", "−")


def _plain(value: float) -> str:
    # A true minus sign: a hyphen in front of a digit reads as a dash.
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")
