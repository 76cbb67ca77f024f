"""What of the user's surroundings reaches our processes: every variable of other launchers, of Python,
Jupyter and matplotlib stays outside; paths, devices, proxies and credentials come through; what is missing is
lent."""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mmrc_helpers.execution import surroundings
from mmrc_helpers.execution.machine import environment
from mmrc_helpers.store import files

MACHINE = {"accelerator": "cpu", "processes": 1, "hostfile": "", "threads": 0, "environment": {}}
MACHINE |= {"tracker": "none"}

LEFT_OVER = {  # by whom: variables that must not reach a stage
    "torchrun": """
        RANK=3 WORLD_SIZE=8 LOCAL_RANK=3 LOCAL_WORLD_SIZE=4 GROUP_RANK=0 GROUP_WORLD_SIZE=2
        ROLE_RANK=1 ROLE_WORLD_SIZE=8 ROLE_NAME=default MASTER_ADDR=node7 MASTER_PORT=29500
        TORCHELASTIC_RUN_ID=4711 TORCHELASTIC_RESTART_COUNT=0 TORCHELASTIC_USE_AGENT_STORE=True
        PET_NNODES=2 PET_NODE_RANK=1 NODE_RANK=1
        """,
    "accelerate": """
        ACCELERATE_MIXED_PRECISION=fp8 ACCELERATE_USE_DEEPSPEED=true ACCELERATE_USE_FSDP=1
        ACCELERATE_GRADIENT_ACCUMULATION_STEPS=8 ACCELERATE_DYNAMO_BACKEND=INDUCTOR
        FSDP_SHARDING_STRATEGY=1 ACCELERATE_CONFIG_FILE=/x MEGATRON_LM_TP_DEGREE=2
        PARALLELISM_CONFIG_TP_SIZE=2
        """,
    "deepspeed": """
        DS_ACCELERATOR=cuda DEEPSPEED_TIMEOUT=1 DS_ENV_FILE=/x CROSS_RANK=0 CROSS_SIZE=1 LOCAL_SIZE=4
        """,
    "MPI": """
        OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4 PMI_RANK=1 PMI_SIZE=4 PMIX_RANK=1
        MV2_COMM_WORLD_RANK=1 MPI_LOCALRANKID=1 I_MPI_HYDRA_BOOTSTRAP=ssh HYDI_CONTROL_FD=5
        PALS_RANKID=1 JSM_NAMESPACE_RANK=1 HOROVOD_RANK=0
        """,
    "schedulers": """
        SLURM_PROCID=1 SLURM_NTASKS=4 SLURM_JOB_ID=7 SLURM_LOCALID=1 SLURM_STEP_NODELIST=n1
        SLURMD_NODENAME=x SRUN_DEBUG=3 SBATCH_PARTITION=x FLUX_TASK_RANK=1 PBS_JOBID=1
        PBS_NODEFILE=/x LSB_JOBID=1 LSF_BINDIR=/x SGE_TASK_ID=1 AZUREML_EXPERIMENT_ID=1
        SM_TRAINING_ENV={} DLTS_JOB_ID=1
        """,
    "relatives": """
        TORCHCOMM_RANK=3 SMDATAPARALLEL_LOCAL_RANK=1 AZ_BATCH_MASTER_NODE=a:1 XLA_USE_BF16=1 PJRT_DEVICE=TPU
        NEURON_RT_NUM_CORES=2 ALPS_APP_PE=1 COBALT_JOBID=1 MPIRUN_RANK=1 MPIEXEC_RANK=1 OPAL_PREFIX=/x
        FORK_LAUNCHED=1 NPROC_PER_NODE=8 PROC_PER_NODE=8 NNODES=2 TORCH_DISTRIBUTED_DEBUG=nonsense
        """,
    "logs and libraries": """
        LOGLEVEL=debug TQDM_MININTERVAL=x TORCH_LOGS=nonsense TORCH_COMPILE_DISABLE=1 TORCHDYNAMO_DISABLE=x
        TORCHINDUCTOR_CACHE_DIR=/x PYTORCH_JIT=0 USE_TORCH=0 USE_TF=1 TRANSFORMERS_VERBOSITY=debug
        HF_HUB_DOWNLOAD_TIMEOUT=x HF_HUB_ETAG_TIMEOUT=1.5 HF_DATASETS_IN_MEMORY_MAX_SIZE=2GB
        DIFFUSERS_TIMEOUT_REMOTE_CODE=
        """,
    "thread pools": """
        OMP_PROC_BIND=close OMP_PLACES=cores KMP_AFFINITY=compact GOMP_CPU_AFFINITY=0
        MKL_NUM_THREADS=64 OPENBLAS_NUM_THREADS=64 NUMEXPR_MAX_THREADS=64 BLIS_NUM_THREADS=64
        VECLIB_MAXIMUM_THREADS=64 GOTO_NUM_THREADS=9
        """,
    "Python": """
        PYTHONSTARTUP=/x PYTHONOPTIMIZE=2 PYTHONINSPECT=1 PYTHONWARNINGS=error PYTHONDEVMODE=1
        PYTHONSAFEPATH=1 PYTHONIOENCODING=latin-1 PYTHONBREAKPOINT=x.y PYTHONVERBOSE=1 PYTHONDEBUG=1
        PYTHON_COLORS=1 FORCE_COLOR=1 PYTHONTRACEMALLOC=25 PYTHONASYNCIODEBUG=1
        PYTHONPROFILEIMPORTTIME=1 PYTHON_GIL=0 PYTHONEXECUTABLE=/x PYTHONHASHSEED=abc PYTHONMALLOC=x
        PYTHONINTMAXSTRDIGITS=x PYTHONCASEOK=1 PYTHONPLATLIBDIR=x PYTHONFAULTHANDLER=1
        """,
    "Jupyter": """
        JUPYTER_PATH=/x JUPYTER_CONFIG_PATH=/x JUPYTERLAB_DIR=/x IPY_TEST_SIMPLE_PROMPT=1
        PYDEVD_USE_CYTHON=1 DEBUGPY_LOG_DIR=/x JUPYTER_NO_CONFIG=1 IPYTHON_SUPPRESS_CONFIG_ERRORS=1
        """,
}
COME_THROUGH = """
    PATH=/usr/bin LD_LIBRARY_PATH=/opt/lib LD_PRELOAD=libjemalloc.so CUDA_VISIBLE_DEVICES=MIG-1
    CUDA_HOME=/usr/local/cuda NCCL_DEBUG=INFO NCCL_SOCKET_IFNAME=ib0 NVIDIA_VISIBLE_DEVICES=all
    HF_TOKEN=secret HTTPS_PROXY=http://proxy SSL_CERT_FILE=/x.pem REQUESTS_CA_BUNDLE=/x.pem
    AWS_PROFILE=me VIRTUAL_ENV=/x CONDA_PREFIX=/x LANG=de_DE MMRC_ARTIFACTS=/scratch XDG_CACHE_HOME=/x
    TZ=UTC TERM=dumb USER=me NAME=host SIZE=9 PETNAME=rex DSN=x
    PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True TRITON_CACHE_DIR=/x HF_HOME=/x MPLCONFIGDIR=/x
    SMILE=1 SLURP=1 HF_HUB_DOWNLOAD_TIMEOUT=30 HF_DATASETS_IN_MEMORY_MAX_SIZE=0
    """
