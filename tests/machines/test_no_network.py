"""Machines without any network interface, not even loopback: one process needs none, several say so at
once."""

import subprocess
import sys
import textwrap
import time

import pytest

from mmrc_helpers.execution import machine
from mmrc_helpers.store import files

WORK = '''
"""Says who it is."""
from mmrc_helpers.execution import worker

def main(folder):
    worker.wait_for_all()
    (folder / f"{worker.rank()}-of-{worker.world_size()}").touch()

if __name__ == "__main__":
    worker.run_main(main)
'''
MACHINE = {
    "launcher": "deepspeed",
    "tracker": "none",
    "accelerator": "cpu",
    "processes": 0,
    "hostfile": "",
    "zero": "none",
    "fsdp": False,
    "offload": False,
    "threads": 1,
    "heartbeat_seconds": 60,
}
START = """
import sys
from pathlib import Path
from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import launch, machine
section = machine.for_stage({kind!r}, {section!r})
print(section["launcher"], section["processes"])
try:
    launch.run_module("tiny.work", Path({folder!r}), section)
except UserError as error:
    sys.exit(f"error: {{error}}")
"""
NO_INTERFACE = ["unshare", "--net"]


@pytest.fixture
def start(tmp_path):
    """Runs a stage without a network interface; what it said, in how many seconds."""
    if subprocess.run([*NO_INTERFACE, "true"], capture_output=True).returncode:
        pytest.skip("no network namespaces here")
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "work.py").write_text(textwrap.dedent(WORK))
    folder = tmp_path / "stage.part"
    folder.mkdir()
    (folder / "recipe.json").write_text("{}")

    def start(kind: str, given: dict) -> tuple[subprocess.CompletedProcess, float]:
        own = {"environment": {"PYTHONPATH": f"{tmp_path}:{files.REPOSITORY}"}}
        code = START.format(kind=kind, section={**MACHINE, **own, **given}, folder=str(folder))
        began = time.monotonic()
        run = subprocess.run([*NO_INTERFACE, sys.executable, "-c", code], capture_output=True, text=True)
        return run, time.monotonic() - began

    return start


ALONE = {
    "training by the default launcher": ("train", {}),
    "training by torchrun": ("train", {"launcher": "torchrun"}),
    "training as python": ("train", {"launcher": "python"}),
    "evaluation, which takes as many as fit": ("eval", {}),
    "data": ("data", {"processes": 2}),
}
SEVERAL = {
    "torchrun": ("train", {"launcher": "torchrun", "processes": 2}),
    "deepspeed": ("train", {"processes": 2}),
    "ZeRO in one process": ("train", {"zero": "2"}),
    "evaluation, asked for": ("eval", {"processes": 2}),
}


@pytest.mark.parametrize(("kind", "given"), ALONE.values(), ids=ALONE)
def test_one_process_needs_no_interface(start, kind, given, tmp_path):
    run, _ = start(kind, given)
    assert run.returncode == 0 and run.stdout.startswith("python 1\n"), run.stderr
    assert (tmp_path / "stage.part" / "0-of-1").exists()


@pytest.mark.parametrize(("kind", "given"), SEVERAL.values(), ids=SEVERAL)
def test_several_say_at_once_that_they_need_one(start, kind, given):
    run, seconds = start(kind, given)
    assert run.returncode == 1 and run.stderr.startswith("error: machine.launcher: "), run.stderr
    assert "loopback interface" in run.stderr and "or write processes: 1 and zero: none" in run.stderr
    assert run.stderr.count("\n") == 1 and seconds < 30


def test_this_machine_has_loopback_and_its_processes_meet_there(tmp_path):
    assert machine.has_loopback()
    section = {**MACHINE, "processes": 2, "environment": {}}
    assert machine.environment(tmp_path, section)["GLOO_SOCKET_IFNAME"] in ("lo", "lo0")
    assert "GLOO_SOCKET_IFNAME" not in machine.environment(tmp_path, {**section, "hostfile": "hosts"})
