"""Two runners on one artifacts folder: nothing is made twice or torn, and a dead runner holds up nobody."""

import json
import signal
import subprocess
import sys
import time

import pytest
from test_run import BEHAVE, FINISH, MAKE_STAGES, START, command, executed, place, write_notebook, write_study

__all__ = ["place"]  # the fixture

SLOWLY = """
import time
for step in range(20):
    print(f"step {step}")
    time.sleep(0.05)
"""


def start(place, *more: str) -> subprocess.Popen:
    runner = [sys.executable, "-m", "mmrc_helpers.run", *command(place, *more)]
    return subprocess.Popen(runner, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_runners_at_once_execute_every_notebook_once(place):
    write_study(place, "a: {}, b: {}")
    write_notebook(place, "03_evaluate", [MAKE_STAGES, SLOWLY, FINISH])
    runners = [start(place), start(place)]
    said = [runner.communicate(timeout=START)[0] for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], said
    assert executed(place) == ["a-s0", "b-s0"]
    assert all("verdict: inconclusive" in text for text in said)
    assert any("waiting for " in text and "which process " in text for text in said)
    folder = place / "artifacts" / "studies" / "mini"
    for path in (folder / "report.ipynb", *folder.glob("*/03_evaluate.ipynb")):
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        assert all(cell["execution_count"] for cell in cells)
    assert not list(folder.rglob("*.part*"))


def test_the_notebooks_of_a_killed_runner_are_taken_over_at_once(place):
    write_study(place, "waits: {}")
    first = start(place)
    deadline = time.monotonic() + START
    while not (place / "artifacts" / "waiting").exists():
        if first.poll() is not None or time.monotonic() > deadline:
            first.kill()  # or it would wait on beside the tests that follow
            pytest.fail(f"no notebook was at work after {START} s: {first.communicate()[0]}")
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    write_notebook(place, "03_evaluate", [MAKE_STAGES, BEHAVE.replace("600", "0"), FINISH])
    second = start(place)
    said, _ = second.communicate(timeout=START)
    first.communicate()
    assert second.returncode == 0 and "waiting for " not in said, said
    assert executed(place) == ["waits-s0", "waits-s0"]
