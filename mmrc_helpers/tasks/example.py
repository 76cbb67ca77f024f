"""An Example is one question with its answer; here it becomes what is said in a conversation.

A *part* of a turn is a pair of its kind and its content:
("text", words), ("image", name of a picture), ("options", how), where the example's options are shown behind
letters: how = "words" (texts, listed again in every turn of a conversation), "scene" (texts that the whole
conversation is about, listed once) or "pictures" (names of pictures, shown once).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from mmrc_helpers.errors import UserError, check_file_name, show

LETTERS = "ABCDEFGH"

Part = tuple[str, str]
Turn = tuple[str, tuple[Part, ...]]  # role (system, user or assistant) and its parts: texts and images only


@dataclass(frozen=True, eq=False, slots=True)  # slots: there are hundreds of thousands
class Example:
    """One question with its answer and its facets. Equal only to itself; `id` names it.

    prompt: the user's turn in order. answer: what the assistant should say; of lettered options, the letter
    is said in its place. options: what is compared, texts or names of pictures; none: only written answers
    count. gold: the place of the right option. captions: words behind each option. facets: the columns that
    answers are counted under, named by the world. truth: what the world's grader and its other functions
    need. lesson: the kind of training row it may be drawn for. scene: examples of one scene look at the same
    pictures and may share a conversation. before: turns in front of the prompt, such as a system's words.
    contexts: the conversation that each option stands behind, in place of the prompt; so the options may be
    one answer behind several contexts, of which the right one is looked for.
    """

    id: str
    group: str
    split: str
    prompt: tuple[Part, ...]
    answer: str = ""
    facets: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    gold: int = -1
    captions: tuple[str, ...] = ()
    truth: Mapping = field(default_factory=dict)
    lesson: str = ""
    scene: str = ""
    before: tuple[Turn, ...] = ()
    contexts: tuple[tuple[Turn, ...], ...] = ()

    @property
    def how(self) -> str:
        """How the options are shown: words, scene, pictures; empty if the prompt does not show them."""
        return next((content for kind, content in self.prompt if kind == "options"), "")

    @property
    def pictures(self) -> tuple[str, ...]:
        """The names of the pictures that it shows, options included, in canonical order."""
        shown = (self.options if kind == "options" else (content,) for kind, content in self.prompt
                 if kind == "image" or (kind, content) == ("options", "pictures"))  # fmt: skip
        behind = (pictures_of(turns) for turns in (self.before, *self.contexts))
        return tuple(name for names in (*shown, *behind) for name in names)

    def cell(self, *facets: str) -> str:
        """The values of these facets with slashes between them."""
        return "/".join(self.facets.get(name, "") for name in facets)


def rotate(items: Sequence, shift: int) -> list:
    """`items` in the cyclic order that starts at `shift`."""
    return [*items[shift:], *items[:shift]]


def answer_of(example: Example, shift: int = 0) -> str:
    """What the assistant should say when the options are shown in the cyclic order `shift`."""
    if example.how:
        return LETTERS[(example.gold - shift) % len(example.options)]
    return example.answer


def compared(example: Example) -> tuple[str, ...]:
    """The texts whose probabilities are compared: letters where options are lettered, else the options."""
    return tuple(LETTERS[: len(example.options)]) if example.how else example.options


def user_turn(example: Example, shift: int = 0, again: bool = False) -> tuple[Part, ...]:
    """The parts of the user's turn, neighbouring texts joined.

    shift: cyclic order of the options. again: the scene was shown earlier in the conversation.
    """
    shown: list[Part] = []
    for kind, content in example.prompt:
        if kind == "options":
            if not again or content == "words":
                shown += _listing(example, content, shift)
        elif kind == "text" or not again:
            shown.append((kind, content))
    return joined(shown)


def conversation(examples: Sequence[Example], shift: int = 0) -> tuple[Turn, ...]:
    """The turns that ask the examples of one scene one after the other, with their answers."""
    turns: list[Turn] = list(examples[0].before) if examples else []
    for index, example in enumerate(examples):
        turns.append(("user", user_turn(example, shift, again=index > 0)))
        turns.append(("assistant", (("text", answer_of(example, shift)),)))
    return tuple(turns)


def question(example: Example, shift: int = 0) -> tuple[Turn, ...]:
    """The conversation up to the assistant's turn."""
    return (*example.before, ("user", user_turn(example, shift)))


def candidates(example: Example, shift: int = 0) -> list[tuple[tuple[Turn, ...], str]]:
    """What is compared, option by option: a conversation up to the assistant's turn and what is said in it.
    Either answers differ behind one question, or contexts differ before one answer."""
    texts = compared(example)
    asked = example.contexts or (question(example, shift),) * len(texts)
    return list(zip(asked, texts, strict=True))


