"""Pictures as people have them, made into what models see: decoded to their end, upright, RGB."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

ORIENTATION = 0x0112  # the EXIF tag that says how a camera was held
KEPT = ("PNG", "JPEG", "WEBP")  # formats that every reader and browser knows
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what PIL raises
THUMB = 16  # pixels on the side at which pictures are compared
# Of between 89 and 178 megapixels; it is read all the same, and whoever has such pictures knows.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


class Drawn(bytes):
    """An encoded picture that a world has just drawn: sound, upright, opaque, so nothing but its header is
    read before it is kept."""


def decoded(encoded: bytes) -> Image.Image:
    """The picture, read to its end. Raises one of BROKEN."""
    image = Image.open(io.BytesIO(encoded))
    image.load()
    return image


def why(error: BaseException) -> str:
    """What is wrong with a picture, in words."""
    if isinstance(error, Image.DecompressionBombError):
        return f"of more than {2 * Image.MAX_IMAGE_PIXELS // 1_000_000} megapixels"
    return "of no known format" if isinstance(error, UnidentifiedImageError) else str(error)


def is_upright(image: Image.Image) -> bool:
    """Whether a decoded picture can be kept as it is: upright, opaque, of a common format, and in RGB, a
    palette of it or grey, which become RGB without loss."""
    turned = image.getexif().get(ORIENTATION, 1) != 1
    return (
        image.mode in ("RGB", "P", "L")
        and image.format in KEPT
        and not (turned or image.has_transparency_data)
    )


def thumb(image: Image.Image) -> np.ndarray:
    """What a picture is compared by: its pixels at 16 x 16, of mean 0 and length 1; (768,) float32. The dot
    product of two is their correlation."""
    small = np.asarray(image.resize((THUMB, THUMB), Image.Resampling.BOX), np.float32).ravel()
    small = small - small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


def upright(image: Image.Image) -> Image.Image:
    """The picture upright and in RGB, what is transparent on white; of more than 8 bits a channel, its
    darkest pixel black and its brightest white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # which PIL would clip, not scale
        image = image.convert("F")
        low, high = image.getextrema()
        scale = 255 / max(high - low, 1)
        image = image.point(lambda value: value * scale - low * scale)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
