"""`python -m mmrc_helpers.run STUDY`: executes the notebooks of every run that are not current, goes on with
the other runs when one fails, then executes the report of the study and says its verdict."""

if __name__ == "__main__":  # first, because it starts Python anew: what is loaded before is loaded twice
    from mmrc_helpers.execution import surroundings

    surroundings.enter("mmrc_helpers.run")

import argparse
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from mmrc_helpers.errors import UserError, check_known, listed, show
from mmrc_helpers.execution import cluster, lanes, machine, terminal
from mmrc_helpers.execution.notebooks import Failure, Job, execute_all
from mmrc_helpers.store import crates, disk, files, folders
from mmrc_helpers.study import carrying, listing, preflight, reasking, rehearsal, stages, upkeep, yaml_files
from mmrc_helpers.study.jobs import argument_of, jobs_of_run, report_job
from mmrc_helpers.study.runs import NOTEBOOKS, Run, Study, load_study, studies_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 all done, 1 something failed or is damaged, 2 wrong input
    or a disk that is too small: what the user has to mend first."""
    parser = _parser()
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)

    def command() -> int:
        with disk.writing_into(files.artifacts_root()), yaml_files.reading_once():
            options.params_folder = options.params_folder or studies_folder()
            if (status := _about_all(options)) is not None:
                return status
            if options.study is None:
                parser.error("name a study, or what to do with all of them, such as --list")
            return _about_one(options)

    return terminal.status(command)


def _interrupt(number: int, frame) -> None:
    raise KeyboardInterrupt(number)


def _about_all(options: argparse.Namespace) -> int | None:
    """What is asked of all studies, or of files; None if nothing is."""
    if options.check:
        return upkeep.check(options.params_folder)
    if options.clean:
        return upkeep.clean(options.params_folder, options.yes)
    if options.list:
        return listing.say(options.params_folder)
    if options.compare:
        return _compare(*options.compare, options.params_folder)
    if options.import_file:
        return carrying.import_file(options.import_file)
    return None


def _about_one(options: argparse.Namespace) -> int:
    """Runs a study, or what else is asked of it."""
    study = load_study(options.study, options.params_folder)
    runs = _chosen(study, options.variant, options.seed)
    if options.verify:
        return _verify(study, runs, options.sample)
    if options.export:
        return carrying.export(study, options.export, options.with_weights)
    upkeep.check_owner(folders.study_folder(study.name), argument_of(study))
    if options.dry_run:
        return _say_plan(study, runs, options)
    if options.plan:
        return _say_memory(runs)
    crates.refuse_if_imported(f"{study.name} is not run here")
    if options.debug:
        return rehearsal.rehearse(runs)
    if options.report:
        return run_study(study, [], options.notebooks)
    if options.redo:
        _forget(options.redo, study, runs, options.notebooks)
    preflight.check(runs)
    if any(cluster.is_wanted(run.params["machine"]) for run in runs):
        return _submit(study, runs, options)
    return run_study(study, runs, options.notebooks)


def run_study(study: Study, runs: Sequence[Run], notebooks: Path = NOTEBOOKS) -> int:
    """Executes what is not current, run by run, then the report if every run of the study is there. A failure
    ends its run but not the others. Study files and notebooks are read once, at the start. Returns the exit
    status."""
    began, failures, given = time.monotonic(), [], stages.sums_of_files(study.runs)
    jobs = {run.name: jobs_of_run(study, run, notebooks) for run in study.runs}
    report = report_job(study, notebooks)
    folder = folders.study_folder(study.name)
    upkeep.note_owner(folder, argument_of(study))
    failures += _execute_runs(runs, jobs)
    missing = [run for run in study.runs if not all(job.is_current() for job in jobs[run.name])]
    if not missing:
        failures += _execute(folder, [report])
        _write_answers(study)
    _write_index(study, jobs, report)
    if report.is_current() and listing.is_behind(report.mark_file):
        listing.write_index(study.path.parent)
    for failure in failures:
        print(terminal.fitted(f"\nFAILED {failure.job.name}: {failure.message}", sys.stdout))
    if missing:
        said = f"\nthe report waits for {listed(run.name for run in missing)}"
        print(terminal.fitted(said, sys.stdout))
    elif not failures:
        _say_verdict(study, report.page)
    read = {job.source: job for own in (*jobs.values(), [report]) for job in own}
    if changed := [*yaml_files.changed_since(), *(source for source, job in read.items() if job.is_stale())]:
        print(
            f"changed while this ran: {listed(map(show, changed))}; this was the study as it was at the start"
        )
    if changed := [path for path, was in given.items() if not _is_still(Path(path), was)]:
        print(f"changed while this ran: {listed(map(show, map(Path, changed[:3])))}; run the study again")
    print(f"{len(runs)} runs in {time.monotonic() - began:.0f} s, {len(failures)} failed")
    if failures:
        return 2 if all(failure.error == "UserError" for failure in failures) else 1
    return int(bool(missing) and len(runs) in (0, len(study.runs)))  # none: the report alone was asked for


def _execute_runs(runs: Sequence[Run], jobs: Mapping[str, Sequence[Job]]) -> list[Failure]:
    """Executes the jobs of every run, side by side where the machine section says so; a lane that was killed
    failed with the run it was at."""
    waiting = [run for run in runs if not all(job.is_current() for job in jobs[run.name])]
    if not waiting:
        return []
    waiting.sort(key=lambda run: not run.params["phases"])  # short ones last: they fill what is left
    tasks = [
        (run.name, partial(_execute, folders.run_folder(run.study, run.name), jobs[run.name]))
        for run in waiting
    ]
    ended = dict(lanes.in_lanes(tasks, machine.runs_at_once(waiting[0].params["machine"])))
    killed = [
        Failure(jobs[run.name][0], "Killed", "the process of this run was killed")
        for number, run in enumerate(waiting)
        if number not in ended
    ]
    return [failure for number in sorted(ended) for failure in ended[number]] + killed


def _execute(folder: Path, jobs: Sequence[Job]) -> list[Failure]:
    """Executes the jobs of a folder under its claim; what is current needs no claim, and so no right to
    write."""
    if all(job.is_current() for job in jobs):
        return []
    with folders.claim(folder):
        return execute_all(jobs)


def _is_still(path: Path, was: str) -> bool:
    return path.is_file() and disk.checksum(path) == was


def _write_answers(study: Study) -> None:
    """Writes the page of all answers beside the report, unless it is there. What is wrong with the answers is
    said, and ends nothing: the report stands."""
    from mmrc_helpers.analysis.browser import page

    if page.is_current(study):
        return
    try:
        with folders.claim(folders.study_folder(study.name)):
            if not page.is_current(study):  # nor has another run written it meanwhile
                print(f"{study.name}/answers", flush=True)
                page.write(study)
    except (UserError, PermissionError) as error:  # a reader of somebody else's study may not write there
        print(terminal.fitted(f"no page of all answers: {error}", sys.stdout))


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
    look = parser.add_argument_group("look at a study, check it, hand it on")
    look.add_argument("--dry-run", action="store_true", help="only say what would be done")
    look.add_argument("--plan", action="store_true", help="only say what memory each stage needs")
    look.add_argument("--debug", action="store_true", help="two steps of every phase, and nothing is kept")
    look.add_argument("--report", action="store_true", help="only write the report, if every run is there")
    look.add_argument("--verify", action="store_true", help="ask some questions again; recompute the verdict")
    look.add_argument("--sample", type=int, default=128, help="with --verify: of each run; 0: all")
    look.add_argument("--export", type=Path, metavar="FILE.zip", help="pack a finished study for elsewhere")
    look.add_argument("--with-weights", action="store_true", help="with --export: the trained models as well")
    all_of_them = parser.add_argument_group("all studies, in place of STUDY")
    all_of_them.add_argument("--list", action="store_true", help="what each asks, costs, has and found")
    all_of_them.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two, or two STUDY:VARIANT")
    all_of_them.add_argument("--import", type=Path, metavar="FILE.zip", dest="import_file", help="to be read")
    all_of_them.add_argument("--check", action="store_true", help="verify artifacts; list what no study uses")
    all_of_them.add_argument("--clean", action="store_true", help="show what no study uses, ask, remove it")
    all_of_them.add_argument("--yes", action="store_true", help="with --clean: remove without asking")
    parser.add_argument("--params-folder", type=Path, help="where the studies are")
    parser.add_argument("--notebooks", type=Path, default=NOTEBOOKS, help="where the notebooks are")
    return parser


def _chosen(study: Study, variant: str | None, seed: int | None) -> list[Run]:
    if variant is not None:
        check_known(variant, study.variants, f"{show(study.path)}: variant")
    runs = [run for run in study.runs if variant in (None, run.variant)]
    if seed is not None and seed not in [run.seed for run in runs]:
        raise UserError(f"no seed {seed} here; there are {listed(sorted({run.seed for run in runs}))}")
    return [run for run in runs if seed in (None, run.seed)]


def _forget(what: str, study: Study, runs: Sequence[Run], notebooks: Path) -> None:
    """Forgets stages of this kind and what is made from them, or the marks of notebooks."""
    if what in ("notebooks", "report"):
        jobs = (
            [job for run in runs for job in jobs_of_run(study, run, notebooks)] if what == "notebooks" else []
        )
        for job in (*jobs, report_job(study, notebooks)):
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


def _say_plan(study: Study, runs: Sequence[Run], options: argparse.Namespace) -> int:
    for base in {stage.folder: stage for stage in map(stages.base_stage, runs) if stage}.values():
        state = "there  " if folders.is_complete(base.folder) else "to copy"
        if state == "to copy" and not folders.is_in_repository(base.folder):
            state = "to make"
            print(f"{base.announcement}{folders.lost_advice(base.folder)}")
        print(f"  {state}  {base.relative}")
    _say_pictures(runs)
    for run in runs:
        print(f"{run.variant}, seed {run.seed}")
        for stage in stages.stages_of(run):
            state = "there  " if folders.is_complete(stage.folder) else "to make"
            print(f"  {state}  {stage.relative}")
        for job in jobs_of_run(study, run, options.notebooks):
            print(f"  {'current' if job.is_current() else 'to run '}  {job.name}")
    if any(cluster.is_wanted(run.params["machine"]) for run in runs):
        cluster.check(runs)
    if any(run.params["machine"]["cluster"] == "slurm" for run in runs):
        text = cluster.sbatch_text(study.name, runs, _job(study, options))
        print(f"\nwhat SLURM would be given:\n\n{text}")
    return 0


def _say_pictures(runs: Sequence[Run]) -> None:
    """How many pictures a diffusion model has yet to paint."""
    for folder, of in {folder: of for run in runs for folder, of in stages.to_paint(run).items()}.items():
        passes = f"{of['side']} x {of['side']} pixels, {of['steps']} steps"
        print(f"{of['pictures']:,} pictures for {folder} are to be painted by {of['model']} ({passes})")


def _say_memory(runs: Sequence[Run]) -> int:
    from mmrc_helpers.study import memory

    _say_pictures(runs)
    told: dict[str, list[str]] = {}
    for run in runs:
        told.setdefault(memory.table(memory.plan(run)), []).append(run.name)
    for table, names in told.items():
        print(f"{listed(names)}; GB of one process\n{table}\n")
    return 0


def _verify(study: Study, runs: Sequence[Run], sample: int) -> int:
    """Asks a sample again and recomputes the verdict. Returns 1 if something disagrees."""
    from mmrc_helpers.analysis import recomputing

    agrees = reasking.verify(runs, sample)
    found = recomputing.recompute(study)
    for line in recomputing.told(found):
        print(terminal.paragraph(line, "  ", ""))
    return int(not agrees or bool(found.differing))


def _compare(one: str, other: str, params_folder: Path) -> int:
    from mmrc_helpers.analysis import comparing

    comparing.say(*(comparing.side(name, params_folder) for name in (one, other)))
    return 0


def _submit(study: Study, runs: Sequence[Run], options: argparse.Namespace) -> int:
    """Hands the runs to the cluster. Jobs on this machine have then ended: those that failed are named."""
    submitted = cluster.submit(study.name, runs, _job(study, options), partial(print, flush=True))
    if runs[0].params["machine"]["cluster"] == "slurm":
        return 0
    failed = cluster.failed(submitted)
    jobs = {run.name: jobs_of_run(study, run, options.notebooks) for run in study.runs if run not in runs}
    missing = [name for name, own in jobs.items() if not all(job.is_current() for job in own)]
    if missing and failed.keys() == {"report"}:
        print(f"the report waits for {listed(missing)}")
        return 0
    for name, log in failed.items():
        print(terminal.fitted(f"FAILED {name}: its log is {show(log)}; the same command goes on", sys.stdout))
    return int(bool(failed))


def _job(study: Study, options: argparse.Namespace) -> list[str]:
    """The command of a job, but for its run: what it is told is what this command was told."""
    command = [sys.executable, "-m", "mmrc_helpers.run", argument_of(study)]
    return [*command, "--params-folder", str(options.params_folder), "--notebooks", str(options.notebooks)]


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
        said = "\n".join([f"\nverdict: {verdict['verdict']}", *(f"  {of}" for of in verdict["reasons"])])
        print(terminal.fitted(said, sys.stdout))
    print(f"report: {show(page)}")


if __name__ == "__main__":
    sys.exit(main())
