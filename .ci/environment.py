"""Makes the project's environment, once: `python3 .ci/environment.py FOLDER`. It stands on its own (no
package is there yet). What was interrupted is made anew; a folder that was copied or moved works on as it
is."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# Settings of pip that say where packages come from. Others may send them elsewhere or leave some out.
SOURCES = """
    INDEX_URL EXTRA_INDEX_URL NO_INDEX FIND_LINKS TRUSTED_HOST CERT CLIENT_CERT PROXY KEYRING_PROVIDER
    CONFIG_FILE CACHE_DIR NO_CACHE_DIR TIMEOUT DEFAULT_TIMEOUT RETRIES
    RESUME_RETRIES USE_FEATURE USE_DEPRECATED NO_INPUT
    """.split()
# What is seldom or never imported, half of all code: Python compiles it when it is.
SELDOM = r"/(tests?|_testing|testing/_internal|diffusers|networkx|debugpy|playwright)/|/transformers/models/"


def main(folder: Path) -> int:
    """Returns 0 when the environment in `folder` holds what pyproject.toml says."""
    wanted = requirements()
    made_of = [wanted, sys.version_info[:2], platform.machine()]
    stamp = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
    with only_one(folder):
        mark = folder / "stamp"
        if mark.is_file() and not starts(folder):  # its Python was removed or replaced
            mark.unlink()
        if mark.is_file() and mark.read_text() == stamp:
            return 0
        print(
            f"setting up {folder} with Python {platform.python_version()}; this takes some minutes",
            flush=True,
        )
        if not mark.is_file():  # never finished, however far it came
            make(folder)
        mark.unlink(missing_ok=True)
        install(folder, wanted)
        mark.write_text(stamp)
    return 0


def requirements() -> list[str]:
    """The pinned packages of the project and its tests."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["test"]]


@contextlib.contextmanager
def only_one(folder: Path):
    """One set-up at a time, where the file system has locks."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(
            f"cannot make {folder} ({error.strerror}); give another place: make VENV=/a/folder/of/yours study"
        )
    descriptor = os.open(folder.parent, os.O_RDONLY)
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


def starts(folder: Path) -> bool:
    """Whether the environment's Python can be started, and is the one that was asked for."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        said = subprocess.run([folder / "bin" / "python", "-I", "-c", code], capture_output=True, text=True)
    except OSError:
        return False
    return said.stdout.split() == [str(number) for number in sys.version_info[:2]]


def make(folder: Path) -> None:
    """An empty environment in place of whatever lies there."""
    if os.pathsep in str(folder):
        sys.exit(
            f"{folder} has a {os.pathsep} in it, with which Python makes no environment; rename that folder, "
            "or give another place: make VENV=/a/folder/of/yours study"
        )
    base = getattr(sys, "_base_executable", sys.executable)  # this may be the environment that goes
    for inside in folder.iterdir():
        shutil.rmtree(inside) if inside.is_dir() and not inside.is_symlink() else inside.unlink()
    run(
        [base, "-m", "venv", str(folder)],
        "Python lacks venv or ensurepip (Debian: apt-get install python3-venv), or the disk is full",
    )


def install(folder: Path, wanted: list[str]) -> None:
    """Installs the packages and compiles them with every core."""
    python = [str(folder / "bin" / "python"), "-I"]
    pip = [*python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-user", "--no-compile"]
    run([*pip, *wanted], "run the same command again; what was downloaded is kept in pip's cache")
    compile_all = [*python, "-m", "compileall", "-qq", "-j", "0", "-x", SELDOM, str(folder / "lib")]
    subprocess.run(compile_all, capture_output=True)
    run([*python, __file__, "--check"], "see `pip config list`: a setting sends packages elsewhere")
    place(folder)


def place(folder: Path) -> None:
    """Makes the package found there, relatively: wherever the project's folder is moved or copied to."""
    (packages,) = (folder / "lib").glob("python*/site-packages")
    for fixed in packages.glob("__editable__*mmrc_helpers*"):  # of an earlier set-up, which named one folder
        fixed.unlink()
    if packages.resolve().is_relative_to(REPOSITORY):  # one elsewhere may serve several copies of the project
        (packages / "mmrc_helpers.pth").write_text(f"{os.path.relpath(REPOSITORY, packages)}\n")


def check() -> int:
    """Whether the packages are importable here at the versions that are wanted."""
    for pin in requirements():
        name, _, version = pin.partition("==")
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = "none"
        if found != version:
            sys.exit(f"{name}: {version} is wanted, {found} is there")
    return 0


def run(command: list[str], cure: str) -> None:
    """Runs a command without the settings that mislead pip; ends with one sentence if it fails."""
    ours = {f"PIP_{name}" for name in SOURCES}
    environment = {of: value for of, value in os.environ.items() if of in ours or not of.startswith("PIP_")}
    if code := subprocess.run(command, env=environment).returncode:
        sys.exit(f"the set-up failed ({' '.join(command[:4])} …: exit status {code}); {cure}")


if __name__ == "__main__":
    try:
        sys.exit(check() if sys.argv[1:] == ["--check"] else main(Path(sys.argv[1]).absolute()))
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command makes it anew")