OWN = "import os; from mmrc_helpers.execution import surroundings as s; print(s.own(os.environ)"
KEPT = "PYTHONHOME=/x PYTHONPYCACHEPREFIX=/x PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1 PYTHON_CPU_COUNT=2"


def variables(text: str) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in text.split())


@pytest.fixture
def outside(monkeypatch):
    """Puts variables, and only these beside PATH and HOME, into our own environment."""

    def put(given: dict) -> None:
        for name in set(os.environ) - {"PATH", "HOME"}:
            monkeypatch.delenv(name)
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize("given", LEFT_OVER.values(), ids=LEFT_OVER)
def test_what_others_left_in_the_environment_does_not_reach_a_stage(outside, tmp_path, given):
    outside({})
    clean = environment(tmp_path, MACHINE)
    outside(variables(given))
    assert environment(tmp_path, MACHINE) == clean


def test_what_a_stage_needs_comes_through(outside, tmp_path):
    outside(variables(f"{COME_THROUGH} {KEPT}"))
    made = environment(tmp_path, {**MACHINE, "accelerator": "auto"})
    wanted = variables(f"{COME_THROUGH} {KEPT}")
    wanted |= {"CUDA_VISIBLE_DEVICES": made["CUDA_VISIBLE_DEVICES"]}  # none where there is no device
    assert {name: made.get(name) for name in wanted} == wanted


