"""Set-up: whatever interrupted or misled it, the same command ends in an environment of this very folder. A
small project with one hand-made package stands for ours, so nothing is downloaded."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mmrc_helpers.store import files

PROJECT = """
[project]
name = "mmrc_helpers"
dependencies = ["tinything==1.0"]
[project.optional-dependencies]
test = []
"""
WHERE = "import mmrc_helpers, tinything; print(mmrc_helpers.__file__, tinything.__file__)"


def wheel(folder: Path, version: str) -> None:
    """A package of one empty module, as an index would serve it."""
    info = f"tinything-{version}.dist-info"
    content = {
        "tinything.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tinything\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_sum(text)},{len(text)}\n" for name, text in content.items())
    with zipfile.ZipFile(folder / f"tinything-{version}-py3-none-any.whl", "w") as archive:
        for name, text in {**content, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(name, text)


def _sum(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def project_at(place: Path, patch: pytest.MonkeyPatch) -> Path:
    """A small project with our Makefile and set-up, in a folder with a space in its name, and packages beside
    it that pip has in place of an index."""
    for version in ("1.0", "2.0"):
        wheel(place, version)
    folder = place / "my project"
    (folder / ".ci").mkdir(parents=True)
    (folder / "mmrc_helpers").mkdir()
    (folder / "mmrc_helpers" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(PROJECT)
    shutil.copy(files.REPOSITORY / "Makefile", folder)
    shutil.copy(files.REPOSITORY / ".ci" / "environment.py", folder / ".ci")
    for name in [name for name in os.environ if name.startswith(("PIP_", "PYTHON"))]:
        patch.delenv(name)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(place))
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A small project of the test's own, without an environment."""
    return project_at(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A small project whose environment is made, once for the file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = project_at(tmp_path_factory.mktemp("finished"), patch)
        made = make(folder)
        assert made.returncode == 0 and works(folder), made.stdout + made.stderr
    return folder


def make(folder: Path, *more: str, **environment: str) -> subprocess.CompletedProcess:
    """`make environment`, with the tests' interpreter first on the PATH."""
    path = f"{Path(sys._base_executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {**os.environ, "PATH": path, **environment}
    return subprocess.run(
        ["make", "-C", folder, "environment", *more], env=own, capture_output=True, text=True
    )


def works(folder: Path) -> bool:
    """Whether the environment has the package of its own folder and the one it depends on, from anywhere."""
    python = folder / ".venv" / "bin" / "python"
    seen = subprocess.run([python, "-c", WHERE], cwd="/", capture_output=True, text=True)
    return seen.stdout.startswith(f"{folder}/mmrc_helpers/__init__.py {folder}/.venv/lib/")


def half_made(folder: Path) -> None:
    subprocess.run([sys._base_executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)


def torn(folder: Path) -> None:
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to("/nonexistent/python3")
    (folder / ".venv" / "lib" / "python3.8" / "site-packages").mkdir(parents=True)


def settings_of_pip(folder: Path) -> dict:
    config = folder.parent / "pip.conf"
    config.write_text("[global]\n[install]\nuser = true\n")
    return {"PIP_CONFIG_FILE": str(config)}


PLACES = {
    "nothing there": lambda folder: {},
    "interrupted in ensurepip": half_made,
    "of a Python that is gone": torn,
    "an empty folder": lambda folder: (folder / ".venv").mkdir(),
}
SETTINGS = {
    "PIP_USER": lambda folder: {"PIP_USER": "1"},
    "PIP_TARGET": lambda folder: {"PIP_TARGET": str(folder / "elsewhere"), "PIP_NO_DEPS": "1"},
    "PIP_PREFIX": lambda folder: {"PIP_PREFIX": str(folder / "elsewhere"), "PIP_REQUIRE_VIRTUALENV": "1"},
    "relatives of it": lambda folder: {
        "PIP_NO_DEPENDENCIES": "1",
        "PIP_PLATFORM": "win32",
        "PIP_PYTHON": "/x",
        "PIP_CONSTRAINT": "/x",
        "PIP_LOG": "/x/y",
        "PIP_REPORT": "-",
        "PIP_GROUP": "x",
    },
    "user installs in pip.conf": settings_of_pip,
    "settings of Python": lambda folder: {"PYTHONOPTIMIZE": "2", "PYTHONHOME": "/x", "PYTHONPATH": "/x"},
    "settings with which no Python starts": lambda folder: {
        "PYTHONHASHSEED": "abc",
        "PYTHONMALLOC": "x",
        "PYTHONIOENCODING": "x",
        "PYTHONINTMAXSTRDIGITS": "x",
    },
}


def interrupted_among_all_settings(folder: Path) -> dict:
    """Everything above that can be at once: nothing here makes up for another."""
    half_made(folder)
    return {of: value for prepare in SETTINGS.values() for of, value in prepare(folder).items()}


CASES = [
    pytest.param(interrupted_among_all_settings, id="interrupted, among all settings"),
    *[pytest.param(prepare, id=of, marks=pytest.mark.slow) for of, prepare in (PLACES | SETTINGS).items()],
]


@pytest.mark.parametrize("prepare", CASES)
def test_the_same_command_ends_in_an_environment(project, prepare):
    environment = prepare(project) or {}
    made = make(project, **environment)
    assert made.returncode == 0 and works(project), made.stdout + made.stderr
    again = make(project, **environment)
    assert again.returncode == 0 and "setting up" not in again.stdout
    assert not (project / "elsewhere").exists()


def test_an_environment_whose_python_is_gone_is_made_anew(project, finished):
    copied(finished / ".venv", project / ".venv")
    assert works(project)
    for python in (project / ".venv" / "bin").glob("python*"):
        python.unlink()
        python.symlink_to("/nonexistent/python3")
    made = make(project)
    assert made.returncode == 0 and "setting up" in made.stdout and works(project), made.stdout + made.stderr


def test_a_folder_with_a_colon_is_told_what_to_do(project):
    named = project.rename(project.with_name("a:b"))
    made = make(named)
    assert made.returncode != 0 and "has a : in it" in made.stderr and "make VENV=" in made.stderr
    assert not (named / ".venv" / "stamp").exists()


def copied(source: Path, to: Path) -> Path:
    subprocess.run(["cp", "-r", source, to], check=True)
    return to


def test_a_copied_or_moved_folder_runs_its_own_code(project, finished):
    copy = copied(finished, finished.with_name("a copy"))
    assert works(copy) and works(finished)
    assert "setting up" not in make(copy).stdout
    aside = finished.rename(finished.with_name("aside"))
    moved = copy.rename(copy.with_name("moved"))
    assert works(moved) and "setting up" not in make(moved).stdout
    aside.rename(finished)


@pytest.mark.slow
def test_an_environment_of_the_earlier_kind_is_freed_from_its_place(project):
    assert make(project).returncode == 0
    (packages,) = (project / ".venv" / "lib").glob("python*/site-packages")
    other = project.with_name("the original")
    (other / "mmrc_helpers").mkdir(parents=True)
    (other / "mmrc_helpers" / "__init__.py").touch()
    (packages / "__editable__.mmrc_helpers-0.1.0.pth").write_text(f"{other}\n")
    (packages / "mmrc_helpers.pth").unlink()
    (project / ".venv" / "stamp").write_text("3735928559 2017")
    assert not works(project) and make(project).returncode == 0 and works(project)


@pytest.mark.slow
def test_a_changed_version_is_installed_and_other_changes_are_not(project):
    assert make(project).returncode == 0
    (project / "pyproject.toml").write_text(f"{PROJECT}\n[tool.ruff]\nline-length = 99\n")
    assert "setting up" not in make(project).stdout
    (project / "pyproject.toml").write_text(PROJECT.replace("1.0", "2.0"))
    assert "setting up" in make(project).stdout and works(project)
    (project / "pyproject.toml").write_text(PROJECT.replace("1.0", "3.0"))
    failed = make(project)
    assert (
        failed.returncode != 0
        and "the set-up failed" in failed.stderr
        and "run the same command" in failed.stderr
    )
    (project / "pyproject.toml").write_text(PROJECT)
    assert make(project).returncode == 0 and works(project)


@pytest.mark.slow
def test_an_environment_elsewhere_serves_a_checkout_that_cannot_be_written(project, tmp_path):
    made = make(project, f"VENV={tmp_path}/venv")
    assert made.returncode == 0, made.stdout + made.stderr
    code = [tmp_path / "venv" / "bin" / "python", "-c", WHERE]
    seen = subprocess.run(code, cwd=project, capture_output=True, text=True)
    assert f"{tmp_path}/venv" in seen.stdout
    (tmp_path / "file").touch()
    refused = make(project, f"VENV={tmp_path}/file/venv")
    assert (
        refused.returncode != 0 and "give another place: make VENV=/a/folder/of/yours study" in refused.stderr
    )


@pytest.mark.slow
def test_two_set_ups_at_once_make_one_environment(project):
    path = f"{Path(sys._base_executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["make", "-C", str(project), "environment"]
    both = [
        subprocess.Popen(command, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0] and works(project)
    assert sum("setting up" in text for text in said) == 1
