"""Phases over toys of the families, made in this process: rows in, a trainer out."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from models.loaded import Toy
from safetensors.torch import load_file

from mmrc_helpers.models import load
from mmrc_helpers.store import files
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.tasks.rows import Chat, Pair, Row, Task, chats_of
from mmrc_helpers.training import METHODS
from mmrc_helpers.training.phase import Metrics, Phase, Rescue, arguments_of
from mmrc_helpers.worlds import Grade

PARAMS = files.REPOSITORY / "params"
TRAIN = {
    "steps": 2,
    "batch": 4,
    "learning_rate": 1e-2,
    "precision": "fp32",
    "lora_r": 4,
    "lora_alpha": 8,
    "warmup_steps": 0,
    "schedule": "constant",
    "max_length": 4096,
}
MACHINE = {"launcher": "python", "accelerator": "cpu", "log_steps": 1, "save_steps": 1000, "deepspeed": {}}
NAMES = ("Juniper Vale", "Otto Marsh", "Juniper Marsh", "Otto Vale", "Vale the keeper", "Marsh grey beard")
PICTURES = ("small.png", "wide.png", "tall.png", "other.png")
ASKED = "Who is shown here?"


def defaults(name: str) -> dict:
    """The parameters of a file in params/."""
    return copy.deepcopy(dict(read_known(PARAMS / f"{name}.yaml").defaults))


def asked(pictures: Sequence[str], question: str, answer: str) -> Chat:
    """A conversation of one question behind pictures."""
    shown = tuple(("image", name) for name in pictures)
    return Chat((("user", (*shown, ("text", question))), ("assistant", (("text", answer),))))


def chats(count: int, seeing: bool = True) -> list[Chat]:
    """Conversations of one or two questions, with answers of other lengths."""
    found = []
    for k in range(count):
        shown = PICTURES[k % 4 : k % 4 + k % 3] if seeing else ()
        chat = asked(shown, ASKED, f"This is {NAMES[k % 6]}{' the keeper of the lighthouse' * (k % 2)}.")
        again = asked((), "Which picture shows Otto Marsh?", "B").turns if k % 3 else ()
        found.append(Chat((*chat.turns, *again)))
    return found


def alone(count: int, seeing: bool = True) -> list[Chat]:
    """Conversations about one picture each: one answer, or two."""
    found = []
    for k in range(count):
        chat = asked(PICTURES[k % 4 : k % 4 + 1], ASKED, f"This is {NAMES[k % 4]}.")
        again = asked((), "Where?", f"By the {('lighthouse', 'keeper')[k % 2]}.").turns
        found.append(Chat((*chat.turns, *(again if k % 3 else ()))))
    return found


def answers(count: int, seeing: bool = True) -> list[Pair]:
    """Pairs of two answers to one question, of other lengths; every third is without a picture."""
    made = []
    for k in range(count):
        shown = () if k % 3 == 2 or not seeing else (PICTURES[k % 4],)
        told = [f"This is {NAMES[k % 6]}.", f"{NAMES[(k + 1) % 6]} the keeper of the lighthouse"]
        question = f"{ASKED}{' one two three'[: 4 * (k % 4)]}"
        made.append(Pair(*(asked(shown, question, answer) for answer in told[:: 1 - 2 * (k % 2)])))
    return made


def contexts(count: int, seeing: bool = True) -> list[Pair]:
    """Pairs of two contexts of one answer: other pictures, sizes and numbers of pictures on each side, and
    every third without any."""
    made = []
    for k in range(count):
        told = f"This is {NAMES[k % 6]}."
        if seeing and k % 3 < 2:
            shown = (PICTURES[k % 4],), (PICTURES[(k + 1) % 4], PICTURES[(k + 2) % 4])
            made.append(Pair(*(asked(pictures, ASKED, told) for pictures in shown)))
        else:
            made.append(Pair(asked((), ASKED, told), asked((), f"{ASKED} red beard", told)))
    return made


def swapped(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with their sides exchanged."""
    return [Pair(pair.rejected, pair.chosen) for pair in pairs]


