"""`make bench`: what this machine does, measured: how long each launcher takes to start and where the time of
the smoke study goes. Compare such numbers only within one run."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conftest import link_base

from mmrc_helpers import launch, store
from mmrc_helpers.study import load_study

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


def _run_smoke(root: Path) -> float:
    environment = {**os.environ, "MMRC_ARTIFACTS": str(root)}
    began = time.monotonic()
    command = [sys.executable, "-m", "mmrc_helpers.run", "smoke"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


if __name__ == "__main__":
    launchers()
    smoke()
