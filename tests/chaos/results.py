"""What a study left, in a form that two runs of it can be compared by: everything but times and places."""

import json
import re
from pathlib import Path

from mmrc_helpers.store import folders

# times, processes, the machine section; PEFT's account of the base model with its path
NEVER_ALIKE = ("log.txt", "made.json", "recipe.json", "README.md", "adapter_config.json")
TIMED = re.compile(r"\.(train|evaluate|show_provenance)\(")  # cells whose tables hold minutes
FRACTION = re.compile(r"\d+\.\d+")
STREAM = re.compile(r'<div class="output">\s*<pre>.*?</pre>\s*</div>', re.DOTALL)


def differences(reference: Path, other: Path) -> list[str]:
    """Where the results below `other` are not those below `reference`, one line for each file."""
    found = leftovers(other)
    names = [_names(root) for root in (reference, other)]
    found += [f"{name} is missing" for name in sorted(names[0] - names[1])]
    found += [f"{name} is new" for name in sorted(names[1] - names[0])]
    for name in sorted(names[0] & names[1]):
        if _content(reference, name) != _content(other, name):
            found.append(f"{name} differs")
    return found + lies(other)


def leftovers(root: Path) -> list[str]:
    """Unfinished work below an artifacts folder; but features, of which a run removes what is old."""
    marks = re.compile(r"\.part|\.gone|\.failed|/\.[^/]+\.\d+$")
    own = [path for path in _paths(root) if not path.startswith("features/")]
    return [f"{path} is left over" for path in own if marks.search(f"/{path}")]


def lies(root: Path) -> list[str]:
    """What counts as finished below an artifacts folder but is not."""
    found = []
    for made in root.glob("*/*/made.json"):
        if not made.parent.is_symlink() and ".part" not in made.parent.name:
            found += folders.damage(made.parent)
    for mark in (*root.glob("studies/*/*/*.json"), *root.glob("studies/*/report.json")):
        notebook, page = mark.with_suffix(".ipynb"), mark.with_suffix(".html")
        if not (notebook.exists() and page.exists()):
            found.append(f"{mark} stands alone")
        elif not page.read_text().rstrip().endswith("</html>") or not _is_executed(notebook):
            found.append(f"{mark} marks half a notebook")
    return found


def _paths(root: Path) -> list[str]:
    """Everything below, but not what is linked from elsewhere, by its path from `root`."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_symlink())


def _names(root: Path) -> set[str]:
    names = {name for name in _paths(root) if (root / name).is_file() and "/." not in f"/{name}"}
    return {name for name in names if not name.endswith(NEVER_ALIKE) and "/done" not in name}


def _content(root: Path, name: str):
    path = root / name
    if path.suffix == ".ipynb":
        return _outputs(json.loads(path.read_text()))
    if path.with_suffix(".ipynb").is_file() and path.suffix == ".json":  # a mark, with checksums of these
        return {key: part for key, part in json.loads(path.read_text()).items() if key != "files"}
    if path.suffix == ".html":
        return FRACTION.sub("#", "".join(STREAM.sub("", path.read_text()).split()))
    return path.read_bytes()


def _outputs(notebook: dict) -> list:
    """Source and outputs of every cell, without progress lines and minutes."""
    cells = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        shown = [out.get("data") for out in cell.get("outputs", ()) if out["output_type"] != "stream"]
        text = json.dumps(shown, sort_keys=True)
        timed = FRACTION.sub("#", text).replace(" ", "")  # columns are padded to the width of the minutes
        cells.append((source, timed if TIMED.search(source) else text))
    return cells


def _is_executed(notebook: Path) -> bool:
    cells = json.loads(notebook.read_text())["cells"]
    return all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code" and cell["source"])
