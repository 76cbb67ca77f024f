"""Make a data folder: draw the pictures of a world and write its facts and questions. Runs as `python -m`, no
torch; where a diffusion model paints, under a launcher, in as many processes as there are."""

import shutil
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from mmrc_helpers.errors import UserError, listed
from mmrc_helpers.execution import worker
from mmrc_helpers.store import cards, disk, files, folders
from mmrc_helpers.store.pictures import write_shards
from mmrc_helpers.tasks.example import example_line
from mmrc_helpers.worlds import WORLDS, Made, Painted
from mmrc_helpers.worlds.sources.pictures import Picture

PAINTED = "painted"  # what a diffusion model has painted, until it lies in shards


def main(folder: Path) -> None:
    """Fill the stage folder with pictures/, examples.jsonl, facts.jsonl and a card; whole shards, and what
    was painted, are kept."""
    recipe = folders.read_recipe(folder)
    section, machine = recipe["params"]["world"], recipe["machine"]
    world = WORLDS[section["name"]]
    made, licence = world.make(section["facts"], recipe["seed"]), ""
    pictures = made.pictures
    if settings := world.painting(section["facts"]):
        painted, licence = _painted(made, settings, machine, folder / PAINTED)
        if worker.rank() != 0:
            return
        pictures = {**pictures, **painted}
    for note in made.notes:
        worker.warn(note)
    if made.draw is not None:
        write_shards(folder, pictures, made.draw, machine["threads"], worker.progress)
    check_unchanged(recipe["params"].get("files", {}))
    files.write_text(folder / "examples.jsonl", map(example_line, made.examples))
    files.write_jsonl(folder / "facts.jsonl", made.facts)
    cards.write_data_card(folder, recipe, licence)
    shutil.rmtree(folder / PAINTED, ignore_errors=True)  # last: without it a killed run would paint again


def _painted(made: Made, settings: Mapping, machine: Mapping, place: Path) -> tuple[dict[str, Picture], str]:
    """Where the pictures are that a diffusion model has painted, by name, and the licence of its weights."""
    from mmrc_helpers.models import painting  # torch, only where something is painted

    subjects = list(_subjects(made))
    tables = painting.paint([painting.Subject(*subject) for subject in subjects], settings, machine, place)
    found = {
        name: Picture(str(tables[group]), "image", 0, row)
        for group, names, _, _ in subjects
        for row, name in enumerate(names)
    }
    return found, painting.licence(settings)


def _subjects(made: Made) -> Iterator[tuple[str, tuple, tuple, str]]:
    """Group, pictures, prompts and origin of each group to be painted; its pictures stand together."""
    wanted = [(name, of) for name, of in made.pictures.items() if isinstance(of, Painted)]
    for (group, origin), views in groupby(wanted, lambda view: (view[1].of, view[1].origin)):
        names, painted = zip(*views, strict=True)
        yield group, names, tuple(of.prompt for of in painted), origin


def check_unchanged(sums: Mapping[str, str]) -> None:
    """Raises UserError if the user's files are no longer those that the folder's key was made from."""
    changed = [
        path for path, was in sums.items() if not Path(path).is_file() or disk.checksum(Path(path)) != was
    ]
    if changed:
        raise UserError(f"{listed(changed[:3])}: changed while data were made of it; start the study again")


if __name__ == "__main__":
    worker.run_main(main)
