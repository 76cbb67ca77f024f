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

import numpy as np
import torch
from conftest import link_base
from mmrc_helpers.store.keys import plain

from mmrc_helpers.dynamics.points import candidates, schedule
from mmrc_helpers.dynamics.prober import Prober
from mmrc_helpers.execution import launch
from mmrc_helpers.models import load, scratch
from mmrc_helpers.models.encode import Encoder, Pictures, Tokens
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import find_run, load_study
from mmrc_helpers.tasks.records import read_examples, training_rows
from mmrc_helpers.training.optimizers import make_optimizer
from mmrc_helpers.worlds.people import cast as world
from mmrc_helpers.worlds.people.portraits.portrait import render
from mmrc_helpers.worlds.people.questions import examples as questions

CPU = torch.device("cpu")
NOTHING = (
    "from mmrc_helpers import launch\nif __name__ == '__main__':\n    worker.run_main(lambda folder: None)\n"
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
        files.write_json(Path(place) / "recipe.json", {})
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
            if folders.is_complete(path):
                made = files.read_json(path / "made.json")
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
        load.vision_part(model).requires_grad_(False)
        lineups = [e for e in questions(cast, DATA, 0) if e.split == "train" and e.kind == "lineup"][:32]
        names = sorted({name for example in lineups for name in example.images})
        pixels, features = (Encoder(processor, Pictures(folder, names, processor), {}) for _ in range(2))
        features.pictures.freeze(model, CPU)
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


def probing() -> None:
    """Answers probed per second against the loop that prior work runs, and what probes add to training.

    The loop asks one question with one answer at a time: picture files are read and encoded anew, every
    logit of the sequence is made. The model is the embedded one, trained as in reversal.
    """
    run = find_run(load_study("reversal"), "forward", 0)
    train, dynamics = plain(run.params["phases"][0]), run.params["dynamics"]
    with tempfile.TemporaryDirectory() as place:
        os.environ["MMRC_ARTIFACTS"] = place
        link_base(Path(place))
        small = find_run(load_study("smoke"), "forward", 0)
        data = stages.make(stages.data_stage(small), small.params["machine"], lambda *_, **__: None)
        weights = stages.base_stage(small).folder / "model"
        model = load.load_model(weights, run.params["model"])
        if train["lora_r"]:
            model = load.add_lora(model, train)
        load.vision_part(model).requires_grad_(not train["freeze_vision"])
        load.choose_attention(model, CPU)
        processor = load.load_processor(weights, run.params["model"])
        prober = Prober(model, processor, data, train, dynamics, CPU, 32)
        answers, batched = _best(lambda: _probe(prober), 2)
        alone, looped = _loop(prober, processor, data / "images")
        fast, slow = answers / batched, alone / looped
        print(f"\nprobes: {fast:.0f} answers/s in batches, {slow:.1f} in a loop: x {fast / slow:.1f}")
        _, aligned = _best(prober.gradients, 1)
        steps, step = _training_step(model, processor, data, train)
    cost = len(schedule(steps, dynamics)) * batched + dynamics["gradients"] * aligned
    print(
        f"probe point {batched:.2f} s, with gradients {batched + aligned:.2f} s, training step {step:.2f} s"
    )
    print(f"a training of {steps} steps: probes are {cost / (cost + steps * step):.0%} of its time")


def _best(work, times: int) -> tuple:
    """What `work` returns, and its seconds, the best of so many times."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        made = work()
        seconds.append(time.perf_counter() - began)
    return made, min(seconds)


def _probe(prober) -> int:
    """One probe point; how many answers it scored."""
    rows = [prober.answers(prober.chosen[first : first + 16]) for first in range(0, len(prober.chosen), 16)]
    options = prober.chosen[0].choices
    return sum(len(r["logprobs"]) + len(options) ** 2 * len(r["storage"]) for r in rows)


@torch.no_grad()
def _loop(prober, processor, images: Path, every: int = 9) -> tuple[int, float]:
    """Every so-manieth probed answer by itself; their number and seconds."""
    asked = []
    for e in prober.chosen:
        for text in candidates(e, sorted(prober.called.values()), prober.words).values():
            asked.append((e, text))
    began = time.perf_counter()
    for e, text in asked[::every]:
        encoder = Encoder(processor, Pictures(images, sorted(set(e.images)), processor), {})
        (prompt,) = encoder.tokens([prober.encoder.question(e)], complete=False)
        answer = processor.tokenizer.encode(text, add_special_tokens=False)
        ids = np.append(prompt.ids_T, answer)
        batch = encoder.batch([Tokens(ids, np.zeros(len(ids), bool), prompt.pictures)])
        logp_TV = prober.model(**batch).logits[0].float().log_softmax(-1)
        logp_TV[range(len(prompt.ids_T) - 1, len(ids) - 1), answer].sum().item()
    return len(asked[::every]), time.perf_counter() - began


def _training_step(model, processor, data: Path, train: dict) -> tuple[int, float]:
    """Steps that a training of the study takes, and the seconds of one of them."""
    examples = [e for e in read_examples(data / "examples.jsonl") if e.split == "train"]
    cost = lambda answer: len(processor.tokenizer.encode(answer, add_special_tokens=False)) + 1  # noqa: E731
    rows = training_rows(examples, train, 0, cost)
    shown = rows[: 3 * train["batch"]]
    names = sorted({name for row in shown for e in row.examples for name in e.images})
    encoder = Encoder(processor, Pictures(data / "images", names, processor), {})
    encoder.pictures.freeze(load.base_model(model), CPU)
    tokens, optimizer = (
        encoder.tokens([encoder.chat(row.examples) for row in shown]),
        make_optimizer(model, train),
    )

    def step():
        batch = encoder.batch([tokens.pop() for _ in range(train["batch"])])
        with torch.autocast("cpu", torch.bfloat16):
            model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return len(rows) // train["batch"], _best(step, 3)[1]


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
    probing()
    smoke()