def test_the_machine_section_has_the_last_word(outside, tmp_path):
    outside(variables("OMP_NUM_THREADS=64 GLOO_SOCKET_IFNAME=ib0 SLURM_PROCID=1"))
    own = {"OMP_PROC_BIND": "close", "GLOO_SOCKET_IFNAME": "eth1", "SLURM_PROCID": 3, "PYTHONPATH": "/mine"}
    made = environment(tmp_path, {**MACHINE, "threads": 3, "environment": own})
    assert made["OMP_NUM_THREADS"] == "3"
    assert {name: made[name] for name in own} == {name: str(value) for name, value in own.items()}


def test_what_is_made_of_ours_is_ours_again(outside):
    outside(variables(COME_THROUGH) | {"TMPDIR": tempfile.gettempdir()})
    once = surroundings.own(os.environ)
    assert surroundings.own(once) == once


HOMES = {  # HOME: whether it is used
    "a folder of ours": ("{tmp}", True),
    "none": (None, False),
    "empty": ("", False),
    "not there": ("/nonexistent", False),
    "a file": ("/etc/passwd", False),
    "relative": ("here", False),
}


@pytest.mark.parametrize(("home", "used"), HOMES.values(), ids=HOMES)
def test_a_home_is_lent_to_who_has_none(tmp_path, home, used):
    outer = {} if home is None else {"HOME": home.format(tmp=tmp_path)}
    made = Path(surroundings.own(outer)["HOME"])
    assert (made == tmp_path) == used
    assert made.is_dir() and os.access(made, os.W_OK)
    if not used:
        assert made.stat().st_mode & 0o077 == 0 and made.stat().st_uid == os.getuid()


def test_a_home_that_cannot_be_written_is_not_used(as_another):
    code = OWN + "['HOME'])"
    for home in ("/", "/proc"):
        seen = as_another("-c", code, HOME=home)
        assert seen.stdout == "/tmp/mmrc-home-65534\n", seen.stderr


def test_who_has_no_name_is_lent_one(as_another):
    code = OWN + "['LOGNAME'] if 'LOGNAME' in s.own(os.environ) else None)"
    assert as_another("-c", code, user=54321).stdout == "user54321\n"
    assert as_another("-c", code, user=54321, USER="me").stdout == "None\n"
    assert as_another("-c", code).stdout == "None\n"  # nobody is a name


def test_a_lent_home_of_somebody_else_is_not_used(as_another, tmp_path):
    squatted = Path("/tmp/mmrc-home-54322")
    squatted.mkdir(exist_ok=True)
    try:
        code = OWN + "['HOME'])"
        seen = as_another("-c", code, user=54322)
        assert seen.stdout.startswith("/tmp/mmrc-home-") and str(squatted) not in seen.stdout, seen.stderr
    finally:
        squatted.rmdir()


def test_a_place_for_temporary_files_is_there_or_asked_for(as_another):
    seen = as_another("-c", OWN + "['TMPDIR'])", TMPDIR="/nowhere")
    assert seen.stdout == "/tmp\n", seen.stderr
    read_only = [
        f"mount --bind {place} {place} && mount -o remount,bind,ro {place}"
        for place in ("/tmp", "/var/tmp", "/dev/shm")
    ]
    seen = as_another("-m", "mmrc_helpers.run", "smoke", "--dry-run", prepare=read_only, HOME="/nowhere")
    assert seen.returncode == 2, seen.stderr
    assert "error: no place for temporary files (" in seen.stderr and "; set TMPDIR to a fo" in seen.stderr


# --- what the terminal can show ---------------------------------------------------------------------------

SAID = "forward − reverse: 16 ± 2 → “größer” … 中 é ≤ \udcff"
SHOWN = {  # encoding: what is seen
    "utf-8": "forward − reverse: 16 ± 2 → “größer” … 中 é ≤ ?",
    "ascii": "forward - reverse: 16 +- 2 -> ?gr??er? ... ? ? <= ?",
    "latin-1": "forward - reverse: 16 ± 2 -> ?größer? ... ? é <= ?",
    "cp1252": "forward - reverse: 16 ± 2 -> “größer” … ? é <= ?",
    "gbk": "forward - reverse: 16 ± 2 → “gr??er” … 中 é ≤ ?",
    "koi8-r": "forward - reverse: 16 +- 2 -> ?gr??er? ... ? ? ≤ ?",
}


