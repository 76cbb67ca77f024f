"""What the verbs read from finished stage folders: answers, losses, exposure, provenance; and how tables are
shown."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import reversal, scores
from mmrc_helpers.analysis.intervals import percent
from mmrc_helpers.analysis.traces import read_run
from mmrc_helpers.errors import UserError, check_file_name
from mmrc_helpers.store import files, folders
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run, Study
from mmrc_helpers.tasks import records


def runs_of(opened: Run | Study) -> tuple[Run, ...]:
    """The run itself, or a study's runs that are evaluated. Raises UserError when there are none."""
    runs = _all_runs(opened)
    done = tuple(run for run in runs if folders.is_complete(stages.eval_stage(run).folder))
    if not done:
        name = runs[0].study
        raise UserError(
            f"{name}: no answers yet; run `python -m mmrc_helpers.run {name}` or evaluate(run) first"
        )
    return done


def _all_runs(opened: Run | Study) -> tuple[Run, ...]:
    return (opened,) if isinstance(opened, Run) else opened.runs


def missing(study: Study) -> list[str]:
    """Names of the runs that are not evaluated."""
    lacking = [run for run in study.runs if not folders.is_complete(stages.eval_stage(run).folder)]
    return [f"{run.variant}, seed {run.seed}" for run in lacking]


def answers(opened: Run | Study) -> pd.DataFrame:
    """All answers of a run, or of a study's evaluated runs, prepared for the tables of `metrics`."""
    parts = []
    for run in runs_of(opened):
        folder = stages.eval_stage(run).folder
        parts.append(_answers(folder, run.variant, run.seed, _made(folder)))
    return pd.concat(parts, ignore_index=True)


@lru_cache(maxsize=64)
def _answers(folder: Path, variant: str, seed: int, made: int) -> pd.DataFrame:
    return scores.read_answers(folders.check(folder, "answers.jsonl"), variant, seed)


def people(run: Run) -> list[dict]:
    """The people of a run's data: group, population, name, descriptor, attributes, description."""
    folder = stages.data_stage(run).folder
    return _people(folder, _made(folder))


@lru_cache(maxsize=2)
def _people(folder: Path, made: int) -> list[dict]:
    path = folders.check(folder, "people.json") / "people.json"
    people = files.read_json(path)
    for person in people:
        check_file_name(person["group"], str(path))
    return people


def names(run: Run) -> dict[str, str]:
    """Group → name."""
    return {person["group"]: person["name"] for person in people(run)}


def images(run: Run) -> Path:
    """The folder of a run's pictures."""
    return stages.data_stage(run).folder / "images"


def examples(run: Run, split: str | None = None) -> list[records.Example]:
    """A run's questions, of one split if wanted."""
    folder = stages.data_stage(run).folder
    return [example for example in _examples(folder, _made(folder)) if split in (None, example.split)]


@lru_cache(maxsize=2)
def _examples(folder: Path, made: int) -> list[records.Example]:
    return records.read_examples(folders.check(folder, "examples.jsonl") / "examples.jsonl")


def _made(folder: Path) -> int:
    """When the stage was finished, in nanoseconds: what was read of it before may be used until it is made
    again."""
    mark = folder / "made.json"
    return mark.stat().st_mtime_ns if mark.is_file() else 0


