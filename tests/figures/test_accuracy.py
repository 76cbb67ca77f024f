"""Figures are drawn from tables, carry alternative text, and survive what a small study leaves out."""

import base64
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmrc_helpers.analysis import FINDINGS
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.figures import accuracy, checks, style

REVERSAL = FINDINGS["reversal"].figures


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    probed = {"probe": True, "invalid": {"reverse/free": 1}}
    return synthetic.evidence(seeds=(0, 1), people=12, forward=(synthetic.FORWARD, probed))


@pytest.mark.parametrize("look", style.STYLES)
@pytest.mark.parametrize("name", REVERSAL)
def test_every_figure_is_a_png_with_alternative_text_that_holds_its_numbers(name, look, evidence):
    with style.style(look):
        data, metadata = style.image(REVERSAL[name](evidence))._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert sum(character.isdigit() for character in metadata["image/png"]["alt"]) > 5


def test_the_main_figure_says_every_variants_numbers_in_words(evidence):
    alt = REVERSAL["scores"](evidence).get_label()
    assert "forward: forward free 100 %" in alt and "reverse choice 25 %, reverse name first 25 %" in alt


def test_the_main_figure_has_a_dot_for_every_seed(evidence):
    figure = REVERSAL["scores"](evidence)
    dots = {
        axes.get_title(): [line for line in axes.lines if line.get_label() == "every seed"]
        for axes in figure.axes
    }
    assert len(dots["forward"][0].get_xdata()) == 2 * 7 and not dots["shuffled"]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    whose = {"novel people, forward", "novel people, reverse", "background people"}
    assert set(named) == {"chance", "every seed", *whose}


def test_many_variants_are_rows_with_their_seeds_full_where_they_were_taught():
    """The variants of why_reverse would be four rows of panels; as rows of one figure they compare."""
    names = [f"variant {k}" for k in range(accuracy.PANELS + 1)]
    table = pd.DataFrame(
        {"variant": np.repeat(names, 2), "series": "novel people", "section": ["x", "y"] * 9}
    )
    table = table.assign(tick="choice", value=0.5, low=0.4, high=0.6, chance=0.25, taught=[True, False] * 9)
    table["by_seed"] = [(0.45, 0.5, 0.55)] * 6 + [(0.5,)] * 12
    figure = accuracy.cells(table, ["x", "y"])
    first, second = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == names
    assert sum(list(line.get_xdata()) == [0.45, 0.5, 0.55] for line in first.lines) == 3
    fills = [{line.get_markerfacecolor() for line in axes.lines if line.get_marker() in "os"} for axes in
             (first, second)]  # fmt: skip
    assert fills == [{style.SECTIONS[0]}, {"white"}]
    assert "variant 8: x choice 50 %, y choice 50 %" in figure.get_label()


def test_the_transfer_matrix_shows_intervals_and_a_guesser(evidence):
    axes = REVERSAL["transfer"](evidence).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "chance"
    texts = [text.get_text() for text in axes.texts]
    assert texts[-6:-4] == ["25", "50"]  # forward choice, forward judge
    assert any(text.startswith("100\n") and text.endswith("–100") for text in texts)


def test_what_a_variant_was_taught_in_is_framed(evidence):
    figure = REVERSAL["transfer"](evidence)
    frames = {(round(patch.get_x() - 0.03), round(patch.get_y() - 0.03)) for patch in figure.axes[0].patches}
    rows = list(dict.fromkeys(evidence.answers["variant"]))
    assert {(0, rows.index("naming")), (2, rows.index("forward"))} <= frames and (
        3,
        rows.index("forward"),
    ) not in frames


def test_a_failed_gate_is_told_by_shape_and_word(evidence):
    figure = REVERSAL["gates"](evidence)
    assert "free, 4 strict validity failed with 92 %" in figure.get_label()
    assert any("failed: 92 %" in text.get_text() for text in figure.axes[0].texts)


@pytest.mark.parametrize(("value", "low", "high"), [(0.8, 0.6, 0.9), (0.3, 0.2, 0.45)])
def test_the_word_of_a_failed_gate_stands_beside_its_interval(value, low, high):
    gate = {"panel": "p", "gate": "1 learned", "value": value, "low": low, "high": high, "least": 0.9}
    figure = checks.gates(pd.DataFrame([gate | {"most": np.nan, "passed": False}]), pd.DataFrame())
    (word,) = figure.axes[0].texts
    assert (word.get_position()[0], word.get_ha()) in ((low - 0.03, "right"), (high + 0.03, "left"))


LONG = ("prompt_discrimination", "response_selection", "a name that is long and has spaces", "written")


