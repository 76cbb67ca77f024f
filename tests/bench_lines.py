"""The lines of the benchmarks, model FLOP utilisation, and cases in processes of their own within a budget of
time. Nothing of torch is imported here."""

import contextlib
import io
import multiprocessing
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

CASE_SECONDS, LEAST = 100, 8  # of a case at most, and below which none is begun
# Dense bf16 TFLOP/s by the data sheets (NVIDIA, without sparsity); the first name that the card's holds.
CARDS = {"H200 NVL": 835, "H100 NVL": 835, "H100 PCIe": 756, "GH200": 989, "H200": 989, "H100": 989,
         "H800": 989, "H20": 148, "B200": 2250, "A100": 312, "A800": 312, "L40S": 362, "L40": 181, "L4": 121,
         "A10G": 70, "A10": 125, "RTX 4090": 165, "RTX 3090": 71}  # fmt: skip


def line(name: str, value: float, unit: str, peer: float | None = None, goal: float | None = None) -> str:
    """One figure; `ratio` is above one where ours is better than the peer."""
    ratio = None if peer is None else peer / value if unit in ("s", "MB") else value / peer
    shown = ["-" if number is None else f"{number:.3g}" for number in (peer, ratio, goal)]
    return f"bench {name} {value:.3g} {unit} peer {shown[0]} ratio {shown[1]} goal {shown[2]}"


def peak_of(card: str) -> float | None:
    """FLOP/s of a card in dense bf16, by its name; None for one that is not known."""
    return next((1e12 * tera for name, tera in CARDS.items() if re.search(rf"\b{name}\b", card)), None)


@dataclass
class Places:
    """What passed through the language part: in forward passes of training and of reading alone, places (of
    rows, padding included) and the sum over rows of their squares."""

    trained: int = 0
    trained_squares: int = 0
    read: int = 0
    read_squares: int = 0


def flops(places: Places, frozen: int, learned: int, queries: int, layers: int) -> float:
    """FLOP of a language part in some steps. frozen, learned: weights of its matrices without embeddings and
    head; queries: their width in a layer.

    Of each place and weight 2 forward, 2 backward to what is below, and 2 more for the gradient of a learned
    one (arXiv 2001.08361, section 2.1); attention 2 x 2 x queries x layers of each pair of places, of which
    causal ones are half, forward and twice backward. Heads (few places have a label), vision parts and what
    is computed again do not count, so the share of the peak is a little too low.
    """
    pairs = 2 * queries * layers
    trained = places.trained * (4 * frozen + 6 * learned) + 3 * pairs * places.trained_squares
    return trained + places.read * 2 * (frozen + learned) + pairs * places.read_squares


# --- time and processes ------------------------------------------------------------------------------------


class Budget:
    """Seconds that are left of all cases. case: of one case at most."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic, case: float = CASE_SECONDS):
        self.now, self.end, self.case = now, now() + seconds, case

    def of_a_case(self) -> float:
        """The limit of a case that begins now; 0 when too little is left for one."""
        left = self.end - self.now()
        return min(self.case, left) if left >= LEAST else 0.0


class Workers:
    """Processes for one case each. One always waits with its imports done, while another is at work.

    start: "fork", or with a GPU "spawn", because CUDA does not survive a fork and some imports begin it.
    """

    def __init__(self, start: str):
        self.context = multiprocessing.get_context(start)
        self.waiting = self._begin()

    def _begin(self):
        here, there = self.context.Pipe()
        process = self.context.Process(target=_answer, args=(there,))
        process.start()
        there.close()
        return process, here

    def close(self) -> None:
        """Ends the one that waits."""
        process, here = self.waiting
        here.close()
        process.kill()
        process.join()

    def measured(self, work: Callable[[], Mapping], budget: Budget) -> Mapping:
        """What `work`, which can be pickled, finds in a process of its own, or {"reason": why it was not
        measured}."""
        if not (limit := budget.of_a_case()):
            return {"reason": "the time was over"}
        process, pipe = self.waiting
        pipe.send(work)
        self.waiting = self._begin()
        if not pipe.poll(limit):
            process.kill()
            process.join()
            return {"reason": f"it took more than {limit:.0f} s"}
        try:
            found = pipe.recv()
        except (EOFError, ConnectionResetError):  # killed
            found = {}
        process.join()
        return found or {"reason": f"its process ended with {process.exitcode}, perhaps for want of memory"}


def _answer(pipe) -> None:
    """In the process: what libraries print is not heard."""
    try:
        work, hushed = pipe.recv(), io.StringIO()
    except EOFError:
        return
    try:
        with contextlib.redirect_stdout(hushed), contextlib.redirect_stderr(hushed):
            found = work()
    except BaseException as error:  # whatever a library raises, the other cases go on
        said_of_it = f"{type(error).__name__}: {error}".splitlines()[0]  # torch.OutOfMemoryError among them
        found = {"reason": said_of_it[:200]}
    pipe.send(dict(found))
