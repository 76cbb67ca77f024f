"""What a method eats: `Chat` (supervised), `Pair` (two answers, or two contexts of one answer), `Task` (a
question that the model answers itself). One dataclass per shape, not per method."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from mmrc_helpers.errors import UserError
from mmrc_helpers.tasks.example import Example, Turn


@dataclass(frozen=True, eq=False)
class Chat:
    """A conversation whose assistant turns carry loss. `examples`: the questions it asks, for the counts.
    `replayed`: it repeats what the model knew before, and does not count as taught."""

    turns: tuple[Turn, ...]
    examples: tuple[Example, ...] = ()
    replayed: bool = False


@dataclass(frozen=True, eq=False)
class Pair:
    """Two conversations of which the first is preferred. With contrast "answer" they differ in the last
    assistant turn, with contrast "context" in what stands before it."""

    chosen: Chat
    rejected: Chat


@dataclass(frozen=True, eq=False)
class Task:
    """A conversation up to the assistant's turn, and the example whose world grades what is said."""

    prompt: tuple[Turn, ...]
    example: Example
    replayed: bool = False


Row = Chat | Pair | Task
MOST_REPLAYED = 10_000  # rows without anything new after which nothing new is to be expected
MOST_ROWS = 2_000_000  # of a stream that is taken whole


def taken(
    stream: Iterable[Row],
    batch: int,
    steps: int = 0,
    tokens: int = 0,
    cost: Callable[[Row], int] = lambda row: 0,
) -> list[Row]:
    """The first rows of a world's stream, a multiple of `batch`: `steps` batches; or as many as it takes to
    show `tokens` supervised tokens of rows that are not replayed, so that variants differ in what they teach
    and not in how much; or, without either, the whole stream up to its last whole batch.

    cost: supervised tokens of a row. Raises UserError if the stream ends before, or never does.
    """
    if not steps and not tokens:
        return _whole(stream, batch)
    rows: list[Row] = []
    shown, stream = 0, iter(stream)
    while len(rows) < steps * batch or shown < tokens or len(rows) % batch:
        if (row := next(stream, None)) is None:
            wanted = f"{steps} steps of {batch} rows" if steps else f"{tokens} taught tokens"
            raise UserError(f"train: the data holds {len(rows)} rows for this phase, too few for {wanted}")
        if tokens and not shown and len(rows) >= MOST_REPLAYED:
            raise UserError(
                "train.taught_tokens: nothing is taught beside what is replayed; give train.steps"
            )
        rows.append(row)
        shown += 0 if is_replayed(row) else cost(row)
    return rows


def _whole(stream: Iterable[Row], batch: int) -> list[Row]:
    rows = list(islice(stream, MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        raise UserError("train.steps, train.taught_tokens: this world's rows have no end; give one of them")
    if len(rows) < batch:
        raise UserError(f"train.batch: the data holds {len(rows)} rows for this phase, fewer than {batch}")
    return rows[: len(rows) - len(rows) % batch]


def chats_of(row: Row) -> tuple[Chat, ...]:
    """The conversations of a row; a task's has no answer yet."""
    if isinstance(row, Pair):
        return (row.chosen, row.rejected)
    return (row,) if isinstance(row, Chat) else (Chat(row.prompt, (row.example,), row.replayed),)


def is_replayed(row: Row) -> bool:
    """Whether a row repeats what the model knew before."""
    return chats_of(row)[0].replayed


def exposure(rows: Sequence[Row], supervised: Sequence[int], facets: Sequence[str]) -> dict:
    """What a phase showed: rows, questions by the values of `facets`, supervised tokens (of each row, both
    sides of a pair), those that taught something new, and the measured share of replayed rows."""
    questions = Counter(e.cell(*facets) for row in rows for e in chats_of(row)[0].examples)
    replayed = [is_replayed(row) for row in rows]
    return {
        "rows": len(rows),
        "questions": dict(sorted(questions.items())),
        "supervised_tokens": int(sum(supervised)),
        "taught_tokens": int(sum(n for n, again in zip(supervised, replayed, strict=True) if not again)),
        "replay_share": round(sum(replayed) / max(1, len(rows)), 4),
    }