@pytest.mark.parametrize("look", style.STYLES)
@pytest.mark.parametrize("ticks", [["none"], ["image_via_text", "text"]])
@pytest.mark.parametrize("variants", [1, accuracy.PANELS + 1])
def test_long_names_of_cells_do_not_lie_over_each_other(look, ticks, variants):
    names = [f"v{k}" for k in range(variants)]
    places = [(variant, section, tick) for variant in names for section in LONG for tick in ticks]
    table = pd.DataFrame(places, columns=["variant", "section", "tick"])
    table = table.assign(
        series="accuracy", value=0.5, low=0.4, high=0.6, chance=0.25, by_seed=[()] * len(table)
    )
    cells = [f"{section}/{tick}" for section in LONG for tick in ticks]
    with style.style(look):
        grid = pd.DataFrame(0.5, index=names, columns=cells)
        for figure in (
            accuracy.cells(table, LONG),
            accuracy.matrices({"accuracy": grid}, pd.DataFrame(columns=cells)),
        ):
            figure.draw_without_rendering()
            shown = [
                text for axes in figure.axes for text in (axes.title, *axes.texts, *axes.get_xticklabels())
            ]
            flat = [text for text in shown if text.get_rotation() == 0 and not text.get_text().isdigit()]
            boxes = {text: Text.get_window_extent(text) for text in flat if text.get_text()}
            for one, other in combinations(boxes, 2):
                assert not boxes[one].overlaps(boxes[other]), (one.get_text(), other.get_text())


@pytest.mark.parametrize("variants", [1, 3, 7])
def test_the_legend_of_gaps_hides_nothing_of_the_axis(variants):
    names = [f"variant {k}" for k in range(variants)]
    table = pd.DataFrame(
        {"variant": names, "panel": "p", "line": "text", "gap": 0.2, "low": 0.1, "high": 0.3}
    )
    figure = accuracy.gaps(table.assign(by_seed=[()] * variants), names)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes, renderer = figure.axes[0], canvas.get_renderer()
    assert not axes.get_legend().get_window_extent().overlaps(axes.xaxis.get_tightbbox(renderer))


def test_a_figure_without_alternative_text_is_refused():
    with pytest.raises(ValueError, match="alternative text"):
        style.image(Figure())


@pytest.mark.parametrize(
    "kept",
    [
        {"format": "choice", "population": "novel"},
        {"format": "free"},
        {"variant": "forward", "seed": 0},
        {"drop": "none", "variant": "forward"},
    ],
    ids=str,
)
def test_cells_that_were_not_asked_leave_a_gap_or_a_sentence_not_an_error(kept, evidence):
    answers = evidence.answers
    for column, value in kept.items():
        answers = answers[answers[column] == value]
    small = Evidence(answers, evidence.report, evidence.taught)
    for draw in REVERSAL.values():
        drawn = draw(small)
        assert drawn.endswith(".") if isinstance(drawn, str) else style.image(drawn)


def test_a_study_without_what_is_read_says_so(evidence):
    other = Evidence(evidence.answers, {**evidence.report, "read": "nobody"}, evidence.taught)
    assert (
        REVERSAL["gates"](other) == "This study has no evaluated variant nobody, from which gates are read."
    )
    bare = Evidence(evidence.answers[evidence.answers["drop"] == "none"], {}, evidence.taught)
    assert "report.controls" in REVERSAL["controls"](bare)


def test_the_generic_findings_figures_are_drawn_from_any_facets(evidence):
    facets = {"people": ("direction", "format")}
    any_world = Evidence(evidence.answers, evidence.report, evidence.taught, facets)
    for draw in FINDINGS["accuracy"].figures.values():
        drawn = draw(any_world)
        assert drawn.endswith(".") if isinstance(drawn, str) else style.image(drawn)


def test_figures_take_plain_tables():
    table = pd.DataFrame(
        {"variant": ["a", "a"], "series": "all", "section": ["x", "y"], "tick": ["one", "two"]}
    )
    table = table.assign(value=[0.5, 1.0], low=0.4, high=1.0, chance=np.nan, by_seed=[(0.4, 0.6), ()])
    assert "x one 50 %, y two 100 %" in accuracy.cells(table, ["x", "y"]).get_label()
    gate = {"panel": "p", "gate": "1 learned", "value": np.nan, "low": np.nan, "high": np.nan, "least": 0.9}
    style.image(checks.gates(pd.DataFrame([gate | {"most": np.nan, "passed": False}]), pd.DataFrame()))


def test_palette_marker_hatch_and_dashes_tell_as_many_lines_apart():
    kinds = (style.COLOURS, style.MARKERS, style.HATCHES, style.LINES)
    assert [len(set(kind)) for kind in kinds] == [9, 9, 9, 9]


def test_neighbouring_sections_differ_in_grey_print():
    def grey(colour: str) -> float:
        red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    forward, reverse = (grey(colour) for colour in style.SECTIONS[:2])
    assert abs(forward - reverse) > 60