def _listing(example: Example, how: str, shift: int) -> list[Part]:
    """The lettered options, letters before contents."""
    parts: list[Part] = []
    captions = rotate(example.captions or [""] * len(example.options), shift)
    options = rotate(example.options, shift)
    for letter, option, caption in zip(LETTERS, options, captions, strict=False):
        content = ("image", option) if how == "pictures" else ("text", f" {option}")
        parts += [("text", f"{letter}."), content, ("text", f" {caption}\n" if caption else "\n")]
    return parts


def joined(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts with neighbouring texts as one."""
    merged: list[Part] = []
    for kind, content in parts:
        if kind == "text" and merged and merged[-1][0] == "text":
            merged[-1] = ("text", merged[-1][1] + content)
        else:
            merged.append((kind, content))
    return tuple(merged)


def replaced(turns: Iterable[Turn], sentences: Mapping[str, str]) -> tuple[Turn, ...]:
    """The turns with every picture replaced by its sentence: a text twin."""
    return tuple(
        (role, joined(("text", f" {sentences[c]}") if kind == "image" else (kind, c) for kind, c in parts))
        for role, parts in turns
    )


def with_pictures(example: Example, others: Mapping[str, str]) -> Example:
    """The example with other pictures in its prompt and among its options: name → name of the other one."""
    prompt = tuple(
        (kind, others.get(content, content) if kind == "image" else content)
        for kind, content in example.prompt
    )
    if example.how != "pictures":
        return replace(example, prompt=prompt)
    return replace(example, prompt=prompt, options=tuple(others.get(name, name) for name in example.options))


def pictures_of(turns: Iterable[Turn]) -> tuple[str, ...]:
    """The names of the pictures in a conversation, in order of appearance."""
    return tuple(content for _, parts in turns for kind, content in parts if kind == "image")


def answers_in(turns: Iterable[Turn]) -> list[str]:
    """What the assistant says in a conversation, turn by turn."""
    return ["".join(content for _, content in parts) for role, parts in turns if role == "assistant"]


# --- files -------------------------------------------------------------------------------------------------


def example_line(example: Example) -> str:
    """The example as one JSON line; fields at their default are left out."""
    row = {name: value for name, value in asdict(example).items() if value not in ("", (), {}, -1)}
    return json.dumps(row, ensure_ascii=False) + "\n"


def read_examples(path: Path, split: str | None = None) -> list[Example]:
    """Examples of a JSONL file, of one split if wanted; a damaged line is a UserError that names file, line
    and fix. Lines of another split are passed over unread."""
    if not path.is_file():
        raise UserError(f"{show(path)} is missing; make the data again: --redo data")
    known = {field.name for field in fields(Example)}
    examples, wanted = [], b"" if split is None else f'"split": "{split}"'.encode()
    words: dict = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if wanted not in line:
                continue
            try:
                examples.append(_example(shared(json.loads(line), words), known))
            except (ValueError, TypeError) as error:
                raise UserError(
                    f"{show(path)}, line {number}: not a whole example ({error}); "
                    "make the data again: --redo data"
                ) from error
    for name in {name for example in examples for name in (example.group, *example.pictures)}:
        check_file_name(name, show(path))
    return examples


def shared(value, known: dict):
    """A value of JSON with one string, or mapping of strings, in place of equal ones that are `known`: most
    parts of an example, or of an answer to it, stand in many others."""
    if isinstance(value, str):
        return known.setdefault(value, value)
    if isinstance(value, list):
        return [shared(one, known) for one in value]
    if not isinstance(value, dict):
        return value
    found = {known.setdefault(name, name): shared(one, known) for name, one in value.items()}
    if all(isinstance(one, str) for one in found.values()):
        return known.setdefault(tuple(found.items()), found)
    return found


def _example(row, known: set[str]) -> Example:
    if not isinstance(row, dict):
        raise ValueError(f"expected a mapping; got {row!r}")
    if unknown := set(row) - known:
        raise ValueError(f"unknown fields {sorted(unknown)}")
    prompt = tuple((kind, content) for kind, content in row.pop("prompt", ()))
    if not prompt:
        raise ValueError("no prompt")
    before = as_turns(row.pop("before", ()))
    contexts = tuple(as_turns(turns) for turns in row.pop("contexts", ()))
    rest = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
    return Example(prompt=prompt, before=before, contexts=contexts, **rest)


def as_turns(turns: Iterable) -> tuple[Turn, ...]:
    """Turns as JSON gives them back, lists in place of tuples."""
    return tuple((role, tuple((kind, content) for kind, content in parts)) for role, parts in turns)
