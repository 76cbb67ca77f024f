"""Stages in forks of one process that has their modules loaded: each as new as a process of its own, but
seconds sooner. For tests of what programs compute; test_launch, test_smoke and tests/chaos start them as
users do."""

import contextlib
import importlib
import multiprocessing
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import forkserver
from pathlib import Path

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import launch, worker
from mmrc_helpers.execution.machine import count_ranks, environment
from mmrc_helpers.store import files

MODULES = ("pytest", "preloaded", "mmrc_helpers.programs.train", "mmrc_helpers.programs.evaluate")
MODULES += ("mmrc_helpers.programs.trace", "mmrc_helpers.programs.probe", "mmrc_helpers.programs.merge")
MODULES += ("mmrc_helpers.training.sft", "mmrc_helpers.training.preference", "transformers.models.qwen3_vl")
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(MODULES))


def run_module(module: str, folder: Path, machine: Mapping, echo: Callable[..., None] = print) -> dict:
    """In place of `launch.run_module`: the same ranks in the same environment, without launcher and guard."""
    folder, ranks = Path(folder).absolute(), count_ranks(machine)
    launch._clear(folder)
    relay = launch._relay(folder / "log.txt", launch._write_header(folder / "log.txt", module), echo)
    for process in start(module, folder, machine):
        process.join()
    next(relay)
    relay.close()
    if (folder / "error.json").exists():
        raise UserError(files.read_json(folder / "error.json")["message"])
    if not launch._all_done(folder, ranks):
        raise launch.StageFailed("\n".join(launch._tail(folder / "log.txt", 0)))
    for path in folder.glob("heartbeat-*"):
        path.unlink()
    return files.read_json(folder / "done.json")


@contextlib.contextmanager
def stages() -> Iterator[None]:
    """Within it, whatever makes stages has them made here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "run_module", run_module)
        yield


def start(module: str, folder: Path, machine: Mapping) -> list[multiprocessing.Process]:
    """The ranks of a module at work in a folder that holds recipe.json, to be joined or killed."""
    variables, ranks = environment(folder, machine), count_ranks(machine)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)  # libraries look at some of them when they are loaded
        forkserver.ensure_running()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    several = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    processes = []
    for rank in range(ranks):
        own = {**several, "RANK": str(rank), "LOCAL_RANK": str(rank)} if ranks > 1 else {}
        processes.append(_context.Process(target=_be_rank, args=(module, folder, {**variables, **own})))
        processes[-1].start()
    return processes


def _be_rank(module: str, folder: Path, variables: Mapping) -> None:
    with (folder / "log.txt").open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(files.REPOSITORY)
    import torch

    torch.set_num_threads(int(variables["OMP_NUM_THREADS"]))
    sys.argv = [module, str(folder)]
    worker.run_main(importlib.import_module(module).main)
