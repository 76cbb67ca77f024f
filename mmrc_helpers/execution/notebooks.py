"""Executes notebooks. One is current when the mark beside its output says that it was finished from this
source, with these parameters and these stages. What papermill writes into a notebook is never trusted: it
takes the cells of a dead kernel for completed."""

import contextlib
import gc
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.execution import guard, kernels, surroundings
from mmrc_helpers.execution.machine import NO_NETWORK
from mmrc_helpers.execution.outputs import shorten
from mmrc_helpers.store import disk, files, folders, locks

Problem = tuple[str, str]  # the class of an error and its message


@dataclass(frozen=True)
class Job:
    """One notebook to execute into `output`, and the mark that is written when that has succeeded. `content`
    is the source as it was read, so that what is executed is what the mark says."""

    source: Path
    content: str
    output: Path
    parameters: Mapping
    mark: Mapping

    @property
    def name(self) -> str:
        return f"{self.output.parent.name}/{self.source.stem}"

    @property
    def page(self) -> Path:
        return self.output.with_suffix(".html")

    @property
    def mark_file(self) -> Path:
        return self.output.with_suffix(".json")

    def is_current(self) -> bool:
        """Whether it was finished with this very mark, and everything that it made is still as it was."""
        if not all(path.is_file() for path in (self.mark_file, self.output, self.page)):
            return False
        try:
            marked = files.read_json(self.mark_file)
        except UserError:  # a damaged mark marks nothing
            return False
        made = all(folders.is_complete(files.artifacts_root() / name) for name in self.mark["stages"])
        return made and marked == self.full_mark()

    def is_stale(self) -> bool:
        """Whether the source has been changed since it was read."""
        return (
            not self.source.is_file()
            or sources_of(self.source.read_text("utf-8"), self.source) != self.mark["notebook"]
        )

    def full_mark(self) -> dict:
        """The mark with the checksums of the executed notebook and its page."""
        return {**self.mark, "files": {path.name: disk.checksum(path) for path in (self.output, self.page)}}


@dataclass(frozen=True)
class Failure:
    """A notebook that was not finished, the class of the error and its message."""

    job: Job
    error: str
    message: str


def job_of(source: Path, output: Path, parameters: Mapping, mark: Mapping) -> Job:
    """The job of a notebook, whose cells enter the mark: what they say and not what they show, so that
    opening and saving one changes nothing. Raises UserError if it is missing or no notebook."""
    if not source.is_file():
        raise UserError(f"{show(source)} does not exist; it is part of the repository")
    content = source.read_text("utf-8")
    return Job(source, content, output, parameters, {"notebook": sources_of(content, source), **mark})


def sources_of(content: str, source: Path) -> str:
    """SHA-256 of what the cells of a notebook say, their tags among it. Empty ones say nothing: JupyterLab
    adds one behind the last that is run."""
    try:
        cells = [cell for cell in json.loads(content)["cells"] if "".join(cell["source"]).strip()]
        said = [[c["cell_type"], "".join(c["source"]), c["metadata"].get("tags", [])] for c in cells]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{show(source)} is no notebook ({error}); `git checkout` restores it") from error
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def execute_all(jobs: Sequence[Job]) -> list[Failure]:
    """Executes the notebooks that are not current, in order, up to the first failure. The HTML of one is
    rendered while the next one runs."""
    rendering, failures = [], []
    with contextlib.ExitStack() as children:
        for job in jobs:
            if job.is_current():
                continue
            print(job.name, flush=True)
            wait_until = children.enter_context(_child(job))
            if failure := wait_until("executed it"):
                failures.append(failure)
                break
            rendering.append(wait_until)
        pages = [wait_until("rendered its page") for wait_until in rendering]
    return failures + [failure for failure in pages if failure]


@contextlib.contextmanager
def _child(job: Job) -> Iterator[Callable[[str], Failure | None]]:
    """A process that executes the notebook and then renders its page; entering gives a function that waits
    for the next of the two. It does not outlive the context."""
    kernels.load_modules()
    heard, said = multiprocessing.Pipe(duplex=False)

    def wait_until(done: str) -> Failure | None:
        try:
            problem = heard.recv()
        except EOFError:
            problem = ("Killed", f"the process that {done} was killed, or failed as shown above")
        return Failure(job, *problem) if problem else None

    # Sockets in a private folder: no TCP port for others to reach or to race for. It is ours and not the
    # child's, so that it goes when the child is killed.
    with private_folder(socket_place()) as sockets:
        arguments = (job, sockets, said)
        child = multiprocessing.get_context("fork").Process(target=_execute_and_render, args=arguments)
        child.start()
        said.close()
        try:
            yield wait_until
        except BaseException:  # whatever ends us early ends the child too
            child.kill()
            raise
        finally:
            child.join()


