"""What a step's process holds beside torch: weights, activations and images, in bytes.

Counted, not fitted: the weights of a network with what a training keeps beside each, and the
numbers that torch keeps of an image until its gradients are known (tests count both anew on the
networks themselves).  What kernels take beside, SCRATCH, is measured (``bench/memory.py``).

All of it is of one process.  Where that has a GPU the networks' part lies in the GPU's memory and
not in the machine's; that is neither measured here nor planned with.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.step import Step
from tasks.detectors import FeatureConsistency, Strip
from tasks.steps import attack, judge_accuracy, perturb, prepare

FLOAT: Final = 4
"""Bytes of a number in a network."""
SCRATCH: Final = 1.3
"""Peak over counted activations: what kernels and the allocator take beside; measured."""
LARGE: Final = 64
"""Pixels a side from which ``models.networks`` gives a classifier a strided stem."""
FORWARD_SHARE: Final = 0.25
"""Numbers of a classifier's image alive at once without gradients, in those kept for them."""


@dataclass(frozen=True)
class Network:
    """Numbers of a network."""

    parameters: int
    """Weights."""
    kept: int
    """Of an image, until its gradients are known."""
    alive: int
    """Of an image, at most at once, where there are no gradients."""

    def training(self, images: int, copies: int) -> int:
        """Bytes of an update; ``copies`` are the weights and what is kept beside each."""
        return int(FLOAT * (copies * self.parameters + SCRATCH * self.kept * images))

    def forward(self, images: int) -> int:
        """Bytes of a forward pass; the weights are there twice while they are read."""
        return int(FLOAT * (2 * self.parameters + SCRATCH * self.alive * images))


@dataclass(frozen=True)
class Block:
    """A residual block of a U-Net, perhaps with self-attention behind it."""

    ins: int
    outs: int
    pixels: int
    attends: bool
    skips: int
    """Numbers that wait for the way up while it computes, of an image."""
    up: bool = False

    def parameters(self, embedding: int) -> int:
        """Two convolutions, two normalizations, the embedding's layer, a shortcut if it widens."""
        ins, outs = self.ins, self.outs
        found = 2 * ins + 9 * ins * outs + outs + embedding * outs + outs + 2 * outs
        found += 9 * outs**2 + outs + (ins * outs + outs if ins != outs else 0)
        return found + (4 * (outs**2 + outs) + 2 * outs if self.attends else 0)

    @property
    def kept(self) -> int:
        """Two numbers a normalized channel and one a convolved one; on the way up the joined input.

        Attention keeps what it is given, normalized, its three projections, each with the copy
        that it was projected from, and its answer.
        """
        channels = (3 if self.up else 2) * self.ins + (3 if self.up else 4) * self.outs
        return self.pixels * (channels + (8 * self.outs if self.attends else 0))

    @property
    def alive(self) -> int:
        """Of the block's input three at once, or of attention seven; and what waits."""
        return self.skips + self.pixels * max(3 * self.ins, 7 * self.outs if self.attends else 0)


def u_net(settings: Any) -> Network:
    """Of task ``train_diffusion``."""
    widths, channels = settings.block_channels, settings.channels
    first, last, pixels = widths[0], widths[-1], settings.image_size**2
    embedding = 4 * first
    blocks = list(_blocks(settings))
    conditions = settings.classes + settings.has_null_condition
    parameters = sum(block.parameters(embedding) for block in blocks)
    parameters += sum(2 * 9 * width**2 + 2 * width for width in widths[1:-1])  # halve and double
    parameters += 9 * (first**2 + last**2) + first + last if len(widths) > 1 else 0
    parameters += 18 * channels * first + first + 2 * first + channels  # the first and last layers
    parameters += embedding * (first + 1 + embedding + 1 + conditions)
    kept = sum(block.kept for block in blocks)
    kept += pixels * (2 * channels + 4 * first) - (pixels >> 2 * len(widths) - 2) * last
    for level, width in enumerate(widths[1:], start=1):
        kept += (pixels >> 2 * level) * widths[level - 1] + (pixels >> 2 * (level - 1)) * width
    return Network(parameters, kept, max(block.alive for block in blocks))


