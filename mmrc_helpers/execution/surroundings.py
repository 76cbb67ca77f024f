"""What of the user's surroundings reaches our batch processes: paths, devices, proxies and credentials do.
Settings of Python, Jupyter, matplotlib and of other launchers do not, and what is missing (a home, a name) is
lent."""

import codecs
import contextlib
import os
import pwd
import re
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError
from mmrc_helpers.store import files

ENTERED = (
    "MMRC_ENTERED"  # the process that has entered; a process keeps its number when it starts itself anew
)
RC = Path(__file__).with_name("matplotlibrc")
KEPT = {"PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONNOUSERSITE", "PYTHONUSERBASE"}
KEPT |= {"PYTHON_CPU_COUNT"}
# Settings that change what our processes do: of Python, IPython, Jupyter, debuggers, matplotlib and logs.
SETTINGS = re.compile(
    r"PYTHON|IPYTHON|IPY_|JUPYTER|PYDEVD_|DEBUGPY_|MPLBACKEND$|MATPLOTLIBRC$|FORCE_COLOR$|CLICOLOR"
    r"|LOGLEVEL$|TQDM_|TORCH_LOGS|TORCH_(COMPILE|TRACE|JIT|DIST|DISTRIBUTED)_|TORCHDYNAMO_|TORCHINDUCTOR_|PYTORCH_JIT"
    r"|USE_(TORCH|TF|FLAX|JAX|TORCH_XLA)$|(TRANSFORMERS|DATASETS|DIFFUSERS)_VERBOSITY$"
)
# Who is which of how many processes, as launchers and schedulers tell it: true of the shell, not of a stage.
LAUNCHERS = re.compile(
    r"(LOCAL_|GROUP_|NODE_|CROSS_|ROLE_)?(RANK|WORLD_SIZE)$|(LOCAL|CROSS)_SIZE$|ROLE_NAME$|MASTER_(ADDR|PORT)$"
    r"|(TORCHELASTIC|TORCHX|PET|ACCELERATE|FSDP|MEGATRON|PARALLELISM_CONFIG|DEEPSPEED|DS|HOROVOD)_"
    r"|(TORCHCOMM|SMDATAPARALLEL|AZ_BATCH|AZ_BATCHAI|XLA|PJRT|NEURON|ALPS|COBALT|MPIRUN|MPIEXEC|ORTE|OPAL)_"
    r"|FORK_LAUNCHED$|N?PROC_PER_NODE$|NPROC$|NNODES$"
    r"|(OMPI|PMI|PMI2|PMIX|PRTE|PALS|MV2|MPI|MPICH|I_MPI|HYDRA|HYDI|JSM|FLUX)_"
    r"|(SLURM|SLURMD|SRUN|SBATCH|SALLOC|PBS|LSB|LSF|SGE|AZUREML|SM|DLTS)_"
)
# Libraries read a number from these while they are imported, and stop at anything else.
NUMBERS = re.compile(
    r"HF_HUB_(ETAG|DOWNLOAD)_TIMEOUT$|HF_DATASETS_IN_MEMORY_MAX_SIZE$|DIFFUSERS_TIMEOUT_REMOTE_CODE$"
)
THREADS = re.compile(r"(OMP|KMP|GOMP|MKL|OPENBLAS|GOTO|BLIS|NUMEXPR|VECLIB)_")
PLAINER = str.maketrans(
    {"−": "-", "–": "-", "→": "->", "…": "...", "×": "x", "±": "+-", "≤": "<=", "≥": ">="}
)


def enter(module: str) -> None:
    """Starts this process anew as `python -m module` with the same arguments, in an environment of its own;
    returns where that has been done. The terminal's encoding stays as it was, files are UTF-8."""
    degrade(sys.stdout)
    degrade(sys.stderr)
    try:
        os.getcwd()
    except FileNotFoundError:
        sys.exit(
            "error: the folder in which this was started is gone; change to another (cd) and start it again"
        )
    if os.environ.get(ENTERED) == str(os.getpid()):
        return
    try:
        ours = own(os.environ)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    shown = sys.stdout.encoding if sys.stdout else "utf-8"
    ours |= {"PYTHONIOENCODING": shown, ENTERED: str(os.getpid())}
    os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], ours)


def own(outer: Mapping[str, str]) -> dict[str, str]:
    """The environment of a batch process, made from the one outside. Raises UserError if temporary files have
    no place at all."""
    kept = {name: value for name, value in outer.items() if name in KEPT or not SETTINGS.match(name)}
    for name in filter(NUMBERS.match, outer):
        if not re.fullmatch(r"\s*\d+\s*", outer[name]):
            kept.pop(name)
    lent = _lent_folder()
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        kept[name] = str(lent / name.lower())
    if not _is_usable(outer.get("HOME", "")):
        kept |= {"HOME": str(lent)}
        kept.pop("MPLCONFIGDIR", None)
    if not ({"LOGNAME", "USER", "LNAME", "USERNAME"} & set(outer)) and not _has_name():
        kept["LOGNAME"] = f"user{os.getuid()}"
    kept["TMPDIR"] = tempfile.gettempdir()  # the one that TMPDIR names may not exist
    kept["MATPLOTLIBRC"], kept["MPLBACKEND"] = str(RC), "agg"
    kept["PYTHONPATH"], kept["PYTHONUTF8"] = str(files.REPOSITORY), "1"
    kept["PYTHONSAFEPATH"] = "1"  # no modules of the folder in which somebody stands
    return kept


def without_launchers(outer: Mapping[str, str]) -> dict[str, str]:
    """The environment without what launchers, schedulers and thread pools have left in it."""
    return {
        name: value for name, value in outer.items() if not (LAUNCHERS.match(name) or THREADS.match(name))
    }


def degrade(stream) -> None:
    """Makes a text stream show something plainer for what its encoding lacks, where it would raise."""
    codecs.register_error("mmrc_plainer", _plainer)
    if stream is not None and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="mmrc_plainer")


def _plainer(error: UnicodeError) -> tuple[str, int]:
    text = error.object[error.start : error.end].translate(PLAINER)
    return "".join(character if character.isascii() else "?" for character in text), error.end


def _lent_folder() -> Path:
    """A folder of this user's for what programs want to find in a home; made anew if it is somebody
    else's."""
    try:
        folder = Path(tempfile.gettempdir()) / f"mmrc-home-{os.getuid()}"
    except FileNotFoundError as error:
        raise UserError(
            f"no place for temporary files ({error.strerror}); set TMPDIR to a folder of yours"
        ) from None
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
        return Path(tempfile.mkdtemp(prefix="mmrc-home-"))
    return folder


def _is_usable(home: str) -> bool:
    """Whether programs can keep something there."""
    return os.path.isabs(home) and os.path.isdir(home) and os.access(home, os.W_OK | os.X_OK)


def _has_name() -> bool:
    try:
        return bool(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return False
