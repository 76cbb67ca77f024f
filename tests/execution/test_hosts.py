"""Hosts of a hostfile: what DeepSpeed would refuse once the data are made is said before, a sentence each."""

import os
import re
import sys

import pytest

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import hosts, machine
from mmrc_helpers.store import files
from mmrc_helpers.study import preflight
from mmrc_helpers.study.runs import load_study

SECTION = {"launcher": "deepspeed", "accelerator": "cpu"}
SHAPE = "its lines are `HOST slots=GPUS`"
SSH = 'case "$*" in *near*) exit 0;; *bare*) exit 1;; *) exit 255;; esac'


def written(folder, text: str | bytes) -> dict:
    """A machine section whose hostfile holds this."""
    path = folder / "hosts"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {**SECTION, "hostfile": str(path)}


@pytest.fixture
def reached(tmp_path, monkeypatch):
    """A machine whose ssh reaches hosts called near…, and bare ones without our files, and which has pdsh."""
    (tmp_path / "bin").mkdir()
    for name, script in (("ssh", SSH), ("pdsh", "exit 0")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin")
    return tmp_path


def test_every_host_and_its_processes_are_counted(reached):
    section = written(reached, "# two\n\nnear1 slots=4  # the old one\r\nnear2\tslots=2\n")
    assert hosts.read(section) == {"near1": 4, "near2": 2} and machine.count_ranks(section) == 6
    assert list(hosts.problems(section, None)) == []


def test_the_processes_of_a_host_share_its_cores(reached, monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 8)
    section = written(reached, "near1 slots=4\nnear2 slots=2\n")
    asked = {**load_study("smoke").runs[0].params["machine"], **section}
    found = machine.for_stage("train", asked)
    assert (found["launcher"], found["processes"], found["threads"]) == ("deepspeed", 1, 2)


# what the hostfile holds → what is said
FILES = {
    "empty": ("", f"names no host; {SHAPE}"),
    "only comments": ("# near1 slots=4\n", f"names no host; {SHAPE}"),
    "no slots": ("near1\n", f"line 1: 'near1' is not understood; {SHAPE}"),
    "slots after a colon": ("near1: 8\n", "line 1: 'near1: 8' is not understood"),
    "slots of MPI's kind": ("near1:8\n", "line 1: 'near1:8' is not understood"),
    "slots in words": ("near1 slots=four\n", "line 1: 'near1 slots=four' is not understood"),
    "a space too many": ("near1 slots = 4\n", "line 1: 'near1 slots = 4' is not understood"),
    "a negative number": ("near1 slots=-1\n", "line 1: 'near1 slots=-1' is not understood"),
    "two hosts in a line": ("near1 slots=4 near2 slots=4\n", "line 1: .* is not understood"),
    "no GPU": ("near1 slots=4\nnear2 slots=0\n", "line 2: near2 has slots=0; write how many of its GPUs"),
    "a host twice": ("near1 slots=4\nnear1 slots=4\n", "line 2: near1 is there twice; write it once"),
    "a host twice in other letters": (
        "near slots=4\nNEAR slots=4\n",
        "line 2: NEAR is there twice; write it",
    ),
    "an option of ssh": (
        "-oProxyCommand=touch slots=1\n",
        "line 1: '-oProxyCommand=touch' would be an option",
    ),
    "not text": (b"\xff\xfe\x00", f"hosts is no text; {SHAPE}"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_wrong_hostfile_is_said_with_its_line(reached, kind):
    text, says = FILES[kind]
    section = written(reached, text)
    with pytest.raises(UserError, match=f"^machine.hostfile: .*{says}"):
        machine.count_ranks(section)
    (said,) = hosts.problems(section, None)
    assert re.search(says, said)


def test_a_folder_is_no_hostfile(tmp_path):
    with pytest.raises(UserError, match=f"machine.hostfile: .* is a folder; {SHAPE}"):
        machine.count_ranks({**SECTION, "hostfile": str(tmp_path)})


# the hostfile, the launcher, GPUs here → what is said
HOSTS = {
    "another launcher": (
        "near1 slots=2\n",
        "torchrun",
        None,
        "machine.launcher torchrun starts processes on this host alone; write launcher: deepspeed",
    ),
    "more slots than GPUs": (
        "localhost slots=8\nnear2 slots=8\n",
        "deepspeed",
        4,
        "localhost has slots=8, but there are 4 visible GPUs here",
    ),
    "a host that does not answer": (
        "near1 slots=2\nfar slots=2\n",
        "deepspeed",
        None,
        "no answer by ssh without a password from far; try `ssh HOST hostname`",
    ),
    "a host without the environment": (
        "near1 slots=2\nbare slots=2\n",
        "deepspeed",
        None,
        f"bare has not all of {sys.executable}, {files.REPOSITORY}, ",
    ),
    "this host under two names": (
        "localhost slots=2\n127.0.0.1 slots=2\n",
        "deepspeed",
        None,
        "localhost, 127.0.0.1 are all this host; write one of them, with all its GPUs",
    ),
}


@pytest.mark.parametrize("kind", HOSTS)
def test_what_stands_against_hosts_is_said(reached, kind):
    text, launcher, gpus, says = HOSTS[kind]
    said = list(hosts.problems({**written(reached, text), "launcher": launcher}, gpus))
    assert says in said[0]


@pytest.mark.parametrize("missing", ["ssh", "pdsh"])
def test_what_reaches_other_hosts_has_to_be_there(reached, monkeypatch, missing):
    (reached / "bin" / missing).unlink()
    (reached / "bin" / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(reached / "bin"))
    (said,) = hosts.problems(written(reached, "near1 slots=2\nnear2 slots=2\n"), None)
    assert f"DeepSpeed reaches hosts by {missing}, which is not here; install it" in said


def test_hosts_are_looked_at_before_anything_is_made(reached, monkeypatch):
    monkeypatch.setenv("MMRC_ARTIFACTS", str(reached / "artifacts"))
    study = reached / "mine.yaml"

    def said(text: str) -> str:
        place = written(reached, text)["hostfile"]
        machine = f"{{launcher: deepspeed, accelerator: cpu, micro_batch: 4, hostfile: {place}}}"
        study.write_text(f"extends: smoke\nmachine: {machine}\ntrain: {{batch: 16}}\n")
        with pytest.raises(UserError) as error:
            preflight.check(load_study(study).runs)
        return str(error.value)

    assert "line 1: 'near1' is not understood" in said("near1\n")
    says = "train.batch: 16 rows do not divide into the 3 processes of machine.hostfile; change one of them"
    assert said("near1 slots=3\n") == says
    assert not (reached / "artifacts").exists()
