"""`make bench`: what this machine does, measured: how long each launcher takes to start, what a training step
gains over the stock way, and where the time of the smoke study goes. Compare such numbers only within one
run."""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from conftest import link_base

from mmrc_helpers import launch, models, scratch, store
from mmrc_helpers.batches import Encoder, Pictures
from mmrc_helpers.study import load_study
from mmrc_helpers.worlds import people as world
from mmrc_helpers.worlds.people_questions import examples as questions
from mmrc_helpers.worlds.portraits import render

NOTHING = (
    "from mmrc_helpers import launch\nif __name__ == '__main__':\n    launch.run_main(lambda folder: None)\n"
)


def launchers() -> None:
    """Seconds to start a module that does nothing and see it done, the best of three."""
    machine = {**load_study("base").runs[0].params["machine"], "accelerator": "cpu"}
    print("launcher   processes  seconds")
    for launcher, processes in (
        ("python", 1),
        ("torchrun", 1),
        ("deepspeed", 1),
        ("torchrun", 2),
        ("deepspeed", 2),
    ):
        seconds = min(_launch({**machine, "launcher": launcher, "processes": processes}) for _ in range(3))
        print(f"{launcher:10} {processes:9}  {seconds:7.2f}")


def _launch(machine: dict) -> float:
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "idle").mkdir()
        (Path(place) / "idle" / "work.py").write_text(NOTHING)
        os.environ["PYTHONPATH"] = place
        store.write_json(Path(place) / "recipe.json", {})
        began = time.monotonic()
        launch.run_module("idle.work", Path(place), machine)
        return time.monotonic() - began


def smoke() -> None:
    """The stages of the smoke study, and what the notebooks and the runner add to them."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "artifacts"
        link_base(root)
        ours = set(root.glob("*/*"))
        total = _run_smoke(root)
        print("\nstage of the smoke study   seconds  memory GB")
        seconds = 0.0
        for path in sorted(set(root.glob("*/*")) - ours):
            if store.is_complete(path):
                made = store.read_json(path / "made.json")
                seconds += made["seconds"]
                print(f"{path.parent.name}/{path.name:20} {made['seconds']:7.1f}  {made['memory_gb']:9.2f}")
        again = _run_smoke(root)
    print(f"\nin all {total:.1f} s, of which stages {seconds:.1f} s; the same command again {again:.1f} s")


def training() -> None:
    """Tokens per second of one training step of the embedded model's size: stock, and with each of our two
    levers.

    The peer is what a stock trainer does: pixels through the vision part in every step, PyTorch's fused
    attention.
    """
    from test_machine_side import DATA, PARAMS  # the tests' small world

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        cast, folder = world.cast(DATA, 0), Path(place)
        for person in cast:
            for name in world.image_names(person, "train", DATA):
                render(person.attributes, random.Random(name), 64).save(folder / name)
        processor = scratch.scratch_processor(PARAMS["model"]["scratch"], world.sentences(cast, DATA))
        model = scratch.scratch_model(PARAMS["model"]["scratch"], processor, 64, 0)
        models.vision_part(model).requires_grad_(False)
        lineups = [e for e in questions(cast, DATA, 0) if e.split == "train" and e.kind == "lineup"][:32]
        names = sorted({name for example in lineups for name in example.images})
        pixels, features = (Encoder(processor, Pictures(folder, names, processor), {}) for _ in range(2))
        features.pictures.freeze(model, torch.device("cpu"))
        print("\ntraining step, 32 line-ups     tokens/s  ratio to stock")
        stock = _steps(model, pixels, lineups, "sdpa")
        for name, encoder, attention in (
            ("stock: pixels, fused", None, ""),
            ("features once, fused", features, "sdpa"),
            ("pixels, plain attention", pixels, "eager"),
            ("features once, plain", features, "eager"),
        ):
            rate = _steps(model, encoder, lineups, attention) if encoder else stock
            print(f"{name:28} {rate:10.0f}  {rate / stock:8.2f}")


def _steps(model, encoder, examples, attention: str) -> float:
    """Tokens per second of forward and backward passes in bf16, the best of five."""
    model.set_attn_implementation(attention)
    rows = encoder.tokens([encoder.chat([example]) for example in examples])
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        batch = encoder.batch(rows)
        with torch.autocast("cpu", torch.bfloat16):
            model(**batch).loss.backward()
        model.zero_grad()
        best = min(best, time.perf_counter() - began)
    return sum(len(row.ids_T) for row in rows) / best


def _run_smoke(root: Path) -> float:
    environment = {**os.environ, "MMRC_ARTIFACTS": str(root)}
    began = time.monotonic()
    command = [sys.executable, "-m", "mmrc_helpers.run", "smoke"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    launchers()
    training()
    smoke()
