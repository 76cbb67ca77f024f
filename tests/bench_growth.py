"""The part `growth` of bench.py: what people, views, checkpoints and instances cost as their number grows.

Every measurement is a process of its own; seconds are of its processors, its children's included, and begin
when its input lies there. Of each quantity: a line for every size, `…_exponent` (the slope of log seconds
over log size from the last size but one; at most the goal), `…_memory` (the last peak over the last but one;
at most the goal where memory is meant to be flat) and the seconds of the largest study one might
ask for, extrapolated by the slope.
"""

import ctypes
import gc
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from math import log
from pathlib import Path

EXPONENT, FLAT = 1.1, 1.5  # goals
TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class Grows:
    """How something is measured. work: (size, folder) → what is timed, when the input is there. flat: whether
    its memory is meant to be: of rows, answers and tables that are read again each takes its place. to: the
    size that its seconds are extrapolated to; 0: none."""

    sizes: tuple[int, ...]
    work: Callable[[int, Path], Callable[[], object]]
    flat: bool = True
    to: int = 0


# --- people ------------------------------------------------------------------------------------------------


def _people(count: int, **more) -> dict:
    """Facts of so many people, a tenth of them background, with few views and scenes."""
    facts = _defaults("people")["facts"]
    small = {"train_views": 1, "test_views": 1, "train_scenes": 1, "text_scenes": 100}
    named = {"first_names": 80, "last_names": max(20, count // 40)}
    return {**facts, **small, **named, "background": count // 10, "novel": count - count // 10, **more}


def _defaults(world: str) -> dict:
    from mmrc_helpers.store import files
    from mmrc_helpers.study.parameters import read_known

    return dict(read_known(files.REPOSITORY / "params" / "worlds" / f"{world}.yaml").defaults)


def people(count: int, place: Path) -> Callable:
    """People and all their questions, written as a data stage writes them; portraits are `views`."""
    from mmrc_helpers.store import files
    from mmrc_helpers.tasks.example import example_line
    from mmrc_helpers.worlds import WORLDS

    def work():
        made = WORLDS["people"].make(_people(count), 0)
        files.write_text(place / "examples.jsonl", map(example_line, made.examples))
        files.write_jsonl(place / "facts.jsonl", made.facts)
        return len(made.pictures)

    return work


def people_taught(count: int, place: Path) -> Callable:
    """The data read again for training, 1000 rows and 200 pairs of it."""
    from mmrc_helpers.worlds import WORLDS
    from mmrc_helpers.worlds.folder import read_data

    people(count, place)()
    teach = {**_defaults("people")["teach"], "cells": ["forward/free", "forward/judge"]}

    def work():
        data = read_data(place, TRAIN)
        list(islice(WORLDS["people"].teach(data, teach, 0), 1000))
        return list(islice(WORLDS["people"].pairs(data, teach, 0, "context"), 200))

    return work


def people_asked(count: int, place: Path) -> Callable:
    """The data read again for an evaluation, and everything that is asked."""
    from mmrc_helpers.worlds import WORLDS
    from mmrc_helpers.worlds.folder import read_data

    people(count, place)()
    world, known = WORLDS["people"], _defaults("people")
    return lambda: world.ask(read_data(place, TEST), known["ask"], known["teach"])


def views(count: int, place: Path) -> Callable:
    """Portraits of 20 people in so many views each, drawn into shards by one process."""
    from mmrc_helpers.store.pictures import write_shards
    from mmrc_helpers.worlds import WORLDS

    made = WORLDS["people"].make(_people(20, background=4, train_views=count), 0)
    return lambda: write_shards(place, made.pictures, made.draw, 1, lambda *_: None)


def features(count: int, place: Path) -> Callable:
    """Features of the embedded model for 20 people in so many views, kept on disk and read once."""
    views(count, place)()
    import tiny
    import torch

    from mmrc_helpers.models import load
    from mmrc_helpers.models.features import open_pictures
    from mmrc_helpers.store.pictures import Shards

    torch.set_num_threads(1)
    model = {"dtype": "float32", "trust_remote_code": False, "quantize": "none"}
    weights, shards = tiny.base_model() / "model", Shards(place)
    loaded, processor = load.load_model(weights, model), load.load_processor(weights, model)
    load.vision_part(loaded).requires_grad_(False)
    some = list(shards.names)

    def work():
        found = open_pictures(shards, some, processor, loaded, torch.device("cpu"), folder=place / "features")
        for name in some:
            found.features(name)

    open_pictures(shards, some[:64], processor, loaded, torch.device("cpu"))  # what torch takes at first use
    return work


# --- checkpoints -------------------------------------------------------------------------------------------


def checkpoints(count: int, place: Path) -> Callable:
    """So many checkpoints sealed one after the other, two of them kept, and the newest whole one found."""
    from mmrc_helpers.training import checkpoints

    layout = {"processes": 1, "zero": "none"}
    states = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth")

    def work():
        for step in range(1, count + 1):
            folder = place / f"checkpoint-{step}"
            folder.mkdir()
            for name in states:
                (folder / name).write_bytes(os.urandom(1 << 16))
            checkpoints.seal(folder, layout)
            checkpoints.keep_newest(place, step, 2)
        assert len(list(place.iterdir())) == min(2, count)
        return checkpoints.newest_whole(place, layout, print)

    return work


def points(count: int, place: Path) -> Callable:
    """The traces of so many probed points, read and shown as a report shows them."""
    import synthetic_traces

    from mmrc_helpers.analysis import traces

    steps = tuple(range(count))
    synthetic_traces.write(place, synthetic_traces.traces(people=1, steps=steps))

    def work():
        found = traces.read_run([place])["logprobs"]
        return traces.squeezing(found, ("population", "direction", "format"))

    return work


# --- instances and answers ---------------------------------------------------------------------------------


def tables(count: int, place: Path) -> Callable:
    return _puzzles("tables", count, place)


def grids(count: int, place: Path) -> Callable:
    return _puzzles("grids", count, place)


def _puzzles(world: str, count: int, place: Path) -> Callable:
    """So many instances in words, written as a data stage writes them; their pictures come one at a time."""
    from mmrc_helpers.store import files
    from mmrc_helpers.tasks.example import example_line
    from mmrc_helpers.worlds import WORLDS

    numbers = {
        "train": {"simple": count, "medium": 0, "hard": 0},
        "test": {"simple": 0, "medium": 0, "hard": 0},
    }
    facts = {**_defaults(world)["facts"], "views": ["text"], **numbers}
    return lambda: files.write_text(
        place / "examples.jsonl", map(example_line, WORLDS[world].make(facts, 0).examples)
    )


def answers(count: int, place: Path) -> Callable:
    """So many answers of one run read again, scored in every cell, with intervals."""
    import synthetic

    from mmrc_helpers.analysis import scores
    from mmrc_helpers.store import files

    people = count // 18  # asked 9 times each, in two populations
    files.write_jsonl(place / "answers.jsonl", list(synthetic.rows(people=people)))

    def work():
        found = scores.join([scores.read_answers(place, "forward", 0)])
        return scores.score(found, ["population", "direction", "format"])

    return work


GROWING = {
    "people": Grows((100, 1000, 10_000), people, to=100_000),
    "people_taught": Grows((100, 1000, 10_000), people_taught, flat=False, to=100_000),
    "people_asked": Grows((100, 1000, 10_000), people_asked, flat=False, to=100_000),
    "views": Grows((5, 20, 80), views),
    "features": Grows((5, 20, 80), features),
    "checkpoints": Grows((10, 100, 1000), checkpoints),
    "points": Grows((10, 100, 1000), points, flat=False),
    "tables": Grows((1000, 10_000, 100_000), tables),
    "grids": Grows((1000, 3000, 10_000), grids, to=100_000),
    "answers": Grows((1000, 10_000, 100_000), answers, flat=False),
}


def growth(say: Callable, names: tuple[str, ...] = tuple(GROWING)) -> None:
    """Prints every quantity by `say` (name, value, unit, peer, goal)."""
    for name in names:
        how, found = GROWING[name], []
        for size in how.sizes:
            found.append(_apart(name, size))
            say(f"growth_{name}_{size}", found[-1]["seconds"], "s")
            say(f"growth_{name}_{size}_peak", found[-1]["peak"], "MB")
        of_time = slope(how.sizes[-2:], [one["seconds"] for one in found[-2:]])
        say(f"growth_{name}_exponent", of_time, "exponent", goal=EXPONENT)
        grown = found[-1]["peak"] / found[-2]["peak"]
        say(f"growth_{name}_memory", grown, "x", goal=FLAT if how.flat else None)
        if how.to:
            far = found[-1]["seconds"] * (how.to / how.sizes[-1]) ** of_time
            say(f"growth_{name}_{how.to}_extrapolated", far, "s")


def slope(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """The exponent b of seconds = a · size^b through two measurements."""
    return log(seconds[1] / seconds[0]) / log(sizes[1] / sizes[0])


def measured(name: str, size: int) -> dict[str, float]:
    """Processor seconds of a quantity's work when its input is there, and the peak in MB of its processes."""
    with tempfile.TemporaryDirectory() as place:
        work = GROWING[name].work(size, Path(place))
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from here
        began = _seconds()
        work()
        seconds = _seconds() - began
    own = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    return {
        "seconds": seconds,
        "peak": max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024,
    }


def _seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def _apart(name: str, size: int) -> dict[str, float]:
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here.parent), str(here)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, name, str(size)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}, {size}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))
