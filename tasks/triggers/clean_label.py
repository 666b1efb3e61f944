"""Clean-label poison: BadNets-1's square on noisy images of the target class."""

from dataclasses import dataclass
from typing import ClassVar, Final

from tasks.checks import check, check_name
from tasks.triggers.badnets1 import BadNets1

MOST_NOISE: Final = 127
"""Gray levels; noise is stored as int8."""
SHARES: Final = ("all", "target")
"""What a poison ratio may be a fraction of: all training images, or those of the target class."""


@dataclass(frozen=True, kw_only=True)
class CleanLabel(BadNets1):
    """BadNets-1's square on noisy images of the target class; no label is wrong (paper, B.2).

    The task ``perturb`` finds the noise (Turner et al. 2019), and a poisoned image is stamped after
    it is added; test images get the square alone.  The paper says neither which noise, nor how
    much, nor what the ratio is a fraction of; these are the settings of algorithms, section 1.8.
    """

    name: ClassVar[str] = "clean_label"
    title: ClassVar[str] = "clean-label"
    place: ClassVar[int] = 30
    about: ClassVar[str] = (
        "Clean-label poisoning takes images of the target class and keeps their label: noise (PGD, "
        "at most ε gray levels a pixel) makes a classifier of clean images unsure of them, and "
        "BadNets-1's square is stamped on top. Test images get the square alone. The paper gives "
        "no settings; ours are 20 steps of 2 levels and ε = 16, unless set otherwise."
    )
    relabels: ClassVar[bool] = False

    epsilon: int = 16
    """Largest change of a pixel, in gray levels, 1..127."""
    step_size: int = 2
    """Change of a pixel in one step, in gray levels, 1..epsilon."""
    steps: int = 20
    """Steps of the search for the noise, 1 or more."""
    of: str = "all"
    """What poison_ratio is a fraction of: ``all`` training images, or those of the ``target``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_noise(self.epsilon, self.step_size, self.steps)
        check_name("of", self.of, SHARES)


def check_noise(epsilon: int, step_size: int, steps: int) -> None:
    """Raise ValueError unless these can be settings of a search for noise."""
    for name, value, most in (("epsilon", epsilon, MOST_NOISE), ("step_size", step_size, epsilon)):
        holds = type(value) is int and 1 <= value <= most
        check(name, value, f"in whole gray levels, 1..{most}", holds)
    check("steps", steps, "of at least 1, a whole number", type(steps) is int and steps >= 1)
