"""What a study file may say: the strict merge against base.yaml. A default is also the parameter's kind;
BOUNDS and CHOICES hold what a kind cannot say. A violation is a UserError naming file, key and fix."""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import yaml

from mmrc_helpers.errors import UserError, check_file_name, check_known, check_name, near_miss, show

# Words of a variable's name that mark a secret, and a URL that carries a password.
SECRET = re.compile(
    r"(^|_)(TOKEN|KEY|APIKEY|SECRET|PASSWORD|PASSWD|PASS|CREDENTIALS?|AUTH)(_|$)", re.IGNORECASE
)
PASSWORD_IN_URL = re.compile(r"://[^/\s]*:[^/\s]*@")

CELLS = tuple(
    f"{direction}/{format}" for direction in ("forward", "reverse") for format in ("free", "choice", "judge")
)

# Allowed values of strings (of every element, for lists of strings).
CHOICES = {
    "model.source": ("study", "folder", "scratch"),
    "model.dtype": ("float32", "bfloat16", "float16"),
    "data.world": ("people",),
    "data.label": ("name", "descriptor"),
    "train.method": ("sft",),
    "train.cells": CELLS,
    "train.optimizer": ("adamw", "muon"),
    "train.schedule": ("linear", "constant"),
    "train.precision": ("bf16", "fp16", "fp32"),
    "evaluate.drops": ("image", "text"),
    "dynamics.spacing": ("log", "even", "both"),
    "machine.launcher": ("deepspeed", "torchrun", "python"),
    "machine.accelerator": ("auto", "cpu", "cuda"),
    "machine.zero": ("none", "0", "2", "3"),
}

# Mappings whose names are the user's own.
OPEN = ("machine.environment",)

# Smallest and largest value of every number, both allowed; None is no limit.
BOUNDS = {
    "model.scratch.hidden_size": (8, None),
    "model.scratch.layers": (1, None),
    "model.scratch.heads": (1, None),
    "model.scratch.intermediate_size": (8, None),
    "model.scratch.vocabulary": (300, None),  # 256 bytes and the special tokens must fit
    "model.scratch.vision_width": (8, None),
    "model.scratch.vision_layers": (1, None),
    "model.scratch.vision_heads": (1, None),
    "model.scratch.patch_size": (2, 64),
    "model.scratch.initializer_range": (1e-6, 1.0),
    "data.image_size": (16, 4096),
    "data.background": (0, None),
    "data.novel": (0, None),
    "data.first_names": (1, None),
    "data.last_names": (1, None),
    "data.options": (2, 8),  # letters A to H
    "data.train_views": (1, None),
    "data.test_views": (1, None),
    "data.passers_by": (0, None),
    "data.train_scenes": (0, None),
    "data.text_scenes": (0, None),
    "data.test_repeats": (1, None),
    "train.two_way": (0.0, 1.0),
    "train.replay": (0.0, 1.0),
    "train.replay_mix.portrait": (0.0, None),
    "train.replay_mix.lineup": (0.0, None),
    "train.replay_mix.recall": (0.0, None),
    "train.replay_mix.twin": (0.0, None),
    "train.replay_mix.attribute": (0.0, None),
    "train.replay_mix.caption": (0.0, None),
    "train.replay_mix.text": (0.0, None),
    "train.replay_mix.roll_call": (0.0, None),
    "train.replay_mix.in_context": (0.0, None),
    "train.turns": (1, None),
    "train.steps": (0, None),
    "train.novel_tokens": (0, None),
    "train.batch": (1, None),
    "train.max_length": (16, None),
    "train.learning_rate": (0.0, 10.0),
    "train.muon_learning_rate": (0.0, 10.0),
    "train.warmup_steps": (0, None),
    "train.hold": (0.0, 1.0),
    "train.final_rate": (0.0, 1.0),
    "train.weight_decay": (0.0, 10.0),
    "train.beta2": (0.0, 0.999999),
    "train.max_grad_norm": (0.0, None),
    "train.lora_r": (0, None),
    "train.lora_alpha": (1, None),
    "train.lora_dropout": (0.0, 0.999),
    "machine.log_steps": (1, None),
    "machine.save_steps": (1, None),
    "machine.keep_checkpoints": (1, None),
    "evaluate.batch": (1, None),
    "evaluate.orders": (1, 8),
    "evaluate.background": (0, None),
    "evaluate.max_new_tokens": (1, None),
    "dynamics.probes": (0, None),
    "dynamics.examples": (1, None),
    "dynamics.gradients": (0, None),
    "machine.processes": (1, 1024),
    "machine.micro_batch": (1, None),
    "machine.threads": (0, None),
    "machine.heartbeat_seconds": (5, None),
}


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a name given twice is an error instead of a silent last-one-wins."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if isinstance(key, str) and key in seen:
                raise UserError(f"{key} is given twice (line {key_node.start_mark.line + 1}); keep one")
            seen.add(str(key))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict:
    """The mapping in a YAML file, safe-loaded. Raises UserError with the line if it is not one."""
    try:
        content = _parse(path.read_text(encoding="utf-8"))
    except UserError as error:
        raise UserError(f"{show(path)}: {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{show(path)}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{show(path)}: expected a mapping of sections such as train and data; got {content!r}"
        )
    return content


