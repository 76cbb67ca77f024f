"""A user's matplotlibrc does not reach the figures: black on white whatever it says, in JupyterLab as in a
run."""

import shutil

import pytest
from matplotlib import pyplot, rc_context, rcParams
from matplotlib.figure import Figure

from mmrc_helpers.figures import style

FILES = {
    "dark": {
        "figure.facecolor": "black",
        "axes.facecolor": "black",
        "text.color": "white",
        "xtick.color": "white",
    },
    "dark lines": {"axes.edgecolor": "white", "axes.labelcolor": "white", "ytick.labelcolor": "white"},
    "large": {"font.size": 40, "figure.dpi": 30, "savefig.dpi": 30, "axes.titlesize": 60},
    "no ticks": {"xtick.bottom": False, "ytick.left": False, "axes.spines.left": False},
    "other fonts": {"font.family": "no such font", "mathtext.fontset": "cm"},
    "saved otherwise": {"savefig.transparent": True, "savefig.facecolor": "black", "savefig.format": "svg"},
    "a dark style": pyplot.style.library["dark_background"],
    "a loud style": {**pyplot.style.library["ggplot"], "image.cmap": "gray", "lines.linewidth": 9},
    "LaTeX": {"text.usetex": True},
}


def draw() -> Figure:
    figure = Figure(figsize=(2, 1.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([1, 2, 3])
    axes.set_title("title $x^2$")
    axes.set_xlabel("label")
    figure.set_label("a line")
    return figure


def picture() -> bytes:
    with style.style("screen"):
        return style.image(draw()).data


@pytest.mark.parametrize("given", FILES.values(), ids=FILES)
def test_a_figure_is_the_same_whatever_the_users_file_says(given):
    plain = picture()
    with rc_context(given):
        before = dict(rcParams)
        assert picture() == plain
        assert dict(rcParams) == before  # JupyterLab keeps the user's own


@pytest.mark.parametrize("latex", [True, False])
def test_latex_sets_print_only_where_it_is_installed(monkeypatch, tmp_path, latex):
    if latex:
        (tmp_path / "latex").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bool(shutil.which("latex")) == latex
    with rc_context({"text.usetex": True}), style.style("print"):
        assert rcParams["text.usetex"] == latex
    with rc_context({"text.usetex": True}), style.style("screen"):
        assert not rcParams["text.usetex"]
