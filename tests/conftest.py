"""Fixtures that several test files share: things made once for the whole run, or once for both workers."""

import gc
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

gc.disable()  # until the tests are collected: nothing is garbage while modules load
sys.modules.setdefault("rfc3987_syntax", None)  # see mmrc_helpers.execution.kernels

import finished_study  # noqa: E402
import tiny  # noqa: E402

from mmrc_helpers.execution.notebooks import execute_all  # noqa: E402
from mmrc_helpers.store import locks  # noqa: E402
from mmrc_helpers.study import jobs, stages  # noqa: E402
from mmrc_helpers.study.runs import NOTEBOOKS, find_run, load_study  # noqa: E402

# A shell's background job ignores Ctrl-C, and so would every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


# Files that take longest: begun first, so that no worker is left alone with one at the end.
LONG = (
    "chaos/test_chaos.py",
    "training/test_ranks.py",
    "test_run.py",
    "execution/test_notebooks.py",
    "analysis/test_verdicts.py",
    "training/test_preference.py",
    "dynamics/test_dynamics.py",
    "dynamics/test_probe_command.py",
    "execution/test_launch.py",
    "test_verbs.py",
    "test_merge_command.py",
    "worlds/test_analogies.py",
    "test_jupyterlab.py",
    "test_browser.py",
    "test_answers_in_browser.py",
    "training/test_grpo.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of LONG files first; all others keep their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 20)  # simulated answers are hundreds of thousands of small things that stay


@pytest.fixture(scope="module", autouse=True)
def little_to_collect():
    """What a file leaves behind stays, as a rule, so that no collection need look at it again: trainers ask
    for whole ones, which took seconds each behind the simulated studies."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def artifacts_with_base(tmp_path_factory) -> Path:
    """An artifacts folder for the whole test run, into which the committed base model is linked."""
    root = tmp_path_factory.mktemp("study") / "artifacts"
    tiny.link_base(root)
    return root


@pytest.fixture(scope="session")
def tiny_data(artifacts_with_base, tmp_path_factory) -> Path:
    """The finished data folder of `tiny.PEOPLE`, in the folder of `artifacts_with_base`."""
    path = tmp_path_factory.mktemp("params") / "tiny.yaml"
    path.write_text(tiny.PEOPLE + "machine: {launcher: python}\n")
    (chosen,) = load_study(path).runs
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMRC_ARTIFACTS", str(artifacts_with_base))
        return stages.make(stages.data_stage(chosen), chosen.params["machine"], tiny.quiet)


@dataclass(frozen=True)
class Done:
    """What a finished smoke study left: its artifacts and what it said."""

    artifacts: Path
    said: str

    def stages(self, kind: str) -> set[str]:
        return {path.name for path in (self.artifacts / kind).iterdir() if not path.is_symlink()}


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id) -> Path:
    """A folder of all workers of a test run."""
    root = tmp_path_factory.getbasetemp()
    return root if worker_id == "master" else root.parent


@pytest.fixture(scope="session")
def smoke_study(shared) -> Done:
    """The smoke study, run once even if several workers ask for it."""
    place = shared / "smoke"
    place.mkdir(exist_ok=True)
    artifacts, said = place / "artifacts", place / "said.txt"
    with locks.locked(place / "lock", seconds=math.inf):
        if not said.exists():
            tiny.link_base(artifacts)
            environment = {**os.environ, "MMRC_ARTIFACTS": str(artifacts)}
            command = [sys.executable, "-m", "mmrc_helpers.run", "smoke"]
            run = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert run.returncode == 0, run.stdout + run.stderr
            said.write_text(run.stdout)
    return Done(artifacts, said.read_text())


@pytest.fixture
def finished_smoke(smoke_study, monkeypatch) -> Done:
    """The finished smoke study, whose artifacts are the test's own."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(smoke_study.artifacts))
    return smoke_study


@dataclass(frozen=True)
class Simulated:
    """A finished study without any model; its notebooks are executed when they are asked for, once for all
    workers. Whoever reads it leaves it as it is."""

    place: Path

    @property
    def study(self) -> Path:
        return self.place / "params" / "finished.yaml"

    def executed(self, notebook: str) -> Path:
        """An executed notebook of the run forward-s0 or a report; its page lies beside it."""
        finding = notebook.removeprefix("05_report_")
        with locks.locked(self.place / "lock", seconds=math.inf), pytest.MonkeyPatch.context() as patch:
            patch.setenv("MMRC_ARTIFACTS", str(self.place / "artifacts"))
            if not self.study.exists():
                finished_study.write(self.study.parent)
            if finding == notebook:
                study = load_study(self.study)
                of_run = jobs.jobs_of_run(study, find_run(study, "forward", 0), NOTEBOOKS)
                (job,) = (job for job in of_run if job.source.stem == notebook)
            else:  # the same study, concluded as this report does
                path = self.study.with_name(f"{finding}.yaml")
                path.write_text(self.study.read_text().replace("finding: reversal", f"finding: {finding}"))
                job = jobs.report_job(load_study(path), NOTEBOOKS)
            assert execute_all([job]) == []
        return job.output


@pytest.fixture(scope="session")
def simulated(shared) -> Simulated:
    (shared / "simulated").mkdir(exist_ok=True)
    return Simulated(shared / "simulated")
