"""Kernels of this very interpreter, forked from a process that has their modules loaded: no start of Python,
no search for kernel specs, no settings of the user's. They end with the process that executes their
notebook."""

import gc
import importlib
import json
import os
import signal
import sys
import time

from mmrc_helpers.execution import guard

# What notebooks need and what takes long to load, as measured with `python -X importtime`.
MODULES = (
    "nbconvert",
    "papermill",
    "ipykernel.kernelapp",
    "IPython.display",
    "pandas",
    "scipy.stats",
    "seaborn",
    "pyarrow.parquet",
)
MODULES += (
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.backends.backend_svg",
)
ARGUMENTS = ("--log-level=CRITICAL", "--HistoryManager.enabled=False")
NAME = b"mmrc-kernel"  # as `top` shows it, instead of its parent's
STARTING_SECONDS = 900  # a cold network disk may keep a kernel waiting; its death is noticed at once
POLL_SECONDS = 0.02


def load_modules() -> None:
    """Loads what executing notebooks and kernels need, to be called before they are forked; matplotlib as its
    makers set it."""
    # jsonschema's check of addresses in other alphabets, which no notebook's schema asks for, compiles a
    # grammar when it is imported: that takes as long as half of all others together.
    sys.modules.setdefault("rfc3987_syntax", None)
    was_on = gc.isenabled()
    gc.disable()  # nothing is garbage while modules load
    for name in MODULES:
        importlib.import_module(name)
    if was_on:
        gc.enable()
    import matplotlib

    matplotlib.rcParams.update(
        matplotlib.rcParamsDefault
    )  # a matplotlibrc in the working folder goes before ours


class ForkedKernel:
    """A kernel that waits for its first word, for jupyter_client as `subprocess.Popen` is. It is to be made
    before this process has threads or sockets of its own."""

    stdin = stdout = stderr = None

    def __init__(self):
        hears, self.tells = os.pipe()
        self.returncode: int | None = None
        parent, self.pid = os.getpid(), os.fork()
        if self.pid == 0:
            os.close(self.tells)
            _be_kernel(hears, parent)
        os.close(hears)

    def begin(self, connection_file: str, folder: str) -> None:
        """Makes it listen where the connection file says, at work in `folder`."""
        with open(self.tells, "w", encoding="utf-8") as pipe:
            json.dump([connection_file, folder], pipe)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        while self.poll() is None:
            time.sleep(POLL_SECONDS)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def manager_of(kernel: ForkedKernel) -> type:
    """The class of jupyter_client's manager for this one kernel, for
    `NotebookClient.kernel_manager_class`."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.provisioning import LocalProvisioner

    class Provisioner(LocalProvisioner):
        async def launch_kernel(self, cmd, **kwargs):
            self.process, self.cwd = kernel, os.getcwd()  # where papermill has gone for this notebook
            kernel.begin(self.parent.connection_file, self.cwd)
            self.pid = self.pgid = kernel.pid  # it leads a session of its own
            return self.connection_info

    class Manager(AsyncKernelManager):
        kernel_spec = KernelSpec(argv=[sys.executable], display_name="Python 3", language="python")

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.provisioner = Provisioner(parent=self, kernel_spec=self.kernel_spec)

    return Manager


def _be_kernel(hears: int, parent: int) -> None:
    """In the fork: waits for the word, serves, and never returns into the code of its parent."""
    status = 1
    try:
        os.setsid()
        guard.prctl(guard.SET_PDEATHSIG, signal.SIGKILL)
        guard.prctl(guard.SET_NAME, NAME)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        with open(hears, encoding="utf-8") as pipe:
            word = pipe.read()
        if word and os.getppid() == parent:
            connection_file, folder = json.loads(word)
            os.chdir(folder)
            _serve(connection_file, parent)
            status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        os._exit(status)


def _serve(connection_file: str, parent: int) -> None:
    from ipykernel.kernelapp import IPKernelApp

    class Kernel(IPKernelApp):
        def load_config_file(self, *args, **kwargs):
            """No configuration of the user's or the machine's."""

        def _run_startup_files(self):
            """Nor their startup files."""

    kernel = Kernel.instance(parent_handle=parent)
    kernel.initialize(["-f", connection_file, *ARGUMENTS])
    kernel.start()
