"""YAML files, read strictly: what YAML 1.1 takes for another value than it seems (010, 1:30, no), text in
another encoding and characters nobody can see are errors that name line and fix. A run reads each file
once."""

import contextlib
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache
from pathlib import Path

import yaml

from mmrc_helpers.errors import UserError, show

_held: dict[Path, str] | None = (
    None  # what a run has read, by resolved path; its notebooks' kernels inherit it
)
_made: dict | None = None  # and what was made of it

PLAIN_NUMBER = re.compile(
    r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+)|[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"
)
NOT_A_NUMBER = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
WORDS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
EVERYDAY = re.compile(r"[\u00a0-\u017f\u0384-\u03ce\u0400-\u045f\u0490\u0491\u05d0-\u05ea\u0620-\u0652]+")
MOST_VALUES = 100_000  # in a file, as aliases multiply them
LINE_BREAK = re.compile(r"[\x85\u2028\u2029]")  # to YAML; few editors show them
WORD = re.compile(r"[A-Za-z_][\w.]*：")  # a name with a full-width colon


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which one value has one reading and no name is given twice."""

    def compose_mapping_node(self, anchor):  # before `<<` adds names that may be given again
        node, seen = super().compose_mapping_node(anchor), set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str) and key in seen:
                raise UserError(f"{key} is given twice ({_line(key_node)}); keep one")
            seen.add(str(key))
        return node

    def construct_object(self, node, deep=False):
        # In quotes it is text, unless a tag such as !!int makes something else of it.
        if isinstance(node, yaml.ScalarNode) and (node.style is None or not node.tag.endswith(":str")):
            _check_plain(node)
        return super().construct_object(node, deep)


def read_yaml(path: Path) -> dict:
    """The mapping in a YAML file, safe-loaded. Raises UserError with the line if it is not one, or if a value
    may be read in two ways."""
    try:
        content = _parse(text_of(path))
        _count(content, MOST_VALUES)
    except UserError as error:
        raise UserError(f"{show(path)}: {error}") from None
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
    ) as error:  # ValueError: a number of thousands of digits
        raise UserError(f"{show(path)}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{show(path)}: expected a mapping of sections such as train and data; got {content!r}"
        )
    return content


@contextlib.contextmanager
def reading_once() -> Iterator[None]:
    """While it lasts, a file that has been read stays as it was then, here and in processes forked from
    here. Inside another one it is that one."""
    global _held, _made
    if _held is not None:
        yield
        return
    _held, _made = {}, {}
    try:
        yield
    finally:
        _held = _made = None


def made_once(key: Hashable, make: Callable):
    """What `make` makes of files that have been read; while `reading_once` lasts, made once for each key."""
    if _made is None:
        return make()
    if key not in _made:
        _made[key] = make()
    return _made[key]


def is_there(path: Path) -> bool:
    """Whether there is such a file, or was when it was read."""
    return path.is_file() or path.resolve() in (_held or {})


def changed_since() -> list[Path]:
    """The files that are no longer what was read of them."""
    return [path for path, text in (_held or {}).items() if not path.is_file() or _decoded(path) != text]


def text_of(path: Path) -> str:
    """A file's text, as it was when a run first read it. Raises UserError where it is not UTF-8."""
    whole = path.resolve()
    if _held is not None and whole in _held:
        return _held[whole]
    text = _decoded(path)
    if _held is not None:
        _held[whole] = text
    return text


def _decoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except PermissionError as error:
        raise UserError(f"cannot be read ({error.strerror}); give yourself the right to") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"line {line} is not UTF-8 text; save the file as UTF-8 in your editor") from None
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if found := LINE_BREAK.search(line):
            raise UserError(
                f"line {number} holds an invisible line break (U+{ord(found[0]):04X}); type it again"
            )
        if "\ufffd" in line:
            raise UserError(
                f"line {number} holds \ufffd, which stands for a letter that an earlier saving in another "
                "encoding has lost; write it again"
            )
        if mixed := next(filter(_is_mixed, re.findall(r"[\u0080-\u07ff]{2,}", line)), ""):
            raise UserError(
                f"line {number}: {mixed!r} is no text in UTF-8, but may be in another encoding such as GBK; "
                "save the file as UTF-8 in your editor"
            )
    return text


def _is_mixed(run: str) -> bool:
    """Whether a run of letters beyond ASCII is what only a wrong encoding gives: of two scripts, unassigned,
    or Chinese in GBK and no everyday letters in UTF-8."""
    letters = [letter for letter in run if unicodedata.category(letter)[0] in "LC"]
    names = {unicodedata.name(letter, "?").split()[0] for letter in letters}
    return len(names) > 1 or "?" in names or (not EVERYDAY.fullmatch(run) and _is_chinese(run.encode()))


def _is_chinese(content: bytes) -> bool:
    try:
        return all("\u4e00" <= letter <= "\u9fff" for letter in content.decode("gb2312"))
    except UnicodeDecodeError:
        return False


@lru_cache(maxsize=64)  # every run of a study reads the same few files
def _parse(text: str):
    return yaml.load(text, Loader=_StrictLoader)


def _count(content, left: int) -> int:
    """How many of so many values are left after these. Raises UserError if they do not suffice, as for an
    alias of aliases of aliases."""
    if left <= 0:
        raise UserError(f"more than {MOST_VALUES:,} values; does an alias (*) stand in its own value (&)?")
    if isinstance(content, dict | list):
        for inner in content.values() if isinstance(content, dict) else content:
            left = _count(inner, left - 1)
    return left


def _check_plain(node: yaml.ScalarNode) -> None:
    """Raises UserError for an unquoted scalar that is not what it seems."""
    if problem := _trap(node.tag.rpartition(":")[2], node.value):
        raise UserError(f"{_line(node)}: {problem}")


def _trap(kind: str, text: str) -> str:
    """Why what YAML takes for this kind is not what it seems, and what to write; empty if it is."""
    quoted = f"'{text}' in quotes if it is meant as text"
    if kind in ("int", "float") and not PLAIN_NUMBER.fullmatch(text) and not NOT_A_NUMBER.fullmatch(text):
        return f"YAML reads {text} as another number than it seems; write {_as_written(text)}, or {quoted}"
    if kind == "bool" and text.lower() not in ("true", "false"):
        return f"YAML reads {text} as {WORDS[text.lower()]}; write that, or {quoted}"
    if kind == "timestamp":
        return f"YAML reads {text} as a date; write {quoted}"
    hidden = [letter for letter in text if unicodedata.category(letter) in ("Cf", "Zs") and letter != " "]
    if hidden and _is_typed(text, hidden[0]):
        return f"{text!r} holds an invisible character (U+{ord(hidden[0]):04X}); type it again"
    if not text.isascii() and (_is_wide_number(text) or WORD.match(text)):
        return f"{text} is written in full-width characters; write {_narrow(text)}"
    return ""


def _as_written(text: str) -> str:
    """The number that an author means: decimal, without what YAML 1.1 makes of leading zeros and
    underscores."""
    if ":" in text or re.match(r"[-+]?0b", text):
        return "it in decimal digits"
    return re.sub(r"^([-+]?)0+(?=\d)", r"\1", text.replace("_", ""))


def _is_typed(text: str, character: str) -> bool:
    """Whether it hides in a name or number, and not between the words of a language that uses it."""
    return bool(re.fullmatch(r"[\w.+/:-]+", text.replace(character, ""), re.ASCII))


def _is_wide_number(text: str) -> bool:
    return bool(PLAIN_NUMBER.fullmatch(_narrow(text)))


def _narrow(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("−", "-")


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