@lru_cache(maxsize=64)  # every run of a study reads the same few files
def _parse(text: str):
    return yaml.load(text, Loader=_StrictLoader)


def merge(known: Mapping, overrides: Mapping, file: Path, prefix: str = "") -> dict:
    """`known` with `overrides` (nested or dotted names) in its place; `prefix` is the dotted name of `known`.
    Raises UserError for a name that `known` lacks and for a value of another kind than its own."""
    merged = dict(known)
    for key, value in _nested(overrides, file, prefix).items():
        if key not in known:
            raise UserError(f"{show(file)}: {prefix}{key}: no such parameter{near_miss(key, known)}")
        merged[key] = check_value(known[key], value, f"{prefix}{key}", file)
    return merged


def _nested(overrides: Mapping, file: Path, prefix: str) -> dict:
    """Dotted names as nested mappings: {"train.steps": 3} is {"train": {"steps": 3}}."""
    nested: dict = {}
    for key, value in overrides.items():
        if not isinstance(key, str):
            raise UserError(f"{show(file)}: {prefix}{key}: a name must be text; put it in quotes")
        head, dot, rest = key.partition(".")
        if not dot:
            if head in nested:
                raise UserError(
                    f"{show(file)}: {prefix}{head}: given both whole and by dotted names; choose one"
                )
            nested[head] = value
        else:
            inner = nested.setdefault(head, {})
            if not isinstance(inner, dict) or rest in inner:
                raise UserError(f"{show(file)}: {prefix}{key}: given twice")
            nested[head] = {**inner, rest: value}
    return nested


def check_value(default, value, key: str, file: Path):
    """`value` if it is of the kind of `default` (an int may stand for a float), within bounds and choices."""
    where = f"{show(file)}: {key}"
    if key == "phases":
        if not isinstance(value, list) or not all(isinstance(phase, Mapping) for phase in value):
            raise UserError(f"{where}: expected a list of overrides of train, such as [{{}}]; got {value!r}")
        return value
    if isinstance(default, Mapping):
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected a mapping of parameters; got {value!r}")
        if key in OPEN:
            return {**default, **_check_open_mapping(value, where)}
        return merge(default, value, file, f"{key}.")
    if isinstance(default, list):
        return _check_list(default, value, key, where)
    value = _check_kind(default, value, key, where)
    _check_range(value, key, where)
    return value


def _check_list(default: list, value, key: str, where: str) -> list:
    if not isinstance(value, list):
        raise UserError(
            f"{where}: expected a list such as [{', '.join(map(str, default[:2]))}]; got {value!r}"
        )
    for item in value:
        if isinstance(item, Mapping | list) or item is None:
            raise UserError(f"{where}: expected a flat list; got the element {item!r}")
        if default:
            _check_kind(default[0], item, key, where)
        _check_range(item, key, where)
    if len(set(value)) < len(value):
        raise UserError(f"{where}: an element is given twice: {value!r}")
    return value


def _check_open_mapping(value: Mapping, where: str) -> dict:
    for name, item in value.items():
        if not isinstance(name, str) or isinstance(item, Mapping | list) or item is None:
            raise UserError(f"{where}.{name}: expected text or a number under a text name; got {item!r}")
        if SECRET.search(name) or PASSWORD_IN_URL.search(str(item)):
            raise UserError(
                f"{where}.{name}: looks like a secret, and study files are copied into artifacts; export it "
                "in the shell instead: every process inherits it"
            )
    return dict(value)


def _check_kind(default, value, key: str, where: str):
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise UserError(f"{where}: expected true or false; got {value!r}")
    elif isinstance(default, int):
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(f"{where}: expected a whole number such as {default}; got {value!r}")
    elif isinstance(default, float):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(
                f"{where}: expected a number such as {default}; got {value!r}{_number_hint(value)}"
            )
        value = float(value)
    elif isinstance(default, str):
        if isinstance(value, int) and not isinstance(value, bool) and str(value) in CHOICES.get(key, ()):
            value = str(value)  # `zero: 2` reads better than `zero: "2"`
        if not isinstance(value, str):
            raise UserError(f"{where}: expected text; got {value!r}: put it in quotes if it is meant as text")
    return value


def _number_hint(value) -> str:
    """YAML 1.1 takes 2e-4 for text because it has no dot; say so."""
    try:
        number = float(value if isinstance(value, str) else "nan")
    except ValueError:
        return ""
    return f": YAML reads that as text; write {number!r}" if math.isfinite(number) else ""


def _check_range(value, key: str, where: str) -> None:
    if key in CHOICES:
        check_known(value, CHOICES[key], f"{where}:", every=True)
    if key in BOUNDS and not isinstance(value, str):
        low, high = BOUNDS[key]
        if low is not None and value < low:
            raise UserError(f"{where}: must be at least {low}; got {value!r}")
        if high is not None and value > high:
            raise UserError(f"{where}: must be at most {high}; got {value!r}")
    if key == "model.study":
        check_name(value, where)
    if key == "model.name" and value:
        check_file_name(value, where)
