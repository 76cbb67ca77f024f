"""Figures are drawn from tables, carry alternative text, and survive what a small study leaves out."""

import base64

import numpy as np
import pandas as pd
import pytest
import synthetic
from matplotlib.figure import Figure

from mmrc_helpers.analysis import reversal, scores
from mmrc_helpers.figures import accuracy, style

ARMS = {"naming": synthetic.NAMING, "forward": synthetic.FORWARD}


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return synthetic.study(ARMS, seeds=(0,), people=12, drops=("image", "text"))


def draw_all(answers: pd.DataFrame) -> dict[str, Figure]:
    scored = scores.score(answers)
    trained = {"naming": "forward/free", "forward": "forward"}
    lines = pd.DataFrame({"line": "x", "step": [1, 2], "loss": [2.0, 0.5], "learning_rate": [1e-3, 1e-4]})
    return {
        "cells": accuracy.cells(scores.primary(scored), ("forward", "naming")),
        "matrices": accuracy.matrices(
            scores.matrix(scored, trained), scores.matrix(scored, trained, "background")
        ),
        "curves": accuracy.curves(lines),
        "answers": accuracy.answers(scores.answer_shares(answers)),
        "storage": accuracy.storage(scores.storage(answers)),
        "drops": accuracy.drops(scores.drops(scored)),
        "gates": accuracy.gates(reversal.gate_table(answers), reversal.power_table(answers)),
    }


def test_every_figure_is_a_png_with_alternative_text_that_holds_its_numbers(answers):
    for name, figure in draw_all(answers).items():
        data, metadata = style.image(figure)._repr_mimebundle_()
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG"), name
        assert any(digit.isdigit() for digit in metadata["image/png"]["alt"]), name


def test_the_main_figure_says_every_arms_numbers_in_words(answers):
    alt = draw_all(answers)["cells"].get_label()
    assert "forward: forward/free 100 %" in alt and "reverse/choice 25 %" in alt


def test_a_figure_without_alternative_text_is_refused():
    with pytest.raises(ValueError, match="alternative text"):
        style.image(Figure())


def test_cells_that_were_not_asked_leave_a_gap_not_an_error(answers):
    part = answers[(answers["format"] == "choice") & (answers["population"] == "novel")]
    for figure in draw_all(part).values():
        style.image(figure)


def test_palette_marker_and_hatch_tell_as_many_lines_apart():
    assert len(set(style.COLOURS)) == len(set(style.MARKERS)) == len(set(style.HATCHES)) == 9


def test_neighbouring_colours_differ_in_grey_print():
    def grey(colour: str) -> float:
        red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    directions = [grey(colour) for colour in style.DIRECTION_COLOURS.values()]
    assert abs(np.diff(directions)[0]) > 60
