"""`python -m mmrc_helpers.run STUDY`: executes the notebooks of every run that are not current, goes on with
the other runs when one fails, then executes the report of the study and says its verdict."""

import argparse
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from mmrc_helpers.errors import UserError, check_known, listed, show
from mmrc_helpers.execution import cluster, surroundings
from mmrc_helpers.execution.notebooks import Failure, Job, execute_all, job_of
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.store.keys import content_key, plain
from mmrc_helpers.study import stages, upkeep, yaml_files
from mmrc_helpers.study.runs import PARAMS_FOLDER, Run, Study, load_study

NOTEBOOKS = files.REPOSITORY / "notebooks"
OF_A_RUN = {  # a notebook of a run → the kinds of stages that it makes or shows
    "01_data": ("data",),
    "02_train": ("data", "train"),
    "03_evaluate": ("data", "train", "eval"),
    "04_dynamics": ("data", "train", "dynamics"),
}
OF_A_STUDY = "05_report_{}"  # one per finding
ANALYSIS = files.REPOSITORY / "mmrc_helpers" / "analysis"  # what tables and verdicts are computed by


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 all done, 1 something failed or is damaged, 2 wrong input
    or a disk that is too small: what the user has to mend first."""
    parser = _parser()
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with disk.writing_into(files.artifacts_root()), yaml_files.reading_once():
            if options.check:
                return upkeep.check(options.params_folder)
            if options.clean:
                return upkeep.clean(options.params_folder, options.yes)
            if options.study is None:
                parser.error("name a study, or give --check or --clean")
            study = load_study(options.study, options.params_folder)
            runs = _chosen(study, options.variant, options.seed)
            upkeep.check_owner(folders.study_folder(study.name), _study_argument(study))
            if options.dry_run:
                return _say_plan(study, runs, options.notebooks)
            if options.plan:
                return _say_memory(runs)
            if options.report:
                return run_study(study, [], options.notebooks)
            if options.redo:
                _forget(options.redo, study, runs, options.notebooks)
            if cluster.is_wanted(runs[0].params["machine"]):
                return _submit(study, runs, options)
            return run_study(study, runs, options.notebooks)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as asked:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 128 + int(asked.args[0] if asked.args else signal.SIGINT)


def _interrupt(number: int, frame) -> None:
    raise KeyboardInterrupt(number)


def run_study(study: Study, runs: Sequence[Run], notebooks: Path = NOTEBOOKS) -> int:
    """Executes what is not current, run by run, then the report if every run of the study is there. A failure
    ends its run but not the others. Study files and notebooks are read once, at the start. Returns the exit
    status."""
    began, failures = time.monotonic(), []
    jobs = {run.name: _jobs_of_run(study, run, notebooks) for run in study.runs}
    report = _report_job(study, notebooks)
    folder = folders.study_folder(study.name)
    upkeep.note_owner(folder, _study_argument(study))
    for run in runs:
        failures += _execute(folders.run_folder(run.study, run.name), jobs[run.name])
    missing = [run for run in study.runs if not all(job.is_current() for job in jobs[run.name])]
    if not missing:
        failures += _execute(folder, [report])
        _write_answers(study)
    _write_index(study, jobs, report)
    for failure in failures:
        print(f"\nFAILED {failure.job.name}: {failure.message}")
    if missing:
        print(f"\nthe report waits for {listed(run.name for run in missing)}")
    elif not failures:
        _say_verdict(study, report.page)
    read = {job.source: job for own in (*jobs.values(), [report]) for job in own}
    if changed := [*yaml_files.changed_since(), *(source for source, job in read.items() if job.is_stale())]:
        print(
            f"changed while this ran: {listed(map(show, changed))}; this was the study as it was at the start"
        )
    print(f"{len(runs)} runs in {time.monotonic() - began:.0f} s, {len(failures)} failed")
    if failures:
        return 2 if all(failure.error == "UserError" for failure in failures) else 1
    return int(bool(missing) and len(runs) in (0, len(study.runs)))  # none: the report alone was asked for


def _execute(folder: Path, jobs: Sequence[Job]) -> list[Failure]:
    """Executes the jobs of a folder under its claim; what is current needs no claim, and so no right to
    write."""
    if all(job.is_current() for job in jobs):
        return []
    with folders.claim(folder):
        return execute_all(jobs)


def _write_answers(study: Study) -> None:
    """Writes the page of all answers beside the report, unless it is there."""
    from mmrc_helpers.analysis.browser import page

    if page.is_current(study):
        return
    with folders.claim(folders.study_folder(study.name)):
        if not page.is_current(study):  # nor has another run written it meanwhile
            print(f"{study.name}/answers", flush=True)
            page.write(study)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mmrc_helpers.run", description=__doc__)
    parser.add_argument("study", nargs="?", help="a name in params/, or a YAML file")
    parser.add_argument("--variant", help="only this variant")
    parser.add_argument("--seed", type=int, help="only this seed")
    parser.add_argument(
        "--redo",
        choices=(*stages.PROGRAMS, "notebooks", "report"),
        help="make these stages and what is made from them again, or execute notebooks again",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--plan", action="store_true", help="only say what memory each stage needs")
    parser.add_argument("--report", action="store_true", help="only write the report, if every run is there")
    parser.add_argument("--check", action="store_true", help="verify all artifacts; list what no study uses")
    parser.add_argument("--clean", action="store_true", help="show what no study uses, ask, and remove it")
    parser.add_argument("--yes", action="store_true", help="with --clean: remove without asking")
    parser.add_argument("--params-folder", type=Path, default=PARAMS_FOLDER, help="where the studies are")
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, help="where the notebooks are")
    return parser


def _chosen(study: Study, variant: str | None, seed: int | None) -> list[Run]:
    if variant is not None:
        check_known(variant, study.variants, f"{show(study.path)}: variant")
    runs = [run for run in study.runs if variant in (None, run.variant)]
    if seed is not None and seed not in [run.seed for run in runs]:
        raise UserError(f"no seed {seed} here; there are {listed(sorted({run.seed for run in runs}))}")
    return [run for run in runs if seed in (None, run.seed)]


def _jobs_of_run(study: Study, run: Run, notebooks: Path) -> list[Job]:
    parameters = {"study": _study_argument(study), "variant": run.variant, "seed": run.seed}
    hashed = {key: value for key, value in run.params.items() if key not in ("machine", "train")}
    params, made, jobs = content_key("run", 1, hashed, []), stages.stages_of(run), []
    for name, kinds in OF_A_RUN.items():
        source = notebooks / f"{name}.ipynb"
        if source.exists():
            shown = [_relative(stage.folder) for stage in made if stage.kind in kinds]
            mark = {"parameters": parameters, "params": params, "stages": shown}
            mark |= {"analysis": _sum_of(ANALYSIS)} if "eval" in kinds or "dynamics" in kinds else {}
            jobs.append(
                job_of(source, folders.run_folder(run.study, run.name) / source.name, parameters, mark)
            )
    return jobs


def _report_job(study: Study, notebooks: Path) -> Job:
    parameters = {"study": _study_argument(study)}
    texts = {"question": study.question, "expected": study.expected, "cost": study.cost}
    mark = {
        "parameters": parameters,
        "study": {**texts, **plain(study.report)},
        "analysis": _sum_of(ANALYSIS),
        "runs": [run.name for run in study.runs],
        "stages": [_relative(stage.folder) for run in study.runs for stage in stages.stages_of(run)],
    }
    output = folders.study_folder(study.name) / "report.ipynb"
    return job_of(notebooks / f"{OF_A_STUDY.format(study.report['finding'])}.ipynb", output, parameters, mark)


@cache
def _sum_of(folder: Path) -> str:
    """One sum for the code below a folder: a table or a verdict by another code is no longer current."""
    sums = {str(path.relative_to(folder)): disk.checksum(path) for path in sorted(folder.rglob("*.py"))}
    return content_key("code", 1, sums, [])


def _forget(what: str, study: Study, runs: Sequence[Run], notebooks: Path) -> None:
    """Forgets stages of this kind and what is made from them, or the marks of notebooks."""
    if what in ("notebooks", "report"):
        jobs = (
            [job for run in runs for job in _jobs_of_run(study, run, notebooks)]
            if what == "notebooks"
            else []
        )
        for job in (*jobs, _report_job(study, notebooks)):
            job.mark_file.unlink(missing_ok=True)
        return
    forgotten = set()
    inputs_first = [stage for run in runs for stage in stages.stages_of(run)]
    for stage in inputs_first:
        if stage.kind == what or any(needed.folder in forgotten for needed in stage.inputs.values()):
            forgotten.add(stage.folder)
    if not forgotten:
        raise UserError(f"--redo {what}: no run has a stage of this kind; `--dry-run` lists them all")
    for folder in forgotten:
        folders.forget(folder)


def _say_plan(study: Study, runs: Sequence[Run], notebooks: Path) -> int:
    for base in {stage.folder: stage for stage in map(stages.base_stage, runs) if stage}.values():
        state = "there  " if folders.is_complete(base.folder) else "to copy"
        if state == "to copy" and not folders.is_in_repository(base.folder):
            state = "to make"
            print(f"{base.announcement}{folders.lost_advice(base.folder)}")
        print(f"  {state}  {_relative(base.folder)}")
    for run in runs:
        print(f"{run.variant}, seed {run.seed}")
        for stage in stages.stages_of(run):
            state = "there  " if folders.is_complete(stage.folder) else "to make"
            print(f"  {state}  {_relative(stage.folder)}")
        for job in _jobs_of_run(study, run, notebooks):
            print(f"  {'current' if job.is_current() else 'to run '}  {job.name}")
    return 0


def _say_memory(runs: Sequence[Run]) -> int:
    from mmrc_helpers.study import memory

    told: dict[str, list[str]] = {}
    for run in runs:
        told.setdefault(memory.table(memory.plan(run)), []).append(run.name)
    for table, names in told.items():
        print(f"{listed(names)}; GB of one process\n{table}\n")
    return 0


def _submit(study: Study, runs: Sequence[Run], options: argparse.Namespace) -> int:
    """Hands the runs to the cluster. What a job is told is what this command was told."""
    command = [sys.executable, "-m", "mmrc_helpers.run", _study_argument(study)]
    folders_told = ["--params-folder", str(options.params_folder), "--notebooks", str(options.notebooks)]
    cluster.submit(study.name, runs, [*command, *folders_told], echo=print)
    return 0


def _write_index(study: Study, jobs: Mapping[str, Sequence[Job]], report: Job) -> None:
    from mmrc_helpers.execution.pages import render_index

    folder, rows = folders.study_folder(study.name), []
    for run in study.runs:
        own = jobs[run.name]
        links = {job.source.stem: str(job.page.relative_to(folder)) for job in own if job.page.exists()}
        status = "finished" if all(job.is_current() for job in own) else "unfinished"
        rows.append({"name": f"{run.variant}, seed {run.seed}", "status": status, "links": links})
    if report.page.exists():
        status = "finished" if report.is_current() else "of an earlier state"
        rows.append({"name": "report", "status": status, "links": {"report": report.page.name}})
    render_index(folder / "index.html", study.name, study.question, rows)


def _say_verdict(study: Study, page: Path) -> None:
    path = folders.study_folder(study.name) / "verdict.json"
    if path.exists():
        verdict = files.read_json(path)
        print(f"\nverdict: {verdict['verdict']}")
        for reason in verdict["reasons"]:
            print(f"  {reason}")
    print(f"report: {show(page)}")


def _study_argument(study: Study) -> str:
    """How a notebook opens the study: by name, or by file if it is not one of the repository's."""
    own = study.path.resolve().parent == PARAMS_FOLDER.resolve()
    return study.name if own else str(study.path.resolve())


def _relative(folder: Path) -> str:
    return str(folder.relative_to(files.artifacts_root()))


if __name__ == "__main__":
    surroundings.enter("mmrc_helpers.run")
    sys.exit(main())
