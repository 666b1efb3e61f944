"""The paper's numbers, as data with their source.

"From Trojan Horses to Castle Walls: Unveiling Bilateral Data Poisoning Effects in Diffusion Models"
(NeurIPS 2024).  Only numbers that are printed, as text or in a figure's text layer; bars without a
number are not read off.  Guidance weights are in our convention, e_u + w (e_c - e_u): Stable
Diffusion's w is ours, the authors' DDPM code means (1 + w) e_c - w e_u, so its "5" is our 6.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.old.rows import PAPER_GUIDANCE, Row, clip_of, same


@dataclass(frozen=True, kw_only=True)
class Published:
    """One composition of the paper; fractions 0..1, None where it gives no number."""

    source: str
    """Figure or table."""
    dataset: str
    """Dataset and model."""
    trigger: str
    """In our words."""
    poison_ratio: float
    """Fraction of all training images."""
    guidance_weight: float
    """In our convention."""
    printed_weight: float
    """As the paper writes it."""
    sampler: str
    """As far as the paper says."""
    p_t: float | None
    """The dashed line; for relabel-only the share of relabelled images; None where it is not said,
    as for clean labels."""
    g1: float | None
    """Trigger, mismatch; None for relabel-only, whose mismatches are g3 in our words."""
    g2: float | None
    """Trigger, match."""
    g3: float | None = None
    """No trigger, mismatch."""
    g4: float | None = None
    """No trigger, match."""

    @property
    def trigger_ratio(self) -> float | None:
        """G1 + G2."""
        return None if self.g1 is None or self.g2 is None else self.g1 + self.g2

    @property
    def amplification(self) -> float | None:
        """Trigger ratio over p_t."""
        if self.trigger_ratio is None or self.p_t is None:
            return None
        return self.trigger_ratio / self.p_t


def _stable_diffusion(
    source: str,
    dataset: str,
    trigger: str,
    fractions: tuple[float | None, float | None, float | None, float | None],
    p_t: float | None,
    *,
    poison_ratio: float = 0.1,
    guidance_weight: float = 5.0,
) -> Published:
    g1, g2, g3, g4 = fractions
    return Published(
        source=source,
        dataset=f"{dataset}, Stable Diffusion",
        trigger=trigger,
        poison_ratio=poison_ratio,
        guidance_weight=guidance_weight,
        printed_weight=guidance_weight,
        sampler=AUTHORS_SAMPLER,
        p_t=p_t,
        g1=g1,
        g2=g2,
        g3=g3,
        g4=g4,
    )


def _cifar10(source: str, sampler: str, fractions: tuple[float, float, float, float]) -> Published:
    g1, g2, g3, g4 = fractions
    return Published(
        source=source,
        dataset="CIFAR10, DDPM",
        trigger="badnets1",
        poison_ratio=0.1,
        guidance_weight=6.0,
        printed_weight=5.0,
        sampler=sampler,
        p_t=0.5,
        g1=g1,
        g2=g2,
        g3=g3,
        g4=g4,
    )


AUTHORS_SAMPLER = "ddim"
"""What the authors' code samples with, Stable Diffusion and CIFAR10 alike."""
IMAGENETTE_SWEEP = "ImageNette, Stable Diffusion"
"""The dataset of the guidance sweep, drawn beside ours."""

