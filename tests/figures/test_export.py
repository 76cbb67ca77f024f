"""Figures for print: four files each, the same bytes for the same figure, and LaTeX that compiles."""

import shutil
import subprocess

import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from mmrc_helpers.figures import export, style

HOSTILE = r"50 % of a_b & {c} #1 $x$ \input{d} ~^ – × ≥"


def draw() -> Figure:
    figure = Figure(figsize=(2, 2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, -1])
    axes.set_yticks([-1, 0], ["0 %", "100 %"])
    axes.set_title("a_b & c")
    return style.described(figure, HOSTILE)


def test_a_figure_becomes_png_pdf_svg_and_a_snippet(tmp_path):
    paths = export.save(draw, tmp_path / "figures", "cells")
    assert [path.suffix for path in paths] == [".png", ".pdf", ".svg", ".tex"]
    heads = [path.read_bytes()[:5] for path in paths]
    assert heads[0].startswith(b"\x89PNG") and heads[1] == b"%PDF-" and heads[2] == b"<?xml"
    assert export.alternative_text(paths[2]) == HOSTILE
    assert "{cells.pdf}" in paths[3].read_text() and r"\label{fig:cells}" in paths[3].read_text()


def test_an_unchanged_figure_is_an_unchanged_file(tmp_path):
    first, second = export.save(draw, tmp_path / "a", "x"), export.save(draw, tmp_path / "b", "x")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_caption_is_escaped():
    text = export.snippet("x", HOSTILE)
    assert r"50 \% of a\_b \& \{c\} \#1 \$x\$ \textbackslash{}input\{d\}" in text and r"$\geq$" in text


def test_texts_that_are_no_mathematics_are_escaped_for_latex_once():
    figure = Figure()
    left, right = figure.subplots(1, 2, sharey=True)
    style.share_axis(left)
    left.set(title="a_b & c", xlabel="$x_1$ %")
    right.set_xticks([0, 1], ["50 %", "x"])
    export.escape_texts(figure)
    assert left.get_title() == r"a\_b \& c" and left.get_xlabel() == "$x_1$ %"
    assert [label.get_text() for label in left.get_yticklabels()][:2] == [r"0 \%", r"25 \%"]
    assert [label.get_text() for label in right.get_xticklabels()] == [r"50 \%", "x"]


def test_print_has_its_own_fonts_and_leaves_no_trace():
    from matplotlib import rcParams

    before = dict(rcParams)
    with style.style("print"):
        assert rcParams["font.family"] == ["STIXGeneral"] and rcParams["pdf.fonttype"] == 42
    assert dict(rcParams) == before


@pytest.mark.skipif(not shutil.which("latex"), reason="LaTeX is not installed")
def test_latex_sets_the_text_and_the_snippet_compiles(tmp_path):
    with rc_context({"text.usetex": True}):
        export.save(draw, tmp_path, "cells")
    body = r"\documentclass{article}\usepackage{graphicx}\begin{document}\input{cells.tex}\end{document}"
    (tmp_path / "paper.tex").write_text(body)
    subprocess.run(["pdflatex", "-interaction=batchmode", "paper.tex"], cwd=tmp_path, check=True)
