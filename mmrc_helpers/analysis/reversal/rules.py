"""The history of the rules by which a verdict is read. A change gets a new version here, whoever asks for
it, with its reason and what it changed; reports show what earlier versions say of the same answers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """One version of the rules. changed: which verdicts it changed, and whether they were known then."""

    version: int
    date: str
    what: str
    reason: str
    changed: str

    @property
    def name(self) -> str:
        return f"rules {self.version} of {self.date}"


RULES = (
    Rule(
        version=1,
        date="2026-11-21",
        what="Gates: forward free ≥ 90 %; both choices ≥ 90 % on background people; ≥ 95 % with names in the "
        "prompt; validity ≥ 99 % in all six cells; letters ≤ 40 % (of four; since 2026-11-29 of n, 1/n + "
        "15 %), judgements ≤ 65 %. Read from reverse choice, pictures first: confirmed (at chance ± 10 over "
        "people, gap above 30, 3 seeds), refuted (above one half), format-bound only, inconclusive.",
        reason="As designed before any result.",
        changed="",
    ),
    Rule(
        version=2,
        date="2026-11-21",
        what="Validity only in the cells that the verdict is read from (forward free, both choices); “Wrong” "
        "about novel people is no collapse.",
        reason="Written answers about looks are no part of a verdict on choices; to deny what it cannot "
        "reach is caution of a model, not collapse.",
        changed="Made after results were seen: under version 1 the default study of that day is inconclusive "
        "(validity of reverse free 98.5 %), under version 2 it is refuted.",
    ),
    Rule(
        version=3,
        date="2026-11-28",
        what="One verdict per format, with gates of its own; judging is read by AUC; both orders of a "
        "reverse choice count; level and gap are said apart (curse, direction gap, none, format-bound). "
        "Every verdict needs 3 seeds that agree, intervals over seeds and people, the controls at chance "
        "(untrained, permuted names, drops), and the trained direction learned wherever it was taught.",
        reason="On simulated studies versions 1 and 2 took a variant that learned nothing for format-bound, "
        "seeds of 10, 25 and 40 % for a confirmation, a gap of 40 points for a refutation, and looked at no "
        "control.",
        changed="Made after results were seen: the choices of the default study of that day change from "
        "refuted to a direction gap, with the other formats beside them.",
    ),
    Rule(
        version=4,
        date="2026-11-28",
        what="Gates 1 to 5 also hold in every seed within ten points. Where seeds differ by more than their "
        "people explain (Cochran’s Q, 5 %), Student’s t over seeds must show the same as the bootstrap. A "
        "direction gap needs a reverse cell above the untrained model, not only above a guess. An answer "
        "whose log-probabilities are no numbers counts as invalid.",
        reason="On simulated studies version 3 read a verdict from three seeds of which one had not learned "
        "the facts or had lost the format, took a reverse cell at 34 % for found where the untrained model "
        "has 34 %, and gave the bootstrap of three seeds the last word where it covers three in four.",
        changed="Made after results were seen: no verdict of the default study of that day changes.",
    ),
)
VERSION = RULES[-1].version
