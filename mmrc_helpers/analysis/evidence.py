"""What a finding reads, and what it gives back: plain values, so that a report can show them and verdict.json
can hold them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Axes:
    """Which facets span the cells of a finding, and what else singles out its questions.

    values: facet → its values in order; figures tell lines apart by the first facet, panels by the last.
    None: the facets that the world itself names. about: facet → value of the questions that it is about.
    taught: facet → value of those about what was taught; the other values are known beside it. wrong: the
    kind of alternative answer that margins compare with.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    taught: Mapping[str, str] = field(default_factory=dict)
    wrong: str = "wrong"

    def group(self, *values: str) -> str:
        """How traces of gradients call the group of questions with these values of the axes."""
        first, *rest = [*self.taught.values(), *values]
        return f"{first} {'/'.join(rest)}"


@dataclass(frozen=True)
class Evidence:
    """What a finding reads. answers: the prepared answers of all evaluated runs (`scores.join`), after the
    last phase. report: what the study declares, above all which variant has which part. taught: variant →
    what its facts are taught in, () for the untrained. facets: world → those that span its cells, the run's
    own world first. phases: the answers after every phase. lessons: variant → what each of its phases
    teaches, the sections `teach` of its world. traced: (name) → the table "logprobs" (unless named) or
    "gradients" of all runs, with variant and seed. logged: gives what training logged (`reading.logged`).
    methods: variant → those of its phases."""

    answers: pd.DataFrame
    report: Mapping = field(default_factory=dict)
    taught: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    phases: pd.DataFrame | None = None
    lessons: Mapping[str, Sequence[Mapping]] = field(default_factory=dict)
    traced: Callable[..., pd.DataFrame] = lambda name="logprobs": pd.DataFrame()
    logged: Callable[[], pd.DataFrame] = pd.DataFrame
    methods: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def untrained(self) -> str:
        """The evaluated variant that was taught nothing; empty if there is none."""
        return next((name for name in self.variants if self.taught.get(name) == ()), "")

    def lesson(self, variant: str) -> Mapping:
        """What the last phase of a variant teaches, the section `teach`; empty for the untrained."""
        *_, last = self.lessons.get(variant) or ({},)
        return last

    def of(self, part: str) -> pd.DataFrame:
        """The answers of the variant that the study declares for this part (`report.read: forward`); empty if
        it declares none, or the variant is not evaluated."""
        return self.answers[self.answers["variant"] == self.report.get(part, "")]

    @cached_property
    def variants(self) -> list[str]:
        """The evaluated variants, in the order of `report.variants`, then as listed."""
        found = list(self.answers["variant"].unique())
        first = [name for name in self.report.get("variants", ()) if name in found]
        return [*first, *(name for name in found if name not in first)]


@dataclass(frozen=True)
class Gate:
    """One condition under which a verdict may be read. The value must lie from `least` to `most` (nan: no
    bound); of a control the whole 90 % interval (low, high) must, of the others the value alone, and each of
    the `seeds` within ten points."""

    gate: str
    value: float
    low: float
    high: float
    least: float
    most: float
    passed: bool
    groups: int
    reason: str
    seeds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Part:
    """The verdict on one part of the question (a format): in a word, in a sentence, and all that was read."""

    verdict: str
    sentence: str
    reasons: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a study shows. verdict: in a few words. sentence: the one for all parts. parts: format, or
    supervision → `Part`. beside: the same for the variant beside it. rules: the version of the rules it was
    read by; earlier: rule → what it would have said. notes: more that a reader needs, name → sentence:
    contrasts, power. numbers: tidy, for tables outside."""

    verdict: str
    sentence: str
    rules: int
    parts: Mapping[str, Part] = field(default_factory=dict)
    beside: Mapping[str, Part] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    earlier: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    numbers: tuple[dict, ...] = ()

    def as_dict(self) -> dict:
        """Plain values that JSON can hold; nan becomes null."""
        return _without_nan(asdict(self))


def _without_nan(value):
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value
