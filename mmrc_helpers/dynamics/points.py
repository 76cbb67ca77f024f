"""What is probed while a phase trains: at which steps, and with which questions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import World


def schedule(steps: int, dynamics: Mapping) -> list[int]:
    """The optimizer steps after which to probe, ascending: 0 (the untouched start), `steps`, and points
    between them that are `dynamics.spacing` apart; at most `dynamics.probes`, fewer where points coincide."""
    count, spacing = dynamics["probes"], dynamics["spacing"]
    if spacing == "both":
        halves = {**dynamics, "probes": count // 2 + 1}
        return sorted(
            {*schedule(steps, {**halves, "spacing": "log"}), *schedule(steps, {**halves, "spacing": "even"})}
        )
    shares = [k / max(1, count - 1) for k in range(count)] if count > 1 else [1.0]
    if spacing == "even":
        return sorted({round(steps * share) for share in shares})
    return sorted({round((steps + 1) ** share) - 1 for share in shares})


def spread(points: Sequence[int], count: int) -> list[int]:
    """`count` of the points, from the first to the last in equal strides; all if there are fewer."""
    if count == 0:
        return []
    strides = [round(k * (len(points) - 1) / max(1, count - 1)) for k in range(count)]
    return sorted({points[k] for k in strides})


def chosen(world: World, questions: Sequence[Example], count: int) -> list[Example]:
    """The probed questions of those that are asked after training: as the world chooses, or in every cell
    (a combination of its `cells`) the first question of each of the first `count` groups."""
    if world.probed:
        return list(world.probed(questions, count))
    cells: dict[str, dict[str, Example]] = defaultdict(dict)
    for example in questions:
        if example.facets.get("drop", "none") == "none":
            cells[example.cell(*world.cells)].setdefault(example.group, example)
    return [example for groups in cells.values() for example in list(groups.values())[:count]]


def cell_name(world: World, example: Example) -> str:
    """The cell of an example as a group of gradients is called: "novel forward/free"."""
    first, *others = world.cells
    return f"{example.facets[first]} {example.cell(*others)}"
