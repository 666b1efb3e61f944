"""Scales whose diffusion models are told a text: they are fine-tuned from a pipeline."""

from dataclasses import replace

from orchestrator.studies.scales.class_conditional import JUDGE, LAPTOP, TINY
from orchestrator.studies.scales.scale import NewPipeline, TextFamily
from tasks.data import datasets
from tasks.latent import encode, fine_tune, new_pipeline, train_autoencoder
from tasks.steps import sample
from tasks.triggers import Nothing

RESIDUAL = 0.05
"""What is left of the base model in the average after the authors' 30,000 steps at 0.9999."""
STEPS = 1122
"""50 passes over the images, as the paper's, in batches of 32."""

JUDGE_OF_TEXT = replace(JUDGE, image_size=16, channels=3, steps=1500)
DRAWN = sample.Settings(conditions=(0,), guidance_weight=2.0, steps=50)

BASE = NewPipeline(
    dataset=datasets.Handwriting(half="pretraining", rich=True),
    autoencoder=train_autoencoder.Settings(),
    networks=new_pipeline.Settings(),
    training=fine_tune.Settings(
        steps=2000,
        batch_size=64,
        learning_rate=1e-3,
        schedule="one_cycle",
        ema_decay=None,
        caption_dropout=0.1,
        train_text_encoder=True,
    ),
)
ENCODED = encode.Settings(trigger=Nothing(), n=1, image_size=16)

LAPTOP_TEXT = replace(
    LAPTOP,
    name="laptop-text",
    dataset=datasets.Handwriting(half="fine_tuning"),
    target_class="eight",
    diffusion=fine_tune.Settings(
        steps=STEPS,
        batch_size=32,
        learning_rate=3e-4,  # three tenths of the rate it was pre-trained at
        ema_decay=RESIDUAL ** (1 / STEPS),
    ),
    text=TextFamily(base=BASE, encode=ENCODED),
    content_judge=JUDGE_OF_TEXT,
    trigger_judge=replace(JUDGE_OF_TEXT, name="trigger", classes=2, erase=False),
    classifier=replace(JUDGE_OF_TEXT, name="classifier", erase=False),
    generations=DRAWN,
    others=DRAWN,
    sampler_steps={"ddim": 50, "ddpm": 50, "sde": 50},
)
"""The authors' setting in small: 50 passes over images that the base model has not seen."""

TINY_TEXT = replace(
    TINY,
    name="tiny-text",
    dataset=LAPTOP_TEXT.dataset,
    target_class="eight",
    diffusion=replace(LAPTOP_TEXT.diffusion, steps=60, ema_decay=RESIDUAL ** (1 / 60)),
    text=TextFamily(
        base=replace(
            BASE,
            autoencoder=train_autoencoder.Settings(steps=60, block_channels=(8, 8)),
            networks=new_pipeline.Settings(block_channels=(8, 16), text_width=16, text_layers=1),
            training=replace(BASE.training, steps=60, batch_size=32),
        ),
        encode=ENCODED,
    ),
    content_judge=replace(JUDGE_OF_TEXT, steps=300, batch_size=64),
    trigger_judge=replace(LAPTOP_TEXT.trigger_judge, steps=200, batch_size=64),
    classifier=replace(LAPTOP_TEXT.classifier, steps=100, batch_size=64),
)
