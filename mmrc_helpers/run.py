"""`python -m mmrc_helpers.run STUDY`: executes the notebooks of every run that are not current, goes on with
the other runs when one fails, then executes the report of the study and says its verdict."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mmrc_helpers.errors import UserError, check_known, listed, show
from mmrc_helpers.execution.notebooks import Job, execute_all
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.store.keys import content_key, plain
from mmrc_helpers.study import stages, upkeep
from mmrc_helpers.study.runs import PARAMS_FOLDER, Run, Study, load_study

NOTEBOOKS = files.REPOSITORY / "notebooks"
OF_A_RUN = {  # a notebook of a run → the kinds of stages that it makes or shows
    "01_data": ("data",),
    "02_train": ("data", "train"),
    "03_evaluate": ("data", "train", "eval"),
    "04_dynamics": ("data", "train", "dynamics"),
}
OF_A_STUDY = "05_report"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 all done, 1 something failed or is damaged, 2 wrong input
    or a disk that is too small: what the user has to mend first."""
    parser = _parser()
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if options.check:
            return upkeep.check(options.params_folder)
        if options.clean:
            return upkeep.clean(options.params_folder, options.yes)
        if options.study is None:
            parser.error("name a study, or give --check or --clean")
        study = load_study(options.study, options.params_folder)
        runs = _chosen(study, options.variant, options.seed)
        if options.dry_run:
            return _say_plan(study, runs, options.notebooks)
        if options.redo:
            _forget(options.redo, study, runs, options.notebooks)
        with disk.naming_a_full_disk(folders.study_folder(study.name)):
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
    ends its run but not the others. Returns the exit status."""
    began, failures = time.monotonic(), []
    for run in runs:
        with folders.claim(folders.run_folder(run.study, run.name)):
            failures += execute_all(_jobs_of_run(study, run, notebooks))
    missing = [run for run in study.runs if not _is_current(study, run, notebooks)]
    report = _report_job(study, notebooks)
    with folders.claim(folders.study_folder(study.name)):
        if not missing:
            failures += execute_all([report])
        _write_index(study, notebooks)
    for failure in failures:
        print(f"\nFAILED {failure.job.name}: {failure.message}")
    if missing:
        print(f"\nthe report waits for {listed(run.name for run in missing)}")
    elif not failures:
        _say_verdict(study, report.page)
    print(f"{len(runs)} runs in {time.monotonic() - began:.0f} s, {len(failures)} failed")
    return 0 if not failures else 2 if all(failure.error == "UserError" for failure in failures) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mmrc_helpers.run", description=__doc__.split("\n\n")[0])
    parser.add_argument("study", nargs="?", help="a name in params/, or a YAML file")
    parser.add_argument("--variant", help="only this variant")
    parser.add_argument("--seed", type=int, help="only this seed")
    parser.add_argument(
        "--redo",
        choices=(*stages.PROGRAMS, "notebooks", "report"),
        help="make these stages and what is made from them again, or execute notebooks again",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
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
            mark = {"notebook": _sum(source), "parameters": parameters, "params": params, "stages": shown}
            jobs.append(Job(source, folders.run_folder(run.study, run.name) / source.name, parameters, mark))
    return jobs


def _report_job(study: Study, notebooks: Path) -> Job:
    source = notebooks / f"{OF_A_STUDY}.ipynb"
    parameters = {"study": _study_argument(study)}
    texts = {"question": study.question, "expected": study.expected, "cost": study.cost}
    mark = {
        "notebook": _sum(source),
        "parameters": parameters,
        "study": {**texts, **plain(study.report)},
        "runs": [run.name for run in study.runs],
        "stages": [_relative(stage.folder) for run in study.runs for stage in stages.stages_of(run)],
    }
    return Job(source, folders.study_folder(study.name) / "report.ipynb", parameters, mark)


def _is_current(study: Study, run: Run, notebooks: Path) -> bool:
    return all(job.is_current() for job in _jobs_of_run(study, run, notebooks))


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
    for run in runs:
        print(f"{run.variant}, seed {run.seed}")
        for stage in stages.stages_of(run):
            state = "there  " if folders.is_complete(stage.folder) else "to make"
            print(f"  {state}  {_relative(stage.folder)}")
        for job in _jobs_of_run(study, run, notebooks):
            print(f"  {'current' if job.is_current() else 'to run '}  {job.name}")
    return 0


def _write_index(study: Study, notebooks: Path) -> None:
    from mmrc_helpers.execution.pages import render_index

    folder, rows = folders.study_folder(study.name), []
    for run in study.runs:
        jobs = _jobs_of_run(study, run, notebooks)
        links = {job.source.stem: str(job.page.relative_to(folder)) for job in jobs if job.page.exists()}
        status = "finished" if all(job.is_current() for job in jobs) else "unfinished"
        rows.append({"name": f"{run.variant}, seed {run.seed}", "status": status, "links": links})
    report = _report_job(study, notebooks)
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


def _sum(path: Path) -> str:
    """SHA-256 of a notebook."""
    if not path.is_file():
        raise UserError(f"{show(path)} does not exist; it is part of the repository")
    return disk.checksum(path)


if __name__ == "__main__":
    sys.exit(main())
