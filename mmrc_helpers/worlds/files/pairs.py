"""From a table of questions with their inverse to rows of preferences, in the published columns."""

from collections.abc import Iterable, Mapping

from mmrc_helpers.errors import raise_all

SOURCES = ("question", "trace", "inverse_question", "inverse_trace")


def build_pairs(table: Iterable[Mapping]) -> list[dict]:
    """Two rows for each row of `table` (question, trace, inverse_question, inverse_trace): first all
    `original`, then all `flipped`.

    An original row prefers the trace of its question to the trace of the inverse; a flipped row is the exact
    swap, and is to be asked with `relevant-question`, the inverse question. Raises UserError that lists every
    row with a text that is missing or empty, or whose two questions or traces are the same.
    """
    table = list(table)
    problems = [f"row {n}: {problem}" for n, row in enumerate(table, 1) for problem in _problems(row)]
    raise_all(problems if table else ["the table has no rows"])
    return [_row(row, kind) for kind in ("original", "flipped") for row in table]


def _row(row: Mapping, kind: str) -> dict:
    text, worse = row["trace"], row["inverse_trace"]
    return {
        "question": row["question"],
        "text": text if kind == "original" else worse,
        "worse-text": worse if kind == "original" else text,
        "relevant-question": row["inverse_question"],
        "sample_type": kind,
    }


def _problems(row: Mapping) -> list[str]:
    empty = [name for name in SOURCES if not isinstance(row.get(name), str) or not row[name].strip()]
    if empty:
        return [f"{name} is missing or empty; write its text" for name in empty]
    found = []
    if row["question"].strip() == row["inverse_question"].strip():
        found.append("question and inverse_question are the same; a pair needs two questions")
    if row["trace"].strip() == row["inverse_trace"].strip():
        found.append("trace and inverse_trace are the same; a pair needs two traces")
    return found
