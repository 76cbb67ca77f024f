"""How it learns: each method eats rows of one shape and is trained by a stock TRL trainer with our collator.

A method is one file here, one entry of `METHODS` and one file params/methods/NAME.yaml. Its trainer is
imported when it is made, so that study files can be checked without torch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module

from mmrc_helpers.training import checks


@dataclass(frozen=True)
class Method:
    """How a phase is trained."""

    version: int  # raised when the meaning of what it makes changes: re-keys this method and no other
    rows: str  # what it eats: "chats" | "answers" or "contexts" (pairs that differ there) | "tasks"
    trainer: Callable  # (phase: training.phase.Phase) → a transformers Trainer
    # (train section of a phase, machine section) → problems of parameters that must fit each other
    check: Callable[[Mapping, Mapping], Iterable[str]] = lambda train, machine: ()
    reads: bool = True  # whether the language part runs; if not, a row is one picture


def rows_of_a_step(train: Mapping) -> int:
    """Rows of a training phase's step that are divided over passes and processes: those of the global batch,
    or the answers to them where the method writes several."""
    return train["batch"] * train["method"].get("completions", 1)


def not_installed(train: Mapping) -> list[str]:
    """What a training phase needs that is not installed here."""
    return checks.not_installed(train["method"])


def _of(module: str) -> Callable:
    """The function `trainer` of a module of this room, imported when it is called."""
    return lambda phase: import_module(f"mmrc_helpers.training.{module}").trainer(phase)


METHODS: dict[str, Method] = {
    "align": Method(version=1, rows="chats", trainer=_of("align"), check=checks.align, reads=False),
    "sft": Method(version=1, rows="chats", trainer=_of("sft")),
    "dpo": Method(version=1, rows="answers", trainer=_of("preference"), check=checks.preference),
    "adpo": Method(version=1, rows="contexts", trainer=_of("preference"), check=checks.preference),
    "grpo": Method(version=1, rows="tasks", trainer=_of("grpo"), check=checks.grpo),
}
