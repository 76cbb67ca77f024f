"""A table in words: as text, the question about it, the answer. Style `full` is sentences and LaTeX, `terse`
as few tokens as say the same."""

from collections.abc import Mapping
from functools import partial

from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds.puzzles.asking import views_of
from mmrc_helpers.worlds.puzzles.making import Place
from mmrc_helpers.worlds.tables.instances import Table, sample, truth

# What stands before a transcription and before the list of cells; the parser looks for them.
INTRO = {"full": "The table as text:", "terse": "table"}
LISTING = {"full": "The cells of the path (row, column, product, month, value):", "terse": "cells"}
BEGIN, END = r"\begin{tabular}", r"\end{tabular}"


def views(facts: Mapping, seed: int, place: Place) -> tuple[Example, ...]:
    """The examples of the table at this place, one for each of facts.views."""
    table, style, running = sample(facts, seed, place), facts["style"], facts["running_totals"]
    return views_of(
        facts,
        place,
        text(table, style),
        partial(question, table, style, facts["numbers"] == "words"),
        partial(answer, table, style, running),
        {**truth(table), "style": style, "running": running},
        {"task": table.task, "shape": table.shape},
    )


def text(table: Table, style: str) -> str:
    """The table with a * behind each marked value; nothing else in it depends on the marks."""
    marked, joint = set(table.path), " & " if style == "full" else " "
    lines = [joint.join(["", *table.months])]
    for r, product in enumerate(table.products):
        cells = [f"{v} *" if (r, c) in marked else str(v) for c, v in enumerate(table.values[r])]
        lines.append(" " + joint.join([product, *cells]))
    if style == "terse":
        return "\n".join(lines)
    rows = [line + r" \\" for line in lines]
    return "\n".join([f"{BEGIN}{{l{'c' * len(table.months)}}}", *rows, END])


def question(table: Table, style: str, words: bool, view: str, transcribe: bool) -> str:
    """What is asked about the table above, or in the picture (words: its values are drawn as words)."""
    start, end = table.named(table.path[0]), table.named(table.path[-1])
    if style == "terse":
        return f"{'write , ' if transcribe else ''}add {' '.join(start)} to {' '.join(end)}"
    seen, mark = ("The table above", "marked with *")
    if view != "text":
        seen, mark = "The table in the picture", "yellow"
    sentences = [
        f"{seen} gives the units of each product sold in each month"
        + (", written as words." if words and view != "text" else "."),
        f"The cells of a path from ({', '.join(start)}) to ({', '.join(end)}) are {mark}.",
    ]
    if table.task == "consecutive":
        sentences.append("The path follows the rows, left to right and down, or right to left and up.")
    if transcribe:
        sentences.append("First write the table as LaTeX, with * behind the values of yellow cells.")
    sentences.append("Name the cells of the path in order and add up their values.")
    return " ".join([*sentences, "The last line must be `Answer: <total>`."])


def answer(table: Table, style: str, running: bool, transcribe: bool) -> str:
    """The whole answer: transcription if asked, cells in order, with running totals if asked, total."""
    lines, total = [], 0
    for row, column in table.path:
        value = table.values[row][column]
        total += value
        named = table.named((row, column))
        entry = [*named, value] if style == "terse" else [row + 1, column + 1, *named, value]
        entry = [*entry, total] if running else entry
        lines.append(" " + " ".join(map(str, entry)) if style == "terse" else "\t".join(map(str, entry)))
    start = f"{INTRO[style]}\n{text(table, style)}\n\n" if transcribe else ""
    listed = "\n".join(lines)
    if style == "terse":
        return f"{start}{LISTING[style]}\n{listed}\ntotal {total}\nAnswer: {total}"
    added = " + ".join(map(str, table.summands))
    return f"{start}{LISTING[style]}\n\n{listed}\n\nThe total is {added} = {total}.\n\nAnswer: {total}"


def blocks(answer: str) -> tuple[str, str, str]:
    """The answer as (transcription, reasoning, final line), which are the answer again when joined."""
    cut = answer.rfind("Answer:")
    start = next((place for head in LISTING.values() if (place := answer.find(head)) >= 0), cut)
    return answer[:start], answer[start:cut], answer[cut:]
