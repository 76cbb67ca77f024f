"""The notebooks of a study: which are executed for a run and for the report, and what each of them shows, so
that one is executed again only when that has changed."""

from functools import cache
from pathlib import Path

from mmrc_helpers.execution.notebooks import Job, job_of
from mmrc_helpers.store import disk, files, folders
from mmrc_helpers.store.keys import content_key, plain
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import PARAMS_FOLDER, Run, Study

OF_A_RUN = {  # a notebook of a run → the kinds of stages that it makes or shows
    "01_data": ("data",),
    "02_train": ("data", "train"),
    "03_evaluate": ("data", "train", "eval"),
    "04_dynamics": ("data", "train", "dynamics"),
}
OF_A_STUDY = "05_report_{}"  # one per finding
ANALYSIS = files.REPOSITORY / "mmrc_helpers" / "analysis"  # what tables and verdicts are computed by


def jobs_of_run(study: Study, run: Run, notebooks: Path) -> list[Job]:
    """The notebooks of one run, in order."""
    parameters = {"study": argument_of(study), "variant": run.variant, "seed": run.seed}
    hashed = {key: value for key, value in run.params.items() if key not in ("machine", "train")}
    params, made, jobs = content_key("run", 1, hashed, []), stages.stages_of(run), []
    for name, kinds in OF_A_RUN.items():
        source = notebooks / f"{name}.ipynb"
        if source.exists():
            shown = [stage.relative for stage in made if stage.kind in kinds]
            mark = {"parameters": parameters, "params": params, "stages": shown}
            mark |= {"analysis": _sum_of(ANALYSIS)} if "eval" in kinds or "dynamics" in kinds else {}
            jobs.append(
                job_of(source, folders.run_folder(run.study, run.name) / source.name, parameters, mark)
            )
    return jobs


def report_job(study: Study, notebooks: Path) -> Job:
    """The notebook that reports on the whole study."""
    parameters = {"study": argument_of(study)}
    texts = {"question": study.question, "expected": study.expected, "cost": study.cost}
    mark = {
        "parameters": parameters,
        "study": {**texts, **plain(study.report)},
        "analysis": _sum_of(ANALYSIS),
        "runs": [run.name for run in study.runs],
        "stages": [stage.relative for run in study.runs for stage in stages.stages_of(run)],
    }
    output = folders.study_folder(study.name) / "report.ipynb"
    return job_of(notebooks / f"{OF_A_STUDY.format(study.report['finding'])}.ipynb", output, parameters, mark)


@cache
def _sum_of(folder: Path) -> str:
    """One sum for the code below a folder: a table or a verdict by another code is no longer current."""
    sums = {str(path.relative_to(folder)): disk.checksum(path) for path in sorted(folder.rglob("*.py"))}
    return content_key("code", 1, sums, [])


def argument_of(study: Study) -> str:
    """How a notebook opens the study: by name, or by file if it is not one of the repository's."""
    own = study.path.resolve().parent == PARAMS_FOLDER.resolve()
    return study.name if own else str(study.path.resolve())
