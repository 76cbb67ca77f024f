"""The runner: executes what is not current, outlives what fails, takes nothing unfinished for finished."""

import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pytest
from tiny import is_alive

from mmrc_helpers import run
from mmrc_helpers.execution import guard, kernels, notebooks
from mmrc_helpers.store import folders
from mmrc_helpers.study import jobs, runs

START = 300  # seconds in which a runner gets to work on a machine that is busy with something else
END = 20  # and in which its processes are gone
MAKE_STAGES = """
import os, time
from mmrc_helpers.study import stages
from mmrc_helpers.store import files, folders
from mmrc_helpers.errors import UserError
from mmrc_helpers.study.runs import find_run, load_study
chosen = find_run(load_study(study), variant, seed)
with (files.artifacts_root() / "executed").open("a") as file:
    file.write(f"{variant}-s{seed}\\n")
"""
BEHAVE = """
if variant == "raises" and not (files.artifacts_root() / "mended").exists():
    raise ValueError("the sky fell")
if variant == "dies" and not (files.artifacts_root() / "mended").exists():
    os._exit(1)
if variant == "blames":
    raise UserError("models/big: there is no model here; download one")
if variant == "waits":
    (files.artifacts_root() / "waiting").write_text(str(os.getpid()))
    time.sleep(600)
"""
FINISH = """
for stage in stages.stages_of(chosen):
    with folders.claim(stage.folder):  # another run may be making it
        if not folders.is_complete(stage.folder):
            folders.finish(folders.begin(stage.folder, stage.recipe({})), {})
print("progress is shown on the terminal")
"""
REPORT = """
from mmrc_helpers.store import files, folders
from mmrc_helpers.study.runs import load_study
folder = folders.study_folder(load_study(study).name)
files.write_json(folder / "verdict.json", {"verdict": "inconclusive", "reasons": ["too few people"]})
"""


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with params, two notebooks of its own, and artifacts."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "params").mkdir()
    shutil.copy(runs.PARAMS_FOLDER / "base.yaml", tmp_path / "params")
    write_notebook(tmp_path, "03_evaluate", [MAKE_STAGES, BEHAVE, FINISH])
    write_notebook(tmp_path, "05_report_reversal", [REPORT])
    return tmp_path


def write_notebook(place: Path, name: str, cells: list[str], tags=()) -> None:
    parameters = 'study = ""' if name.startswith("05") else 'study = ""\nvariant = ""\nseed = 0'
    code = [nbformat.v4.new_code_cell(cell, metadata={"tags": list(tags)}) for cell in cells]
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {name}"), first, *code])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (place / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, place / "notebooks" / f"{name}.ipynb")


def write_study(place: Path, variants: str, more: str = "") -> None:
    text = f"model: {{source: scratch}}\nphases: []\nvariants: {{{variants}}}\n{more}"
    (place / "params" / "mini.yaml").write_text(text)


def command(place: Path, *more: str) -> list[str]:
    places = ["--params-folder", str(place / "params"), "--notebooks", str(place / "notebooks")]
    return ["mini", *places, *more]


def executed(place: Path) -> list[str]:
    """The runs whose notebook 03 was executed, in order."""
    path = place / "artifacts" / "executed"
    return path.read_text().split() if path.exists() else []


