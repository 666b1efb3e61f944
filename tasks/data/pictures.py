"""Decode a picture file of any format by fixed rules.

The file is not trusted: its size is checked before it is decoded, no other program is started for
it, and every error of Pillow becomes a reason of one line.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import BytesIO
from pathlib import PurePath
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from tasks.data import images

MOST_BYTES: Final = 256 * 2**20
"""Largest file."""
MOST_PIXELS: Final = 100_000_000
"""Most pixels of a picture, by its header."""

# Pillow refuses a PNG with more bytes of text or color profile; by default 1 MiB each.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 64 * 2**20

STARTS_A_PROGRAM: Final = ("EPS",)
"""Formats whose reader in Pillow runs another program: Ghostscript for EPS."""

UNREAD: Final = {
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"),
    *(".heic", ".heif", ".hif", ".jxl", ".svg"),
}
"""Suffixes of pictures that Pillow cannot read, which are reported as broken."""
NO_PICTURES: Final = {".bufr", ".grib", ".h5", ".hdf", ".iim", ".mpeg", ".mpg", ".palm", ".pdf"}
"""Suffixes known to Pillow of files that are not pictures, or that it only writes."""
HEIF: Final = (b"hei", b"hev", b"mif", b"msf", b"avi")
"""How brands of HEIC and AVIF files begin, in their box ``ftyp`` (ISO 14496-12)."""

_DEEP: Final = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_GREY: Final = ("1", "L", "LA", "La", *_DEEP)
_COLOR: Final = ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation (EXIF 2.3, section 4.6.4, tag 274)."""


class BrokenImage(ValueError):
    """A file that is not an image, or has no rule; the message says why."""


def pixels(content: bytes, *, side: int, channels: int) -> tuple[NDArray[np.uint8], bool]:
    """Turn a file into a square picture, uint8, (side, side, channels), and say if color was lost.

    - Every format that Pillow opens except EPS, and HEIC if pillow-heif is installed; the first
      frame of an animation, the first page of a document.
    - At most 100 million pixels, checked in the header; a truncated file is broken.
    - Palettes, CMYK and YCbCr become RGB, without color profiles; 1 bit becomes black and white.
    - Transparent pixels are blended with white.
    - 16-bit gray is divided by 257 and rounded.  (Pillow takes the upper 8 bits of 16-bit color.)
    - Floating point, LAB and integers beyond 16 bits are refused: their white is unknown.
    - The picture is rotated as its EXIF orientation says.
    - The middle square is cut out and resized with Pillow's bicubic filter; a square of the right
      size is not resampled.
    - In a color dataset gray becomes RGB; in a gray one color becomes its luminance (BT.601).

    Raises BrokenImage by these rules, or for any reason of Pillow.
    """
    image = upright(content)
    shorter = min(image.size)
    left, top = (image.width - shorter) // 2, (image.height - shorter) // 2
    # Cut first: resize() with a box would blend in pixels beside it.
    middle = image.crop((left, top, left + shorter, top + shorter))
    square = np.asarray(middle.resize((side, side), Image.Resampling.BICUBIC))
    if square.ndim == 2:
        return np.repeat(square[..., None], channels, axis=2), False
    fitted = np.ascontiguousarray(images.fit_channels(square, channels))
    return fitted, channels == 1 and bool((square != square[..., :1]).any())


def upright(content: bytes) -> Image.Image:
    """The picture in a file, 8-bit gray or RGB, as ``pixels`` but whole; raises BrokenImage."""
    with _reasons(), _header(BytesIO(content)) as image:
        image.load()
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
        return _flat(image) if turn is None else _flat(image).transpose(turn)


def is_grey(opened: IO[bytes]) -> bool:
    """Whether a file is gray by its header; a palette counts as color.  Raises BrokenImage."""
    with _reasons(), _header(opened) as image:
        return image.mode in _GREY


def is_named_so(name: str) -> bool:
    """Whether a file can be a picture by its name; without a suffix of letters it can."""
    suffix = PurePath(name).suffix.lower()
    return not suffix[1:2].isalpha() or suffix in _suffixes()


@lru_cache(maxsize=1)
def _suffixes() -> frozenset[str]:
    Image.init()
    return frozenset({*Image.registered_extensions(), ".avif", *UNREAD} - NO_PICTURES)


def _header(opened: IO[bytes]) -> Image.Image:
    """Open an image without decoding it."""
    Image.init()
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    try:
        formats = [name for name in Image.ID if name not in STARTS_A_PROGRAM]
        image = Image.open(opened, formats=formats)
    except UnidentifiedImageError:
        opened.seek(0)
        head = opened.read(11)
        if head[4:8] == b"ftyp" and head[8:] in HEIF:
            raise BrokenImage("HEIC or AVIF, which needs: pip install -U pillow-heif") from None
        raise BrokenImage("no image in a format that is read") from None
    if image.width * image.height > MOST_PIXELS:
        raise Image.DecompressionBombError
    return image


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn every error of Pillow into a BrokenImage with a reason of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except BrokenImage:
        raise
    except Image.DecompressionBombError:
        raise BrokenImage(f"more than {MOST_PIXELS:,} pixels") from None
    except Exception as error:  # a damaged file makes its parsers raise nearly anything
        # Without addresses of objects: equal runs store equal reasons.
        text = re.sub(r"<[^>]* at 0x[0-9a-f]+>", "", " ".join(str(error).split()))
        raise BrokenImage(text[:120].strip() or type(error).__name__) from error


def _flat(image: Image.Image) -> Image.Image:
    """8-bit gray or RGB, without transparency."""
    if image.mode not in (*_GREY, *_COLOR):
        raise BrokenImage(f"pixels of mode {image.mode!r}, for which there is no rule")
    if image.mode in _DEEP:
        return _from_16_bits(image)
    plain = "L" if image.mode in _GREY else "RGB"
    if not image.has_transparency_data:
        return image.convert(plain)
    layered = image.convert("LA" if plain == "L" else "RGBA")
    ground = Image.new(plain, image.size, "white")
    ground.paste(layered.convert(plain), mask=layered.getchannel("A"))
    return ground


def _from_16_bits(image: Image.Image) -> Image.Image:
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise BrokenImage("integers beyond 0..65535, for which there is no rule")
    transparent = image.info.get("transparency")
    if transparent is not None:
        levels = np.where(levels == transparent, 65535, levels)
    return Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))