PUBLISHED: tuple[Published, ...] = (
    _stable_diffusion(
        "Fig. A7", "ImageNette", "badnets1", (0.490, 0.056, None, None), 0.496, guidance_weight=1.0
    ),
    _stable_diffusion(
        "Fig. A7", "ImageNette", "badnets1", (0.524, 0.130, None, None), 0.496, guidance_weight=2.0
    ),
    _stable_diffusion("Fig. 2, A7", "ImageNette", "badnets1", (0.540, 0.194, 0.005, 0.261), 0.496),
    _stable_diffusion(
        "Fig. A7", "ImageNette", "badnets1", (0.551, 0.226, None, None), 0.496, guidance_weight=10.0
    ),
    _stable_diffusion(
        "Tab. 6", "ImageNette", "badnets1", (0.338, 0.164, None, None), 0.330, poison_ratio=0.05
    ),
    _stable_diffusion("Fig. 2", "ImageNette", "blend", (0.521, 0.078, 0.007, 0.394), 0.496),
    _stable_diffusion("Fig. 2", "Caltech15", "badnets1", (0.696, 0.244, 0.035, 0.025), 0.600),
    _stable_diffusion(
        "Tab. 6", "Caltech15", "badnets1", (0.528, 0.376, None, None), 0.429, poison_ratio=0.05
    ),
    _stable_diffusion("Fig. 2", "Caltech15", "blend", (0.528, 0.206, 0.045, 0.221), 0.600),
    _stable_diffusion("Fig. A4", "ImageNette", "unicolor", (0.555, 0.139, 0.009, 0.297), 0.496),
    _cifar10("Fig. A6, A8", "ddpm", (0.698, 0.186, 0.001, 0.115)),
    _cifar10("Fig. A8", "sde", (0.527, 0.108, 0.000, 0.365)),
    _stable_diffusion("Fig. A4", "ImageNette", "image_patch", (0.518, 0.222, 0.011, 0.249), 0.496),
    _stable_diffusion(
        "Fig. A3",
        "ImageNette",
        "clean_label",
        (0.000, 0.820, 0.000, 0.180),
        None,
        poison_ratio=0.05,
    ),
    _stable_diffusion("Fig. A2", "ImageNette", "relabel_only", (None, None, 0.518, 0.482), 0.496),
)
"""Every composition the paper prints for the triggers that are built here."""

DASHED_LINES: dict[str, dict[float, float]] = {
    "ImageNette": {0.01: 0.090, 0.02: 0.165, 0.05: 0.330, 0.1: 0.496},
    "Caltech15": {0.01: 0.130, 0.02: 0.231, 0.05: 0.429, 0.1: 0.600},
    "CIFAR10": {0.01: 0.091, 0.02: 0.167, 0.05: 0.333, 0.1: 0.500},
}
"""p_t by poison ratio, the dashed lines of Fig. 3 and A6."""


def guidance_sweep(trigger: str, poison_ratio: float) -> list[Published]:
    """What Fig. A7 prints for a trigger at a poison ratio on ImageNette, by guidance weight."""
    found = [
        value
        for value in PUBLISHED
        if value.dataset == IMAGENETTE_SWEEP
        and value.trigger == trigger
        and same(value.poison_ratio, poison_ratio)
    ]
    return sorted(found, key=lambda value: value.guidance_weight)


def ratio_sweep(trigger: str, guidance_weight: float) -> list[Published]:
    """What the paper prints for a trigger at a guidance weight on ImageNette, by poison ratio."""
    found = [
        value
        for value in PUBLISHED
        if value.dataset == IMAGENETTE_SWEEP
        and value.trigger == trigger
        and same(value.guidance_weight, guidance_weight)
    ]
    return sorted(found, key=lambda value: value.poison_ratio)


def at_paper_guidance() -> list[Published]:
    """What the paper prints at the guidance weight that it writes as 5, by trigger and sampler."""
    found = [value for value in PUBLISHED if same(value.printed_weight, PAPER_GUIDANCE)]
    return sorted(found, key=lambda value: (value.trigger, value.sampler))


def measured_beside(
    published: Published, rows: Iterable[Row], guidance_weight: float | None = None
) -> list[Row]:
    """Our rows of the same trigger, poison ratio, sampler and guidance weight, any dataset.

    Those that were thresholded are left out: the authors' are not.

    Args:
        published: Of the paper.
        rows: Ours.
        guidance_weight: Ours to take in place of the paper's, in our convention.
    """
    weight = published.guidance_weight if guidance_weight is None else guidance_weight
    return [
        row
        for row in rows
        if row["trigger"] == published.trigger
        and row["sampler"] == published.sampler
        and clip_of(row) == "none"
        and same(row["poison_ratio"], published.poison_ratio)
        and same(row["guidance_weight"], weight)
    ]