def test_a_study_is_executed_rendered_and_judged_once(place, capfd):
    write_study(place, "a: {}", "seeds: [0, 1]")
    assert run.main(command(place)) == 0
    said = capfd.readouterr().out
    assert "verdict: inconclusive\n  too few people\nreport: " in said
    assert "progress is shown on the terminal" in said
    folder = place / "artifacts" / "studies" / "mini"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    notebooks = {f"a-s{seed}/03_evaluate.{kind}" for seed in (0, 1) for kind in ("ipynb", "html", "json")}
    whole = {"report.ipynb", "report.html", "report.json", "verdict.json", "index.html", "study.json"}
    assert names == notebooks | whole
    index = (folder / "index.html").read_text()
    assert index.count("finished") == 3 and "unfinished" not in index
    assert 'href="a-s1/03_evaluate.html"' in index

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.name != "index.html"}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = used.ru_utime + used.ru_stime
    again = subprocess.run(
        [sys.executable, "-m", "mmrc_helpers.run", *command(place)], capture_output=True, text=True
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert again.returncode == 0 and used.ru_utime + used.ru_stime - began < 5  # seconds of the processor
    assert "verdict: inconclusive" in again.stdout and "03_evaluate" not in again.stdout
    assert executed(place) == ["a-s0", "a-s1"]
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_index_of_all_studies_follows_every_report_even_if_it_was_lost(place):
    write_study(place, "a: {}")
    index = place / "artifacts" / "studies" / "index.html"
    assert run.main(command(place)) == 0
    assert 'href="mini/report.html"' in index.read_text("utf-8")
    index.unlink()  # as if the runner had been killed right before it wrote it
    assert run.main(command(place)) == 0
    assert 'href="mini/report.html"' in index.read_text("utf-8") and executed(place) == ["a-s0"]


def test_a_failing_run_does_not_stop_the_others(place, capfd):
    write_study(place, "raises: {}, dies: {}, blames: {}, good: {}")
    assert run.main(command(place)) == 1
    said = capfd.readouterr().out
    assert executed(place) == ["raises-s0", "dies-s0", "blames-s0", "good-s0"]
    assert "FAILED raises-s0/03_evaluate: ValueError: the sky fell" in said
    assert "FAILED dies-s0/03_evaluate: its kernel died" in said
    assert "FAILED blames-s0/03_evaluate: models/big: there is no model here; download one" in said
    assert "03_evaluate.failed.ipynb" in said
    assert "the report waits for raises-s0, dies-s0, blames-s0\n4 runs in " in said
    assert said.rstrip().endswith("3 failed")
    folder = place / "artifacts" / "studies" / "mini"
    assert not (folder / "dies-s0" / "03_evaluate.ipynb").exists() and not (folder / "report.html").exists()

    (place / "artifacts" / "mended").touch()
    assert run.main(command(place)) == 2  # what is left to fail is the user's to mend
    assert executed(place)[4:] == ["raises-s0", "dies-s0", "blames-s0"]
    assert not (folder / "raises-s0" / "03_evaluate.failed.ipynb").exists()


def test_a_swallowed_error_is_not_a_finished_notebook(place, capfd):
    write_study(place, "a: {}")
    write_notebook(place, "03_evaluate", [MAKE_STAGES, "1 / 0", FINISH], tags=["raises-exception"])
    assert run.main(command(place)) == 1
    assert "FAILED a-s0/03_evaluate: ZeroDivisionError: division by zero" in capfd.readouterr().out


def test_only_what_changed_is_executed_again(place):
    write_study(place, "a: {}, b: {}")
    assert run.main(command(place)) == 0
    write_study(place, "a: {evaluate.orders: 2}, b: {}", "machine: {processes: 2}")
    assert run.main(command(place)) == 0
    assert executed(place) == ["a-s0", "b-s0", "a-s0"]
    write_notebook(place, "03_evaluate", [MAKE_STAGES, FINISH])
    assert run.main(command(place, "--variant", "b", "--seed", "0")) == 0
    assert executed(place) == ["a-s0", "b-s0", "a-s0", "b-s0"]
    data = sorted((place / "artifacts" / "data").iterdir())
    assert len(data) == 1  # both variants and all attempts share it
    folders.forget(data[0])
    assert run.main(command(place, "--variant", "b")) == 0
    assert executed(place)[4:] == ["b-s0"]


@pytest.mark.parametrize("kind", ["json", "ipynb", "html"])
def test_a_damaged_notebook_page_or_mark_is_made_again(place, kind):
    write_study(place, "a: {}")
    assert run.main(command(place)) == 0
    path = place / "artifacts" / "studies" / "mini" / "a-s0" / f"03_evaluate.{kind}"
    whole = path.stat().st_size
    for damage in (whole // 2, 0):
        os.truncate(path, damage)
        assert run.main(command(place)) == 0
        assert path.stat().st_size > whole // 2
    assert executed(place) == ["a-s0"] * 3


def test_progress_is_one_line_and_too_much_text_lies_beside_the_notebook(place, capfd):
    write_study(place, "a: {}")
    progress = "print('1/2', end='\\r', flush=True)\nprint('2/2')"
    write_notebook(place, "03_evaluate", [MAKE_STAGES, progress, "print('x' * 3_000_000)", FINISH])
    assert run.main(command(place)) == 0
    assert "1/2\n2/2\n" in capfd.readouterr().out  # no terminal, so nothing is written over
    folder = place / "artifacts" / "studies" / "mini" / "a-s0"
    cells = json.loads((folder / "03_evaluate.ipynb").read_text())["cells"]
    shown = [out["text"] for cell in cells for out in cell.get("outputs", ()) if "text" in out]
    assert shown[0] == "2/2\n" and len(shown[1]) == 500_000
    (whole,) = folder.glob("03_evaluate.cell*.txt")
    assert whole.name in shown[2] and whole.stat().st_size == 3_000_001
    assert whole.name in (folder / "03_evaluate.html").read_text()


def test_redo_forgets_a_stage_and_what_is_made_from_it(place, capfd):
    write_study(place, "a: {}")
    assert run.main(command(place)) == 0
    stages = [next((place / "artifacts" / kind).iterdir()) for kind in ("data", "eval")]
    made = {path: path.stat().st_mtime_ns for path in stages}
    assert run.main(command(place, "--redo", "data", "--dry-run")) == 0
    plan = [f"  there    {kind}/{path.name}\n" for kind, path in zip(("data", "eval"), stages, strict=True)]
    assert capfd.readouterr().out.endswith("".join([*plan, "  current  a-s0/03_evaluate\n"]))
    assert run.main(command(place, "--redo", "eval")) == 0
    assert [made[path] == path.stat().st_mtime_ns for path in stages] == [True, False]
    assert run.main(command(place, "--redo", "data")) == 0
    assert [made[path] == path.stat().st_mtime_ns for path in stages] == [False, False]
    assert run.main(command(place, "--redo", "report")) == 0
    assert len(executed(place)) == 3
    assert run.main(command(place, "--redo", "notebooks")) == 0
    assert len(executed(place)) == 4


def test_a_notebook_is_executed_again_only_for_the_stages_that_it_shows(place, capfd):
    write_study(place, "a: {}")
    write_notebook(place, "01_data", ["print('nothing but data')"])
    assert run.main(command(place)) == 0
    capfd.readouterr()
    assert run.main(command(place, "--redo", "eval")) == 0
    said = capfd.readouterr().out
    assert "a-s0/03_evaluate\n" in said and "01_data" not in said
    assert run.main(command(place, "--redo", "dynamics")) == 2
    assert "--redo dynamics: no run has a stage of this kind" in capfd.readouterr().err


def test_temporary_folders_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with notebooks.private_folder() as living:
        killed = tmp_path / "mmrc-killed"
        killed.mkdir()
        (killed / "owner").touch()
        with notebooks.private_folder() as ours:
            assert sorted(tmp_path.iterdir()) == sorted((Path(living), Path(ours)))
    assert not any(tmp_path.iterdir())


def start_waiting(place: Path) -> tuple[subprocess.Popen, list[int]]:
    """A runner whose notebook is at work, and every process below it."""
    write_study(place, "waits: {}")
    runner = subprocess.Popen(
        [sys.executable, "-m", "mmrc_helpers.run", *command(place)], stderr=subprocess.PIPE, text=True
    )
    return runner, wait_for_work(place, runner.pid)


def fork_waiting(place: Path) -> tuple[multiprocessing.Process, list[int]]:
    """As `start_waiting`, seconds sooner: a fork of this process, where the modules of kernels are loaded."""
    write_study(place, "waits: {}")
    kernels.load_modules()
    ours = command(place)
    runner = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(run.main(ours)))
    runner.start()
    return runner, wait_for_work(place, runner.pid)


def wait_for_work(place: Path, runner: int) -> list[int]:
    """Every process below a runner, once its notebook is at work."""
    deadline = time.monotonic() + START
    while not (place / "artifacts" / "waiting").exists():
        if not is_alive(runner) or time.monotonic() > deadline:
            os.kill(runner, signal.SIGKILL)  # or it would wait on beside the tests that follow
            pytest.fail(f"no notebook was at work after {START} s")
        time.sleep(0.05)
    return guard.descendants(runner)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_runner_ends_its_kernels_and_nothing_counts_as_finished(place, number):
    runner, below = start_waiting(place)
    assert len(below) >= 2
    runner.send_signal(number)
    deadline = time.monotonic() + END
    while any(map(is_alive, below)):
        assert time.monotonic() < deadline, "a process outlived the runner"
        time.sleep(0.05)
    _, said = runner.communicate(timeout=START)
    assert runner.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]
    assert "Traceback" not in said
    folder = place / "artifacts" / "studies" / "mini" / "waits-s0"
    assert not list(folder.glob("03_evaluate.ipynb")) + list(folder.glob("*.json"))


