"""Files that change while a study runs: it is read once, its results are of one state, and it says what
changed. And notebooks that were only opened and saved have not changed."""

import json
from pathlib import Path

import nbformat
import pytest
from test_run import FINISH, MAKE_STAGES, REPORT, command, executed, place, write_notebook, write_study

from mmrc_helpers import run
from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import lab
from mmrc_helpers.programs.generate import check_unchanged
from mmrc_helpers.store import disk, files

__all__ = ["place"]  # the fixture

FIRST_TIME = """
from pathlib import Path
from mmrc_helpers.study.runs import PARAMS_FOLDER
params = Path(study).parent
once = files.artifacts_root() / "edited"
if not once.exists():
    once.touch()
"""
NEW = "model: {source: scratch}\\nphases: []\\npeople: {novel: 24}\\nvariants: {a: {}, c: {}}\\n"
EDITS = {  # what happens in the middle of the first run: what is said to have changed
    "another parameter and other variants": (f'Path(study).write_text("{NEW}")', "mini.yaml"),
    "half a file": ('Path(study).write_text("variants: {")', "mini.yaml"),
    "the file removed": ("Path(study).unlink()", "mini.yaml"),
    "another default": (
        'base = params / "base.yaml"\n'
        '    base.write_text(base.read_text().replace("orders: 4", "orders: 2"))',
        "base.yaml",
    ),
    "all files removed": ("for path in params.iterdir(): path.unlink()", "mini.yaml"),
    "the notebook itself": (
        'path = params.parent / "notebooks" / "03_evaluate.ipynb"\n'
        '    path.write_text(path.read_text().replace("the first", "another"))',
        "03_evaluate.ipynb",
    ),
}


@pytest.mark.parametrize(("edit", "changed"), EDITS.values(), ids=EDITS)
def test_a_study_is_read_once(place, capfd, edit, changed):
    write_study(place, "a: {}, b: {}")
    write_notebook(place, "03_evaluate", [MAKE_STAGES, f"{FIRST_TIME}    {edit}", "'the first'", FINISH])
    assert run.main(command(place)) == 0
    said = capfd.readouterr().out
    assert executed(place) == ["a-s0", "b-s0"]
    assert "verdict: inconclusive" in said and said.rstrip().endswith("0 failed")
    assert f"{changed}; this was the study as it was at the start" in said
    assert len(list((place / "artifacts" / "data").iterdir())) == 1  # of one state


def test_the_next_run_is_of_the_changed_study(place, capfd):
    write_study(place, "a: {}, b: {}")
    edit = f'Path(study).write_text("{NEW}")'
    write_notebook(place, "03_evaluate", [MAKE_STAGES, f"{FIRST_TIME}    {edit}", FINISH])
    assert run.main(command(place)) == 0
    assert run.main(command(place)) == 0
    assert executed(place) == ["a-s0", "b-s0", "a-s0", "c-s0"]
    assert (
        "changed while this ran"
        not in capfd.readouterr().out.rpartition("2 runs in")[0].rpartition("2 runs in")[2]
    )


def test_a_run_that_did_not_make_its_report_is_no_success(place, capfd):
    write_study(place, "a: {}, b: {}")
    gone = """
if variant == "b":  # as another process's --redo would
    for folder in (files.artifacts_root() / "eval").iterdir():
        (folder / "made.json").unlink()
"""
    write_notebook(place, "03_evaluate", [MAKE_STAGES, FINISH, gone])
    assert run.main(command(place)) == 1
    said = capfd.readouterr().out
    assert "the report waits for a-s0, b-s0" in said and "0 failed" in said


ROWS = '{"question": "Which colour has a {}?", "answer": "blue"}\n'


def test_rows_that_change_while_a_study_runs_are_named_and_the_run_is_no_success(place, capfd):
    rows = place / "rows.jsonl"
    rows.write_text("".join(ROWS.replace("{}", f"thing {number}") for number in range(40)))
    own = f"data: {{world: files}}\nfiles: {{path: {rows}}}\nreport: {{finding: accuracy}}\n"
    write_study(place, "a: {}", own)
    write_notebook(place, "05_report_accuracy", [REPORT])
    edit = f"    path = Path({str(rows)!r})\n    path.write_text(path.read_text().replace('blue', 'red'))"
    write_notebook(place, "03_evaluate", [MAKE_STAGES, f"{FIRST_TIME}{edit}", FINISH])
    assert run.main(command(place)) == 1
    said = capfd.readouterr().out
    assert f"changed while this ran: {rows}; run the study again" in said and "waits for a-s0" in said
    assert run.main(command(place)) == 0


