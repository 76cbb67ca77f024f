"""Figures as files for papers: PNG, PDF and SVG in the print style, and a LaTeX snippet that includes them.
With matplotlib's `text.usetex` their text is set by LaTeX; ours is escaped for it."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

from mmrc_helpers.figures import style
from mmrc_helpers.store import files

DOTS_PER_INCH = 300
# Without the date, so that an unchanged figure is an unchanged file.
DATELESS = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
# Where a file holds its alternative text.
SAID = {"png": "Description", "pdf": "Subject", "svg": "Description"}
LATEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\u00a0": "~",
    "–": "--",
    "“": "``",
    "”": "''",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "Σ": r"$\Sigma$",
}


def save(draw: Callable[[], Figure], folder: Path, name: str) -> list[Path]:
    """Draw the figure in the print style and write `name`.png, .pdf, .svg and .tex into `folder`. Returns the
    four paths. The alternative text is the snippet's caption, and in the other files' own description."""
    files.make_folder(folder)
    paths = []
    with style.style("print"):
        figure = draw()
        alt = figure.get_label()
        if rcParams["text.usetex"]:
            escape_texts(figure)
        shown = style.trimmed(figure)
        for kind, dateless in DATELESS.items():
            paths.append(folder / f"{name}.{kind}")
            metadata = {**dateless, SAID[kind]: alt}
            figure.savefig(paths[-1], dpi=DOTS_PER_INCH, bbox_inches=shown, metadata=metadata)
    files.write_text(folder / f"{name}.tex", snippet(name, alt))
    return [*paths, folder / f"{name}.tex"]


def alternative_text(svg: Path) -> str:
    """The alternative text of a figure that `save` has written."""
    found = ElementTree.parse(svg).find(".//{http://purl.org/dc/elements/1.1/}description")
    return found.text if found is not None and found.text else ""


def snippet(name: str, alt: str) -> str:
    """A LaTeX figure that includes `name`.pdf, described by its alternative text."""
    return (
        "% needs \\usepackage{graphicx}; the file lies beside this one\n"
        "\\begin{figure}[t]\n"
        "  \\centering\n"
        f"  \\includegraphics[width=\\linewidth]{{{name}.pdf}}\n"
        f"  \\caption{{{latex(alt)}}}\n"
        f"  \\label{{fig:{name}}}\n"
        "\\end{figure}\n"
    )


def latex(text: str) -> str:
    """Plain text as LaTeX source."""
    return "".join(LATEX.get(character, character) for character in text)


def escape_texts(figure: Figure) -> None:
    """Escape every text of the figure that is not mathematics; axes with shared ticks share texts."""
    done = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_locator(), FixedLocator) and id(axis.major) not in done:
            labels = [_escaped(label.get_text()) for label in axis.get_ticklabels()]
            axis.set_ticks(axis.get_ticklocs(), labels)
            done.add(id(axis.major))
    for text in figure.findobj(Text):
        text.set_text(_escaped(text.get_text()))


def _escaped(text: str) -> str:
    return text if "$" in text else latex(text)