def test_a_killed_kernel_fails_its_notebook(place, capfd):
    runner, below = fork_waiting(place)
    os.kill(int((place / "artifacts" / "waiting").read_text()), signal.SIGKILL)
    runner.join(START)
    assert runner.exitcode == 1
    assert "FAILED waits-s0/03_evaluate: its kernel died" in capfd.readouterr().out
    assert not any(map(is_alive, below))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_when_the_process_that_executes_is_ended_its_kernel_ends_too(place, capfd, number):
    runner, below = fork_waiting(place)
    os.kill(below[0], number)  # the runner's only child
    runner.join(START)
    assert runner.exitcode == 1
    assert "FAILED waits-s0/03_evaluate: " in capfd.readouterr().out
    deadline = time.monotonic() + END
    while any(map(is_alive, below)):
        assert time.monotonic() < deadline, "a kernel outlived its notebook"
        time.sleep(0.05)


def test_a_place_that_cannot_be_written_is_one_clear_sentence_and_status_2(place, capfd, monkeypatch):
    write_study(place, "a: {}")
    (place / "file").touch()
    monkeypatch.setenv("MMRC_ARTIFACTS", str(place / "file" / "artifacts"))
    assert run.main(command(place)) == 2
    assert re.fullmatch(
        "error: cannot write to .*; set MMRC_ARTIFACTS to a folder of yours\n", capfd.readouterr().err
    )


