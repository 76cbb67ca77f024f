"""Gradient alignment: how far a step on one group of examples also serves another.

The gradients of G groups lie in host memory in float32, 4 bytes x G x trainable weights (13 groups of LoRA
of rank 16 on 8 billion weights: 2.3 GB); their products are taken tensor by tensor and piece by piece, so
nothing larger is ever made.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import torch

EPSILON = 1e-8  # Adam's
PIECE = 1 << 20  # weights multiplied at once
ALL = "all"


def layer_of(name: str) -> str:
    """The decoder layer of a weight, by its number; empty for weights outside the layers."""
    found = re.search(r"\blayers\.(\d+)\.", name)
    return found[1] if found else ""


def group_gradient(
    losses: Sequence[Callable[[], torch.Tensor]], weights: Sequence[torch.Tensor]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The mean gradient of several losses, and the mean of its squares, one tensor for every weight.

    losses: each gives one batch's loss when called. Nothing is left in `.grad`, and no hook of a trainer
    fires.
    """
    mean = [torch.zeros(weight.shape) for weight in weights]
    square = [torch.zeros(weight.shape) for weight in weights]
    for loss in losses:
        for k, part in enumerate(torch.autograd.grad(loss(), weights, allow_unused=True)):
            if part is not None:
                part = part.float().cpu()
                mean[k] += part / len(losses)
                square[k] += part.square() / len(losses)
    return mean, square


def compare(
    gradients: Mapping[str, Sequence[torch.Tensor]],
    layers: Sequence[str],
    squares: Sequence[torch.Tensor] | None = None,
) -> list[dict]:
    """Rows of the table "gradients" for every pair of groups: over all weights and for every decoder layer.

    With S = left and H = right: inner = <g_S, g_H>; cosine; transfer = <g_S, g_H> / <g_H, g_H> (the score of
    arXiv 2501.02669): of the drop in H's loss that a small step on H brings, the share that an equal step on
    S brings. A ratio with a zero gradient below it is None.

    gradients: group → one tensor per weight. layers: `layer_of` each weight. squares: mean squared gradient
    of each weight; with it, the rows are repeated for the preconditioner "adam", in whose metric
    <g, h> = sum of g h / (sqrt(squares) + 1e-8): a step on S is then an Adam step.
    """
    names = list(gradients)
    rows = []
    for kind in ("none", "adam") if squares is not None else ("none",):
        products: dict[str, torch.Tensor] = {ALL: torch.zeros(len(names), len(names), dtype=torch.float64)}
        for k, layer in enumerate(layers):
            scale = None if kind == "none" else squares[k].flatten().double().sqrt() + EPSILON
            gram = _gram([gradients[name][k].flatten() for name in names], scale)
            products[ALL] += gram
            if layer:
                products[layer] = products.get(layer, 0) + gram
        for layer in sorted(products, key=lambda name: (name != ALL, int(name) if name != ALL else 0)):
            rows += _rows(names, products[layer].tolist(), {"layer": layer, "preconditioner": kind})
    return rows


def _gram(vectors: Sequence[torch.Tensor], scale: torch.Tensor | None) -> torch.Tensor:
    """Inner products of all pairs, (G, G), summed in float64."""
    gram = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for first in range(0, len(vectors[0]), PIECE):
        piece_GN = torch.stack([vector[first : first + PIECE] for vector in vectors]).double()
        other_GN = piece_GN if scale is None else piece_GN / scale[first : first + PIECE]
        gram += piece_GN @ other_GN.T
    return gram


def _rows(names: Sequence[str], gram: list[list[float]], what: dict) -> list[dict]:
    rows = []
    for (s, left), (h, right) in product(enumerate(names), repeat=2):
        inner, norms = gram[s][h], (gram[s][s] * gram[h][h]) ** 0.5
        row = {**what, "left": left, "right": right, "inner": inner}
        row |= {"cosine": inner / norms if norms else None}
        rows.append(row | {"transfer": inner / gram[h][h] if gram[h][h] else None})
    return rows
