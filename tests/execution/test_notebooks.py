"""The skeleton that every committed notebook keeps, and that each one runs to its end on a finished study."""

import ast
import importlib.util
import os
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import papermill
import pytest

import mmrc_helpers as mm
from mmrc_helpers.execution.pages import render_html

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SET_UP = "set-up"  # the cell that installs the package where it is absent; it is no part of the story


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and SET_UP not in tags(cell)]


def prose(notebook) -> str:
    return " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_notebooks_are_numbered():
    assert [path.stem for path in NOTEBOOKS][:3] == ["01_data", "02_train", "03_evaluate"]
    assert all(re.fullmatch(r"\d\d_[a-z_]+", path.stem) for path in NOTEBOOKS)


def test_it_is_committed_without_outputs(notebook):
    assert all(not cell.outputs and cell.execution_count is None for cell in code(notebook))


def test_it_has_at_most_twelve_code_cells_of_three_lines(notebook):
    assert len(code(notebook)) <= 12
    assert all(len(cell.source.splitlines()) <= 3 for cell in code(notebook))


def test_it_holds_no_logic(notebook):
    banned = (ast.FunctionDef, ast.Lambda, ast.For, ast.While, ast.If, ast.ListComp, ast.ClassDef, ast.Try)
    for cell in code(notebook):
        assert not any(isinstance(node, banned) for node in ast.walk(ast.parse(cell.source))), cell.source


def test_it_starts_with_title_parameters_open(notebook):
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    parameters, opened = code(notebook)[:2]
    assert [("parameters" in cell.metadata.get("tags", [])) for cell in code(notebook)].count(True) == 1
    assert "parameters" in parameters.metadata["tags"] and ".open_" in opened.source


def test_it_installs_the_package_where_it_is_absent_and_does_nothing_else(notebook, monkeypatch):
    set_up = notebook.cells[1]
    assert [cell for cell in notebook.cells if SET_UP in tags(cell)] == [set_up]
    asked = []
    here = SimpleNamespace(run_cell=asked.append)
    exec(set_up.source, {"get_ipython": lambda: here})
    assert asked == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    exec(set_up.source, {"get_ipython": lambda: here})
    assert asked == ["%pip install -q -e ..\nimport site; site.main()"]


def test_its_parameters_are_literals_and_name_the_smoke_study(notebook):
    values = {}
    for line in ast.parse(code(notebook)[0].source).body:
        assert isinstance(line, ast.Assign)
        values[line.targets[0].id] = ast.literal_eval(line.value)
    assert values in ({"study": "smoke", "variant": "forward", "seed": 0}, {"study": "smoke"})


def test_every_further_cell_is_one_verb_after_prose(notebook):
    cells = notebook.cells
    start = cells.index(code(notebook)[1]) + 1
    for text, verb in zip(cells[start::2], cells[start + 1 :: 2], strict=True):
        assert text.cell_type == "markdown" and verb.cell_type == "code"
        called = re.fullmatch(r"mm\.(\w+)\((run|opened)(, \"\w+\")?\)", verb.source)
        assert called and callable(getattr(mm, called[1])), verb.source


def test_it_has_eight_words_of_prose_for_every_line_of_code(notebook):
    lines = sum(len(cell.source.splitlines()) for cell in code(notebook))
    assert len(prose(notebook).split()) >= 8 * lines


def test_figures_and_tables_are_preceded_by_what_to_look_for(notebook):
    for text, verb in zip(notebook.cells, notebook.cells[1:], strict=False):
        if verb.cell_type == "code" and ".plot_" in verb.source:
            assert len(text.source.split()) >= 20, verb.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_to_its_end_and_makes_a_small_page(path, simulated):
    made = simulated.executed(path.stem)
    ran = [cell for cell in code(nbformat.read(made, as_version=4)) if cell.execution_count]
    # the injected parameters are a cell of their own
    assert len(ran) == len(code(nbformat.read(path, as_version=4))) + 1
    page = made.with_suffix(".html")
    html = page.read_text(encoding="utf-8")
    assert page.stat().st_size < 5_000_000 and html.count("<script") == 1
    assert "does-not-apply" not in html and "pip install" not in html


def test_it_runs_in_a_kernel_of_the_users_own(simulated, tmp_path, monkeypatch):
    parameters = {"study": str(simulated.study), "variant": "forward", "seed": 0}
    simulated.executed("01_data")
    monkeypatch.setenv("MMRC_ARTIFACTS", str(simulated.place / "artifacts"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")]))
    output = tmp_path / "01_data.ipynb"
    papermill.execute_notebook(FOLDER / output.name, output, parameters, kernel_name="python3",
                               progress_bar=False)  # fmt: skip
    assert all(cell.execution_count for cell in code(nbformat.read(output, as_version=4)))
    assert render_html(output, tmp_path / "page.html").stat().st_size < 5_000_000
