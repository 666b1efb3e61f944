"""Where the losses lie: triggered images beside maps of their losses under two classes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analysis.names import name, place
from analysis.page.images import Images, grid
from analysis.page.page import Arrays, Block, CaptionedImage, Heading, Pictures, Report
from analysis.rows import Rows, groups, records, select
from analysis.wording import titled
from orchestrator.studies.diffusion_classifier.claims import BY_SIZE


def blocks(report: Report, rows: Rows, filter_ratio: float | None) -> list[Block]:
    """The maps of each trigger in the same colors, a line for each noise model.

    Args:
        report: Its ``losses`` have for a row "images" uint8, (k, H, W, 1 or 3), "true" and
            "target" float32, (k, H, W), and "label" and "said", class numbers, (k,).
        rows: At most one poison ratio of each trigger and noise model.
        filter_ratio: Whose answer is shown beside that without a filter; None without any.
    """
    shown: list[Block] = []
    for _, trigger in groups(rows, *BY_SIZE[:-1]):
        found = [
            (at, losses, _losses(report, own, filter_ratio))
            for at, own in groups(trigger, *BY_SIZE, "poison_ratio")
            if (losses := _losses(report, own, 0.0)) is not None
        ]
        if not found:
            continue
        most = highest([losses for _, losses, _ in found])
        shown.append(Heading(titled(place(**{**found[0][0], "noise_model": None}))))
        words = f"0 (dark) to {most:.3g} and more; the same for all maps of this trigger"
        line = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (1, 4, 1))
        ramp = CaptionedImage([grid(colored(line, 1.0), 1, 1)], "Losses", words)
        shown.append(Pictures([ramp], layout="maps"))
        for at, losses, filtered in found:
            said = "" if filter_ratio is None else name("filter_ratio", filter_ratio)
            pictures = _pictures(report.class_names, losses, most, filtered, said)
            shown.append(Pictures(pictures, name("noise_model", at["noise_model"]), "maps"))
    return shown


def highest(shown: Sequence[Arrays]) -> float:
    """The loss with the lightest color: the 99% quantile of all maps shown together."""
    every = [losses[which].ravel() for losses in shown for which in ("true", "target")]
    return float(np.quantile(np.concatenate(every), 0.99))


def colored(losses: npt.NDArray[np.float32], most: float) -> Images:
    """Paint maps (k, H, W) from dark at 0 to light at ``most``, linearly: uint8, (k, H, W, 3)."""
    import matplotlib

    share = np.clip(losses / most, 0, 1) if most > 0 else np.zeros_like(losses)
    return np.round(255 * matplotlib.colormaps["inferno"](share)[..., :3]).astype(np.uint8)


def _losses(report: Report, rows: Rows, filter_ratio: float | None) -> Arrays | None:
    """Those of the first seed that has any at a filter ratio."""
    found = (report.of("losses", row) for row in records(select(rows, filter_ratio=filter_ratio)))
    return next((losses for losses in found if losses and len(losses["images"])), None)


def _pictures(
    classes: Sequence[str], losses: Arrays, most: float, filtered: Arrays | None, ratio: str
) -> list[CaptionedImage]:
    """Each image with its maps under its own class and under the target class."""

    def called(number: int) -> str:
        return f"“{classes[number] if number < len(classes) else number}”"

    images = losses["images"]
    images = np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    parts = (images, colored(losses["true"], most), colored(losses["target"], most))
    pictures = []
    for number, tiles in enumerate(zip(*parts, strict=True)):
        words = f"said {called(int(losses['said'][number]))}"
        if filtered is not None:
            words += f", {called(int(filtered['said'][number]))} with {ratio} dropped"
        own = f"Class {called(int(losses['label'][number]))}"
        pictures.append(CaptionedImage([grid(np.stack(tiles), 3, 1)], own, words))
    return pictures