def socket_place() -> str:
    """A folder for temporary folders in which sockets can be bound: the path of one is short (107 bytes on
    Linux), and some file systems have none. Raises UserError if there is no such place."""
    candidates = (
        tempfile.gettempdir(),
        os.environ.get("XDG_RUNTIME_DIR", ""),
        "/tmp",
        "/var/tmp",
        "/dev/shm",
    )
    for place in filter(os.path.isdir, candidates):
        with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix="mmrc-", dir=place) as folder:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.bind(f"{folder}/kernel-control-5")
            return place
    raise UserError(
        "no folder for the sockets of notebooks; set TMPDIR to one on a local disk, with a short path"
    )


@contextlib.contextmanager
def private_folder(place: str | None = None) -> Iterator[str]:
    """A temporary folder that goes with us; those of killed processes, whose locks are free, go now."""
    place = place or tempfile.gettempdir()
    for owner in Path(place).glob("mmrc-*/owner"):
        with contextlib.suppress(OSError), locks.locked(owner):
            shutil.rmtree(owner.parent)
    with contextlib.ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="mmrc-", dir=place))
        held.enter_context(locks.locked(Path(folder) / "lock"))
        (Path(folder) / "lock").rename(Path(folder) / "owner")  # others find it locked or not at all
        yield folder


def _execute_and_render(job: Job, sockets: str, said) -> None:
    """In a child: executes the notebook, says what is wrong or None, then the same for the page."""
    gc.freeze()  # what came with the fork stays; neither we nor the kernel need to look through it
    guard.prctl(guard.SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ours = surroundings.own(os.environ)
    os.environ.clear()
    os.environ.update(ours, **NO_NETWORK)
    kernel = kernels.ForkedKernel()
    problem = _problem_of(job, lambda: _execute(job, kernel, sockets))
    said.send(problem)
    if not problem:
        said.send(_problem_of(job, lambda: _render(job)))


def _problem_of(job: Job, step: Callable[[], Problem | None]) -> Problem | None:
    """What is wrong after a step; a full disk is named as such, however the library below put it."""
    try:
        with disk.writing_into(job.output.parent):
            problem = step()
    except UserError as error:
        return "UserError", str(error)
    if problem and problem[0] != "UserError" and disk.is_full(job.output.parent):
        return "UserError", str(disk.full(job.output.parent))
    return problem


def _execute(job: Job, kernel: kernels.ForkedKernel, sockets: str) -> Problem | None:
    files.make_folder(job.output.parent)
    job.mark_file.unlink(missing_ok=True)
    part, failed = job.output.with_suffix(".part.ipynb"), job.output.with_suffix(".failed.ipynb")
    problem = _papermill(job, part, kernel, sockets) or _unfinished(part)
    if problem and part.exists():
        part.replace(failed)
        return problem[0], f"{problem[1]}\nThe notebook so far: {show(failed)}"
    if not problem:
        failed.unlink(missing_ok=True)
        shorten(part)
        part.replace(job.output)
    return problem


def _render(job: Job) -> None:
    from mmrc_helpers.execution.pages import render_html

    render_html(job.output, job.page)
    files.write_json(job.mark_file, job.full_mark())


def _papermill(job: Job, output: Path, kernel: kernels.ForkedKernel, sockets: str) -> Problem | None:
    """Executes the notebook; the error's class and message, if any."""
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    try:
        papermill.execute_notebook(
            nbformat.reads(job.content, as_version=4),
            _literal(output),
            job.parameters,
            kernel_name="python3",
            cwd=_literal(files.REPOSITORY),
            progress_bar=False,
            stdout_file=_terminal(),
            start_timeout=kernels.STARTING_SECONDS,
            config=Config(
                {
                    "KernelManager": {
                        "transport": "ipc",
                        "ip": f"{sockets}/kernel",
                        "connection_file": f"{sockets}/connection.json",
                    },
                    "NotebookClient": {"kernel_manager_class": kernels.manager_of(kernel)},
                }
            ),
        )
    except PapermillExecutionError as error:
        return error.ename, f"{error.ename}: {error.evalue}" if error.ename != "UserError" else error.evalue
    except DeadKernelError:
        return "DeadKernelError", "its kernel died (killed, or out of memory?)"
    return None


def _literal(path: Path) -> str:
    """A path as papermill takes it, which would fill in parameters for {names}."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _terminal():
    """Where the notebook's text is shown: a progress line is written over itself on a terminal only."""
    if sys.stdout.isatty():
        return sys.stdout
    return SimpleNamespace(
        write=lambda text: sys.stdout.write(text.replace("\r", "\n")), flush=sys.stdout.flush
    )


def _unfinished(notebook: Path) -> Problem | None:
    """Our own look at whether every code cell was executed."""
    cells = [
        cell
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    for number, cell in enumerate(cells, 1):
        if cell["execution_count"] is None and "".join(cell["source"]).strip():
            return "Unfinished", f"code cell {number} was not executed"
    return None
