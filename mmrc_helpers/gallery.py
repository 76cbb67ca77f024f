"""`python -m mmrc_helpers.gallery`: one page with every world, its axes, and an example of each of its cells
in all of its views with the solution, made by the worlds themselves. It needs no study and no model, which is
why it is no option of mmrc_helpers.run."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mmrc_helpers.errors import show
from mmrc_helpers.execution import terminal
from mmrc_helpers.figures import cards
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.study.runs import PARAMS_FOLDER
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import WORLDS, Data, Made, World

NAME = "gallery.html"
SEED = 0
VIEW = "view"  # the facet of a world that shows the same instance in several views
FEW = {"simple": 2, "medium": 2, "hard": 2}
SMALL = {  # facts that make a world small and show all of its difficulties; the others as they are
    "people": {"background": 16, "novel": 16, "train_scenes": 0, "text_scenes": 0, "image_size": 96},
    "scenes": {"background": 0, "novel": 9, "test_scenes": 9, "image_size": 128},
    "reasoning": {"train": 1, "test": 28},
    "sums": {"largest": 9},
    "tables": {"train": {**FEW, "simple": 1}, "test": FEW},
    "grids": {"train": {**FEW, "simple": 1}, "test": FEW},
    "analogies": {"train": {**FEW, "medium": 0}, "test": {**FEW, "medium": 0}},
}
ABOUT = {"people": {"topic": "identity"}}  # what a world's cells are about, where they hold more
FROM_FILES = ("vsr", "cv_bench", "vqa", "tsv")  # made from a user's files and of nothing else


INTRODUCTION = (
    "A world makes questions with their truth and grades the answers. Its axes are the columns that answers "
    "are counted under; a cell is a combination of those marked with a dot. Below is a test question of "
    "every cell, in every view that its world has, and what a right answer says."
)


def main() -> int:
    """The command line. Returns the exit status: 2 if the page cannot be written."""
    return terminal.status(_gallery)


def _gallery() -> int:
    with disk.writing_into(files.artifacts_root()):
        page = write(folders.study_folder(NAME))
    print(f"gallery: {show(page)}")
    return 0


def write(page: Path) -> Path:
    """Writes the gallery of all worlds. Returns its page."""
    files.make_folder(page.parent)
    files.write_text(page, cards.page("Gallery of worlds", INTRODUCTION, map(section, WORLDS)))
    return page


def section(name: str) -> cards.World:
    """A world of the gallery: what it is, its axes with the values that occur, and a row of views for every
    cell."""
    path, world = PARAMS_FOLDER / "worlds" / f"{name}.yaml", WORLDS[name]
    about = " ".join(_introduction(path.read_text("utf-8")))
    if name in FROM_FILES:
        note = "Made from a user's own files, so there is nothing to show without them."
        return cards.World(name, about, {facet: () for facet in world.facets}, world.cells, (), note=note)
    made, examples = _made(name, world)
    titles = {picture: row["title"] for row in made.facts for picture in row["pictures"]}
    return cards.World(
        name=name,
        about=about,
        axes={facet: _values(examples, facet) for facet in world.facets},
        cells=world.cells,
        rows=[views for views in cells(name, examples).values()],
        read=lambda picture: made.draw(made.pictures[picture]),
        titles=titles,
    )


def _introduction(text: str) -> Iterable[str]:
    """The comment at the head of a file of parameters."""
    for line in text.splitlines():
        if not line.startswith("#"):
            return
        yield line.removeprefix("#").strip()


def _made(name: str, world: World) -> tuple[Made, list[Example]]:
    """A small world, its test examples, and what is asked beside them."""
    known = plain(read_known(PARAMS_FOLDER / "worlds" / f"{name}.yaml").defaults)
    made = world.make({**known["facts"], **SMALL.get(name, {})}, SEED)
    data = Data(list(made.examples), made.facts)
    asked = world.ask(data, known["ask"] or {}, known["teach"] or {})
    return made, [example for example in data.examples if example.split == "test"] + list(asked)


def _values(examples: Sequence[Example], facet: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(e.facets[facet] for e in examples if e.facets.get(facet)))


def cells(name: str, examples: Sequence[Example]) -> Mapping[tuple, list[Example]]:
    """Of every cell of a world its first example, and the same instance in every other view."""
    axes = [axis for axis in WORLDS[name].cells if axis != VIEW]
    wanted = ABOUT.get(name, {}).items()
    found: dict[tuple, list[Example]] = {}
    for example in sorted(examples, key=lambda example: not wanted <= example.facets.items()):
        views = found.setdefault(tuple(example.facets.get(axis, "") for axis in axes), [])
        same = not views or (VIEW in example.facets and example.group == views[0].group)
        if same and example.facets.get(VIEW) not in [of.facets.get(VIEW) for of in views]:
            views.append(example)
    return found


if __name__ == "__main__":
    sys.exit(main())
