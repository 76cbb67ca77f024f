"""What the cells of an executed notebook show: of a progress line its last state, and of too much text the
beginning, the whole being in a file beside it. So a notebook and its page can always be opened."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from mmrc_helpers.store import files

TEXT_LIMIT = 1_000_000  # characters of text in one cell, pictures not counted
PICTURE_LIMIT = 10_000_000  # characters of pictures (base64) in one output; beyond it they count as text
PICTURE = re.compile(r"data:image/[^\"']+")


def shorten(notebook: Path) -> None:
    """Rewrites an executed notebook and syncs it. Of a cell that shows too much, the beginning is kept, and a
    note names the file beside it that holds all: 03_evaluate.cell4.txt (cells counted from 1)."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    stem = notebook.name.split(".")[0]
    for earlier in notebook.parent.glob(f"{stem}.cell*.txt"):
        earlier.unlink()
    for number, cell in enumerate(content["cells"], 1):
        if cell["cell_type"] != "code":
            continue
        outputs = cell["outputs"] = _joined(cell["outputs"])
        if sum(map(_length, outputs)) > TEXT_LIMIT:
            whole = notebook.with_name(f"{stem}.cell{number}.txt")
            files.write_text(whole, "\n".join(map(_text, outputs)))
            cell["outputs"] = _beginning(outputs, whole.name)
    files.write_text(notebook, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _joined(outputs: Sequence[dict]) -> list[dict]:
    """The outputs with neighbouring pieces of a stream as one, and lines that were written over gone."""
    joined: list[dict] = []
    for output in outputs:  # nbclient's coalesce_streams does this in quadratic time (nbclient 0.11)
        last = joined[-1] if joined else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] = _text(last) + _text(output)
        else:
            joined.append(output)
    for output in joined:
        if output["output_type"] == "stream":
            lines = _text(output).split("\n")
            output["text"] = "\n".join(line.rstrip("\r").rpartition("\r")[2].rstrip() for line in lines)
    return joined


def _beginning(outputs: Sequence[dict], whole: str) -> list[dict]:
    """The outputs that fit; of a stream that does not, the beginning; and where all of it lies."""
    kept, left = [], TEXT_LIMIT
    for output in outputs:
        if _length(output) > left and output["output_type"] == "stream":
            output = {**output, "text": _text(output)[: left // 2]}
        if _length(output) <= left:
            kept.append(output)
            left -= _length(output)
    note = f"\n… only the beginning of {sum(map(_length, outputs)):,} characters; all of it: {whole}\n"
    return [*kept, {"output_type": "stream", "name": "stdout", "text": note}]


def _length(output: dict) -> int:
    """Characters of text; those of pictures only beyond their own limit."""
    text = _text(output)
    without = len(PICTURE.sub("", text))
    return without if len(text) - without <= PICTURE_LIMIT else len(text)


def _text(output: dict) -> str:
    """What an output shows, as one text; a picture as in HTML."""
    if "data" in output:
        shown = {kind: "".join(part) for kind, part in output["data"].items() if isinstance(part, str | list)}
        return "\n".join(
            f"data:{kind};base64,{part}" if kind.startswith("image/") else part
            for kind, part in shown.items()
        )
    return "".join(output.get("text") or "\n".join(output.get("traceback", ())))
