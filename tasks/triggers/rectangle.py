"""A rectangle of one color."""

from dataclasses import dataclass
from typing import ClassVar

from tasks.checks import check
from tasks.triggers.patch import Patch, PatchTrigger, check_color, plain


@dataclass(frozen=True, kw_only=True)
class Rectangle(PatchTrigger):
    """A rectangle of one color in the lower right corner, of any number of pixels.

    It shows how much area a trigger needs; it is not in the paper.
    """

    name: ClassVar[str] = "rectangle"
    title: ClassVar[str] = "rectangle"
    place: ClassVar[int] = 8
    about: ClassVar[str] = (
        "A rectangle of a single color, yellow unless set otherwise, lies in the lower right "
        "corner: a trigger of any size, to compare its area with what a defense can remove."
    )

    height: int = 1
    """Pixels, 1 or more."""
    width: int = 1
    """Pixels, 1 or more."""
    color: tuple[int, int, int] = (255, 255, 0)
    """Red, green and blue, 0..255."""

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            value = getattr(self, name)
            holds = type(value) is int and value >= 1
            check(name, value, "of at least 1 pixel, a whole number", holds)
        check_color(self.color)

    def patch(self, height: int, width: int, channels: int) -> Patch:
        """The rectangle and its place on images of this size.

        Raises:
            ValueError: The rectangle does not fit the images.
        """
        least = f"of at least {self.height} x {self.width} pixels"
        holds = self.height <= height and self.width <= width
        check("images", (height, width), least, holds)
        pixels = plain(self.height, self.width, self.color, channels)
        return Patch(height - self.height, width - self.width, pixels)
