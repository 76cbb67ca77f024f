"""Names by content: what a stage folder is called follows from what it was made from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType


def content_key(kind: str, version: int, sections: Mapping, inputs: Sequence[str]) -> str:
    """Eight hex digits that name what a stage makes: SHA-256 over the canonical JSON of its kind, the version
    of its meaning, the parameter sections it uses, and the keys of its inputs."""
    content = [kind, version, plain(sections), list(inputs)]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def freeze(value):
    """The same value with mappings read-only and lists as tuples, all the way down."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: freeze(item) for key, item in value.items()})
    return tuple(freeze(item) for item in value) if isinstance(value, list | tuple) else value


def plain(value):
    """The same value as dicts and lists, which JSON can write; the inverse of `freeze`."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
