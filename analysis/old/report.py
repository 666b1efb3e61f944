"""A study's page: one HTML file that opens from disk, its results file and its figures.

Nothing is loaded when it is opened: styles and figures are in the file, images are data URIs, and
the type is the reader's own.  Matplotlib and Jinja are imported only when a page is written.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from analysis.old.rows import Row
from analysis.page.page import Failure, Stage

if TYPE_CHECKING:
    from markupsafe import Markup

Images = npt.NDArray[np.uint8]

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """Everything a page shows."""

    study: str
    """Name of the study."""
    scale: str
    """Name of the scale."""
    title: str
    """The page's heading."""
    question: str
    """The paper's figure or table, and the hypothesis."""
    rows: Sequence[Row]
    """One a finished point, with ``study`` and ``scale``."""
    groups: Mapping[tuple[Any, ...], Mapping[str, Images]] = field(default_factory=dict)
    """By `analysis.old.rows.row_key` of a row: "g1".."g4", each uint8, (k, H, W, 1 or 3).

    Of a row of detection "most_suspicious", "least_suspicious" and, of a detector with masks,
    "most_suspicious_masks", "least_suspicious_masks", (k, H, W, 1); each from the extreme inwards.
    """
    scores: Mapping[tuple[Any, ...], Mapping[str, npt.NDArray[Any]]] = field(default_factory=dict)
    """By `row_key` of a row of detection: "suspicion", float64, (N,); "poisoned", bool, (N,); where
    there is one "template_match", bool, (N,); of generations "group", int8, (N,), 1..4.
    """
    losses: Mapping[tuple[Any, ...], Mapping[str, npt.NDArray[Any]]] = field(default_factory=dict)
    """By `row_key` of a row of diffusion classifiers, some triggered images: "images", uint8,
    (k, H, W, 1 or 3); "true", "target", float32, (k, H, W), their losses under their own and under
    the target class; "label", "said", integers, (k,), their class and the answer at this filter.
    """
    class_names: Sequence[str] = ()
    """Names of the classes by number; empty where pages may call them by number."""
    trigger_examples: Mapping[str, tuple[Images, Images]] = field(default_factory=dict)
    """By name of a trigger: some training images clean and stamped, uint8, (k, H, W, 1 or 3)."""
    strip: Mapping[str, Images] = field(default_factory=dict)
    """One training image under every trigger, by name, uint8, (1, H, W, 1 or 3); "none": clean."""
    stages: Sequence[Stage] = ()
    """Every step the study needed, in the order of the plan."""
    failures: Sequence[Failure] = ()
    """Points without a row."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What the scale stands for, in the order to be shown."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions and machine, in the order to be shown."""
    command: str = ""
    """What to type for the same page."""
    ema_decay: float | None = None
    """Decay of the weights that were sampled from; None without a moving average."""


def render(template: str, shown: Mapping[str, Any]) -> str:
    """Fill one of ``templates``, everything escaped but what is marked as markup."""
    import jinja2
    from markupsafe import Markup

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["subscripts"] = _subscripts
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return templates.get_template(template).render(style=Markup(style), **shown)


def _subscripts(words: str) -> "Markup":
    """Escape words, and set the subscripts of p_t, p*_gap, p*_dom, N_t, e_u, e_c and β_t."""
    from markupsafe import Markup, escape

    return Markup(
        re.sub(r"\b(p\*?|N|e|β)_(t|gap|dom|u|c)\b", r"\1<sub>\2</sub>", str(escape(words)))
    )
