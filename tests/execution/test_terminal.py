"""What is said on a terminal fits 80 columns, and what is said to a file stays as it is."""

import io

import pytest

from mmrc_helpers.execution import terminal

PATH = "/a/very/long/path/" + "x" * 90


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_long_line_is_broken_between_words_on_a_terminal_only():
    text = "error: 2 problems:\n  " + "train.batch is wrong and so on, " * 4 + "\n  short"
    shown = terminal.fitted(text, Screen())
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.split() == text.split() and shown.splitlines()[2].startswith("    ")
    assert terminal.fitted(text, io.StringIO()) == text


def test_a_path_stays_whole_so_that_it_can_be_copied():
    assert PATH in terminal.fitted(f"error: {PATH} is missing; run the study", Screen()).splitlines()[-2]


@pytest.mark.parametrize("columns", [1, 3, 6])
def test_a_table_fits_whatever_is_in_it(columns):
    head = [f"column {n}" for n in range(columns)]
    rows = [["word " * 20] * columns, ["x" * 100] * columns, [""] * columns]
    shown = terminal.table(head, rows)
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("word") == 20 * columns and shown.count("x") == 100 * columns


def test_a_table_that_fits_is_not_wrapped():
    assert terminal.table(["a", "bb"], [["1", "2"], ["three", ""]]) == "a      bb\n---------\n1      2\nthree"
