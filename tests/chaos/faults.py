"""The faults as data: what can be done to which process or file, and at which moment of a study."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


# moment: what is taken away from a finished study, the file that shows that the moment has come, and for how
# many seconds after that the fault may strike
REPORT = ["studies/*/*.*"]
LATER = {"eval": ["eval/*", *REPORT], "train": ["train/*", "eval/*", *REPORT]}
MOMENTS = {
    "data": (["data/*", *LATER["train"]], "data/*.part/pictures/*", 0.4),
    "loading": (LATER["train"], "train/*.part/log.txt", 8.0),
    "training": (LATER["train"], "train/*.part/metrics.jsonl", 0.8),
    "checkpoint": (LATER["train"], "train/*.part/checkpoints/*", 0.5),
    "evaluation": (LATER["eval"], "eval/*.part/answers-*.jsonl", 1.0),
    "notebook": (["studies/*"], "studies/*/*/0?_*.part.ipynb", 3.0),
    "html": (["studies/*"], "studies/*/*/0?_*[!t].ipynb", 0.5),
    "report": (REPORT, "studies/*/report.part.ipynb", 2.0),
    "finished": ([], "studies/*/report.json", 0.0),
}
PROCESSES = {  # who can be hit when
    **dict.fromkeys(("runner", "papermill", "kernel"), tuple(MOMENTS)[:-1]),
    **dict.fromkeys(("guard", "rank 0"), ("data", "loading", "training", "checkpoint", "evaluation")),
    **dict.fromkeys(("launcher", "rank 1"), ("loading", "training", "checkpoint", "evaluation")),
}
SIGNALS = ("INT", "TERM", "KILL", "STOP")
FILES = {  # what is damaged: at which moment, and where; at the first three the runner is killed before
    "newest checkpoint": ("checkpoint", "train/*.part/checkpoints/*/*"),
    "partial answers": ("evaluation", "eval/*.part/answers-*.jsonl"),
    "partial pictures": ("data", "data/*.part/pictures/*"),
    "pictures": ("loading", "data/*/pictures/*.parquet"),
    "facts.jsonl": ("loading", "data/*/facts.jsonl"),
    "examples.jsonl": ("loading", "data/*/examples.jsonl"),
    "data recipe.json": ("loading", "data/*/recipe.json"),
    "data made.json": ("loading", "data/*/made.json"),
    "adapter": ("evaluation", "train/*/adapter/adapter_model.safetensors"),
    "metrics.jsonl": ("notebook", "train/*/metrics.jsonl"),
    "train made.json": ("evaluation", "train/*/made.json"),
    "answers.jsonl": ("notebook", "eval/*/answers.jsonl"),
    "eval recipe.json": ("notebook", "eval/*/recipe.json"),
    "eval made.json": ("notebook", "eval/*/made.json"),
    "notebook's mark": ("finished", "studies/*/*/02_train.json"),
    "executed notebook": ("finished", "studies/*/*/03_evaluate.ipynb"),
    "page": ("finished", "studies/*/*/03_evaluate.html"),
}
DAMAGES: dict[str, Callable[[Path], object]] = {
    "delete": Path.unlink,
    "truncate": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flip": _flip,
}


@dataclass(frozen=True)
class Fault:
    """What is done (a signal, a kind of damage, or `fill` for a full disk), to what, and when."""

    action: str
    target: str
    moment: str
    launcher: str = "torchrun"


SIGNALLED = [
    Fault(action, target, moment, launcher)
    for target, moments in PROCESSES.items()
    for moment in moments
    for action in SIGNALS
    for launcher in (
        ("torchrun", "deepspeed") if target in ("launcher", "rank 0", "rank 1") else ("torchrun",)
    )
]
DAMAGED = [Fault(action, target, moment) for target, (moment, _) in FILES.items() for action in DAMAGES]
FILLED = [
    Fault("fill", "disk", moment) for moment in ("data", "training", "evaluation", "notebook", "report")
]


def faults(seed: int) -> Iterator[Fault]:
    """All faults in an order drawn from the seed, kinds evenly mixed, again and again."""
    rng = random.Random(seed)
    while True:
        kinds = [rng.sample(kind, len(kind)) for kind in (SIGNALLED, DAMAGED, FILLED)]
        placed = [((i + rng.random()) / len(kind), f) for kind in kinds for i, f in enumerate(kind)]
        yield from (fault for _, fault in sorted(placed, key=lambda pair: pair[0]))
