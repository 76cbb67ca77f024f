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


RULES = (
    Rule(
        version=1,
        date="2026-11-21",
        what="Gates: forward free ≥ 90 %; both choices ≥ 90 % on background people; ≥ 95 % with names in the "
        "prompt; validity ≥ 99 % in all six cells; letters ≤ 40 %, judgements ≤ 65 %. Read from reverse "
        "choice, pictures first: confirmed (at chance ± 10 over people, gap above 30, 3 seeds), refuted "
        "(above one half), format-bound only, inconclusive.",
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
)
VERSION = RULES[-1].version
