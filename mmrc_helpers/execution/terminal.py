"""What is said on a terminal: paragraphs and tables that fit 80 columns, and how a command ends."""

import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import TextIO

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution.launch import StageFailed

WIDTH = 80
GAP = "  "  # between the columns of a table
WHOLE = {"break_on_hyphens": False, "break_long_words": False}  # paths can then be copied
LEAST = 6  # columns that a wrapped column keeps


def status(command: Callable[[], int]) -> int:
    """The exit status of a command: what it returns; 1, a program that it started failed; 2, wrong input or
    something else that the user has to mend first; 128 + signal, interrupted. Says which in one message."""
    try:
        return command()
    except UserError as error:
        print(fitted(f"error: {error}", sys.stderr), file=sys.stderr)
        return 2
    except StageFailed as error:
        print(fitted(f"failed: {error}", sys.stderr), file=sys.stderr)
        return 1
    except KeyboardInterrupt as asked:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 128 + int(asked.args[0] if asked.args else signal.SIGINT)


def paragraph(text: str, indent: str = "", first: str | None = None) -> str:
    """The text in lines of at most WIDTH columns, each behind `indent`; the first one behind `first`."""
    first = indent if first is None else first
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=indent, **WHOLE)


def fitted(text: str, stream: TextIO) -> str:
    """The text as it is for a file, and for a terminal with long lines broken between words."""
    if not stream.isatty():
        return text
    return "\n".join(_broken(line) for line in text.split("\n"))


def _broken(line: str) -> str:
    """A line as a paragraph that goes on two columns further to the right."""
    indent = line[: len(line) - len(line.lstrip())]
    return paragraph(line.strip(), f"{indent}  ", indent) if len(line) > WIDTH else line


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows below their head, columns side by side; where they do not fit, the widest are wrapped."""
    lines = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    while sum(widths) + len(GAP) * (len(widths) - 1) > WIDTH and max(widths) > LEAST:
        widths[widths.index(max(widths))] -= 1
    shown = [_row(line, widths) for line in lines]
    return "\n".join([shown[0], "-" * max(map(len, shown[0].splitlines())), *shown[1:]])


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """A row, on as many lines as its longest cell needs."""
    wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
    height = max(map(len, wrapped))
    columns = [part + [""] * (height - len(part)) for part in wrapped]
    lines = [[f"{cell:<{width}}" for cell in column] for column, width in zip(columns, widths, strict=True)]
    return "\n".join(GAP.join(line).rstrip() for line in zip(*lines, strict=True))
