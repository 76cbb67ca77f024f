"""The wider-middle axis: a matplotlib scale that gives a focus band of the data more than its share of the
axis. It is linear inside the band and linear outside, so equal steps stay equal on either side of a band's
edge, and it is inverted exactly."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.scale import ScaleBase, register_scale
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import Transform

CLOSEST = 0.055  # of the axis: ticks nearer than this to a more important one are left out


class WiderMiddleTransform(Transform):
    """The piecewise linear, increasing map that takes `knots` (values) to `places` (0 and 1 are the limits of
    the axis); beyond the outer knots it goes on with the slope of the outer pieces."""

    input_dims = output_dims = 1
    is_separable = True

    def __init__(self, knots: Sequence[float], places: Sequence[float]):
        super().__init__()
        self.knots, self.places = np.asarray(knots, dtype=float), np.asarray(places, dtype=float)

    def transform_non_affine(self, values):
        values = np.asarray(values, dtype=float)
        piece = np.clip(np.searchsorted(self.knots, values, side="right") - 1, 0, len(self.knots) - 2)
        slope = np.diff(self.places) / np.diff(self.knots)
        return self.places[piece] + (values - self.knots[piece]) * slope[piece]

    def inverted(self) -> "WiderMiddleTransform":
        return WiderMiddleTransform(self.places, self.knots)


class WiderMiddleLocator(Locator):
    """Ticks at the limits and the edges of the band, then at round numbers inside it, then outside it; one
    that would stand too close to a more important one is left out."""

    def __init__(self, band: tuple[float, float], limits: tuple[float, float], transform: Transform):
        self.band, self.limits, self.transform = band, limits, transform

    def __call__(self):
        return self.tick_values(*sorted(self.axis.get_view_interval()))

    def tick_values(self, vmin: float, vmax: float):
        low, high = self.band
        inside = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        outside = [
            MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(*part) for part in ((vmin, low), (high, vmax))
        ]
        wanted = [
            *self.limits,
            *self.band,
            *inside[(inside > low) & (inside < high)],
            *np.concatenate(outside),
        ]
        kept: list[float] = []
        span = float(np.ptp(self.transform.transform(np.array([vmin, vmax]))))
        for tick in wanted:
            places = self.transform.transform(np.array([tick, *kept]))
            if vmin <= tick <= vmax and (abs(places[1:] - places[0]) >= CLOSEST * span).all():
                kept.append(float(tick))
        return np.sort(kept)


class WiderMiddleScale(ScaleBase):
    """`axes.set_yscale("wider_middle", band=(low, high), share=0.5, limits=(lower, upper))`.

    band: the values in focus. share: the part of the axis they take, between 0 and 1. limits: the ends of
    the axis; values beyond them are drawn on with the slope outside the band. ValueError unless
    lower <= low < high <= upper, the band is not the whole axis, and 0 < share < 1.
    """

    name = "wider_middle"

    def __init__(self, *, band: tuple[float, float], share: float, limits: tuple[float, float]):
        (low, high), (lower, upper) = band, limits
        rest = (upper - lower) - (high - low)
        if not (lower <= low < high <= upper and rest > 0 and 0 < share < 1):
            raise ValueError(
                f"wider_middle: band {band} must lie in limits {limits}, share {share} in (0, 1)"
            )
        slope = (1 - share) / rest
        below, far = (low - lower) * slope, upper - lower
        self.band, self.limits = band, limits
        self.transform = WiderMiddleTransform(
            [lower - far, low, high, upper + far],
            [-far * slope, below, below + share, 1 + far * slope],
        )

    def get_transform(self) -> Transform:
        return self.transform

    def set_default_locators_and_formatters(self, axis) -> None:
        axis.set_major_locator(WiderMiddleLocator(self.band, self.limits, self.transform))
        axis.set_major_formatter(FuncFormatter(lambda value, place: f"${value + 0.0:.4g}$"))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())


register_scale(WiderMiddleScale)


def widen(axes: Axes, band: tuple[float, float], ends: Sequence[float], share: float = 0.5) -> None:
    """Give this band of the vertical axis, which reaches to `ends`, `share` of its height, and mark it; one
    that is the whole axis changes nothing."""
    (low, high), (lower, upper) = round_outwards(*band), round_outwards(min(*ends, *band), max(*ends, *band))
    low, high = max(low, lower), min(high, upper)
    if (low, high) == (lower, upper):  # there is nothing beside the band
        return
    axes.set_yscale("wider_middle", band=(low, high), share=share, limits=(lower, upper))
    axes.set_ylim(lower, upper)
    axes.axhspan(low, high, color="black", alpha=0.06, linewidth=0, zorder=0)
    place = {"transform": axes.get_yaxis_transform(), "va": "top", "fontsize": "x-small"}
    axes.text(0.01, high, "enlarged", **place)


def round_outwards(low: float, high: float) -> tuple[float, float]:
    """The interval widened to multiples of a round step, about a twentieth of its width."""
    if high <= low:
        return low - 0.5, high + 0.5
    step = 10.0 ** np.floor(np.log10(high - low)) / 10
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step >= (high - low) / 25)
    return float(np.floor(low / step) * step), float(np.ceil(high / step) * step)
