"""Rows of reasoning preferences: question, text, worse-text, and perhaps relevant-question and sample_type.

A flipped row's texts answer the inverse question, so that one is what it is asked; published code asked the
forward one. In a flipped row `question` stays the forward question and `relevant-question` is its own.
"""

import difflib
from collections.abc import Iterable

from mmrc_helpers.tasks import parsing
from mmrc_helpers.worlds.files.samples import Sample, sample
from mmrc_helpers.worlds.files.templates import has_template, taken_off
from mmrc_helpers.worlds.sources.rows import Row, text_in

KINDS = {"original": "forward", "flipped": "inverse"}
ALIKE = 0.8  # share of words in common from which two wordings are one question


def sample_of(row: Row, swapped: set) -> Sample | None:
    """The row as a sample; None after a problem. swapped: what `swaps` gives for the file."""
    kind = row.get("sample_type") or "original"
    if kind not in KINDS:
        row.blame(f"sample_type is {kind!r}; it must be original or flipped")
        return None
    question, (text, asked), (worse, worse_asked) = (
        text_in(row, "question"),
        _said(row, "text"),
        _said(row, "worse-text"),
    )
    if not (question and text and worse):
        return None
    if text == worse:
        row.blame("text and worse-text are the same; a preference needs two")
        return None
    relevant = row.get("relevant-question")
    if relevant is not None and not (isinstance(relevant, str) and relevant.strip()):
        row.blame("relevant-question is empty; write the inverse question or leave the column out")
        return None
    relevant = (relevant or "").strip()
    own, other = (relevant, question) if kind == "flipped" else (question, relevant)
    if kind == "flipped" and (relevant, question) in swapped:
        own, other = question, relevant  # somebody has already put the row's own question first
    own = _own_question(own, other, asked, kind, row)
    if not own:
        return None
    if worse_asked and _likeness(worse_asked, own) < ALIKE:
        row.blame("worse-text stands behind another question than text; a preference needs one question")
        return None
    return sample(
        row,
        (("user", (("text", own),)),),
        text,
        " | ".join(sorted((question, relevant))),
        rejected=worse,
        other=(("user", (("text", other),)),) if other else (),
        final=parsing.boxed(text) or parsing.answer_line(text) or "",
        direction=KINDS[kind],
        written=bool(parsing.boxed(text) or parsing.answer_line(text)),
    )


def swaps(rows: Iterable[Row]) -> set[tuple]:
    """The questions, own and other, of all original rows."""
    return {(row.get("question"), row.get("relevant-question")) for row in rows
            if (row.get("sample_type") or "original") == "original"}  # fmt: skip


def _own_question(own: str, other: str, asked: str, kind: str, row: Row) -> str:
    """The question that the row's text answers: the one in its chat template, which must be the row's own up
    to its wording; without a template the row's own. "" after a problem."""
    if not asked and not own:
        row.blame("a flipped row has no question of its own; write it in relevant-question")
        return ""
    if not asked or asked == own:
        return own
    if other and _likeness(asked, other) >= max(ALIKE, _likeness(asked, own)):
        row.blame(
            f"text answers the other question than a row of type {kind} is asked; swap the texts or the type"
        )
        return ""
    if own and _likeness(asked, own) < ALIKE:
        row.blame("text answers another question than its row asks; compare the one in its chat template")
        return ""
    if own and asked.split() != own.split():
        row.note("the question inside text is worded otherwise than the column; text's is asked")
    return asked


def _likeness(one: str, other: str) -> float:
    """The share of words that two questions have in common, in order."""
    return difflib.SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()


def _said(row: Row, column: str) -> tuple[str, str]:
    """What the assistant said in a column and the question it was said to, "" without a template. The
    template is taken off once; a second one inside is a problem. ("", "") after a problem."""
    text = text_in(row, column)
    turns = taken_off(text)
    if not turns:
        return text, ""
    if turns[0][0] == "system":
        row.note(f"{column}: system words inside the chat template are dropped: {turns[0][1][:50]!r}")
        turns = turns[1:]
    roles = [role for role, _ in turns]
    if roles[:1] != ["user"] or "assistant" not in roles:
        row.blame(f"{column}: its chat template has no {'user' if 'user' not in roles else 'assistant'} turn")
    elif len(roles) > 2 and not turns[1][1]:
        row.blame(f"{column}: the chat template stands twice, one in the other; apply it once or not at all")
    elif len(roles) > 2:
        row.blame(f"{column}: its chat template holds {len(roles)} turns; a trace answers one question")
    elif has_template(turns[1][1]):
        row.blame(f"{column}: a second chat template stands inside the first; leave only what was said")
    elif not turns[1][1]:
        row.blame(f"{column}: the assistant's turn in its chat template is empty")
    else:
        return turns[1][1], turns[0][1]
    return "", ""