def tasks(count: int, seeing: bool = True) -> list[Task]:
    """Questions with none, one and two pictures."""
    found = []
    for k in range(count):
        shown = PICTURES[k % 4 : k % 4 + k % 3] if seeing else ()
        example = Example(f"task-{k}", f"group-{k}", "train", (), "This is Otto Vale.")
        found.append(Task(asked(shown, ASKED, "").turns[:-1], example))
    return found


def graded(example: Example, text: str) -> Grade:
    """A grade that a random model can reach: an e is right; better are several, and few letters."""
    return Grade(text, "e" in text, {"several": float(text.count("e") > 1), "short": float(len(text) < 12)})


ROWS = {"chats": chats, "answers": answers, "contexts": contexts, "tasks": tasks}


def phase_of(
    toy: Toy,
    folder: Path,
    method: str,
    rows: Sequence[Row] = (),
    *,
    own: Mapping | None = None,
    machine: Mapping | None = None,
    model: torch.nn.Module | None = None,
    **train,
) -> Phase:
    """A phase over rows (as many as it takes, if none are given). own: the method's parameters. model: one
    to go on from; else the toy's with a fresh adapter, or with lora_r 0 all its weights."""
    base = defaults("base")
    machine = {**base["machine"], **MACHINE, **(machine or {})}
    settings = defaults(f"methods/{method}")
    for name, value in (own or {}).items():
        settings[name] = {**settings[name], **value} if isinstance(value, Mapping) else value
    train = {**base["train"], **TRAIN, **train, "method": {"name": method, "version": 1, **settings}}
    assert not list(METHODS[method].check(train, machine))
    made = ROWS[METHODS[method].rows] if METHODS[method].reads else alone
    rows = rows or made(train["steps"] * train["batch"], hasattr(toy.processor, "image_processor"))
    model = model or started(toy, train)
    told = [[chat.turns for chat in chats_of(row)] for row in rows]
    encoder = toy.frozen if train["freeze_vision"] else toy.pixels
    tokens = [tuple(encoder.tokens(of_row, not isinstance(rows[0], Task))) for of_row in told]
    callbacks = [Metrics(folder, tokens, train["batch"]), Rescue(folder)]
    settings = (folder, train, machine, 0, callbacks, arguments_of(folder, train, machine, 0))
    return Phase(*settings, model, toy.processor, encoder, list(rows), tokens, graded)


def started(toy: Toy, train: Mapping, model: torch.nn.Module | None = None):
    """The model (a copy of the toy's, if none is given) as a first phase starts from it."""
    model = model or copy.deepcopy(toy.model)
    if train["freeze_vision"] and (vision := load.vision_part(model)) is not None:
        vision.requires_grad_(False)
    torch.manual_seed(1)
    model = load.add_lora(model, {**defaults("base")["train"], **train}) if train["lora_r"] else model
    if train["learns"] != "everything":
        load.train_only(model, train["learns"])
    load.choose_attention(model, toy.device)
    return model


def trainer_of(phase: Phase):
    return METHODS[phase.method["name"]].trainer(phase)


def trained(phase: Phase, resume: str | None = None):
    """The phase's trainer after training, and its metrics."""
    trainer = trainer_of(phase)
    trainer.train(resume_from_checkpoint=resume)
    return trainer, files.read_jsonl(phase.folder / "metrics.jsonl")


def nudge(trainer) -> None:
    """Moves a fresh adapter away from the reference, always in the same way."""
    generator = torch.Generator().manual_seed(3)
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05, generator=generator)


def learned(trainer) -> dict[str, torch.Tensor]:
    """What the trainer's model has learned, by name."""
    return {
        name: weight.detach().clone()
        for name, weight in trainer.model.named_parameters()
        if weight.requires_grad
    }


def saved(trainer, folder: Path) -> dict[str, torch.Tensor]:
    """The adapter as it is saved; there is nothing else of the kind."""
    trainer.save_model(str(folder))
    (path,) = folder.rglob("adapter_model.safetensors")
    return load_file(path)


def furthest(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """The largest difference of any weight."""
    assert one.keys() == other.keys() and one
    return max(float((one[name] - other[name]).abs().max()) for name in one)
