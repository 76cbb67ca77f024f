"""Executes notebooks. One is current when the mark beside its output says that it was finished from this
source, with these parameters and these stages. What papermill writes into a notebook is never trusted: it
takes the cells of a dead kernel for completed."""

import contextlib
import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from mmrc_helpers.errors import UserError, show
from mmrc_helpers.execution import guard
from mmrc_helpers.execution.launch import NO_NETWORK
from mmrc_helpers.execution.outputs import shorten
from mmrc_helpers.store import disk, files, folders

Problem = tuple[str, str]  # the class of an error and its message


@dataclass(frozen=True)
class Job:
    """One notebook to execute into `output`, and the mark that is written when that has succeeded."""

    source: Path
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

    def full_mark(self) -> dict:
        """The mark with the checksums of the executed notebook and its page."""
        return {**self.mark, "files": {path.name: disk.checksum(path) for path in (self.output, self.page)}}


@dataclass(frozen=True)
class Failure:
    """A notebook that was not finished, the class of the error and its message."""

    job: Job
    error: str
    message: str


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
    import nbconvert  # noqa: F401  loaded here once, so that no child has to
    import papermill  # noqa: F401

    heard, said = multiprocessing.Pipe(duplex=False)

    def wait_until(done: str) -> Failure | None:
        try:
            problem = heard.recv()
        except EOFError:
            problem = ("Killed", f"the process that {done} was killed, or failed as shown above")
        return Failure(job, *problem) if problem else None

    # Sockets in a private folder: no TCP port for others to reach or to race for. It is ours and not the
    # child's, so that it goes when the child is killed.
    with private_folder() as sockets:
        arguments = (job, f"{sockets}/kernel", said)
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


@contextlib.contextmanager
def private_folder() -> Iterator[str]:
    """A temporary folder that goes with us; those of killed processes, whose locks are free, go now."""
    for owner in Path(tempfile.gettempdir()).glob("mmrc-*/owner"):
        with contextlib.suppress(OSError), owner.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(owner.parent)
    with tempfile.TemporaryDirectory(prefix="mmrc-") as folder, (Path(folder) / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (Path(folder) / "lock").rename(Path(folder) / "owner")  # others find it locked or not at all
        yield folder


def _execute_and_render(job: Job, sockets: str, said) -> None:
    """In a child: executes the notebook, says what is wrong or None, then the same for the page."""
    guard.prctl(guard.SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    own = {"PYTHONPATH": os.pathsep.join([str(files.REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    os.environ.update(NO_NETWORK, JUPYTER_PREFER_ENV_PATH="1", PYDEVD_DISABLE_FILE_VALIDATION="1", **own)
    problem = _problem_of(job, lambda: _execute(job, sockets))
    said.send(problem)
    if not problem:
        said.send(_problem_of(job, lambda: _render(job)))


def _problem_of(job: Job, step: Callable[[], Problem | None]) -> Problem | None:
    """What is wrong after a step; a full disk is named as such, however the library below put it."""
    try:
        with disk.naming_a_full_disk(job.output.parent):
            problem = step()
    except UserError as error:
        return "UserError", str(error)
    if problem and problem[0] != "UserError" and disk.is_full(job.output.parent):
        return "UserError", str(disk.full(job.output.parent))
    return problem


def _execute(job: Job, sockets: str) -> Problem | None:
    files.make_folder(job.output.parent)
    job.mark_file.unlink(missing_ok=True)
    part, failed = job.output.with_suffix(".part.ipynb"), job.output.with_suffix(".failed.ipynb")
    problem = _papermill(job, part, sockets) or _unfinished(part)
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


def _papermill(job: Job, output: Path, sockets: str) -> Problem | None:
    """Executes the notebook; the error's class and message, if any."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    try:
        papermill.execute_notebook(
            job.source,
            output,
            job.parameters,
            kernel_name="python3",
            cwd=files.REPOSITORY,
            progress_bar=False,
            stdout_file=_terminal(),
            config=Config(
                {
                    "KernelManager": {"transport": "ipc", "ip": sockets},
                    # A kernel that is shut down is interrupted first, and some then log that as an error.
                    "NotebookClient": {"extra_arguments": ["--log-level=CRITICAL"]},
                }
            ),
        )
    except PapermillExecutionError as error:
        return error.ename, f"{error.ename}: {error.evalue}" if error.ename != "UserError" else error.evalue
    except DeadKernelError:
        return "DeadKernelError", "its kernel died (killed, or out of memory?)"
    return None


def _terminal():
    """Where the notebook's text is shown: a progress line is written over itself on a terminal only."""
    if sys.stdout.isatty():
        return sys.stdout
    return SimpleNamespace(
        write=lambda text: sys.stdout.write(text.replace("\r", "\n")), flush=sys.stdout.flush
    )


def _unfinished(notebook: Path) -> Problem | None:
    """Our own look at whether every code cell was executed."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        if cell["execution_count"] is None and "".join(cell["source"]).strip():
            return "Unfinished", f"code cell {number} was not executed"
    return None
