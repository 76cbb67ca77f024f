"""Tasks side by side: all are done, what they print says whose it is, and no process outlives the whole."""

import os
import signal
import time
from pathlib import Path

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution.lanes import in_lanes
from mmrc_helpers.execution.machine import cores


def meets(own: Path, other: Path) -> bool:
    """Whether the other task is at work at the same time."""
    own.touch()
    end = time.monotonic() + 20
    while not other.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return other.exists()


def test_two_lanes_work_at_the_same_time_and_name_their_lines(tmp_path, capfd):
    def first():
        print("one\rtwo")
        return cores(), os.getpid(), meets(tmp_path / "a", tmp_path / "b")

    def second():
        print("three", end="\n\n")
        return cores(), os.getpid(), meets(tmp_path / "b", tmp_path / "a")

    found = dict(in_lanes([("first", first), ("second", second), ("third", os.getpid)], 2))
    assert found[0][2] and found[1][2] and found[0][1] != found[1][1]
    assert found[2] in (found[0][1], found[1][1]) and os.getpid() not in (found[0][1], found[1][1])
    assert found[0][0] == found[1][0] == max(1, cores() // 2)
    assert set(capfd.readouterr().out.splitlines()) == {"first | one", "first | two", "second | three"}


@pytest.mark.parametrize("lanes, tasks", [(1, 3), (4, 1)])
def test_one_lane_or_one_task_needs_no_process(lanes, tasks):
    assert dict(in_lanes([("here", os.getpid)] * tasks, lanes)) == dict.fromkeys(range(tasks), os.getpid())


def test_a_lane_without_work_leaves_its_cores_to_the_others():
    alone = cores()

    def waits():
        end = time.monotonic() + 20
        while cores() < alone and time.monotonic() < end:
            time.sleep(0.01)
        return cores()

    assert dict(in_lanes([("waits", waits), ("ends", lambda: None)], 2))[0] == alone


def test_what_a_task_raises_is_raised_here_and_ends_the_others(tmp_path):
    def wrong():
        while not (tmp_path / "other").exists():
            time.sleep(0.01)
        raise UserError("mend this")

    def long():
        (tmp_path / "other").write_text(str(os.getpid()))
        time.sleep(60)

    with pytest.raises(UserError, match="mend this"):
        list(in_lanes([("wrong", wrong), ("long", long)], 2))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "other").read_text()), 0)


def test_a_killed_lane_loses_its_task_alone():
    def dies():
        os.kill(os.getpid(), signal.SIGKILL)

    assert dict(in_lanes([("dies", dies), ("lives", lambda: 1), ("lives too", lambda: 2)], 2)) == {1: 1, 2: 2}
