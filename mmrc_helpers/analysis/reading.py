"""What the verbs read from finished stage folders: facts, questions, answers, metrics, traces."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import pandas as pd

from mmrc_helpers.analysis import FINDINGS, Finding, scores
from mmrc_helpers.analysis.evidence import Axes, Evidence, Verdict
from mmrc_helpers.analysis.traces import read_run
from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files, folders
from mmrc_helpers.store.pictures import Shards
from mmrc_helpers.study import stages
from mmrc_helpers.study.runs import Run, Study
from mmrc_helpers.study.stages import Stage
from mmrc_helpers.tasks.example import Example, read_examples
from mmrc_helpers.worlds import WORLDS, Data, World
from mmrc_helpers.worlds.folder import read_facts

WRONG = (
    "wrong",
    "mismatch",
    "rejected",
    "other",
)  # the kind of answer that margins compare with, if it is there

# --- data --------------------------------------------------------------------------------------------------


def world_of(run: Run) -> World:
    """The world of a run."""
    return WORLDS[run.params["world"]["name"]]


def facts(run: Run) -> list[dict]:
    """The facts of a run's data: group, title, text, pictures and what the world adds."""
    folder = stages.data_stage(run).folder
    return _facts(folder, _made(folder))


@lru_cache(maxsize=2)
def _facts(folder: Path, made: int) -> list[dict]:
    return read_facts(folders.check(folder, "facts.jsonl"))


def examples(run: Run, split: str | None = None) -> list[Example]:
    """A run's questions, of one split if wanted."""
    folder = stages.data_stage(run).folder
    return [example for example in _examples(folder, _made(folder)) if split in (None, example.split)]


@lru_cache(maxsize=2)
def _examples(folder: Path, made: int) -> list[Example]:
    return read_examples(folders.check(folder, "examples.jsonl") / "examples.jsonl")


def pictures(run: Run) -> Shards:
    """The pictures of a run."""
    return Shards(stages.data_stage(run).folder)


def titles(run: Run) -> dict[str, str]:
    """Picture → what it shows."""
    return {name: fact["title"] for fact in facts(run) for name in fact["pictures"]}


def promises(run: Run) -> pd.DataFrame:
    """What the data must keep: promise, found, wanted, kept. Raises UserError naming a picture that cannot be
    read."""
    data, shards = Data(examples(run), facts(run)), pictures(run)
    shown = {name for example in data.examples for name in example.pictures}
    for name in shown & set(shards.names):
        shards.bytes(name)
    rows = [
        *world_of(run).promises(data),
        ("pictures that are asked about but missing", len(shown - set(shards.names)), 0),
    ]
    table = pd.DataFrame(rows, columns=["promise", "found", "wanted"])
    return table.assign(kept=table["found"] == table["wanted"])


def counts(run: Run) -> pd.DataFrame:
    """How many facts, groups, training and test questions there are, by the world's first facet."""
    first = world_of(run).facets[0]
    table = pd.DataFrame(
        [{first: e.facets.get(first, ""), "split": e.split, "group": e.group} for e in examples(run)]
    )
    grouped = table.groupby(first, sort=False)
    asked = (
        grouped["split"].value_counts().unstack(fill_value=0).reindex(columns=["train", "test"], fill_value=0)
    )
    asked = asked.rename(columns={"train": "training questions", "test": "test questions"})
    return asked.assign(groups=grouped["group"].nunique())[["groups", *asked.columns]]


def gallery(run: Run) -> list[Example]:
    """One test question of every kind: of every combination of the world's facets that is asked."""
    found: dict[tuple, Example] = {}
    for example in examples(run, "test"):
        found.setdefault(tuple(example.facets.items()), example)
    return list(found.values())


# --- training ----------------------------------------------------------------------------------------------


def plan(run: Run) -> pd.DataFrame:
    """One row per phase: what it teaches, by which method, for how long, at which rates."""
    rows = []
    for number, phase in enumerate(run.params["phases"], 1):
        dose = f"{phase['steps']} steps" if phase["steps"] else f"{phase['taught_tokens']:,} taught tokens"
        whole = f"{phase['learns']} only" if "learns" in phase else "all weights"
        adapter = f"LoRA {phase['lora_r']}" if phase["lora_r"] else whole
        row = {"phase": number, "method": phase["method"]["name"], "taught": ", ".join(_taught(run, phase))}
        row |= {"dose": dose, "batch": phase["batch"], "trained": adapter, "optimizer": phase["optimizer"]}
        rows.append(row | {"rate": _rates(phase), "precision": phase["precision"]})
    return pd.DataFrame(rows)


def _rates(phase: Mapping) -> str:
    """The highest learning rate, of Muon's matrices as well where it trains them."""
    rate = f"{phase['learning_rate']:g}"
    return rate if phase["optimizer"] != "muon" else f"{phase['muon_learning_rate']:g}, rest {rate}"


