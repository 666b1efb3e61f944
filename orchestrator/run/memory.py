"""Bytes that one process of a step holds beside torch: weights, activations and images.

Numbers are counted as torch keeps them (tests count them on the networks); what kernels need
beside, SCRATCH, is measured (``bench/memory.py``).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.graph.costs import described_by
from orchestrator.step import Step
from tasks.detectors import FeatureConsistency, Strip
from tasks.steps import attack, judge_accuracy, perturb, prepare

FLOAT: Final = 4  # bytes of a number in a network
SCRATCH: Final = 1.3
"""Peak over counted activations: what kernels and the allocator take beside; measured."""
TOLD_KEPT: Final = 31
"""Numbers that a pixel and channel of an attention with text keeps, counted."""
LARGE: Final = 64  # pixels a side from which ``models.networks`` gives a classifier a strided stem
FORWARD_SHARE: Final = 0.25
"""Numbers of a classifier's image alive at once without gradients, in those kept for them."""


@dataclass(frozen=True)
class NetworkSize:
    """How large a network is: numbers in its weights and, for an image, in its layers."""

    parameters: int
    kept: int
    """Until the gradients are known."""
    alive: int
    """At most at once, where there are no gradients."""

    def training(self, images: int, copies: int) -> int:
        """Bytes of an update; ``copies`` are the weights and what is kept beside each."""
        return int(FLOAT * (copies * self.parameters + SCRATCH * self.kept * images))

    def forward(self, images: int) -> int:
        """Bytes of a forward pass; the weights are there twice while they are read."""
        return int(FLOAT * (2 * self.parameters + SCRATCH * self.alive * images))


def u_net(settings: Any) -> NetworkSize:
    """Of task ``train_diffusion``, or of a pipeline that is told a text, block by block.

    A block keeps two numbers a normalized channel and one a convolved one; on the way up the joined
    input, too.  Attention keeps its input, normalized, its three projections, each with the copy
    that it was projected from, and its output.  Alive at once are a block's input three times, or
    attention's seven times, and what waits for the way up.
    """
    told = hasattr(settings, "text_width")
    widths, side = settings.block_channels, settings.latent_size if told else settings.image_size
    channels = settings.latent_channels if told else settings.channels
    first, last, pixels = widths[0], widths[-1], side**2
    embedding = 4 * first
    parameters = sum(2 * 9 * width**2 + 2 * width for width in widths[1:-1])  # halve and double
    parameters += 9 * (first**2 + last**2) + first + last if len(widths) > 1 else 0
    parameters += 18 * channels * first + first + 2 * first + channels  # the first and last layers
    parameters += embedding * (first + 1 + embedding + 1)
    parameters += 0 if told else embedding * (settings.classes + settings.has_null_condition)
    kept = pixels * (2 * channels + 4 * first) - (pixels >> 2 * len(widths) - 2) * last
    for level, width in enumerate(widths[1:], start=1):
        kept += (pixels >> 2 * level) * widths[level - 1] + (pixels >> 2 * (level - 1)) * width
    alive = 0
    for ins, outs, area, attends, waiting, up in _blocks(settings, side):
        parameters += 2 * ins + 9 * ins * outs + 9 * outs**2 + (embedding + 5) * outs
        parameters += ins * outs + outs if ins != outs else 0  # a shortcut that widens
        kept += area * ((3 if up else 2) * ins + (3 if up else 4) * outs)
        if attends and told:  # with a text, and a gated layer eight times as wide
            parameters += (20 * outs + 2 * settings.text_width + 21) * outs
            kept += TOLD_KEPT * area * outs
        elif attends:
            parameters += 4 * (outs**2 + outs) + 2 * outs
            kept += 8 * area * outs
        alive = max(alive, waiting + area * max(3 * ins, (20 if told else 7) * outs * attends))
    return NetworkSize(parameters, kept, alive)


