"""File systems without locks, whose refusal is the kernel's own here: processes of one machine still exclude
each other, their claims end with them, and nobody who only looks needs the right to write."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmrc_helpers.store import files, folders, locks

NO_FLOCK = Path(__file__).with_name("no_flock.py")
HOLD = """
import sys
from pathlib import Path
from mmrc_helpers.store import folders
with folders.claim(folders.folder_of("data", "people", "c4f0de05")):
    print("held", flush=True)
    sys.stdin.read()
"""
LOOK = """
from mmrc_helpers.store import folders
folder = folders.folder_of("data", "people", "c4f0de05")
print(folders.is_claimed(folder))
try:
    with folders.claim(folder, wait=False):
        print("taken")
except BlockingIOError:
    print("busy")
"""


@pytest.fixture(params=["with locks", "without locks"])
def start(request, tmp_path, monkeypatch):
    """Starts Python with this code, on a file system with or without locks."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("PYTHONPATH", str(files.REPOSITORY))
    without = [sys.executable, str(NO_FLOCK)] if request.param == "without locks" else []
    if without and subprocess.run([*without, "true"], capture_output=True).returncode:
        pytest.skip("filters of system calls are refused here")

    def start(code: str) -> subprocess.Popen:
        command = [*without, sys.executable, "-c", code]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return start


def said(process: subprocess.Popen) -> list[str]:
    """What it says to its end, without the warning."""
    return [line for line in process.communicate(timeout=20)[0].splitlines() if "warning" not in line]


def test_a_claim_excludes_others_and_ends_with_its_owner(start, request):
    holder = start(HOLD)
    first = holder.stdout.readline()
    if "without" in request.node.callspec.id:
        assert "has a file system without locks: run studies there on one machine at a time" in first
        first = holder.stdout.readline()
    assert first == "held\n"
    assert said(start(LOOK)) == ["True", "busy"]
    holder.kill()
    holder.communicate()
    assert said(start(LOOK)) == ["False", "taken"]


def test_who_waits_hears_who_is_at_work_and_goes_on(start):
    holder = start(HOLD)
    assert "held" in next(line for line in holder.stdout if "warning" not in line)
    second = start(HOLD)
    said = next(line for line in second.stdout if "warning" not in line)
    assert f"which process {holder.pid} on " in said
    holder.communicate(timeout=10)
    began = time.monotonic()
    assert second.stdout.readline() == "held\n" and time.monotonic() - began < 5
    second.communicate(timeout=10)


def test_looking_at_a_claim_needs_no_right_to_write(common, as_another, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(common / "artifacts"))
    folder = folders.folder_of("data", "people", "c4f0de05")
    called = "folders.is_claimed(folders.folder_of('data', 'people', 'c4f0de05'))"
    look = f"from mmrc_helpers.store import folders; print({called})"
    with folders.claim(folder):
        seen = as_another("-c", look, MMRC_ARTIFACTS=str(common / "artifacts"))
        assert seen.stdout == "True\n", seen.stderr
    assert as_another("-c", look, MMRC_ARTIFACTS=str(common / "artifacts")).stdout == "False\n"
    assert not locks.is_locked(common / "never")
