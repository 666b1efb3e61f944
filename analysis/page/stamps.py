"""What triggers look like: training images clean and stamped, and one image under each trigger."""

from collections.abc import Mapping

from analysis.names import name
from analysis.page.images import Images, change, grid
from analysis.page.page import CaptionedImage, Pictures
from analysis.wording import titled


def strip(images: Mapping[str, Images]) -> Pictures:
    """One training image under each trigger, and the change if it is spread over the image.

    Args:
        images: As `Report.strip`: uint8, (1, H, W, 1 or 3), the clean one as "none".
    """
    clean, shown = images.get("none"), []
    for trigger, image in images.items():
        changed, factor = (
            change(clean, image) if clean is not None and clean.shape == image.shape else (None, 0)
        )
        shown.append(
            CaptionedImage(
                [grid(one[:1], 1, 1) for one in (image, changed) if one is not None],
                "Clean" if trigger == "none" else titled(name("trigger", trigger)),
                small="" if changed is None else "the change" + f", ×{factor}" * (factor > 1),
            )
        )
    return Pictures(shown, layout="strip")
