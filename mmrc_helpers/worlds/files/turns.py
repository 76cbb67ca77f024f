"""Prompts and answers in either of TRL's forms, plain texts or lists of messages, become turns. A picture
stands where its placeholder stands, or before the first question when there is none."""

import re
from collections.abc import Sequence

from mmrc_helpers.errors import listed
from mmrc_helpers.tasks.example import Part, Turn, joined
from mmrc_helpers.worlds.files.samples import picture_named
from mmrc_helpers.worlds.files.templates import has_template
from mmrc_helpers.worlds.sources.rows import Row

# How data sets mark the place of a picture; vision markers around a placeholder belong to it.
_PLACEHOLDER = re.compile(
    r"<image>|(?:<\|vision_start\|>)?<\|image_pad\|>(?:<\|vision_end\|>)?|<\|image\|>", re.IGNORECASE
)
ROLES = {"system": "system", "user": "user", "assistant": "assistant", "human": "user", "gpt": "assistant"}
HERE = ("image", "")  # a placeholder that no picture has been put in place of


def turns_of(value, column: str, row: Row) -> tuple[Turn, ...]:
    """A text as the user's turn, or messages as turns; placeholders are still empty. () after a problem."""
    if isinstance(value, str):
        return (("user", _parts(value.strip(), column, row)),) if _said(value, column, row) else ()
    if not isinstance(value, list):
        kind = "missing" if value is None else "neither a text nor a list of messages"
        row.blame(f"{column} is {kind}")
        return ()
    if not value:
        row.blame(f"{column} is empty; write its messages or take the row out")
    turns: list[Turn] = []
    for message in value:
        found = _message(message, column, row)
        if not found:
            return ()
        turns.append(found)
    roles = [role for role, _ in turns]
    said = roles[1:] if roles[:1] == ["system"] else roles
    if said != [("user", "assistant")[k % 2] for k in range(len(said))]:
        row.blame(f"{column}: roles are {listed(roles)}; user and assistant must take turns, the user first")
        return ()
    return tuple(turns)


def _message(message, column: str, row: Row) -> Turn | None:
    """One message, with role and content or as ShareGPT writes it, with from and value."""
    if not isinstance(message, dict):
        row.blame(f"{column}: a message must be a mapping with role and content")
        return None
    role = message.get("role", message.get("from"))
    if role not in ROLES:
        row.blame(f"{column}: role {role!r} is not known; choose from system, user, assistant")
        return None
    content = message.get("content", message.get("value"))
    if isinstance(content, str):
        return (ROLES[role], _parts(content, column, row)) if _said(content, column, row) else None
    if not isinstance(content, list):
        row.blame(f"{column}: a message has no content")
        return None
    parts: list[Part] = []
    for piece in content:
        kind = piece.get("type") if isinstance(piece, dict) else None
        if kind == "text" and isinstance(piece.get("text"), str):
            parts.append(("text", piece["text"]))
        elif kind == "image":
            given = next((piece[k] for k in ("image", "path", "url") if piece.get(k) is not None), None)
            parts.append(("image", picture_named(given, column, row)) if given else HERE)
        else:
            row.blame(f"{column}: content must be a text or a list of parts of type text or image")
            return None
    if not any(content.strip() or kind == "image" for kind, content in parts):
        row.blame(f"{column}: a message is empty")
        return None
    return ROLES[role], joined(parts)


def _said(text: str, column: str, row: Row) -> bool:
    if not text.strip():
        row.blame(f"{column} is empty; write its text or take the row out")
    return bool(text.strip())


def _parts(text: str, column: str, row: Row) -> tuple[Part, ...]:
    """The text with an empty image part for every placeholder."""
    if has_template(text):
        row.blame(f"{column} holds a chat template, which training would add again; leave only what was said")
    parts: list[Part] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        parts += [("text", text[end : match.start()]), HERE]
        end = match.end()
    parts.append(("text", text[end:]))
    return tuple((kind, content) for kind, content in parts if content or kind == "image")


def filled(
    turns: Sequence[Turn], pictures: Sequence[str], column: str, row: Row, whole: bool = True
) -> tuple[Turn, ...]:
    """The turns with the pictures in place of their placeholders, in order; without any placeholder they
    stand before the first question. whole: the column's pictures could all be used, else counts say
    nothing."""
    empty = sum(part == HERE for _, parts in turns for part in parts)
    if whole and empty != len(pictures) and (empty or not any(role == "user" for role, _ in turns)):
        placeholders = "1 placeholder" if empty == 1 else f"{empty} placeholders"
        row.blame(f"{column} has {placeholders} for {len(pictures)} pictures; write one for each, or none")
        return ()
    left = iter(pictures)
    found, placed = [], bool(empty) or not pictures
    for role, parts in turns:
        parts = tuple(("image", next(left, "")) if part == HERE else part for part in parts)
        if role == "user" and not placed:
            parts, placed = (*(("image", name) for name in pictures), *parts), True
        found.append((role, parts))
    return tuple(found)


def answer_of(row: Row, column: str) -> str:
    """An answer: a text, or a list with the assistant's one message. "" after a problem."""
    value = row.get(column)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        role = value[0].get("role", value[0].get("from"))
        if ROLES.get(role) != "assistant":
            row.blame(f"{column}: its message must be the assistant's, not one of role {role!r}")
            return ""
        value = value[0].get("content", value[0].get("value"))
        if isinstance(value, list) and all(isinstance(p, dict) and p.get("type") == "text" for p in value):
            value = "".join(part.get("text") or "" for part in value)
    if value is None:
        row.blame(f"{column} is missing")
        return ""
    if not isinstance(value, str):
        row.blame(f"{column} must be a text or a list with one message of the assistant's text")
        return ""
    if not _said(value, column, row):
        return ""
    if has_template(value):
        row.blame(f"{column} holds a chat template, which training would add again; leave only what was said")
    if _PLACEHOLDER.search(value):
        row.blame(f"{column} holds a placeholder of a picture; answers are texts")
    return value.strip()


def split_off(turns: Sequence[Turn], column: str, row: Row) -> tuple[tuple[Turn, ...], str]:
    """A conversation as what stands before its last turn, and that turn, the assistant's text."""
    if not turns:
        return (), ""
    role, parts = turns[-1]
    if role != "assistant":
        row.blame(f"{column} ends with a turn of the {role}; it must end with the assistant's answer")
        return (), ""
    if len(turns) == 1 or turns[-2][0] != "user":
        row.blame(f"{column} has no question before its answer; write the user's message")
        return (), ""
    if any(kind == "image" for kind, _ in parts):
        row.blame(f"{column}: the answer holds a picture; answers are texts")
        return (), ""
    return tuple(turns[:-1]), "".join(content for _, content in parts).strip()
