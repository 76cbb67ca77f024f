"""README.md is written from finished studies: numbers and figures stand between their marks; the rest
stays."""

from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from mmrc_helpers import readme
from mmrc_helpers.errors import UserError
from mmrc_helpers.figures import export, style
from mmrc_helpers.store import folders

TEXT = (
    "# A\n<!-- results of one -->\nold\n<!-- end -->\n<!-- figure cells of one -->\nold\n<!-- end -->\nrest\n"
)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A finished study with a figure, beside a README of our own."""
    monkeypatch.setenv("MMRC_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    monkeypatch.setattr(readme, "FIGURES", tmp_path / "kept")
    export.save(
        lambda: style.described(Figure(), "Six [6] cells × 2 & more"),
        folders.study_folder("one") / "figures",
        "cells",
    )
    return tmp_path


def test_results_and_figures_stand_between_their_marks(drawn):
    text = readme.with_figures(readme.replaced(TEXT, "one", "new\n"), "one")
    assert text == (
        "# A\n<!-- results of one -->\nnew\n<!-- end -->\n<!-- figure cells of one -->\n"
        "![Six (6) cells × 2 & more](kept/one-cells.svg)\n<!-- end -->\nrest\n"
    )
    assert readme.with_figures(text, "one") == text == readme.with_figures(text, "other")
    assert (drawn / "kept" / "one-cells.svg").read_text().startswith("<?xml")


def test_a_study_may_have_figures_alone(drawn, monkeypatch):
    monkeypatch.setattr(readme, "load_study", lambda name: SimpleNamespace(name=name))
    readme.README.write_text("<!-- figure cells of one -->\n<!-- end -->\n")
    assert readme.main(["one"]) == 0 == readme.main(["one"])
    assert readme.README.read_text().count("](kept/one-cells.svg)") == 1


def test_a_study_without_marks_or_a_mark_without_a_figure_is_named(drawn):
    with pytest.raises(UserError, match="no line `<!-- results of two -->`"):
        readme.replaced(TEXT, "two", "new\n")
    with pytest.raises(UserError, match=r"gates\.svg does not exist; run `make report STUDY=one`"):
        readme.with_figures(TEXT.replace("cells", "gates"), "one")