def losses(run: Run) -> pd.DataFrame:
    """Rows of metrics.jsonl of every phase of a run, with `line`, the phase's name."""
    parts = []
    for number, stage in enumerate(stages.train_stages(run), 1):
        folder = folders.check(stage.folder, "metrics.jsonl")
        rows = pd.DataFrame(files.read_jsonl(folder / "metrics.jsonl"))
        parts.append(rows.assign(line=f"phase {number}: {stage.params['train']['method']}"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["line", "step", "loss"])


def traces(opened: Run | Study) -> dict[str, pd.DataFrame]:
    """The tables of `traces.read_run` of a run, or of all finished runs of a study, with variant and seed;
    empty where nothing was traced."""
    found = []
    for run in _all_runs(opened):
        if places := [folders.check(of, "dynamics/*.parquet") for of in stages.traces_folders(run)]:
            tables = read_run(places)
            found.append({name: t.assign(variant=run.variant, seed=run.seed) for name, t in tables.items()})
    if not found:
        found = [{name: table.assign(variant="", seed=0) for name, table in read_run(()).items()}]
    return {name: pd.concat([tables[name] for tables in found], ignore_index=True) for name in found[0]}


def why_untraced(opened: Run | Study, table: str = "logprobs") -> str:
    """One sentence that says why a run or a study has no rows in this table of `traces`."""
    runs = _all_runs(opened)
    if not any(run.params["phases"] for run in runs):
        return "No phases, so nothing to trace: this variant is the untrained control."
    if not any(run.params["dynamics"]["probes"] for run in runs):
        return "Training was not traced: dynamics.probes is 0 in this study."
    if traces(opened)["logprobs"].empty:
        return "No traces yet: the runs of this study with dynamics.probes are not trained."
    return f"The traces hold no {table}: dynamics.gradients is 0, or the storage probe is off, in this study."


def figures_folder(opened: Run | Study) -> Path:
    """Where the figures of a run or of a study are saved for print."""
    is_run = isinstance(opened, Run)
    of = folders.run_folder(opened.study, opened.name) if is_run else folders.study_folder(opened.name)
    return of / "figures"


def trace_table(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What was traced, one row per phase: probe points, questions, answers scored, gradients compared."""
    logprobs, gradients = tables["logprobs"], tables["gradients"]
    rows = []
    for phase, part in logprobs.groupby("phase"):
        pulled = gradients[gradients["phase"] == phase]
        row = {"phase": phase, "first step": part["step"].min(), "last step": part["step"].max()}
        row |= {"probes": part["step"].nunique(), "questions": part["id"].nunique(), "answers": len(part)}
        rows.append(
            row | {"probes of gradients": pulled["step"].nunique(), "groups": pulled["left"].nunique()}
        )
    return pd.DataFrame(rows)


def exposure(opened: Run | Study) -> pd.DataFrame:
    """What finished training showed, one row per variant (means over seeds)."""
    rows = [
        {"variant": run.variant, "seed": run.seed, **_shown(stage.folder)}
        for run in _all_runs(opened)
        for stage in stages.train_stages(run)
        if folders.is_complete(stage.folder)
    ]
    return scores.exposure(rows)


def _shown(folder: Path) -> dict:
    return files.read_json(folders.check(folder, "exposure.json") / "exposure.json")


def taught(study: Study) -> dict[str, str]:
    """Variant → the cell its novel facts are taught in (the variant's name where there are several or
    none)."""
    rows = {}
    for run in study.runs:
        cells = {cell for phase in run.params["phases"] for cell in phase["cells"]}
        rows[run.variant] = cells.pop() if len(cells) == 1 else run.variant
    return rows


def provenance(opened: Run | Study) -> pd.DataFrame:
    """One row per stage folder in use: what made it, when needed by whom, how long it took, on what."""
    runs = _all_runs(opened)
    rows: dict[Path, dict] = {}
    for run in runs:
        for stage in (stages.data_stage(run), *stages.train_stages(run), stages.eval_stage(run)):
            row = rows.setdefault(stage.folder, {"stage": stage.kind, "runs": []})
            row["runs"].append(f"{run.variant}-s{run.seed}")
            row["folder"] = str(stage.folder.relative_to(files.artifacts_root()))
            made = files.read_json(stage.folder / "made.json") if folders.is_complete(stage.folder) else {}
            row |= {
                "minutes": made["seconds"] / 60 if made else np.nan,
                "device": made.get("device", "not made"),
            }
            row |= {"commit": made.get("commit", "")[:12], "packages": made.get("packages", {})}
    return pd.DataFrame([row | {"runs": ", ".join(row["runs"])} for row in rows.values()])


def cell_table(found: pd.DataFrame) -> pd.DataFrame:
    """Accuracy in percent with its interval: rows arm × people × condition, columns the six cells and the
    gap.

    Conditions: primary; other scoring (generated text for choices and judging, log-probability for free
    answers); and every other order and kind of distractors that was asked.
    """
    scored = scores.score(found[(found["topic"] == "identity") & (found["drop"] == "none")])
    first = scores.primary(scored)
    other = first.assign(
        accuracy=np.where(first["format"] == "free", first["accuracy_logprob"], first["accuracy_text"])
    )
    choices = scored[scored["format"] == "choice"]
    rest = choices[~choices.set_index(scores.CELL).index.isin(first.set_index(scores.CELL).index)]
    parts = [
        first.assign(condition="primary", shown=_with_interval(first)),
        other.assign(condition="other scoring", shown=[f"{100 * a:.1f}" for a in other["accuracy"]]),
        rest.assign(
            condition=rest["order"].str.replace("_", " ") + ", " + rest["distractors"],
            shown=_with_interval(rest),
        ),
    ]
    table = pd.concat(parts).assign(cell=lambda t: t["direction"] + "/" + t["format"])
    keys = ["variant", "population", "condition"]
    table = table.pivot_table(index=keys, columns="cell", values="shown", aggfunc="first", sort=False)
    table = table.reindex(columns=[cell for cell in scores.CELLS if cell in table.columns])
    gaps = scores.gaps(found).rename(columns={"gap": "accuracy"})
    gaps = gaps.assign(condition="primary", shown=_with_interval(gaps)).set_index(keys)["shown"]
    table = table.join(gaps.rename("gap in choice")).fillna("").reset_index()
    arms = list(dict.fromkeys(table["variant"]))
    places = table["variant"].map(arms.index) * 10 + table["population"].map(scores.POPULATIONS.index)
    return table.iloc[np.argsort(places, kind="stable")].reset_index(drop=True)


def _with_interval(table: pd.DataFrame) -> list[str]:
    columns = zip(table["accuracy"], table["low"], table["high"], strict=True)
    return [f"{100 * mean:.1f}\u00a0[{100 * low:.0f},\u00a0{100 * high:.0f}]" for mean, low, high in columns]


def percents(table: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The table with shares as percent, rounded; the unit goes into the name. For showing only."""
    columns = [column for column in columns if column in table]
    shown = table.assign(**{column: (100 * table[column].astype(float)).round(1) for column in columns})
    return shown.rename(columns={column: f"{column} %" for column in columns})


def show_whole_tables() -> None:
    """Let notebooks show every row and whole texts; markup in data stays text (pandas escapes it)."""
    pd.options.display.max_colwidth = None
    pd.options.display.max_rows = 200
    pd.options.display.max_columns = 40


def arm(opened: Run | Study, name: str) -> pd.DataFrame:
    """The answers of a run, or those of one arm of a study; empty if the study has no such arm evaluated."""
    found = answers(opened)
    return found if isinstance(opened, Run) else found[found["variant"] == name]


def verdict_table(study: Study, found: reversal.Verdict, power: pd.DataFrame) -> pd.DataFrame:
    """The verdict, its reasons, the power as run and prior work's rule, one finding per row."""
    rows = [("verdict", found.verdict)]
    rows += [("because" if number == 0 else "", reason) for number, reason in enumerate(found.reasons)]
    rows += [
        (f"power, {row.variant}", _power_text(row)) for row in power.itertuples() if row.variant == "forward"
    ]
    rows += [("prior work's threshold rule", found.prior_rule)]
    rows += [("question", study.question), ("expected beforehand", study.expected)]
    rows += [("runs without answers", ", ".join(missing(study)) or "none")]
    return pd.DataFrame(rows, columns=["", "finding"]).set_index("")


def _power_text(row) -> str:
    """The power of an arm as run, in words."""
    told = f"{percent(row.detectable)} told from chance with 80 % power"
    shown = f"chance itself shown with {percent(row.equivalence_power)}"
    return f"{row.people} people in {row.seeds} seeds: {told}; {shown}"


def packages(table: pd.DataFrame) -> pd.DataFrame:
    """Versions in use, one row per package; more than one version means that stages were made at different
    times."""
    versions: dict[str, set] = {}
    for installed in table["packages"]:
        for name, version in installed.items():
            versions.setdefault(name, set()).add(version)
    rows = [
        {"package": name, "version": ", ".join(sorted(found))} for name, found in sorted(versions.items())
    ]
    return pd.DataFrame(rows)