def test_data_are_never_made_of_other_rows_than_their_key_says(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("one")
    sums = {str(rows): disk.checksum(rows)}
    check_unchanged(sums)
    for change in (lambda: rows.write_text("two"), rows.unlink):
        change()
        with pytest.raises(
            UserError, match="rows.jsonl: changed while data were made of it; start the study"
        ):
            check_unchanged(sums)


# --- notebooks that were opened ---------------------------------------------------------------------------


def as_jupyter_saves(path: Path) -> None:
    """What opening, running and saving a notebook in JupyterLab does to its file."""
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(notebook.cells):
        cell.metadata["editable"] = True
        if cell.cell_type == "code":
            cell.execution_count = number
            cell.outputs = [nbformat.v4.new_output("stream", text="hello")]
    notebook.metadata["kernelspec"] = {
        "name": "other",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    notebook.cells.append(nbformat.v4.new_code_cell())  # Shift-Enter in the last cell
    notebook.metadata["language_info"] = {"name": "python", "version": "3.13.0"}
    nbformat.write(notebook, path)


def test_a_notebook_that_was_opened_and_saved_is_not_run_again(place):
    write_study(place, "a: {}")
    assert run.main(command(place)) == 0
    for path in (place / "notebooks").iterdir():
        as_jupyter_saves(path)
    assert run.main(command(place)) == 0
    assert executed(place) == ["a-s0"]


def test_a_notebook_whose_cells_were_edited_is_run_again(place):
    write_study(place, "a: {}")
    assert run.main(command(place)) == 0
    path = place / "notebooks" / "03_evaluate.ipynb"
    path.write_text(path.read_text().replace("progress is shown", "progress was shown"))
    assert run.main(command(place)) == 0
    assert executed(place) == ["a-s0", "a-s0"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}', "<<<<<<< HEAD\n{}", '{"worksheets": []}'])
def test_a_notebook_that_is_none_is_named(place, capfd, content):
    write_study(place, "a: {}")
    (place / "notebooks" / "03_evaluate.ipynb").write_text(content)
    assert run.main(command(place)) == 2
    assert "03_evaluate.ipynb is no notebook" in capfd.readouterr().err


def test_files_that_lie_about_do_not_stop_jupyterlab(place):
    for name in ("._03_evaluate.ipynb", ".~03_evaluate.ipynb"):
        (place / "notebooks" / name).write_bytes(b"\x00\x05\x16\x07\xff")
    made = lab.working_copies(place / "notebooks")
    assert {path.name for path in made.glob("*.ipynb")} == {"03_evaluate.ipynb", "05_report_reversal.ipynb"}


def test_jupyterlab_works_on_copies_that_follow_their_originals_until_they_are_edited(place, capfd):
    originals, copy = place / "notebooks", place / "artifacts" / "lab" / "03_evaluate.ipynb"
    before = {path: path.read_bytes() for path in originals.iterdir()}
    assert lab.working_copies(originals) == copy.parent and copy.read_bytes() == before[originals / copy.name]
    as_jupyter_saves(copy)
    saved = copy.read_bytes()
    lab.working_copies(originals)
    assert copy.read_bytes() == saved  # its outputs stay as long as its original does
    write_notebook(place, "03_evaluate", ["print('of the next version')"])
    lab.working_copies(originals)
    assert "of the next version" in copy.read_text()

    mine = copy.read_text().replace("next version", "user's own")
    copy.write_text(mine)
    lab.working_copies(originals)
    assert copy.read_text() == mine and not copy.with_suffix(".new.ipynb").exists()
    write_notebook(place, "03_evaluate", ["print('of a third version')"])
    lab.working_copies(originals)
    lab.working_copies(originals)
    assert copy.read_text() == mine and "third version" in copy.with_suffix(".new.ipynb").read_text()
    assert capfd.readouterr().out.count("holds your changes; the project's is now 03_evaluate.new.ipynb") == 1
    copy.unlink()
    lab.working_copies(originals)
    assert "third version" in copy.read_text()


def test_a_place_for_copies_that_cannot_be_written_is_one_sentence(place, monkeypatch):
    (place / "file").touch()
    monkeypatch.setenv("MMRC_ARTIFACTS", str(place / "file"))
    with pytest.raises(UserError, match="cannot write to .*; set MMRC_ARTIFACTS"):
        lab.working_copies(files.REPOSITORY / "notebooks")
    assert json.loads((place / "notebooks" / "03_evaluate.ipynb").read_text())["cells"]
