"""Chat templates inside texts: recognised by their markers and taken off once, never twice."""

import re

# Of each family: the marker that opens a turn, with its role, and what may close one.
_FAMILIES = (
    (re.compile(r"<\|im_start\|>(system|user|assistant)\n"), ("<|im_end|>",)),
    (
        re.compile(
            r"(?:<\|begin_of_text\|>)?<\|start_header_id\|>(system|user|assistant)<\|end_header_id\|>\n*"
        ),
        ("<|eot_id|>", "<|end_of_text|>"),
    ),
    (re.compile(r"(?:<bos>)?<start_of_turn>(user|model)\n"), ("<end_of_turn>", "<eos>")),
    (re.compile(r"<\|(system|user|assistant)\|>\n?"), ("<|end|>", "</s>", "<|endoftext|>")),
    (re.compile(r"(?:<｜begin▁of▁sentence｜>)?<｜(User|Assistant)｜>"), ("<｜end▁of▁sentence｜>",)),
    (re.compile(r"(?:<s>)?\s*(\[INST\]|\[/INST\])\s*"), ("</s>",)),
)
_ROLES = {
    "model": "assistant",
    "User": "user",
    "Assistant": "assistant",
    "[INST]": "user",
    "[/INST]": "assistant",
}


def has_template(text: str) -> bool:
    """Whether the text begins with a turn's marker."""
    return _family(text) is not None


def taken_off(text: str) -> list[tuple[str, str]]:
    """The turns, role and words, of a text that stands in a chat template; [] if it stands in none."""
    family = _family(text)
    if family is None:
        return []
    opening, closings = family
    pieces = opening.split(text)[1:]  # role, words, role, words, …
    turns = zip(pieces[::2], pieces[1::2], strict=True)
    return [(_ROLES.get(role, role), _closed(words, closings)) for role, words in turns]


def _family(text: str) -> tuple | None:
    start = text.lstrip()
    return next((family for family in _FAMILIES if family[0].match(start)), None)


def _closed(words: str, closings: tuple[str, ...]) -> str:
    """The words without the markers that close their turn."""
    words = words.strip()
    while ending := next((c for c in closings if words.endswith(c)), ""):
        words = words.removesuffix(ending).strip()
    return words
