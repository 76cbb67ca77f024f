"""Tasks side by side: each lane is a process with cores of its own that takes one task after another. A model
of some million weights trains faster twice on one core each than once on two."""

import contextlib
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import wait

from mmrc_helpers.errors import UserError
from mmrc_helpers.execution import guard, machine

Task = tuple[str, Callable[[], object]]  # its name, which every line that it prints bears, and what it does


def in_lanes(tasks: Sequence[Task], lanes: int) -> Iterator[tuple[int, object]]:
    """Each task's number and what it returned, in the order in which they end; a task whose process was
    killed is not among them. In this very process if there is one lane or one task. What a task raises is
    raised here. However this ends, no lane outlives it."""
    if min(lanes, len(tasks)) < 2:
        for number, (_, do) in enumerate(tasks):
            yield number, do()
        return
    context = multiprocessing.get_context("fork")
    lanes = min(lanes, len(tasks))
    following, at_work, heard = context.Value("i", 0), context.Value("i", lanes), {}
    for _ in range(lanes):
        ours, theirs = context.Pipe(duplex=False)
        lane = context.Process(target=_work, args=(tasks, following, at_work, theirs))
        lane.start()
        theirs.close()
        heard[ours] = lane
    try:
        while heard:
            for pipe in wait(list(heard)):
                try:
                    number, found = pipe.recv()
                except EOFError:
                    heard.pop(pipe).join()
                    continue
                if isinstance(found, Exception):
                    raise found
                yield number, found
    finally:
        for lane in heard.values():
            lane.kill()  # what it has started dies with it
            lane.join()


def _work(tasks: Sequence[Task], following, at_work, said) -> None:
    """In a lane: takes the next task until none is left; then its cores are the others'."""
    guard.prctl(guard.SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    machine.share_cores(at_work)
    with contextlib.suppress(KeyboardInterrupt):  # the terminal's, which the process above answers
        while True:
            with following.get_lock():
                number, following.value = following.value, following.value + 1
            if number >= len(tasks):
                with at_work.get_lock():
                    at_work.value -= 1
                return
            name, do = tasks[number]
            sys.stdout = _Named(sys.__stdout__, name)
            try:
                said.send((number, do()))
            except (UserError, OSError) as error:
                said.send((number, error))


class _Named:
    """A text stream whose every line begins with a name; a line that would be written over itself becomes
    one of its own. A class because `print` wants a stream."""

    def __init__(self, stream, name: str):
        self.stream, self.name, self.rest = stream, name, ""

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).replace("\r", "\n").split("\n")
        self.stream.write("".join(f"{self.name} | {line.rstrip()}\n" for line in lines if line.strip()))
        return len(text)

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str):
        """Everything else, such as its number and encoding, is the stream's."""
        return getattr(self.stream, name)