def metrics(run: Run) -> pd.DataFrame:
    """Rows of metrics.jsonl of every phase of a run, with `line`, the phase's name."""
    parts = []
    for number, stage in enumerate(stages.train_stages(run), 1):
        folder = folders.check(stage.folder, "metrics.jsonl")
        rows = pd.DataFrame(files.read_jsonl(folder / "metrics.jsonl"))
        parts.append(rows.assign(line=f"phase {number}: {stage.params['train']['method']['name']}"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["line", "step", "loss"])


def logged(opened: Run | Study) -> pd.DataFrame:
    """Rows of metrics.jsonl of every finished phase of a run, or of a study's runs, with variant, seed, phase
    (1, 2, …) and method."""
    parts = [
        pd.DataFrame(files.read_jsonl(folders.check(stage.folder, "metrics.jsonl") / "metrics.jsonl")).assign(
            variant=run.variant, seed=run.seed, phase=number, method=stage.params["train"]["method"]["name"]
        )
        for run in all_runs(opened)
        for number, stage in enumerate(stages.train_stages(run), 1)
        if folders.is_complete(stage.folder)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def said(folder: Path) -> pd.DataFrame:
    """Answers of the first and the last logged step that a model wrote while it was trained, with what they
    were worth; empty for methods that only read."""
    path = folder / "said.jsonl"
    table = pd.DataFrame(files.read_jsonl(path) if path.is_file() else [])
    return table[table["step"].isin([table["step"].min(), table["step"].max()])] if len(table) else table


def exposure(opened: Run | Study) -> pd.DataFrame:
    """What finished training showed, one row per variant (means over seeds): rows, supervised tokens, those
    that taught something new, replay share. Phases of one run are summed."""
    rows = [
        {"variant": run.variant, "seed": run.seed, **_shown(stage.folder)}
        for run in all_runs(opened)
        for stage in stages.train_stages(run)
        if folders.is_complete(stage.folder)
    ]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    numbers = ["rows", "supervised_tokens", "taught_tokens"]
    table["replayed"] = table["replay_share"] * table["rows"]
    runs = table.groupby(["variant", "seed"], sort=False)[[*numbers, "replayed"]].sum()
    means = runs.groupby("variant", sort=False).mean()
    share = means.pop("replayed") / means["rows"]
    return means.round().astype(int).assign(replay_share=share).reset_index()


def _shown(folder: Path) -> dict:
    return files.read_json(folders.check(folder, "exposure.json") / "exposure.json")


# --- answers -----------------------------------------------------------------------------------------------


def finding_of(opened: Run | Study) -> Finding:
    """What the study of a run concludes."""
    return FINDINGS[opened.report["finding"]]


def evidence(opened: Run | Study) -> Evidence:
    """Everything that a finding reads of a run, or of a study's evaluated runs. Raises UserError when there
    are none."""
    runs = runs_of(opened)
    phases = answers(opened)
    first = runs[0]
    worlds = (first.params["world"]["name"], *first.params["also"])
    return Evidence(
        answers=scores.last_phase(phases),
        report=opened.report if isinstance(opened, Study) else {**opened.report, "read": opened.variant},
        taught={run.variant: taught(run) for run in runs},
        facets={name: WORLDS[name].cells for name in worlds},
        phases=phases,
        lessons={run.variant: tuple(phase["teach"] for phase in run.params["phases"]) for run in runs},
        methods={run.variant: tuple(p["method"]["name"] for p in run.params["phases"]) for run in runs},
        traced=lambda name="logprobs": traces(opened)[name],
        logged=lambda: logged(opened),
    )


def runs_of(opened: Run | Study) -> tuple[Run, ...]:
    """The run itself, or a study's runs that are evaluated. Raises UserError when there are none."""
    runs = all_runs(opened)
    done = tuple(run for run in runs if is_evaluated(run))
    if not done:
        name = runs[0].study
        raise UserError(
            f"{name}: no answers yet; run `python -m mmrc_helpers.run {name}` or evaluate(run) first"
        )
    return done


def is_evaluated(run: Run) -> bool:
    """Whether every evaluation of a run is there."""
    return all(folders.is_complete(stage.folder) for _, _, stage in stages.eval_stages(run))


def all_runs(opened: Run | Study) -> tuple[Run, ...]:
    """The run, or all runs of the study, evaluated or not."""
    return (opened,) if isinstance(opened, Run) else opened.runs


def missing(study: Study) -> list[str]:
    """Names of the runs that are not evaluated."""
    return [f"{run.variant}, seed {run.seed}" for run in study.runs if not is_evaluated(run)]


def answers(opened: Run | Study) -> pd.DataFrame:
    """All answers of a run, or of a study's evaluated runs, after every evaluated phase and in every world
    that was asked, prepared for the tables of `scores`."""
    return scores.join(
        table.assign(world=world, phase=phase) for _, phase, world, _, table in evaluations(opened)
    )


def evaluations(opened: Run | Study) -> Iterator[tuple[Run, int, str, Stage, pd.DataFrame]]:
    """Every evaluation of a run, or of a study's evaluated runs: run, phase, world, stage, and its prepared
    answers. Raises UserError when there are none."""
    for run in runs_of(opened):
        for phase, world, stage in stages.eval_stages(run):
            yield run, phase, world, stage, _answers(stage.folder, run.variant, run.seed, _made(stage.folder))


@lru_cache(maxsize=64)
def _answers(folder: Path, variant: str, seed: int, made: int) -> pd.DataFrame:
    return scores.read_answers(folders.check(folder, "answers.jsonl"), variant, seed)


def taught(run: Run) -> tuple[str, ...]:
    """The cells in which a run's facts are taught, over all phases; empty for the untrained control."""
    cells = [cell for phase in run.params["phases"] for cell in _taught(run, phase)]
    return tuple(dict.fromkeys(cells))


def _taught(run: Run, phase: Mapping) -> tuple[str, ...]:
    return tuple(world_of(run).taught(phase["teach"])) or ("everything",)


def mistakes(opened: Run | Study, count: int) -> pd.DataFrame:
    """Wrong answers about what was taught, of the variant that is read and its first seed: the first of every
    combination of the finding's axes."""
    found, axes = evidence(opened), finding_of(opened).axes
    rows = found.of("read") if found.report.get("read") else found.answers
    rows = rows[rows["correct"] == 0]
    for name, value in {**axes.about, **axes.taught, "drop": "none"}.items():
        rows = rows[rows[name] == value] if name in rows else rows
    rows = rows[rows["seed"] == rows["seed"].min()]
    cells = list(axes.values) or [name for name in next(iter(found.facets.values())) if name in rows]
    return rows.groupby(cells, sort=False).head(1).head(count)


def verdict_table(study: Study, found: Verdict) -> pd.DataFrame:
    """The verdict, its reasons part by part, what other rules say of the same answers, contrasts and power,
    what would refute it, and what was expected: one row each."""
    rows = [("verdict", found.verdict), ("in one sentence", found.sentence)]
    rows += [("because", reason) for reason in found.reasons]
    rows += [(f"by {rule}", said) for rule, said in found.earlier.items()]
    rows += list(found.notes.items())
    rows += [(f"would refute it: {name}", said) for name, said in finding_of(study).controls.items()]
    rows += [("question", study.question), ("expected beforehand", study.expected)]
    rows += [("rules", f"version {found.rules}")]
    rows += [("runs without answers", ", ".join(missing(study)) or "none")]
    return pd.DataFrame(rows, columns=["", "finding"]).set_index("")


# --- dynamics ----------------------------------------------------------------------------------------------


def traces(opened: Run | Study) -> dict[str, pd.DataFrame]:
    """The tables of `traces.read_run` of a run, or of all finished runs of a study, with variant and seed;
    empty where nothing was traced."""
    found = []
    for run in all_runs(opened):
        if places := [folders.check(of, "dynamics/*.parquet") for of in stages.traces_folders(run)]:
            tables = read_run(places)
            found.append({name: t.assign(variant=run.variant, seed=run.seed) for name, t in tables.items()})
    if not found:
        found = [{name: table.assign(variant="", seed=0) for name, table in read_run(()).items()}]
    return {name: pd.concat([tables[name] for tables in found], ignore_index=True) for name in found[0]}


def axes_of(opened: Run | Study, found: Mapping[str, pd.DataFrame]) -> Axes:
    """The axes of the study's finding; of a finding for any world, the first two facets that span its cells,
    with the values that occur."""
    axes = finding_of(opened).axes
    if axes.values:
        return axes
    there = set(found["logprobs"]["candidate"])
    wrong = next((kind for kind in (axes.wrong, *WRONG) if kind in there), axes.wrong)
    names = world_of(all_runs(opened)[0]).cells[:2]
    names = names if len(names) > 1 else (names[0], names[0])
    values = {name: tuple(dict.fromkeys(found["logprobs"][name].astype(str))) for name in names}
    return Axes(values=values, wrong=wrong)


def why_untraced(opened: Run | Study, table: str = "logprobs") -> str:
    """One sentence that says why a run or a study has no rows in this table of `traces`."""
    runs = all_runs(opened)
    if not any(run.params["phases"] for run in runs):
        return "No phases, so nothing to trace: this variant is the untrained control."
    if not any(run.params["dynamics"]["probes"] for run in runs):
        return "Training was not traced: dynamics.probes is 0 in this study."
    if traces(opened)["logprobs"].empty:
        return "No traces yet: the runs of this study with dynamics.probes are not trained."
    return f"The traces hold no {table}: dynamics.gradients is 0 in this study."


def trace_table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
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


# --- how tables are shown ----------------------------------------------------------------------------------


def figures_folder(opened: Run | Study) -> Path:
    """Where the figures of a run or of a study are saved for print."""
    is_run = isinstance(opened, Run)
    of = folders.run_folder(opened.study, opened.name) if is_run else folders.study_folder(opened.name)
    return of / "figures"


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


def _made(folder: Path) -> int:
    """When the stage was finished, in nanoseconds: what was read of it before may be used until it is made
    again."""
    mark = folder / "made.json"
    return mark.stat().st_mtime_ns if mark.is_file() else 0
