"""The package is rooms on levels: a room imports only from lower ones; the desk side never loads torch."""

import ast
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mmrc_helpers"

# Room → what it may import beside itself and `errors`: rooms, or single modules of a room.
MAY_IMPORT = {
    "errors": (),
    "store": (),
    "tasks": (),
    "execution": ("store",),
    "figures": ("store", "tasks"),
    "worlds": ("store", "tasks"),
    "models": ("store", "tasks", "execution.worker"),
    "dynamics": ("models", "worlds", "tasks", "store", "execution.worker"),
    "training": ("models", "tasks", "store", "execution.worker", "execution.machine"),
    "study": ("worlds", "tasks", "execution", "store", "training.__init__", "models.folder", "models.sizes"),
    "analysis": ("study", "figures", "worlds", "store", "tasks", "execution.sheet", "execution.terminal"),
    "programs": ("training", "dynamics", "models", "worlds", "tasks", "store", "execution.worker"),
    "__init__": ("analysis", "figures", "study", "worlds", "store", "tasks"),
    "run": ("analysis", "study", "execution", "store"),
    "check": (
        "study",
        "worlds",
        "tasks",
        "store",
        "execution",
        "training.__init__",
        "models.folder",
        "models.mlx",
    ),
    "data": ("study", "worlds", "execution", "store", "models.folder"),
    "readme": ("analysis", "figures", "study", "store", "execution.surroundings", "execution.terminal"),
    "gallery": ("worlds", "figures", "study", "store", "tasks", "execution.terminal"),
    "merge": ("analysis", "study", "execution", "store"),
    "assemble": ("study", "execution", "store", "models.folder"),
    "probe": ("analysis", "study", "execution", "store", "models.folder"),
}


def place_of(path: Path) -> tuple[str, str]:
    """Room and module of a file."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0], ".".join(parts[1:])


def is_module(name: str) -> bool:
    return (PACKAGE / f"{name.replace('.', '/')}.py").is_file()


def imports_of(path: Path) -> set[str]:
    """The modules of this package that a file imports, anywhere in it, as "room.module"."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mmrc_helpers":
            inside = ".".join(node.module.split(".")[1:])
            for alias in node.names:
                name = f"{inside}.{alias.name}".strip(".")
                found.add(name if is_module(name) else inside if is_module(inside) else f"{inside}.__init__")
        if isinstance(node, ast.Import):
            names = [alias.name.split(".", 1) for alias in node.names]
            found |= {name[1] for name in names if name[0] == "mmrc_helpers" and len(name) > 1}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: ".".join(place_of(path)))
def test_a_room_imports_only_from_lower_ones(path):
    room, _ = place_of(path)
    assert room in MAY_IMPORT, f"{room} has no level yet; give it one in {Path(__file__).name}"
    for imported in imports_of(path):
        other = imported.split(".")[0]
        allowed = {room, "errors", *MAY_IMPORT[room]}
        assert other in allowed or imported in allowed, f"{room} imports {imported}"
        assert other != "programs" or room == "programs", f"{room} imports {imported}, which is only started"


def test_a_method_never_imports_a_world_and_a_program_never_another():
    for path in PACKAGE.rglob("programs/*.py"):
        assert not [name for name in imports_of(path) if name.startswith("programs.")], path


def test_a_started_program_does_its_main_and_no_more():
    """So that a fork that calls `main` (preloaded.py) does what a process of the program's own does."""
    for path in set(PACKAGE.rglob("programs/*.py")) - {PACKAGE / "programs" / "__init__.py"}:
        text = path.read_text(encoding="utf-8")
        assert text.endswith('\n\nif __name__ == "__main__":\n    worker.run_main(main)\n'), path
        assert text.count("__name__") == 1, path


def test_files_and_functions_stay_small_enough_to_read():
    """A file fits a reader's head, a main a glance."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 400, path
        assert ast.get_docstring(ast.parse(text)), f"{path} does not say what it is for"


def test_the_desk_side_is_quick_to_import_and_has_no_torch():
    code = "import mmrc_helpers, mmrc_helpers.run, sys; print('torch' in sys.modules)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert said == "False\n"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0  # of the processor


def test_no_two_test_files_bear_one_name():
    """pytest imports them by their names alone."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
