"""A user's own settings, and what a user lacks, around a whole run: the study ends as in an empty account.
Every situation is a real one on disk and in the environment of a real runner."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from test_run import FINISH, MAKE_STAGES, REPORT, command, place, write_notebook, write_study

from mmrc_helpers.store import files

__all__ = ["place"]  # the fixture

LOOK = """
import json, locale, os, sys
import matplotlib
from matplotlib import pyplot
shell = get_ipython()
figure, axes = pyplot.subplots()
axes.set_title("größer → 中")
figure.savefig(os.devnull, format="png")
seen = {
    "python": sys.executable,
    "optimize": sys.flags.optimize,
    "documented": bool(files.__doc__),
    "utf8": sys.flags.utf8_mode == 1 or locale.getencoding().lower() == "utf-8",
    "pdb": shell.pdb,
    "startup": "from_startup" in shell.user_ns,
    "history": shell.history_manager.enabled,
    "changed": sorted(
        name for name, value in matplotlib.rcParamsDefault.items()
        if name != "backend" and matplotlib.rcParams[name] != value
    ),
    "agg": matplotlib.get_backend().lower() in ("agg", "inline", "module://matplotlib_inline.backend_inline"),
    "package": os.path.dirname(os.path.dirname(os.path.dirname(files.__file__))),
}
(files.artifacts_root() / "seen.json").write_text(json.dumps(seen), encoding="utf-8")
print("größer → − 中 ≤", "\\udcff".encode("utf-8", "replace"))
"""
EXPECTED = {
    "python": sys.executable,
    "optimize": 0,
    "documented": True,
    "utf8": True,
    "pdb": False,
    "startup": False,
    "history": False,
    "changed": [],
    "agg": True,
    "package": str(files.REPOSITORY),
}
BROKEN_KERNEL = {
    "argv": ["/nonexistent/python9", "-m", "nothing", "{connection_file}"],
    "display_name": "Python 3",
}


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def matplotlibrc(*lines: str):
    def prepare(home: Path) -> dict:
        written(home / ".config" / "matplotlib" / "matplotlibrc", "\n".join(lines))
        return {"MPLCONFIGDIR": str(home / ".config" / "matplotlib")}

    return prepare


def in_working_folder(home: Path) -> dict:
    written(home / "matplotlibrc", "figure.facecolor: black\ntext.usetex: True\nbackend: no_such_backend")
    return {}


def ipython(home: Path) -> dict:
    profile = home / ".ipython" / "profile_default"
    written(profile / "startup" / "00-first.py", "from_startup = 1\nraise SystemExit(3)")
    written(
        profile / "ipython_config.py", "c.InteractiveShell.pdb = True\nc.InteractiveShell.colors = 'NoSuch'"
    )
    written(
        profile / "ipython_kernel_config.py",
        "c.InteractiveShell.pdb = True\nc.IPKernelApp.exec_lines = ['1/0']",
    )
    return {"IPYTHONDIR": str(home / ".ipython")}


def jupyter(home: Path) -> dict:
    data = home / "jupyter"
    written(data / "kernels" / "python3" / "kernel.json", json.dumps(BROKEN_KERNEL))
    written(data / "nbconvert" / "templates" / "report" / "index.html.j2", "not ours")
    written(
        data / "config" / "jupyter_config.json", '{"NotebookClient": {"timeout": 1}, "TemplateExporter": 3}'
    )
    paths = {
        "JUPYTER_PATH": str(data),
        "JUPYTER_DATA_DIR": str(data),
        "JUPYTER_CONFIG_DIR": str(data / "config"),
    }
    return {**paths, "JUPYTER_PREFER_ENV_PATH": "0"}


def home_kernel(home: Path) -> dict:
    written(home / ".local/share/jupyter/kernels/python3/kernel.json", json.dumps(BROKEN_KERNEL))
    return {}


def python(home: Path) -> dict:
    startup = written(home / "startup.py", "from_startup = 1\nraise SystemExit(4)")
    return {
        "PYTHONSTARTUP": str(startup),
        "PYTHONOPTIMIZE": "2",
        "PYTHONWARNINGS": "error",
        "PYTHONBREAKPOINT": "a.b",
    }


def python_path(home: Path) -> dict:
    written(home / "lib" / "mmrc_helpers" / "__init__.py", "raise RuntimeError('the copy of somebody else')")
    for name in ("datasets", "figures", "nbformat", "seaborn"):
        written(home / "lib" / f"{name}.py", "raise RuntimeError('a module of the user')")
    return {"PYTHONPATH": f"{files.REPOSITORY}{os.pathsep}{home / 'lib'}"}


def no_home(home: Path) -> dict:
    return {"HOME": None, "USER": None, "LOGNAME": None, "XDG_CACHE_HOME": None}


def unwritable_home(home: Path) -> dict:
    return {"HOME": "/proc"}


def deep_folder_for_temporary_files(home: Path) -> dict:
    deep = home / "/".join(["a-rather-long-name-of-a-folder"] * 6)
    deep.mkdir(parents=True)
    return {"TMPDIR": str(deep)}


def no_folder_for_temporary_files(home: Path) -> dict:
    return {"TMPDIR": str(home / "not-there")}


def latin_terminal(home: Path) -> dict:
    return {"PYTHONIOENCODING": "latin-1:strict", "LC_ALL": "de_DE.ISO-8859-1", "LANG": "de_DE.ISO-8859-1"}


def ascii_locale(home: Path) -> dict:
    return {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": "C"}


def allocation(home: Path) -> dict:
    shell = "RANK=3 WORLD_SIZE=8 LOCAL_RANK=3 MASTER_ADDR=10.255.255.1 MASTER_PORT=1 SLURM_NTASKS=8 "
    shell += "OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_RANK=3 PMI_SIZE=8 ACCELERATE_USE_DEEPSPEED=true"
    return dict(word.split("=") for word in shell.split())


def all_of(*situations):
    def prepare(home: Path) -> dict:
        return {name: value for one in situations for name, value in one(home).items()}

    return prepare


DARK = ("figure.facecolor: black", "axes.facecolor: black", "text.color: white")
ALONE = {
    "an empty account": lambda home: {},
    "a dark matplotlibrc": matplotlibrc(
        "figure.facecolor: black", "axes.facecolor: black", "text.color: white"
    ),
    "LaTeX in matplotlibrc": matplotlibrc("text.usetex: True", "font.family: serif"),
    "an unknown backend": matplotlibrc("backend: no_such_backend"),
    "a broken matplotlibrc": matplotlibrc("figure.figsize: wide", "no.such.name: 3", "text.usetex: True"),
    "a matplotlibrc in the working folder": in_working_folder,
    "a backend in the environment": lambda home: {"MPLBACKEND": "no_such_backend"},
    "IPython's startup files and settings": ipython,
    "a python3 kernel of another Python": jupyter,
    "a python3 kernel in the home folder": home_kernel,
    "settings of Python": python,
    "modules on PYTHONPATH": python_path,
    "no home": no_home,
    "a home that cannot be written": unwritable_home,
    "a deep TMPDIR": deep_folder_for_temporary_files,
    "a TMPDIR that is not there": no_folder_for_temporary_files,
    "a Latin-1 terminal": latin_terminal,
    "an ASCII locale": ascii_locale,
    "a shell inside an allocation": allocation,
}
TOGETHER = {
    "all of matplotlib": all_of(
        matplotlibrc(*DARK, "text.usetex: True", "backend: no_such_backend", "no.such.name: 3"),
        in_working_folder,
        ALONE["a backend in the environment"],
    ),
    "all of Jupyter and Python": all_of(ipython, jupyter, home_kernel, python, python_path),
    "no home, a deep TMPDIR, a Latin-1 terminal, an allocation": all_of(
        no_home, deep_folder_for_temporary_files, latin_terminal, allocation
    ),
    "an unwritable home, no TMPDIR, an ASCII locale": all_of(
        unwritable_home, no_folder_for_temporary_files, ascii_locale
    ),
}
SITUATIONS = [pytest.param(prepare, id=name) for name, prepare in TOGETHER.items()]
SITUATIONS += [pytest.param(prepare, id=name, marks=pytest.mark.slow) for name, prepare in ALONE.items()]


@pytest.mark.parametrize("prepare", SITUATIONS)
def test_a_study_ends_as_in_an_empty_account(place, tmp_path, prepare):
    write_study(place, "a: {}")
    write_notebook(place, "03_evaluate", [MAKE_STAGES, LOOK, FINISH])
    write_notebook(place, "05_report_reversal", [REPORT.replace("too few people", "16 ± 2 → 中 − größer")])
    home = tmp_path / "home"
    home.mkdir()
    outer = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))
    }
    outer |= {"HOME": str(home), "PYTHONPATH": str(files.REPOSITORY)}
    given = {**outer, **prepare(home)}
    given = {name: value for name, value in given.items() if value is not None}
    runner = [sys.executable, "-m", "mmrc_helpers.run", *command(place)]
    run = subprocess.run(runner, env=given, cwd=home, capture_output=True)
    said = run.stdout.decode(errors="replace") + run.stderr.decode(errors="replace")
    assert run.returncode == 0 and "Traceback" not in said and "warning" not in said.lower(), said
    assert "verdict: inconclusive" in said and "report.html" in said
    assert json.loads((place / "artifacts" / "seen.json").read_text()) == EXPECTED
    page = (place / "artifacts" / "studies" / "mini" / "a-s0" / "03_evaluate.html").read_text(
        encoding="utf-8"
    )
    assert "größer → − 中 ≤" in page and "not ours" not in page
    reasons = json.loads((place / "artifacts/studies/mini/verdict.json").read_text(encoding="utf-8"))[
        "reasons"
    ]
    assert reasons == ["16 ± 2 → 中 − größer"]


def test_a_user_without_a_name_runs_a_study(place, common, as_another):
    write_study(place, "a: {}")
    artifacts = common / "artifacts"
    artifacts.mkdir(mode=0o777)
    artifacts.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
    for name in ("params", "notebooks"):
        (place / name).rename(common / name)
    seen = as_another("-m", "mmrc_helpers.run", *command(common), user=54321, MMRC_ARTIFACTS=str(artifacts))
    assert seen.returncode == 0 and "verdict: inconclusive" in seen.stdout, seen.stdout + seen.stderr