def _blocks(settings: Any, side: int) -> Iterator[tuple[int, int, int, bool, int, bool]]:
    """Yield the blocks of diffusers' ``UNet2DModel``: down, through the middle and up again.

    Of each: channels in and out, pixels, whether it attends, numbers that wait for the way up
    meanwhile, whether it is on the way up.
    """
    widths, depth = settings.block_channels, settings.layers_per_block
    attending = settings.attention_levels
    before, skipped = widths[0], [(widths[0], side**2)]

    def waiting() -> int:
        return sum(width * pixels for width, pixels in skipped)

    for level, width in enumerate(widths):
        pixels = (side >> level) ** 2
        for _ in range(depth):
            yield before, width, pixels, level in attending, waiting(), False
            before = width
            skipped.append((width, pixels))
        if level + 1 < len(widths):
            skipped.append((width, pixels // 4))
    yield before, before, pixels, bool(attending), waiting(), False
    yield before, before, pixels, False, waiting(), False
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(depth + 1):
            held = waiting()
            joined, pixels = skipped.pop()
            yield before + joined, width, pixels, level in attending, held, True
            before = width


def autoencoder(settings: Any, side: int) -> NetworkSize:
    """Of latent diffusion, for images of ``side`` pixels, roughly: level by level, there and back.

    A level has five residual blocks in all, each with two numbers a normalized and a convolved
    channel; the widest moment is that of the first level, at full size.
    """
    widths = getattr(settings, "block_channels", STABLE_DIFFUSION)
    levels = list(enumerate(widths))
    parameters = sum(5 * 2 * 9 * width**2 for _, width in levels) + 8 * 9 * widths[-1] ** 2
    kept = sum(5 * 8 * width * (side >> level) ** 2 for level, width in levels)
    return NetworkSize(parameters, kept, 4 * widths[0] * side**2)


def _autoencoder_of(pipeline: Step) -> Any:
    """Settings of the autoencoder that a pipeline was made with; none of a given pipeline."""
    while "pipeline" in pipeline.inputs:
        pipeline = pipeline.inputs["pipeline"]
    return pipeline.inputs["autoencoder"].settings if pipeline.inputs else None


STABLE_DIFFUSION: Final = (128, 256, 512, 512)
"""Widths of the autoencoder of Stable Diffusion."""
PARAMETERS: Final[Mapping[str, int]] = {
    "small": 76_202,
    "resnet18": 11_173_962,
    "resnet50": 23_520_842,
    "densenet121": 6_956_426,
}
"""Of a classifier of three channels and ten classes; those of VGG-16 depend on the side."""
KEPT: Final[Mapping[str, tuple[float, float]]] = {
    "resnet18": (1150, 111),
    "resnet50": (6240, 429),
    "vgg16": (389, 377),
    "densenet121": (9850, 651),
}
"""For gradients, of each pixel of an image: below LARGE, and from there on."""


def classifier(training: Step) -> NetworkSize:
    """Of task ``train_classifier``; from given weights it enlarges small images in front."""
    settings = training.settings
    name, side = settings.network, settings.image_size
    side = max(side, LARGE) if "weights" in training.inputs else side
    if name == "small":
        a_pixel, rest = (154, 1088) if side >= 16 else (296, 64)
        kept = (settings.channels + a_pixel) * side**2 + rest
        return NetworkSize(PARAMETERS[name], kept, 48 * side**2)  # measured: a layer and the next
    parameters = PARAMETERS.get(name, 33_638_218 if side < LARGE else 134_301_514)
    seen = max(side, 32) if name == "vgg16" else side
    kept = int(KEPT[name][side >= LARGE] * seen**2)
    return NetworkSize(parameters, kept, int(FORWARD_SHARE * kept))


def expected(step: Step, processes: int = 1) -> int:
    """Bytes that one of a step's processes, which share batches, holds at most beside torch."""
    settings = step.settings
    if step.task == "weights":  # torch, which a process without a network is not counted with
        return int(2**29 + 2 * settings.expected_bytes)
    if step.shape != "fit":
        return _of_use(step)
    # Weights, gradients and what the optimizer keeps: Adam two numbers a weight, SGD's momentum
    # one; averaged weights; gradients once more if they are sent.
    share, sent = math.ceil(settings.batch_size / processes), int(processes > 1)
    if hasattr(settings, "network"):
        return classifier(step).training(share, {"adamw": 4, "sgd": 3}[settings.optimizer] + sent)
    if step.task == "train_autoencoder":
        return autoencoder(settings, settings.image_size).training(share, 4 + sent)
    # Beside an average the last weights of a pipeline are kept too.
    copies = 4 + sent + (1 + int(step.task == "fine_tune")) * (settings.ema_decay is not None)
    return u_net(described_by(step)).training(share, copies)


def _of_use(step: Step) -> int:
    """Bytes of a step that reads trained networks, with the images that it holds as uint8."""
    settings, inputs = step.settings, step.inputs
    found, held = 0, 0
    match step.task:
        case "sample":
            model, images = inputs["model"], min(settings.batch_size, settings.n)
            guided = 1 if settings.guidance_weight == 1 else 2
            size = described_by(model)
            found = u_net(size).forward(images * guided)
            if settings.prompts:  # pictures are decoded; as PNGs they are small beside that
                decoder = _autoencoder_of(model)
                halvings = len(getattr(decoder, "block_channels", STABLE_DIFFUSION)) - 1
                return found + autoencoder(decoder, size.latent_size << halvings).forward(images)
        case "denoise_classify":
            # Each error has its place in order and running sums, in 32 bytes.
            model, rows, images = inputs["model"], settings.rows_at_once, 0
            found = u_net(model.settings).forward(rows)
            held = 32 * rows + sum(inputs["dataset"].settings.counts()["test"])
        case "encode":
            source = _autoencoder_of(inputs["pipeline"])
            return autoencoder(source, settings.image_size).forward(settings.batch_size)
        case "dissect" | "judge_accuracy":
            model, images = inputs["content_judge"], judge_accuracy.BATCH_SIZE
            if step.task == "dissect":  # noise makes PNGs as large as pixels
                held = inputs["generations"].settings.n
                images = min(settings.batch_size, held)
            sizes = [classifier(model), classifier(inputs["trigger_judge"])]
            found = max(
                one.forward(images) + other.forward(0) for one, other in (sizes, sizes[::-1])
            )
        case "attack":
            model, images = inputs["classifier"], attack.BATCH_SIZE
            found = classifier(model).forward(images)
        case "perturb":
            model = inputs["classifier"]
            images = perturb.at_once(model.settings.image_size)
            found = classifier(model).training(images, 2)
        case "prepare":  # the training set is there twice while its parts are joined
            model, images = inputs["classifier"], prepare.BATCH_SIZE
            held = sum(step.streams["dataset"].settings.counts()["train"])
            found = classifier(model).forward(images)
            if isinstance(detector := settings.detector, FeatureConsistency):
                tuned = classifier(model).training(detector.batch_size, 4)  # a copy, by SGD
                found = max(found, tuned - _floats(images, model))
        case "detect":  # it learns about each image, unless it is known to need less
            model, images = inputs["prepared"].inputs["classifier"], settings.batch_size
            network, detector = classifier(model), settings.detector
            held = inputs["generations"].settings.n if "generations" in inputs else 0
            found = network.training(images, 2)
            if isinstance(detector, Strip):
                found, held = network.forward(detector.overlays), held + detector.pool
            elif isinstance(detector, FeatureConsistency):
                found = network.forward(images)
        case _:
            return 0
    return found + _floats(images, model) + held * _values(model)


def _values(trained: Step) -> int:
    return int(trained.settings.image_size**2 * trained.settings.channels)


def _floats(images: int, trained: Step) -> int:
    """Bytes of images on their way from uint8 to a network: three copies."""
    return 3 * FLOAT * images * _values(trained)
