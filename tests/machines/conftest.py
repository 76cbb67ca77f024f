"""Places and people that several tables need: a folder that every user can reach, and another user."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from mmrc_helpers.store import files

NOBODY = 65534


@pytest.fixture
def common():
    """A folder that every user of this machine can look into."""
    folder = Path(tempfile.mkdtemp(prefix="common-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_another(tmp_path):
    """Runs a command of Python as another user, `nobody` or a number, in an environment of exactly these
    variables; the interpreter and the package are put where that user can reach them. `prepare`: shell lines
    before, as root, in a mount namespace of its own."""
    namespace = ["unshare", "--mount"]
    if os.geteuid() or not shutil.which("setpriv") or subprocess.run([*namespace, "true"]).returncode:
        pytest.skip("only root can become another user and mount here")
    needed = (Path(sys.base_prefix), Path(sys.prefix), files.REPOSITORY)
    reaching = list(_reaching(needed, tmp_path / "aside"))

    def run(*arguments: str, user: int = NOBODY, prepare=(), **environment: str):
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
        python = shlex.join([*become, sys.executable, *arguments])
        script = "\n".join([*reaching, *prepare, f"exec {python}"])
        own = {"PATH": os.environ["PATH"], "PYTHONPATH": str(files.REPOSITORY), **environment}
        command = [*namespace, "sh", "-ec", script]
        return subprocess.run(command, capture_output=True, text=True, env=own, cwd="/", errors="replace")

    return run


def _reaching(paths: Iterable[Path], aside: Path) -> Iterator[str]:
    """Shell lines that let everybody reach the paths, in a mount namespace of our own: a private folder above
    one is covered by an empty one that holds nothing but the paths."""
    private: dict[Path, list[Path]] = {}
    for path in paths:
        closed = [above for above in reversed(path.parents) if not above.stat().st_mode & 0o001]
        for above in closed[:1]:
            private.setdefault(above, []).append(path)
    for above, inside in private.items():
        kept = {path: aside / str(path).replace("/", "_") for path in inside}
        for path, place in kept.items():
            yield shlex.join(["mkdir", "-p", str(place)])
            yield shlex.join(["mount", "--bind", str(path), str(place)])
        yield shlex.join(["mount", "-t", "tmpfs", "-o", "mode=755", "none", str(above)])
        for path, place in kept.items():
            yield shlex.join(["mkdir", "-p", str(path)])
            yield shlex.join(["mount", "--bind", str(place), str(path)])