@pytest.mark.parametrize("encoding", SHOWN)
def test_output_degrades_and_never_raises(encoding):
    stream = io.TextIOWrapper(buffer := io.BytesIO(), encoding=encoding)
    surroundings.degrade(stream)
    stream.write(SAID)
    stream.flush()
    assert buffer.getvalue().decode(encoding) == SHOWN[encoding]


LOCALES = {
    "POSIX": {"LC_ALL": "POSIX"},
    "C without UTF-8 mode": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "an ASCII terminal": {"PYTHONIOENCODING": "ascii"},
    "a Latin-1 terminal": {"PYTHONIOENCODING": "latin-1:strict", "LC_ALL": "de_DE.ISO-8859-1"},
    "a GBK terminal": {"PYTHONIOENCODING": "gbk", "LC_ALL": "zh_CN.GBK"},
    "a locale that is not installed": {"LC_ALL": "xx_XX.UTF-8"},
}


@pytest.mark.parametrize("settings", LOCALES.values(), ids=LOCALES)
def test_the_command_line_says_its_sentence_in_every_locale(tmp_path, settings):
    (tmp_path / "größe_中.yaml").write_text("train: {stpes: 3}", encoding="utf-8")
    outer = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))
    }
    command = [sys.executable, "-m", "mmrc_helpers.run", str(tmp_path / "größe_中.yaml")]
    run = subprocess.run(command, env={**outer, **settings}, cwd=files.REPOSITORY, capture_output=True)
    assert run.returncode == 2 and b"Traceback" not in run.stderr, run.stderr
    assert run.stderr.startswith(b"error: ") and b"is not a name" in run.stderr


def test_a_working_folder_that_is_gone_is_one_sentence(tmp_path):
    (tmp_path / "gone").mkdir()
    script = f'cd "{tmp_path}/gone" && rmdir ../gone && exec "{sys.executable}" -m mmrc_helpers.run smoke'
    outer = {**os.environ, "PYTHONPATH": str(files.REPOSITORY)}
    run = subprocess.run(["sh", "-c", script], env=outer, capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.startswith(
        "error: the folder in which this was started is gone"
    )


COMMANDS = {  # arguments, what is said, the status
    "data": (
        ["mmrc_helpers.data", "download", "--models", "qwen3_vl_8b", "--dry-run"],
        b"Qwen3-VL-8B-Instruct",
        1,
    ),
    "readme": (["mmrc_helpers.readme", "reversal"], b"make report STUDY=reversal", 2),
    "lab": (["mmrc_helpers.execution.lab"], b"cannot write to", 1),
}


@pytest.mark.parametrize(("arguments", "says", "status"), COMMANDS.values(), ids=COMMANDS)
def test_the_other_command_lines_degrade_too(tmp_path, arguments, says, status):
    (tmp_path / "größe").touch()  # where a folder should be
    outer = {
        name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))
    }
    ascii_only = {"PYTHONIOENCODING": "ascii:strict", **LOCALES["C without UTF-8 mode"]}
    own = {"MMRC_ARTIFACTS": str(tmp_path / "größe"), "PYTHONPATH": str(files.REPOSITORY)}
    command = [sys.executable, "-m", *arguments]
    run = subprocess.run(command, env={**outer, **ascii_only, **own}, capture_output=True, cwd=tmp_path)
    said = run.stdout + run.stderr
    assert says in said and b"Traceback" not in said and run.returncode == status, said


SETTINGS = {  # what may be set in a shell: the command line must not notice
    "PYTHONOPTIMIZE": "2",
    "PYTHONWARNINGS": "error",
    "PYTHONSTARTUP": "/nonexistent.py",
    "PYTHONSAFEPATH": "1",
    "PYTHONDEVMODE": "1",
    "PYTHONIOENCODING": "utf-16",
    "MPLBACKEND": "no_such_backend",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_command_line_works_with_settings_of_python(name, tmp_path):
    outer = {
        **os.environ,
        "MMRC_ARTIFACTS": str(tmp_path),
        "PYTHONPATH": str(files.REPOSITORY),
        name: SETTINGS[name],
    }
    command = [sys.executable, "-m", "mmrc_helpers.run", "smoke", "--dry-run"]
    run = subprocess.run(command, env=outer, cwd=files.REPOSITORY, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert "untrained, seed 0" in run.stdout.decode("utf-16" if "16" in SETTINGS[name] else "utf-8")