def test_the_executed_notebook_carries_its_parameters(place):
    write_study(place, "a: {seeds: [3]}")
    assert run.main(command(place)) == 0
    notebook = json.loads((place / "artifacts/studies/mini/a-s3/03_evaluate.ipynb").read_text())
    injected = next(
        cell for cell in notebook["cells"] if "injected-parameters" in cell["metadata"].get("tags", [])
    )
    assert 'variant = "a"\nseed = 3' in "".join(injected["source"])


def test_the_plan_of_memory_makes_nothing(place, capfd):
    write_study(place, "a: {}, b: {}")
    assert run.main(command(place, "--plan")) == 0
    said = capfd.readouterr().out
    assert said.startswith("a-s0, b-s0; GB of one process\nstage") and "\nevaluate  as written" in said
    assert list((place / "artifacts").iterdir()) == []


def test_the_report_alone_waits_for_its_runs(place, capfd):
    write_study(place, "a: {}")
    assert run.main(command(place, "--report")) == 1
    assert "the report waits for a-s0" in capfd.readouterr().out and executed(place) == []
    assert run.main(command(place)) == 0
    assert run.main(command(place, "--report")) == 0
    assert "verdict: inconclusive" in capfd.readouterr().out and executed(place) == ["a-s0"]


def test_a_dry_run_shows_what_slurm_would_be_given(place, capfd):
    pytest.importorskip("submitit")
    write_study(place, "a: {}, b: {}", "machine: {cluster: slurm, slurm: {partition: gpu}}")
    assert run.main(command(place, "--dry-run")) == 0
    said = capfd.readouterr().out
    assert said.count("#SBATCH --partition=gpu\n") == 2 and "#SBATCH --array=0-1%2\n" in said
    assert f"--params-folder {place / 'params'}" in said and "--variant b --seed 0\n" in said
    assert said.endswith(" --report\n") and not (place / "artifacts" / "studies").exists()
    write_study(place, "a: {}", "machine: {cluster: local}")
    assert run.main(command(place, "--dry-run")) == 0
    assert "#SBATCH" not in capfd.readouterr().out
    write_study(place, "a: {}", "machine: {cluster: local, hostfile: hosts}")
    assert run.main(command(place, "--dry-run")) == 2
    assert "machine.hostfile: a job has one node" in capfd.readouterr().err


def test_runs_go_to_jobs_and_the_report_follows_them_but_waits_for_one_that_failed(place, capfd):
    pytest.importorskip("submitit")
    write_study(place, "a: {}, raises: {}", "machine: {cluster: local}")
    assert run.main(command(place)) == 1
    said = capfd.readouterr().out
    told = ["started a-s0", "started raises-s0", "the report waits for raises-s0", "FAILED raises-s0"]
    assert [line.split(":")[0] for line in said.splitlines()] == told
    log = re.search("^FAILED raises-s0: its log is (.*);", said, re.MULTILINE)[1]
    assert "the sky fell" in Path(log).read_text()
    assert run.main(command(place, "--variant", "a")) == 0
    assert capfd.readouterr().out.endswith("\nthe report waits for raises-s0\n")
    (place / "artifacts" / "mended").touch()
    assert run.main(command(place)) == 0
    said = capfd.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines()] == [*told[:2], "started report"]
    assert sorted(executed(place)) == ["a-s0", "raises-s0", "raises-s0"]
    assert (place / "artifacts" / "studies" / "mini" / "verdict.json").is_file()


def test_a_report_is_no_longer_current_when_the_rules_of_a_verdict_change(tmp_path):
    """A threshold, a table, a score: all code that a verdict is computed by is in the report's mark."""
    copy = tmp_path / "analysis"
    shutil.copytree(jobs.ANALYSIS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert jobs._sum_of(copy) == jobs._sum_of(jobs.ANALYSIS)
    changed = tmp_path / "changed"
    shutil.copytree(copy, changed)
    gates = changed / "reversal" / "gates.py"
    gates.write_text(gates.read_text().replace("COMPETENT = 0.90", "COMPETENT = 0.80"))
    assert jobs._sum_of(changed) != jobs._sum_of(copy)
    study = runs.load_study("smoke")
    assert jobs.report_job(study, run.NOTEBOOKS).mark["analysis"] == jobs._sum_of(jobs.ANALYSIS)
