"""The result of a study as Markdown, for the README: written by a command from verdict.json and the stage
folders, so that no number in it is typed by hand."""

import pandas as pd

from mmrc_helpers.analysis import provenance, reading
from mmrc_helpers.analysis.intervals import percent
from mmrc_helpers.analysis.scores import matched
from mmrc_helpers.analysis.traces import alignment_ends
from mmrc_helpers.errors import UserError, show
from mmrc_helpers.store import files, folders
from mmrc_helpers.study.runs import Study

KNOWN = ("background", "known beside it")


def readme_table(study: Study) -> str:
    """Verdict, table of numbers, gradients and provenance. Raises UserError if the study's verdict.json is
    missing or was read by other rules than the present ones."""
    found = verdict_of(study)
    verdict = found["verdict"][:1].upper() + found["verdict"][1:]  # HARD stays HARD
    parts = [f"**{verdict}.** {found['sentence']}", numbers(study, found)]
    parts += [_rules(found), alignment(study), reading_note(study)]
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict_of(study: Study) -> dict:
    """The content of verdict.json, if it is of the present rules."""
    path = folders.study_folder(study.name) / "verdict.json"
    version = reading.finding_of(study).version
    again = f"run `make report STUDY={study.name}`"
    if not path.is_file():
        raise UserError(f"{show(path)} does not exist; {again}")
    found = files.read_json(path)
    if found.get("rules") != version or found.get("finding") != study.report["finding"]:
        raise UserError(f"{show(path)} is of earlier rules ({found.get('rules')}, now {version}); {again}")
    return found


def numbers(study: Study, found: dict) -> str:
    """One row per variant, one column per cell: percent with 95 % intervals over seeds and groups."""
    table = pd.DataFrame(found["numbers"])
    taught = {run.variant: reading.taught(run) for run in study.runs}
    if "population" not in table:
        table = table.assign(population="")
    first = table["population"].iloc[0]
    in_order = max((list(part["cell"]) for _, part in _by_variant(table, first)), key=len)
    cells = list(dict.fromkeys([*in_order, *table["cell"]]))  # some variants are asked more
    rows = [(name, _taught(taught.get(name, ())), part) for name, part in _by_variant(table, first)]
    read = study.report["read"]
    beside = table[(table["population"] == "background") & (table["variant"] == read)]
    if len(beside):
        rows.append((f"*{KNOWN[0]}, in {read}*", KNOWN[1], beside))
    told = {words for _, words, _ in rows} - {"nothing", "everything"}  # a world may not say where it teaches
    lines = [["variant", *(["taught in"] if told else []), "seeds", *(_head(cell) for cell in cells)]]
    lines.append(["---"] * len(lines[0]))
    for name, words, part in rows:
        of = part.set_index("cell")
        shown = [_value(of.loc[cell]) if cell in of.index else "" for cell in cells]
        lines.append([name, *([words] if told else []), f"{part['seeds'].max():.0f}", *shown])
    chances = table[table["population"] == first].groupby("cell", sort=False)["chance"].mean()
    lines.append(["*chance*", *[""] * (2 if told else 1), *(percent(chances[cell]) for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _by_variant(table: pd.DataFrame, population: str):
    return table[table["population"] == population].groupby("variant", sort=False)


def _head(cell: str) -> str:
    return cell.replace("/judge", "/judge, AUC").replace("/", " ")


def _taught(cells: tuple[str, ...]) -> str:
    return ", ".join(cell.replace("/", " ") for cell in cells) or "nothing"


def _value(row: pd.Series) -> str:
    """74 [67, 82]; the values of the seeds behind it where there are several."""
    seeds = row["by_seed"] or ()
    text = f"{100 * row['value']:.0f} [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"
    return text + (f" ({' / '.join(f'{100 * value:.0f}' for value in seeds)})" if len(seeds) > 1 else "")


def _rules(found: dict) -> str:
    """What other rules say of the same answers."""
    lines = [f"- By {rule}: {said}." for rule, said in found["earlier"].items()]
    return "\n".join([f"Read by rules {found['rules']}; the same answers", *lines]) if lines else ""


def alignment(study: Study) -> str:
    """Cosines between the gradients at the ends of the first axis, first → last probe, every seed."""
    axes, gradients = reading.finding_of(study).axes, reading.traces(study)["gradients"]
    if gradients.empty or len(axes.values) != 2:
        return ""
    ends = alignment_ends(gradients, axes)
    ends = ends.assign(shown=[f"{a:.2f} → {b:.2f}" for a, b in zip(ends["first"], ends["last"], strict=True)])
    grid = ends.groupby(["variant", "line"], sort=False)["shown"].agg("; ".join).unstack().fillna("")
    grid = grid[[name for name in list(axes.values.values())[1] if name in grid]]
    one, *_, other = next(iter(axes.values.values()))
    lines = [f"| cosine of {one} and {other} gradients, every seed | {' | '.join(grid.columns)} |"]
    lines.append("|" + "---|" * (len(grid.columns) + 1))
    order = [name for name in study.variants if name in grid.index]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(grid.loc[name])} |" for name in order)])


def reading_note(study: Study) -> str:
    """What was run where, and what is equal between variants."""
    made = provenance.provenance(study)
    done = made[made["device"] != "not made"]
    hours, commits = done["minutes"].sum() / 60, sorted(set(done["commit"]) - {""})
    exposure = reading.exposure(study)
    told = f"Made in {hours:.1f} hours on {', '.join(_places(done))}, by commit "
    told += f"{', '.join(commits) or 'unknown'}."
    told += " The same study on another machine or with other numbers of threads gives other digits."
    return f"{told} {matched(exposure)}" if len(exposure) else told


def _places(done: pd.DataFrame) -> list[str]:
    """Every way in which models were trained or asked: device, processes, threads, rows of a pass."""
    done = done[done["stage"] != "data"]
    return sorted({
        f"{r.device} ({r.processes} process{'es' * (r.processes > 1)} of {r.threads} "
        f"thread{'s' * (r.threads > 1)}, {r.micro_batch} rows a pass)"
        for r in done.itertuples()
    })  # fmt: skip
