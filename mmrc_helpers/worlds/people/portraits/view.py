"""One view of a person: pose, background, light and camera noise, all drawn from one random generator."""

import colorsys
import random
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from mmrc_helpers.worlds.people.portraits.face import Face, head_outline
from mmrc_helpers.worlds.people.portraits.pen import Colour, Pen, blob, mix, place

_UNIT = 0.206  # one head unit as a share of the picture's side


@dataclass(frozen=True)
class View:
    """How a picture is taken; angles in radians, places as shares of the picture's side."""

    turn: float
    nod: float
    tilt: float
    lean: float
    scale: float
    x: float
    y: float
    gaze: float
    gain: float
    warmth: float
    light_angle: float
    light: float
    noise: float  # standard deviation in grey levels of 255
    near: Colour
    far: Colour
    spots: tuple[tuple[float, float, float, float], ...]
    noise_seed: int


def take_view(rng: random.Random) -> View:
    """A view at random; it takes the same numbers from rng whoever is portrayed."""
    hue, value, soft = rng.random(), rng.uniform(0.5, 0.82), rng.uniform(0.05, 0.28)
    other = hue + rng.uniform(-0.14, 0.14)
    return View(
        turn=rng.uniform(-0.36, 0.36),
        nod=rng.uniform(-0.12, 0.12),
        tilt=rng.uniform(-0.14, 0.14),  # 8 degrees
        lean=rng.uniform(-0.04, 0.04),
        scale=rng.uniform(0.92, 1.08),
        x=0.5 + rng.uniform(-0.045, 0.045),
        y=0.458 + rng.uniform(-0.025, 0.025),
        gaze=rng.uniform(-0.05, 0.05),
        gain=rng.uniform(0.82, 1.06),
        warmth=rng.uniform(-0.06, 0.06),
        light_angle=rng.uniform(0, 2 * np.pi),
        light=rng.uniform(0.05, 0.18),
        noise=rng.uniform(2, 6),
        near=_pastel(hue, soft, value),
        far=_pastel(other, soft, value * rng.uniform(0.7, 1.12)),
        spots=tuple((rng.random(), rng.random(), rng.uniform(0.1, 0.32), rng.random()) for _ in range(4)),
        noise_seed=rng.getrandbits(63),
    )


def _pastel(hue: float, saturation: float, value: float) -> Colour:
    return tuple(int(255 * channel) for channel in colorsys.hsv_to_rgb(hue % 1, saturation, min(value, 0.88)))


def supersampling(size: int) -> int:
    """Canvas pixels on the side of one picture pixel: small pictures need more for smooth edges."""
    return 4 if size <= 160 else 3 if size <= 320 else 2


def pens(draw: ImageDraw.ImageDraw, view: View, side: int) -> tuple[Pen, Pen]:
    """The pens for the head (turned, tilted) and the body (leaning a little) on a canvas of `side` pixels."""
    origin_2 = np.array([view.x, view.y]) * side
    unit = _UNIT * side * view.scale
    head = Pen(
        draw, origin_2, _axes(unit, view.tilt), float(np.sin(view.turn)), float(np.cos(view.turn)), view.nod
    )
    return head, Pen(draw, origin_2, _axes(unit, view.lean))


def _axes(unit: float, angle: float) -> np.ndarray:
    return unit * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def draw_background(view: View, side: int) -> Image.Image:
    """A canvas with a soft slope between two muted colours and a few pale discs out of focus."""
    corners = np.array(
        [[view.near, mix(view.near, view.far, 0.5)], [mix(view.near, view.far, 0.4), view.far]], np.uint8
    )
    few = max(8, side // 4)  # a slope is smooth enough to be enlarged without interpolation
    slope = Image.fromarray(corners).resize((few, few), Image.Resampling.BILINEAR)
    canvas = slope.resize((side, side), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    for x, y, radius, part in view.spots:
        colour = mix(mix(view.near, view.far, 0.5), (255, 255, 255), 0.06 + 0.16 * part)
        box = [side * (x - radius), side * (y - radius), side * (x + radius), side * (y + radius)]
        draw.ellipse(box, colour)
    return canvas


def develop(canvas: Image.Image, head: Pen, face: Face, view: View, size: int) -> Image.Image:
    """The finished picture (size, size): scaled down, lit from a side, warmed or cooled, with noise."""
    factor = canvas.width // size
    mask = Image.new("L", canvas.size)
    blob(replace(head, draw=ImageDraw.Draw(mask)), head_outline(face), 255, 0.12)
    picture_SSC = np.asarray(canvas.reduce(factor), np.float32)
    inside_SS = np.asarray(mask.reduce(factor), np.float32) / 255
    middle_2 = place(head, np.array([[0.0, 0.0]]), 0.12)[0] / factor
    reach = _UNIT * size * view.scale * 1.3
    column_S = (np.arange(size, dtype=np.float32) - middle_2[0]) / reach
    row_S = (np.arange(size, dtype=np.float32) - middle_2[1]) / reach
    toward_x, toward_y = np.cos(view.light_angle), np.sin(view.light_angle)
    slope_SS = (column_S * toward_x)[None, :] + (row_S * toward_y)[:, None]
    round_SS = (column_S**2)[None, :] + (row_S**2)[:, None]
    light_SS = 1 + view.light * slope_SS * (0.5 + inside_SS) - inside_SS * 0.16 * (round_SS - 0.3)
    tint_C = np.array([1 + view.warmth, 1, 1 - view.warmth], np.float32) * np.float32(view.gain)
    picture_SSC *= light_SS.astype(np.float32)[:, :, None] * tint_C
    noise_SSC = np.random.default_rng(view.noise_seed).standard_normal(picture_SSC.shape, np.float32)
    picture_SSC += noise_SSC * np.float32(view.noise)
    return Image.fromarray(np.clip(picture_SSC, 0, 255).astype(np.uint8))
