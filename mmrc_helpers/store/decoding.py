"""Pictures as people have them, made into what models see: decoded to their end, upright, RGB."""

import io

from PIL import Image, ImageOps, UnidentifiedImageError

ORIENTATION = 0x0112  # the EXIF tag that says how a camera was held
KEPT = ("PNG", "JPEG", "WEBP")  # formats that every reader and browser knows
BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what PIL raises


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
