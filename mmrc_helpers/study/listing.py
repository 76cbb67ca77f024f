"""All studies at a glance: what each asks, what it costs, how much of it is made and what it concluded, as
text and as the page artifacts/studies/index.html. Nothing is computed: folders are looked for."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.execution import sheet, terminal
from mmrc_helpers.store import crates, files, folders
from mmrc_helpers.study import stages, upkeep, yaml_files
from mmrc_helpers.study.runs import Study, load_study

NOT_RUN = "not run"
GALLERY = "gallery.html"  # beside the index, where every world is shown
PAGES = {"report": "report.html", "runs": "index.html", "answers": "answers.html"}  # of a study


@dataclass(frozen=True)
class Entry:
    """A line of the index. folder: where report and figures of the study lie. problem: why its file cannot be
    read; the rest is empty then."""

    name: str
    folder: Path
    question: str = ""
    cost: str = ""
    state: str = NOT_RUN
    verdict: str = ""
    problem: str = ""


def entries(params_folder: Path) -> list[Entry]:
    """Every study of params/ and `params_folder`, and those that were run by path, by name; then those that
    were imported."""
    paths = [path for path in upkeep.study_files(params_folder) if path.stem != "base"]
    with yaml_files.reading_once():  # many studies have one parent
        found = [_entry(path) for path in sorted(paths, key=lambda path: path.stem)]
    return found + [_imported(root) for root in crates.imported_roots()]


def _entry(path: Path) -> Entry:
    folder = folders.study_folder(path.stem)
    try:
        study = load_study(path)
        return Entry(study.name, folder, study.question, study.cost, state(study), _verdict(folder))
    except (UserError, PermissionError) as error:
        return Entry(path.stem, folder, problem=str(error))


def _imported(root: Path) -> Entry:
    """A study that was imported; its own folder of artifacts says the rest."""
    name, folder = root.name, root / "studies" / root.name
    try:
        question = files.read_json(root / crates.MARK)["question"]
    except UserError as error:
        return Entry(name, folder, problem=str(error))
    said = f"imported, only read: MMRC_ARTIFACTS={show(root)} opens it"
    return Entry(name, folder, question, state=said, verdict=_verdict(folder))


def state(study: Study) -> str:
    """How many of a study's runs are evaluated and of its stages made, and whether there is a report."""
    needed = {stage.folder for run in study.runs for stage in stages.stages_of(run)}
    made = {folder: folders.is_complete(folder) for folder in needed}
    report = (folders.study_folder(study.name) / "report.html").is_file()
    if not any(made.values()):
        return "not run as it is now; report of an earlier state" if report else NOT_RUN
    runs = [all(made[stage.folder] for _, _, stage in stages.eval_stages(run)) for run in study.runs]
    told = f"{sum(runs)} of {len(runs)} runs, {sum(made.values())} of {len(made)} stages"
    return f"{told}, {'report' if report else 'no report'}"


def _verdict(folder: Path) -> str:
    """The verdict in a line, from the report's verdict.json; empty without one."""
    path = folder / "verdict.json"
    try:
        found = files.read_json(path) if path.is_file() else {}
    except UserError as error:
        return str(error)
    without = found.get("missing_runs", [])
    return found.get("verdict", "") + (f" (without {len(without)} runs)" if without else "")


def say(params_folder: Path) -> int:
    """Prints all studies in 80 columns, and writes their page where that may be written. Returns the exit
    status."""
    print("\n\n".join(map(told, entries(params_folder))))
    if can_write_index():
        print(f"\nas a page: {show(write_index(params_folder))}")
    return 0


def told(entry: Entry) -> str:
    """An entry in lines of 80 columns."""
    name = f"{entry.name:<20}  "
    if entry.problem:
        return terminal.paragraph(f"cannot be read: {entry.problem}", "  ", name)
    lines = [(name, entry.state), ("  ", entry.question), ("  cost: ", entry.cost)]
    lines += [("  verdict: ", entry.verdict)]
    return "\n".join(terminal.paragraph(text, "  ", first) for first, text in lines if text)


def write_index(params_folder: Path) -> Path:
    """Writes the page of all studies, whole and under a claim, so that of studies that end together the last
    one has seen both. Returns the page."""
    folder = folders.study_folder("any").parent
    files.make_folder(folder)
    with folders.claim(folder):
        files.write_text(folder / "index.html", _page(entries(params_folder), folder))
    return folder / "index.html"


def is_behind(mark: Path) -> bool:
    """Whether the page is older than this mark of a report, or missing, and may be written here."""
    page = folders.study_folder("index.html")
    return can_write_index() and not (page.is_file() and page.stat().st_mtime_ns >= mark.stat().st_mtime_ns)


def can_write_index() -> bool:
    """Whether the page may be written here: who reads imported artifacts, or somebody else's, only looks."""
    folder = folders.study_folder("any").parent
    if crates.imported():
        return False
    return folder.is_dir() and os.access(folder, os.W_OK) and os.access(folder.parent, os.W_OK)


def _page(found: Sequence[Entry], folder: Path) -> str:
    done = [entry for entry in found if entry.state != NOT_RUN and not entry.problem]
    rest = [entry for entry in found if entry not in done]
    gallery = GALLERY if (folder / GALLERY).is_file() else ""
    link = f' <a href="{gallery}">What the worlds look like</a>.' if gallery else ""
    parts = [f"<p>{len(done)} of {len(found)} studies have results here.{link}</p>"]
    parts += [_section(entry, folder) for entry in (*done, *rest)]
    return sheet.page("Studies", "\n".join(parts))


def _section(entry: Entry, folder: Path) -> str:
    """A study on the page: its main figure small, and what is known of it."""
    name, links = escape(entry.name), []
    for label, file in PAGES.items():
        if (entry.folder / file).is_file():
            path = escape(os.path.relpath(entry.folder / file, folder))
            links.append(f'<a href="{path}" aria-label="{label} of {name}">{label}</a>')
    facts = {"verdict": entry.verdict, "state": entry.state, "cost": entry.cost}
    lines = [f"<p>{escape(entry.question or entry.problem)}</p>"]
    lines += [f"<p><b>{key}:</b> {escape(text)}</p>" for key, text in facts.items() if text]
    if links:
        lines.append(f"<p>{' · '.join(links)}</p>")
    figure = sheet.thumbnail(entry.folder / "figures" / "scores.png", f"Main figure of {entry.name}")
    return f'<section class="study"><div><h2>{name}</h2>{"".join(lines)}</div>{figure}</section>'
