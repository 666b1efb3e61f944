"""Scales whose diffusion models know classes: they are trained from random weights."""

from dataclasses import replace
from typing import Any

from orchestrator.studies.scales.scale import Scale
from tasks import detectors
from tasks.data import datasets
from tasks.steps import denoise_classify, sample, train_classifier, train_diffusion
from tasks.triggers import BadNets1

SAMPLES = sample.Settings(conditions=(0,), guidance_weight=2.0)
JUDGE = train_classifier.Settings(name="content", classes=10, erase=True)

LAPTOP = Scale(
    name="laptop",
    dataset=datasets.Digits(),
    target_class="8",
    diffusion=train_diffusion.Settings(),
    content_judge=JUDGE,
    trigger_judge=replace(JUDGE, name="trigger", classes=2, erase=False),
    generations=SAMPLES,
    others=SAMPLES,
    sampler_steps={"ddim": 25, "ddpm": 50, "sde": 25},
    classifier=replace(JUDGE, name="classifier", erase=False),
    edm=train_diffusion.Settings(noise_model="edm", null_probability=0.0),
    classify=denoise_classify.Settings(trigger=BadNets1(), target_class="", draws=50, images=360),
)
"""With the defaults of all settings."""

TINY_NETWORK: Any = {"block_channels": (8, 16), "steps": 100, "batch_size": 32, "ema_decay": 0.9}
TINY_SAMPLES = replace(SAMPLES, steps=10, n=60, batch_size=20)
TINY = replace(
    LAPTOP,
    name="tiny",
    diffusion=replace(LAPTOP.diffusion, **TINY_NETWORK),
    content_judge=replace(JUDGE, steps=200, batch_size=64),
    trigger_judge=replace(LAPTOP.trigger_judge, steps=200, batch_size=64),
    generations=TINY_SAMPLES,
    others=TINY_SAMPLES,
    sampler_steps={"ddim": 10, "ddpm": 20, "sde": 10},
    classifier=replace(LAPTOP.classifier, steps=100, batch_size=64),
    detectors=(
        detectors.CognitiveDistillation(steps=5),
        detectors.Strip(overlays=5),
        detectors.FeatureConsistency(epochs=1, draws=1),
    ),
    generation_set_n=200,
    edm=replace(LAPTOP.edm, **TINY_NETWORK),
    classify=replace(
        LAPTOP.classify, filter_ratios=(0.0, 0.05), draws=6, stages=(3,), test_images=60
    ),
)

CIFAR10_JUDGE = train_classifier.Settings(
    name="content",
    classes=10,
    image_size=32,
    channels=3,
    network="resnet18",
    optimizer="sgd",
    schedule="cosine",
    flip=True,
    shift=4,
    steps=39_000,
    learning_rate=1e-2,
    weight_decay=5e-4,
    precision="tf32",  # of convolutions on GPUs torch's default, with which the authors' code ran
)
"""The paper's optimization (A.4); it names no epochs for CIFAR10: 100 passes, ours."""
CIFAR10_SAMPLES = replace(SAMPLES, steps=50, n=1000, batch_size=250, precision="tf32")

