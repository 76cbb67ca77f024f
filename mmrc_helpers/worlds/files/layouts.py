"""What the columns mean: the layouts of SFT, DPO, ADPO, GRPO and reasoning preferences, each a function from
a row to a Sample."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mmrc_helpers.errors import UserError, listed, near_miss
from mmrc_helpers.tasks import parsing
from mmrc_helpers.tasks.example import Turn, pictures_of
from mmrc_helpers.worlds.files import traces, turns
from mmrc_helpers.worlds.files.samples import Sample, sample
from mmrc_helpers.worlds.files.samples import pictures_of as pictures_in
from mmrc_helpers.worlds.sources.rows import PICTURES, Row, Table, text_in

# Of each layout: the sets of columns that make it up, any one of which is enough.
COLUMNS = {
    "sft": (("messages",), ("conversations",), ("prompt", "completion")),
    "dpo": (("prompt", "chosen", "rejected"), ("chosen", "rejected")),
    "adpo": (("response", "chosen", "rejected"), ("response", "prompt", "chosen_images", "rejected_images")),
    "grpo": (("prompt", "answer"), ("prompt", "solution")),
    "reasoning": (("question", "text", "worse-text"),),
    "text_curse": (("prompt", "completion"),),
}
KNOWN = frozenset(c for sets in COLUMNS.values() for columns in sets for c in columns) | {
    *PICTURES, "relevant-question", "sample_type"}  # fmt: skip


def detect(columns: Sequence[str], told: str) -> str:
    """The layout of a file with these columns. told: files.layout. Raises UserError when the columns do not
    make it up, or when they make up none or several and none is told."""
    if told != "auto":
        if not any(set(needed) <= set(columns) for needed in COLUMNS[told]):
            raise UserError(f"the layout {told} needs {_needs(told)}; the columns are {_columns(columns)}")
        return told
    fits = [layout for layout, sets in COLUMNS.items() if layout != "text_curse"
            if any(set(needed) <= set(columns) for needed in sets)]  # fmt: skip
    if "adpo" in fits and "prompt" not in columns:
        fits.remove("dpo")  # with a response and no prompt, chosen and rejected are contexts
    if len(fits) > 1:
        raise UserError(
            f"the columns {_columns(columns)} fit the layouts {listed(fits)}; say which, for example "
            f"files.layout: {fits[0]}"
        )
    if not fits:
        needs = "; ".join(f"{layout}: {_needs(layout)}" for layout in COLUMNS if layout != "text_curse")
        raise UserError(f"no layout has the columns {_columns(columns)} (needed are {needs})")
    return fits[0]


def _needs(layout: str) -> str:
    return " or ".join("+".join(columns) for columns in COLUMNS[layout])


def _columns(columns: Sequence[str]) -> str:
    """The columns, with what a misspelt one may have meant."""
    hints = ((c, near_miss(c, KNOWN - set(columns))) for c in columns if c not in KNOWN)
    misspelt = "".join(f" ({column}{hint})" for column, hint in hints if hint)
    return listed(columns) + misspelt


def samples_of(table: Table, layout: str) -> list[Sample]:
    """The rows that could be understood; the table holds what is wrong with the others."""
    if layout == "reasoning":
        swapped = traces.swaps(table.rows)
        found = [traces.sample_of(row, swapped) for row in table.rows]
    else:
        found = [_READERS[layout](row) for row in table.rows]
    return [sample for sample in found if sample]


# --- one row of each layout --------------------------------------------------------------------------------


def _supervised(row: Row) -> Sample | None:
    column = next((name for name in ("messages", "conversations") if row.get(name) is not None), "prompt")
    found = turns.turns_of(row.get(column), column, row)
    if column != "prompt":
        found, answer = turns.split_off(found, column, row)
    elif isinstance(row.get("completion"), list) and len(row.get("completion")) > 1:
        row.blame("completion holds several messages; put the whole conversation into messages")
        return None
    else:
        answer = turns.answer_of(row, "completion")
    prompt = _with_pictures(found, ("images", "image"), column, row)
    return sample(row, prompt, answer, repr(prompt)) if prompt and answer else None


def _text_curse(row: Row) -> Sample | None:
    """As supervised, but the fact is what is said: a name, or a description in one of its phrasings."""
    found = _supervised(row)
    return replace(found, fact=found.answer) if found else None


def _preferred(row: Row) -> Sample | None:
    if row.get("prompt") is not None:
        found = _question(row, "prompt")
        chosen, rejected = (turns.answer_of(row, side) for side in ("chosen", "rejected"))
    elif all(isinstance(row.get(side), list) for side in ("chosen", "rejected")):
        (found, chosen), (again, rejected) = (
            turns.split_off(turns.turns_of(row.get(side), side, row), side, row)
            for side in ("chosen", "rejected")
        )
        if found and again and found != again:
            row.blame("chosen and rejected differ before their last message; a pair has one prompt")
            return None
    else:
        row.blame("prompt is missing; only lists of messages may hold it in chosen and rejected")
        return None
    if chosen and chosen == rejected:
        row.blame("chosen and rejected are the same; a preference needs two answers")
        return None
    prompt = _with_pictures(found, ("images", "image"), "prompt", row)
    if not (prompt and chosen and rejected):
        return None
    return sample(row, prompt, chosen, repr(prompt), rejected=rejected, written=False)


def _contexts(row: Row) -> Sample | None:
    """One response behind a right and a wrong context."""
    response = turns.answer_of(row, "response")
    sides = []
    for side in ("chosen", "rejected"):
        column = side if row.get(side) is not None or row.get("prompt") is None else "prompt"
        own = f"{side}_images"
        columns = (own,) if row.get(own) is not None else ("images", "image")
        sides.append(_with_pictures(_question(row, column), columns, column, row))
    if not (response and all(sides)):
        return None
    if sides[0] == sides[1]:
        same = "the same picture and prompt stand" if pictures_of(sides[0]) else "the same prompt stands"
        row.blame(f"{same} on both sides; chosen and rejected must differ")
        return None
    fact = " | ".join(sorted(map(repr, sides)))
    return sample(row, sides[0], response, fact, other=sides[1])


def _task(row: Row) -> Sample | None:
    found = _question(row, "prompt")
    column = "answer" if row.get("answer") is not None or "solution" not in row.values else "solution"
    value = row.get(column)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    answer = repr(value) if is_number else text_in(row, column)
    prompt = _with_pictures(found, ("images", "image"), "prompt", row)
    if not (prompt and answer):
        return None
    return sample(row, prompt, answer, repr(prompt), final=final_of(answer))


_READERS: dict[str, Callable] = {
    "sft": _supervised,
    "text_curse": _text_curse,
    "dpo": _preferred,
    "adpo": _contexts,
    "grpo": _task,
}


def final_of(solution: str) -> str:
    r"""What a worked solution comes to: its `\boxed{…}`, its last line `Answer: …` or, as grade-school sets
    have it, what stands behind `####`; else all of it."""
    marked = solution.rpartition("####")[2].strip() if "####" in solution else ""
    return parsing.boxed(solution) or parsing.answer_line(solution) or marked or solution


def _question(row: Row, column: str) -> tuple[Turn, ...]:
    """The turns in a column, of which the user's is the last; () after a problem."""
    found = turns.turns_of(row.get(column), column, row)
    if found and found[-1][0] != "user":
        row.blame(f"{column} ends with the assistant; it must end with the user's turn")
        return ()
    return found


def _with_pictures(
    found: tuple[Turn, ...], columns: Sequence[str], column: str, row: Row
) -> tuple[Turn, ...]:
    """The turns with the pictures of the first of `columns` that the row has."""
    given = next((name for name in columns if row.get(name) is not None), "")
    names = pictures_in(row, given) if given else []
    if not found:
        return ()
    wanted = len(row.get(given)) if isinstance(row.get(given), list) else int(bool(given))
    return turns.filled(found, names, column, row, whole=len(names) == wanted)