def _blocks(settings: Any) -> Iterator[Block]:
    """Down, through the middle and up again, as diffusers' ``UNet2DModel`` has it."""
    widths, depth, side = settings.block_channels, settings.layers_per_block, settings.image_size
    attending = settings.attention_levels
    before, waiting = widths[0], [(widths[0], side**2)]

    def skips() -> int:
        return sum(width * pixels for width, pixels in waiting)

    for level, width in enumerate(widths):
        pixels = (side >> level) ** 2
        for _ in range(depth):
            yield Block(before, width, pixels, level in attending, skips())
            before = width
            waiting.append((width, pixels))
        if level + 1 < len(widths):
            waiting.append((width, pixels // 4))
    yield Block(before, before, pixels, bool(attending), skips())
    yield Block(before, before, pixels, False, skips())
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(depth + 1):
            held = skips()
            skipped, pixels = waiting.pop()
            yield Block(before + skipped, width, pixels, level in attending, held, up=True)
            before = width


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


def classifier(training: Step) -> Network:
    """Of task ``train_classifier``; from given weights it enlarges small images in front."""
    settings = training.settings
    name, side = settings.network, settings.image_size
    side = max(side, LARGE) if "weights" in training.inputs else side
    if name == "small":
        kept = _small(side, settings.channels)
        return Network(PARAMETERS[name], kept, 48 * side**2)  # measured: a layer and the next
    parameters = PARAMETERS.get(name, 33_638_218 if side < LARGE else 134_301_514)
    seen = max(side, 32) if name == "vgg16" else side
    kept = int(KEPT[name][side >= LARGE] * seen**2)
    return Network(parameters, kept, int(FORWARD_SHARE * kept))


def _small(side: int, channels: int) -> int:
    """Of each convolution's output three numbers are kept, of what is halved one."""
    first = max(8, side // 2)
    second = max(4, first // 2)
    inner = min(side, first) ** 2
    halved = (32 * first**2 if side > first else 0) + (1024 if second > 4 else 0)
    halved += 32 * second**2
    return (channels + 96) * side**2 + 96 * inner + 384 * second**2 + halved + 64


def expected(step: Step, processes: int = 1) -> int:
    """Bytes that one of a step's processes holds at most, beside torch and its training set.

    Args:
        step: Any; one whose task has no network holds nothing that counts.
        processes: How many share each batch of a training.
    """
    if step.shape == "fit":
        return _training(step, processes)
    count = COUNTED.get(step.task)
    return 0 if count is None else count(step)


def _training(step: Step, processes: int) -> int:
    """Weights, gradients, what the optimizer keeps, averaged weights; gradients once more if sent.

    Adam keeps two numbers a weight, SGD's momentum one.
    """
    settings = step.settings
    share = math.ceil(settings.batch_size / processes)
    more = int(processes > 1)
    if hasattr(settings, "network"):
        kept = {"adamw": 4, "sgd": 3}[settings.optimizer]
        return classifier(step).training(share, kept + more)
    averaged = int(settings.ema_decay is not None)
    return u_net(settings).training(share, 4 + averaged + more)


def _sampling(step: Step) -> int:
    settings, model = step.settings, step.inputs["model"]
    drawn = min(settings.batch_size, settings.n)
    guided = 1 if settings.guidance_weight == 1 else 2
    return u_net(model.settings).forward(drawn * guided) + _floats(drawn, model)


def _dissecting(step: Step) -> int:
    """Beside the judges, the generations as PNGs, which are no smaller than noise makes them."""
    generations = step.inputs["generations"].settings
    judged = min(step.settings.batch_size, generations.n)
    return _judging(step, judged) + generations.n * _values(step.inputs["content_judge"])


def _assessing(step: Step) -> int:
    return _judging(step, judge_accuracy.BATCH_SIZE)


def _judging(step: Step, images: int) -> int:
    """Both judges; they look one after the other."""
    judges = [step.inputs[name] for name in ("content_judge", "trigger_judge")]
    first, second = (classifier(judge) for judge in judges)
    both = max(first.forward(images) + second.forward(0), first.forward(0) + second.forward(images))
    return both + _floats(images, judges[0])


def _attacking(step: Step) -> int:
    trained = step.inputs["classifier"]
    return classifier(trained).forward(attack.BATCH_SIZE) + _floats(attack.BATCH_SIZE, trained)


def _preparing(step: Step) -> int:
    """The training set is there twice while its parts are joined; FCT trains a copy by SGD."""
    trained, detector = step.inputs["classifier"], step.settings.detector
    network = classifier(trained)
    pictures = sum(step.streams["dataset"].settings.counts()["train"]) * _values(trained)
    found = network.forward(prepare.BATCH_SIZE) + _floats(prepare.BATCH_SIZE, trained)
    if isinstance(detector, FeatureConsistency):
        found = max(found, network.training(detector.batch_size, 4))
    return pictures + found


def _detecting(step: Step) -> int:
    """As of a detector that learns about each image, unless it is known to do with less."""
    trained, method = step.inputs["prepared"].inputs["classifier"], step.settings.detector
    network, images = classifier(trained), step.settings.batch_size
    held = _floats(images, trained)
    if drawn := step.inputs.get("generations"):
        held += drawn.settings.n * _values(trained)
    if isinstance(method, Strip):
        return held + network.forward(method.overlays) + method.pool * _values(trained)
    if isinstance(method, FeatureConsistency):
        return held + network.forward(images)
    return held + network.training(images, 2)


def _perturbing(step: Step) -> int:
    trained = step.inputs["classifier"]
    images = perturb.at_once(trained.settings.image_size)
    return classifier(trained).training(images, 2) + _floats(images, trained)


def _classifying(step: Step) -> int:
    """Beside the network, each error with its place in order and running sums, in 32 bytes."""
    model, rows = step.inputs["model"], step.settings.rows_at_once
    tests = sum(step.inputs["dataset"].settings.counts()["test"])
    return u_net(model.settings).forward(rows) + (32 * rows + tests) * _values(model)


def _converting(step: Step) -> int:
    """Torch, which a process that reads no network is not counted with, and the tensors twice."""
    return int(2**29 + 2 * step.settings.expected_bytes)


def _values(trained: Step) -> int:
    """Numbers of an image that a network takes; as uint8 they are its bytes."""
    return int(trained.settings.image_size**2 * trained.settings.channels)


def _floats(images: int, trained: Step) -> int:
    """Bytes of images on their way from uint8 to a network: three copies."""
    return 3 * FLOAT * images * _values(trained)


COUNTED: Final[Mapping[str, Callable[[Step], int]]] = {
    "sample": _sampling,
    "dissect": _dissecting,
    "judge_accuracy": _assessing,
    "attack": _attacking,
    "prepare": _preparing,
    "detect": _detecting,
    "perturb": _perturbing,
    "denoise_classify": _classifying,
    "weights": _converting,
}