CIFAR10 = Scale(
    name="cifar10",
    dataset=datasets.Cifar10(folder=datasets.DOWNLOADS),
    target_class="deer",
    diffusion=train_diffusion.Settings(
        image_size=32,
        channels=3,
        block_channels=(64, 128, 128, 128),
        layers_per_block=2,
        attention_levels=(0, 1, 2, 3),
        attention_heads=1,
        groups=32,
        dropout=0.1,
        betas="linear",
        schedule="warmup_cosine",
        steps=25_000,
        batch_size=2000,
        learning_rate=5e-4,
        ema_decay=None,
        precision="tf32",
    ),
    content_judge=CIFAR10_JUDGE,
    trigger_judge=replace(
        CIFAR10_JUDGE, name="trigger", classes=2, flip=False, shift=0, steps=3900
    ),
    generations=replace(CIFAR10_SAMPLES, guidance_weight=6.0),
    others=CIFAR10_SAMPLES,
    sampler_steps={"ddim": 50, "ddpm": 1000, "sde": 50},
    paper_guidance=6.0,
    classifier=replace(CIFAR10_JUDGE, name="classifier"),
    edm=train_diffusion.Settings(
        noise_model="edm",
        image_size=32,
        channels=3,
        block_channels=(256, 256, 256),
        layers_per_block=4,
        attention_levels=(1,),
        attention_heads=1,
        groups=32,
        dropout=0.13,
        null_probability=0.0,
        schedule="ramp",
        steps=97_656,
        batch_size=512,
        weight_decay=0.0,
        # A half-life of 0.5 Mimg; without EDM's ramp-up, which ends early in these 50 Mimg.
        ema_decay=0.5 ** (512 / 500_000),
        precision="tf32",
    ),
    classify=denoise_classify.Settings(
        trigger=BadNets1(), target_class="", images=10_000, rows_at_once=512, precision="tf32"
    ),
)

FASHION_JUDGE = replace(LAPTOP.content_judge, image_size=32, steps=2000)
"""Four passes over the training images; the digits' judge gets 27 over a fortieth of them."""
FASHION = replace(
    LAPTOP,
    name="fashion",
    dataset=datasets.FashionMnist(folder=datasets.DOWNLOADS),
    target_class="bag",
    # The network that ``own_images`` makes for 32 pixels, with its rate and its average.  Three
    # passes: with the six models of ``amplification`` that is an evening on two CPU cores.
    diffusion=replace(
        LAPTOP.diffusion,
        image_size=32,
        block_channels=(32, 64, 64, 64),
        attention_levels=(2,),
        steps=3000,
        learning_rate=5e-4,
    ),
    content_judge=FASHION_JUDGE,
    trigger_judge=replace(FASHION_JUDGE, name="trigger", classes=2, erase=False, steps=1000),
    classifier=replace(FASHION_JUDGE, name="classifier", erase=False),
    generation_set_n=5000,
    classify=replace(LAPTOP.classify, images=10_000, test_images=500),
)
FASHION = replace(FASHION, edm=replace(FASHION.diffusion, noise_model="edm", null_probability=0.0))

CIFAR10_FAST = replace(
    CIFAR10,
    name="cifar10-fast",
    # The authors' widths, with attention at 8 pixels only (at 32 and 16 it is 40 % of their
    # operations) and heads of 8 channels.  20 passes: with class conditions and guidance "about 20
    # epochs can generate good images" (zoubohao/DenoisingDiffusionProbabilityModel-ddpm- on GitHub,
    # issue 8).  Batch and rate of Ho et al. 2020, appendix B, doubled.
    diffusion=replace(
        CIFAR10.diffusion,
        attention_levels=(2,),
        attention_heads=None,
        steps=4000,
        batch_size=256,
        learning_rate=4e-4,
        schedule="warmup_cosine",
        ema_decay=0.999,
        precision="bf16",
    ),
    content_judge=replace(CIFAR10_JUDGE, steps=7800, precision="bf16"),
    trigger_judge=replace(CIFAR10.trigger_judge, steps=1560, precision="bf16"),
    classifier=replace(CIFAR10.classifier, steps=7800, precision="bf16"),
    generations=replace(CIFAR10_SAMPLES, n=500, precision="bf16"),
    others=replace(CIFAR10_SAMPLES, n=500, guidance_weight=2.0, precision="bf16"),
    sampler_steps={"ddim": 50, "ddpm": 250, "sde": 50},
    generation_set_n=10_000,
    classify=replace(CIFAR10.classify, test_images=1000, precision="bf16"),
)
CIFAR10_FAST = replace(
    CIFAR10_FAST,
    edm=replace(CIFAR10_FAST.diffusion, noise_model="edm", null_probability=0.0, schedule="ramp"),
)
