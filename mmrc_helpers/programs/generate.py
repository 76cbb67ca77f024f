"""Make a data stage: draw the pictures of a world and write its facts and questions. Runs as `python -m`, no
torch."""

import random
from concurrent.futures import ProcessPoolExecutor
from os import cpu_count
from pathlib import Path

from PIL import Image

from mmrc_helpers.execution import worker
from mmrc_helpers.store import files, folders
from mmrc_helpers.tasks.records import example_line
from mmrc_helpers.worlds.people import cast as world
from mmrc_helpers.worlds.people.portraits.portrait import render
from mmrc_helpers.worlds.people.questions import examples as questions


def main(folder: Path) -> None:
    """Fill the stage folder with images/, people.json and examples.jsonl; pictures that exist are kept."""
    recipe = folders.read_recipe(folder)
    data, seed = recipe["params"]["data"], recipe["seed"]
    cast = world.cast(data, seed)
    examples = questions(cast, data, seed)
    (folder / "images").mkdir(exist_ok=True)
    jobs = [(folder / "images", person, data, seed) for person in cast]
    workers = recipe["machine"]["threads"] or cpu_count() or 1
    drawn = 0
    with ProcessPoolExecutor(workers) as pool:  # which, unlike Pool, notices when a worker is killed
        for done, count in enumerate(pool.map(draw_views, jobs, chunksize=8), 1):
            drawn += count
            worker.progress(done, len(jobs), pictures=drawn)
    files.write_json(folder / "people.json", [world.record(person, data) for person in cast])
    lines = "".join(example_line(example) for example in examples)
    files.write_text(folder / "examples.jsonl", lines)


def draw_views(job: tuple) -> int:
    """Draw one person's missing views; returns how many. Written beside and renamed, so none is ever half
    there."""
    folder, person, data, seed = job
    origin = seed if person.population == "novel" else "any"
    count = 0
    for split in ("train", "test"):
        for name in world.image_names(person, split, data):
            path = folder / name
            if _is_whole(path):
                continue
            image = render(person.attributes, random.Random(f"{origin}/view/{name}"), data["image_size"])
            part = path.with_suffix(".part")
            image.save(part, format="PNG", compress_level=1)
            part.rename(path)
            count += 1
    return count


def _is_whole(path: Path) -> bool:
    """Whether the picture is there to its last byte: a machine that lost its power may leave less."""
    try:
        with Image.open(path) as picture:
            picture.verify()
    except (OSError, SyntaxError):  # absent or damaged; PIL says SyntaxError for a broken PNG
        return False
    return True


if __name__ == "__main__":
    worker.run_main(main)
