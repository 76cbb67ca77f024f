"""The published layouts of conversations about pictures: what one row of each says, or what is wrong with
it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from mmrc_helpers.errors import listed
from mmrc_helpers.worlds.sources.rows import NOT_JSON, Row, stored_in, text_in

MARK = "<image>"  # where a picture stands in LLaVA's texts
CAPTION = "Describe this picture."


@dataclass(frozen=True)
class Talk:
    """A conversation before its picture is looked for. turns: questions with their answers, the first one
    with MARK at its end if its picture comes after it. names: where the picture may lie below the folder;
    none: it is embedded, or the conversation is about no picture. source: its name for people."""

    turns: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()
    source: str = ""
    rejected: str = ""


def rlhf_v(row: Row) -> Talk:
    """`text` holds JSON with question, chosen and rejected; the picture is embedded or at `image_path`."""
    content = row.get("text")
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except NOT_JSON as error:
            row.blame(f"text is not JSON ({error})")
            return Talk()
    if not isinstance(content, dict):
        row.blame(f"text must be JSON with question, chosen and rejected; got {content!r:.60}")
        return Talk()
    inner = replace(row, values=content)
    asked, chosen, rejected = (text_in(inner, key) for key in ("question", "chosen", "rejected"))
    if chosen and chosen == rejected:
        row.blame("chosen and rejected are the same text")
    return _about(row, ((asked, chosen),), ("image_path", "image"), rejected)


def pixmo_cap(row: Row) -> Talk:
    """`caption` of the picture at `image_url`. In the folder it is named by the SHA-256 of the URL, with or
    without an ending, or by the URL's last part."""
    turns = ((CAPTION, text_in(row, "caption")),)
    if stored_in(row):
        return Talk(turns)
    url = text_in(row, "image_url", "image", "file_name")
    digest = hashlib.sha256(url.encode()).hexdigest()
    last = PurePosixPath(url.partition("?")[0]).name
    names = [
        digest,
        *(f"{digest}.{ending}" for ending in ("jpg", "jpeg", "png", "webp")),
        *([last] if last else []),
    ]
    return Talk(turns, tuple(names) if url else (), url)


def spatial_vqa(row: Row) -> Talk:
    """question or prompt, answer or response, and image; or `messages` of typed parts, as VQASynth writes."""
    messages = row.get("messages")
    if isinstance(messages, list) and all(isinstance(turn, dict) for turn in messages):
        said = [(turn.get("role"), _text_of(turn.get("content"))) for turn in messages]
        return _about(row, _paired(row, said, ("user", "assistant")), ("image",))
    asked = text_in(row, "question", "prompt")
    return _about(row, ((asked, text_in(row, "answer", "response")),), ("image",))


def llava(row: Row) -> Talk:
    """`conversations` of {"from": human | gpt, "value": …} about `image`; without one, about no picture."""
    turns = row.get("conversations")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        row.blame(f"conversations must be a list of turns with from and value; got {turns!r:.60}")
        return Talk()
    said = [(turn.get("from"), turn.get("value")) for turn in turns]
    pairs = _paired(row, said, ("human", "gpt"))
    has_picture = bool(stored_in(row)) or row.get("image") is not None
    marks = sum(str(value).count(MARK) for _, value in said)
    if marks > has_picture:
        row.blame(f"{MARK} stands {marks} times, but there is {'one' if has_picture else 'no'} picture")
    return _about(row, pairs, ("image",)) if has_picture else Talk(pairs)


LAYOUTS: dict[str, Callable[[Row], Talk]] = {
    "rlhf_v": rlhf_v,
    "pixmo_cap": pixmo_cap,
    "spatial_vqa": spatial_vqa,
    "llava": llava,
}


def _about(row: Row, turns, columns: tuple[str, ...], rejected: str = "") -> Talk:
    """The conversation, and where its picture is: embedded, or at the path in the first of the columns."""
    path = "" if stored_in(row) else text_in(row, *columns)
    return Talk(turns, (path,) if path else (), path, rejected)


def _text_of(content) -> object:
    """The text of a message: a text, or typed parts, of which those of text count."""
    if not isinstance(content, list):
        return content
    parts = [part for part in content if isinstance(part, dict)]
    return "\n".join(part.get("text") or "" for part in parts if part.get("type") == "text")


def _paired(row: Row, turns: Sequence[tuple], roles: tuple[str, str]) -> tuple:
    """Questions with their answers; a problem unless the roles alternate, every turn is a text, and the last
    one answers."""
    if not turns or len(turns) % 2 or any(role != roles[place % 2] for place, (role, _) in enumerate(turns)):
        said = listed(role for role, _ in turns) or "none"
        row.blame(f"turns must alternate {roles[0]}, {roles[1]} and end with {roles[1]}; got {said}")
        return ()
    texts = [value.strip() if isinstance(value, str) else "" for _, value in turns]
    bare = [text.replace(MARK, "").strip() for text in texts]
    if not all(bare):
        row.blame(f"turn {bare.index('') + 1} is empty or no text")
    if texts[0].endswith(MARK):
        bare[0] += MARK
    return tuple(zip(bare[::2], bare[1::2], strict=True))
