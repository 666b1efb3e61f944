"""Which network and how long: the stated rule, by hand."""

import re
from dataclasses import dataclass, replace

import pytest

from orchestrator.studies import AMPLIFICATION, COMPOSITION, DETECTION
from orchestrator.studies.own_images import own_images, sides
from orchestrator.studies.scales import CIFAR10, LAPTOP, TINY


@dataclass(frozen=True)
class Pictures:
    """A dataset of which only the sizes are known."""

    image_size: int
    train: tuple[int, ...]
    channels: int = 3

    @property
    def class_names(self):
        return tuple(f"class {number}" for number in range(len(self.train)))

    def counts(self):
        return {"train": self.train, "test": tuple(count // 4 for count in self.train)}


def test_levels_halve_the_side_down_to_four_pixels_but_not_more_than_four_times():
    assert [sides(size) for size in (8, 20, 32, 512)] == [
        [8, 4],
        [20, 10, 5],
        [32, 16, 8, 4],
        [512, 256, 128, 64, 32],
    ]


def test_every_size_gives_a_network_that_can_be_built():
    for size in range(8, 513, 4):
        scale = own_images(LAPTOP, Pictures(size, (100, 80, 60)))
        assert scale.diffusion.image_size == scale.content_judge.image_size == size
        assert scale.generations.batch_size * size**2 <= max(125 * 64**2, size**2)
        assert scale.scored_at_once * size**2 <= max(256 * 32**2, size**2)


def test_the_digits_shape_gives_the_digits_network_and_lengths():
    digits = Pictures(8, (142, 146, 142, 146, 145, 145, 145, 143, 139, 144), channels=1)
    chosen = own_images(LAPTOP, digits).diffusion
    assert (chosen.block_channels, chosen.attention_levels) == ((32, 64), ())
    # 45 passes over 1,437 images in batches of 64 are 1,010.4 steps: 1,100 to two digits, up.
    assert (chosen.steps, chosen.batch_size, chosen.ema_decay) == (1100, 64, 0.995)
    assert own_images(LAPTOP, digits).content_judge.steps == 310
    assert own_images(LAPTOP, digits).classifier == replace(LAPTOP.classifier, steps=310)


def test_thirty_two_pixels_and_many_images_by_hand():
    scale = own_images(LAPTOP, Pictures(32, (5000,) * 10))
    chosen = scale.diffusion
    assert chosen.block_channels == (32, 64, 64, 64)
    assert chosen.attention_levels == (2,)  # 8 pixels
    assert chosen.steps == 36_000  # 45 x 50,000 / 64 = 35,156
    assert (chosen.learning_rate, chosen.ema_decay) == (5e-4, 0.999)
    assert (chosen.classes, chosen.channels) == (10, 3)
    judges = (scale.content_judge, scale.trigger_judge, scale.classifier)
    assert {(judge.network, judge.steps, judge.channels) for judge in judges} == {
        ("small", 11_000, 3)
    }
    assert [judge.classes for judge in judges] == [10, 2, 10]
    assert (scale.generation_set_size, scale.scored_at_once) == (50_000, 256)


def test_larger_images_get_a_residual_judge_and_smaller_batches():
    scale = own_images(LAPTOP, Pictures(256, (400, 300)))
    judges = (scale.content_judge, scale.trigger_judge, scale.classifier)
    assert {settings.network for settings in judges} == {"resnet18"}
    assert (scale.diffusion.batch_size, scale.diffusion.layers_per_block) == (16, 2)
    assert scale.generations.batch_size == 7
    assert scale.scored_at_once == 4


def test_a_batch_is_never_larger_than_the_training_set():
    scale = own_images(TINY, Pictures(16, (10, 9, 8)))
    trained = (scale.diffusion, scale.content_judge, scale.trigger_judge, scale.classifier)
    assert {settings.batch_size for settings in trained} == {27}


@pytest.mark.parametrize("scale", [TINY, CIFAR10], ids=lambda scale: scale.name)
def test_other_scales_keep_their_networks_and_lengths(scale):
    chosen = own_images(scale, Pictures(32, (5000,) * 4))
    for name in ("block_channels", "steps", "learning_rate", "schedule"):
        assert getattr(chosen.diffusion, name) == getattr(scale.diffusion, name)
    assert chosen.content_judge.network == scale.content_judge.network
    assert chosen.classifier == replace(scale.classifier, channels=3, image_size=32, classes=4)
    assert chosen.detectors == scale.detectors
    assert chosen.diffusion.classes == chosen.content_judge.classes == 4


def test_ratios_that_poison_nothing_or_too_much_are_left_out():
    # 1 % of 60 images is no image; 20 % are 12, but only 5 lie outside the largest class.
    scale = own_images(LAPTOP, Pictures(16, (55, 5)))
    assert AMPLIFICATION.chosen(scale).poison_ratio == (0.0, 0.02, 0.05)
    assert COMPOSITION.chosen(scale).poison_ratio == (0.0,)
    assert DETECTION.chosen(scale).poison_ratio == (0.0, 0.05)
    assert DETECTION.chosen(scale).target_class == "class 0"


def test_a_handful_of_images_is_refused():
    with pytest.raises(ValueError, match=re.escape("at least 10 images to train on, got 9")):
        own_images(TINY, Pictures(16, (5, 4)))
