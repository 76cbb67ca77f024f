"""What a study file may say: the strict merge against base.yaml and the sections of the worlds and methods in
use. A default is also the parameter's kind; the limits stand in its line's comment, `# [low..high]` or
`# [one | of | these]`."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import yaml

from mmrc_helpers.errors import (
    UserError,
    check_model_name,
    check_name,
    listed,
    near_miss,
    raise_all,
    show,
)
from mmrc_helpers.store.keys import plain
from mmrc_helpers.study.yaml_files import read_yaml, text_of

# Words of a variable's name that mark a secret, and a URL that carries a password.
SECRET = re.compile(
    r"(^|_)(TOKEN|KEY|APIKEY|SECRET|PASSWORD|PASSWD|PASS|CREDENTIALS?|AUTH)(_|$)", re.IGNORECASE
)
PASSWORD_IN_URL = re.compile(r"://[^/\s]*:[^/\s]*@")
# Mappings whose names are the user's own.
OPEN = ("machine.environment", "grpo.weights", "model.image_processor")
LIMITS = re.compile(r"#\s*\[([^\]]+)\]")

Limits = (
    tuple[float | None, float | None] | tuple[str, ...]
)  # lowest and highest, or the texts to choose from


@dataclass(frozen=True)
class Known:
    """Parameters that may be given: their defaults, nested, and the limits of some, by dotted name."""

    defaults: Mapping
    limits: Mapping[str, Limits] = field(default_factory=dict)

    def at(self, prefix: str, section: Mapping, limits: Mapping[str, Limits]) -> "Known":
        """With a section put at a dotted place."""
        defaults = plain(self.defaults)
        *outer, last = prefix.split(".")
        inner = defaults
        for name in outer:
            inner = inner[name]
        inner[last] = plain(section)
        return Known(defaults, {**self.limits, **{f"{prefix}.{name}": of for name, of in limits.items()}})


def read_known(path: Path) -> Known:
    """The parameters that a file of defaults declares, one on each line."""
    return Known(read_yaml(path), _limits(text_of(path)))


@lru_cache(maxsize=64)
def _limits(text: str) -> dict[str, Limits]:
    lines, found = text.splitlines(), {}
    for name, line in _places(yaml.compose(text, yaml.SafeLoader), ""):
        if match := LIMITS.search(lines[line]):
            found[name] = _parsed(match[1])
    return found


def _places(node, prefix: str):
    """Dotted name and line of every parameter."""
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        yield name, key.start_mark.line
        if isinstance(value, yaml.MappingNode):
            yield from _places(value, f"{name}.")


def _parsed(text: str) -> Limits:
    if ".." in text:
        low, high = (float(end) if end.strip() else None for end in text.split(".."))
        return (low, high)
    return tuple(word.strip() for word in text.split("|"))


@dataclass
class Merge:
    """The strict merge of one file: what is wrong is collected, so that all of it is said at once."""

    file: Path
    known: Known
    problems: list[str] = field(default_factory=list)

    def finish(self) -> None:
        """Raises UserError with every problem."""
        raise_all(dict.fromkeys(self.problems))

    def merged(self, base: Mapping, overrides: Mapping, prefix: str = "") -> dict:
        """`base` with `overrides` (nested or dotted names) in its place; `prefix` is the dotted name of
        `base`. A name that `base` lacks and a value of another kind than its default are problems."""
        merged = dict(base)
        for key, value in self._nested(overrides, prefix).items():
            name = f"{prefix}{key}"
            if key not in base:
                self._problem(name, f"no such parameter{near_miss(key, base)}")
            else:
                merged[key] = self.value(base[key], value, name)
        return merged

    def value(self, default, value, name: str):
        """`value`, if it is of the kind of `default` (an int may stand for a float) and within limits."""
        if name == "phases":
            if not isinstance(value, list) or not all(isinstance(phase, Mapping) for phase in value):
                self._problem(name, f"expected a list of overrides of train, such as [{{}}]; got {value!r}")
                return default
            return value
        if isinstance(default, Mapping):
            if not isinstance(value, Mapping):
                self._problem(name, f"expected a mapping of parameters; got {value!r}")
                return default
            return (
                self._open(default, value, name) if name in OPEN else self.merged(default, value, f"{name}.")
            )
        try:
            if isinstance(default, list | tuple):
                return self._list(list(default), value, name)
            value = _of_kind(default, value, self._limit(name))
            self._check_limits(value, name)
        except ValueError as error:
            self._problem(name, str(error))
            return default
        return value

    def _limit(self, name: str) -> Limits:
        return self.known.limits.get(name, ())

    def _problem(self, name: str, what: str) -> None:
        self.problems.append(f"{show(self.file)}: {name}: {what}")

    def _nested(self, overrides: Mapping, prefix: str) -> dict:
        """Dotted names as nested mappings: {"train.steps": 3} is {"train": {"steps": 3}}."""
        nested: dict = {}
        for key, value in overrides.items():
            if not isinstance(key, str):
                self._problem(f"{prefix}{key}", "a name must be text; put it in quotes")
                continue
            head, dot, rest = key.partition(".")
            inner = nested.setdefault(head, {}) if dot else None
            if not dot and head in nested:
                self._problem(f"{prefix}{head}", "given both whole and by dotted names; choose one")
            elif not dot:
                nested[head] = value
            elif not isinstance(inner, dict) or rest in inner:
                self._problem(f"{prefix}{key}", "given twice")
            else:
                nested[head] = {**inner, rest: value}
        return nested

    def _list(self, default: list, value, name: str) -> list:
        if not isinstance(value, list):
            raise ValueError(f"expected a list such as [{listed(default[:2])}]; got {value!r}")
        for item in value:
            if isinstance(item, Mapping | list) or item is None:
                raise ValueError(f"expected a flat list; got the element {item!r}")
            if default:
                _of_kind(default[0], item, ())
            self._check_limits(item, name)
        if len(set(value)) < len(value) and isinstance(value[0], str):  # of numbers it may be meant
            raise ValueError(f"an element is given twice: {value!r}")
        return value

    def _open(self, default: Mapping, value: Mapping, name: str) -> dict:
        for key, item in value.items():
            if isinstance(item, Mapping) and name == "model.image_processor":  # {size: {longest_edge: 512}}
                self._open({}, item, f"{name}.{key}")
                continue
            finite = not isinstance(item, float) or math.isfinite(item)
            if not isinstance(key, str) or not isinstance(item, str | int | float) or not finite:
                self._problem(f"{name}.{key}", f"expected text or a number under a text name; got {item!r}")
            elif re.search(r"^$|[=\0\s]", key) or re.search(r"[\0\n]", str(item)):
                self._problem(
                    f"{name}.{key!r}",
                    "is no name or value of a variable; leave out =, spaces and what is hidden",
                )
            elif SECRET.search(key) or PASSWORD_IN_URL.search(str(item)):
                self._problem(
                    f"{name}.{key}",
                    "looks like a secret, and study files are copied into artifacts; export it in the shell "
                    "instead: every process inherits it",
                )
        return {**default, **value}

    def _check_limits(self, value, name: str) -> None:
        limits = self._limit(name)
        if limits and isinstance(value, str):
            if value not in limits:
                raise ValueError(f"{value!r} is not known; choose from {listed(limits)}")
        elif limits and not isinstance(value, bool):
            low, high = limits
            if low is not None and value < low:
                raise ValueError(f"must be at least {low:g}; got {value!r}")
            if high is not None and value > high:
                raise ValueError(f"must be at most {high:g}; got {value!r}")
        if name == "model.study":
            _as_value_error(check_name, value)
        if name == "model.name" and value:
            _as_value_error(check_model_name, value)


def _of_kind(default, value, limits: Sequence):
    """The value, if it is of the default's kind. Raises ValueError."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false; got {value!r}")
    elif isinstance(default, int):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"expected a whole number such as {default}; got {value!r}{_number_hint(value)}")
    elif isinstance(default, float):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"expected a number such as {default}; got {value!r}{_number_hint(value)}")
        value = float(value)
    elif isinstance(default, str):
        if isinstance(value, int) and not isinstance(value, bool) and str(value) in limits:
            value = str(value)  # `zero: 2` reads better than `zero: "2"`
        if not isinstance(value, str):
            raise ValueError(f"expected text; got {value!r}: put it in quotes if it is meant as text")
    return value


def _number_hint(value) -> str:
    """YAML 1.1 takes 2e-4 for text because it has no dot; say so."""
    try:
        number = float(value if isinstance(value, str) else "nan")
    except ValueError:
        return ""
    written = f"{number:.0f}" if number.is_integer() and abs(number) >= 1 else repr(number)
    return f": YAML reads that as text; write {written}" if math.isfinite(number) else ""


def _as_value_error(check, value) -> None:
    try:
        check(value, "")
    except UserError as error:
        raise ValueError(str(error).removeprefix(": ")) from None
