"""The package has levels: a module imports only from lower ones, and the desk's side never loads torch."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mmrc_helpers"

LEVELS = [  # lowest first; a new module gets its place here
    {"schema", "guard", "intervals"},
    {"study", "disk"},
    {"records", "store", "optimizers", "scratch"},
    {"grading", "worlds", "worker", "models", "batches", "metrics", "report", "outputs", "sheets", "checks"},
    {"checkpoints", "estimates", "probes"},
    {"launch", "gates", "drawing", "scoring", "alignment", "traces"},
    {"probing"},
    {"watch"},
    {"generate", "train", "evaluate", "dynamics", "stages", "figures"},
    {"scales", "trajectories", "exports"},
    {"lines"},
    {"alignment_figures"},
    {"dynamics_figures"},
    {"reading", "upkeep"},
    {"__init__", "execute"},
    {"run"},
]
STARTED = {
    "generate",
    "train",
    "evaluate",
    "dynamics",
}  # with a folder, in a process of their own; never imported


def module_of(path: Path) -> str:
    """The package's own name of a file; a package inside it counts as one module."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(path: Path) -> set[str]:
    """The modules of this package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mmrc_helpers":
            inside = node.module.split(".")[1:]
            found |= {inside[0]} if inside else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {name[1] for name in names if name[0] == "mmrc_helpers" and len(name) > 1}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_imports_only_from_lower_levels(path):
    level = {module: number for number, modules in enumerate(LEVELS) for module in modules}
    module = module_of(path)
    assert module in level, f"{module} has no level yet; give it one in {Path(__file__).name}"
    for imported in imports_of(path) - {module}:
        assert level[imported] < level[module], f"{module} (level {level[module]}) imports {imported}"
        assert imported not in STARTED, f"{module} imports {imported}, which is only ever started"


def test_the_desk_side_is_quick_to_import_and_has_no_torch():
    code = "import mmrc_helpers, mmrc_helpers.run, sys; print('torch' in sys.modules)"
    seconds = []
    for _ in range(3):  # the best of three: others may use the machine
        began = time.monotonic()
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        seconds.append(time.monotonic() - began)
        assert said == "False\n"
    assert min(seconds) < 1.0
