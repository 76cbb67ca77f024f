"""The finding of preferences between traces: what the last phase moved in each direction, what fell with it.
Everything is counted from that phase's first probe, in nats per token; accuracy is that of final answers."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmrc_helpers.analysis import accuracy, intervals, traces
from mmrc_helpers.analysis.evidence import Axes, Evidence, Verdict
from mmrc_helpers.analysis.intervals import Estimate
from mmrc_helpers.figures import curves, lines, style

VERSION = 1
AXES = Axes(wrong="mismatch")
KINDS = ("mismatch", "error", "rejected")  # the worse answers that a preference may have been taught with
SEEN = {"right": "chosen", "argmax": "likeliest tokens"}  # lines beside those of KINDS
NO_TRACES = "Nothing was traced: set dynamics.probes to see what a preference moves."
NO_WORSE = "No worse traces were probed: this world has none."
LOOKS = {
    "chosen": {"color": style.BLUE, "linestyle": "-"},
    "rejected (mismatch)": {"color": style.RED, "linestyle": "--"},
    "rejected (error)": {"color": style.ORANGE, "linestyle": "-."},
    "rejected (rejected)": {"color": style.RED, "linestyle": "--"},
    "likeliest tokens": {"color": style.GREY, "linestyle": ":"},
}
RUN = ["variant", "seed"]
POINT = ["phase", "step", "supervised_tokens"]


def kind_of(evidence: Evidence, variant: str) -> str:
    """The worse answer that a variant was taught with."""
    return evidence.lesson(variant).get("rejected", "rejected")


def observations(evidence: Evidence) -> pd.DataFrame:
    """One row per run, probe and question: direction, `right`, `argmax` along it, and every one of KINDS that
    was probed; nats per token."""
    table = evidence.traced()
    if table.empty:
        return table
    keys = [*RUN, *POINT, "direction", "id", "group"]
    found = table[table["candidate"].isin(("right", *KINDS))]
    wide = found.pivot_table(index=keys, columns="candidate", values="logp_mean")
    right = found[found["candidate"] == "right"].set_index(keys)
    wide["argmax"] = right["argmax_logp_sum"] / right["tokens"]
    wide["entropy"] = right["entropy_mean"]
    order = {name: place for place, name in enumerate(evidence.variants)}
    found = wide.rename_axis(columns=None).reset_index()
    return found.sort_values("variant", key=lambda names: names.map(order), kind="stable")


def changes(evidence: Evidence) -> pd.DataFrame:
    """What the last phase of each variant changed: one row per variant, direction and measure (right, argmax,
    entropy, each of KINDS, and `over KIND`, the margin of right), with its interval over seeds and groups;
    `estimate` holds the whole Estimate."""
    table, rows = observations(evidence), []
    for variant, of in table.groupby("variant", sort=False) if len(table) else ():
        last = of[of["phase"] == of["phase"].max()].sort_values("step")
        values = _with_margins(last)
        ends = values.groupby(["seed", "direction", "id", "group"])[_measures(values)].agg(["first", "last"])
        for direction, part in ends.groupby(level="direction"):
            seeds, groups = part.index.get_level_values("seed"), part.index.get_level_values("group")
            for measure in _measures(values):
                change = (part[measure]["last"] - part[measure]["first"]).to_numpy(float)
                known = ~np.isnan(change)
                found = intervals.mean(change[known], groups[known], seeds[known], share=False)
                rows.append({"variant": variant, "direction": direction, "measure": measure,
                             "first": part[measure]["first"].mean(), "last": part[measure]["last"].mean(),
                             "estimate": found})  # fmt: skip
    return pd.DataFrame(rows, columns=["variant", "direction", "measure", "first", "last", "estimate"])


def _with_margins(table: pd.DataFrame) -> pd.DataFrame:
    margins = {f"over {kind}": table["right"] - table[kind] for kind in KINDS if kind in table}
    return table.assign(**margins)


def _measures(table: pd.DataFrame) -> list[str]:
    margins = [f"over {kind}" for kind in KINDS]
    return [name for name in ("right", *KINDS, *margins, "argmax", "entropy") if name in table]


def word_of(found: Estimate) -> str:
    """Whether something rose or fell; neither, where its interval holds zero."""
    if found.low <= 0 <= found.high:
        return "stays"
    return "rises" if found.value > 0 else "falls"


def told_of(found: Estimate) -> str:
    """+0.12 [0.05, 0.20], and every seed where there are several."""
    seeds = f" ({' / '.join(f'{value:+.2f}' for value in found.seeds)})" if len(found.seeds) > 1 else ""
    return f"{found.value:+.2f} [{found.low:.2f}, {found.high:.2f}]{seeds}"


def verdict(evidence: Evidence) -> Verdict:
    """For the variant that is read: what its preference did to both traces of each direction."""
    numbers = accuracy.numbers_of(accuracy.scored(evidence))
    moved, read = changes(evidence), evidence.report.get("read", "")
    if not len(moved[moved["variant"] == read]):
        lacking = f"no traces of the variant `{read or 'report.read'}`"
        return Verdict("not traced", f"Not traced: {lacking}.", VERSION, reasons=(lacking,), numbers=numbers)
    told = {name: list(_told(evidence, moved, name)) for name in dict.fromkeys(moved["variant"])}
    short = "; ".join(sentence.split(":")[0] for sentence in told[read])
    reasons = tuple(f"{name}, {sentence}" for name, of in told.items() for sentence in of)
    return Verdict(short, f"{read.capitalize()}: {short}.", VERSION, reasons=reasons, numbers=numbers)


def _told(evidence: Evidence, moved: pd.DataFrame, variant: str) -> Iterator[str]:
    """One sentence for each direction: what was moved, and by how much."""
    kind = kind_of(evidence, variant)
    for direction, part in moved[moved["variant"] == variant].groupby("direction"):
        of = part.set_index("measure")["estimate"]
        names = {"right": "chosen", kind: "rejected", f"over {kind}": "margin"}
        there = {name: word for name, word in names.items() if name in of.index}
        short = ", ".join(f"{word} {word_of(of[name])}" for name, word in there.items())
        also = {f"over {other}": f"margin over {other}" for other in KINDS if other != kind}
        shown = {**there, **also, "argmax": "likeliest tokens"}
        long = "; ".join(f"{word} {told_of(of[name])}" for name, word in shown.items() if name in of.index)
        yield f"{direction} {short}: {long}, nats per token"


def everything(evidence: Evidence) -> pd.DataFrame:
    """`accuracy.everything`, accuracy per direction after every phase, and what the last phase changed."""
    rows = [(r.variant, f"change of {r.measure}, nats", r.direction, told_of(r.estimate))
            for r in changes(evidence).itertuples()]  # fmt: skip
    phases = evidence.phases
    if phases is not None and "direction" in phases:
        known = phases[phases["correct"].notna()]
        for (variant, phase, direction), part in known.groupby(["variant", "phase", "direction"], sort=False):
            found = intervals.mean(part["correct"], part["cluster"], part["seed"])
            shown = accuracy.shown(found.value, found.low, found.high)
            rows.append((variant, f"accuracy after phase {phase}", direction, shown))
    more = pd.DataFrame(rows, columns=["variant", "condition", "cell", "shown"])
    keys = {"index": ["variant", "condition"], "columns": "cell", "values": "shown"}
    more = more.pivot_table(**keys, aggfunc="first", sort=False)
    table = pd.concat([accuracy.everything(evidence), more.reset_index()]).fillna("")
    places = [evidence.variants.index(name) if name in evidence.variants else 99 for name in table["variant"]]
    return table.iloc[np.argsort(places, kind="stable")].rename_axis(columns=None)


# --- figures -----------------------------------------------------------------------------------------------


def plot_directions(evidence: Evidence, focus: tuple[float, float] | None = None) -> Figure | str:
    """One panel per variant and tested direction, phases divided: chosen, rejected and the likeliest tokens.
    In the titles the margin at the first and the last probe of the last phase. focus: the band to enlarge; if
    not said, where the last phase took place."""
    table = observations(evidence)
    if table.empty:
        return NO_TRACES
    parts, last = [], []
    for variant, of in table.groupby("variant", sort=False):
        kind = kind_of(evidence, variant)
        names = {"right": "chosen", kind: f"rejected ({kind})", "argmax": "likeliest tokens"}
        for direction, part in of.groupby("direction"):
            title = f"{variant} → {direction}{_ends(part, kind)}"
            for measure in (measure for measure in names if measure in part):
                found = traces.over_time(part, measure).assign(panel=title, line=names[measure])
                parts.append(found)
                last.append(found[found["phase"] == found["phase"].max()])
    drawn = pd.concat(parts, ignore_index=True)
    if focus is None and drawn["phase"].max() > 1:
        final = pd.concat(last)
        final = final[final["phase"] > 1]
        focus = (float(final["low"].min()), float(final["high"].max()))
    shape = {"focus": dict.fromkeys(drawn["panel"], focus)} if focus else {}
    title = "Taught variant → tested direction, log-probability in nats per token,"
    per_row = 2 * min(2, table["variant"].nunique())
    return curves.figure_of(drawn, title, LOOKS, units="nats per token", per_row=per_row, **shape)


def _ends(part: pd.DataFrame, kind: str) -> str:
    """The margin at both ends of the last phase, for a title."""
    if kind not in part:
        return ""
    last = part[part["phase"] == part["phase"].max()]
    margin = (last["right"] - last[kind]).groupby(last["step"]).mean()
    return f"\nΔ {margin.iloc[0]:.2f} → {margin.iloc[-1]:.2f}"


def plot_margins(evidence: Evidence) -> Figure | str:
    """The margin over each kind of worse trace in the last phase, a line per variant: which of them was
    learned."""
    table = observations(evidence)
    if table.empty:
        return NO_TRACES
    table = _with_margins(table[table["phase"] == table.groupby("variant")["phase"].transform("max")])
    names, parts = [name for name in _measures(table) if name.startswith("over ")], []
    if not names:
        return NO_WORSE
    for name in names:
        for direction, part in table.groupby("direction"):
            found = traces.over_time(part, name, ["variant"]).rename(columns={"variant": "line"})
            parts.append(found.assign(panel=f"{direction}: {name}"))
    looks = lines.looks(list(dict.fromkeys(table["variant"])))
    title = "Margin of the sound trace over each kind of worse one, nats per token,"
    drawn = pd.concat(parts, ignore_index=True).assign(phase=1)
    return curves.figure_of(drawn, title, looks, units="nats per token", per_row=2)


def plot_squeezing(evidence: Evidence) -> Figure | str:
    """The squeezing index and the entropy along the chosen, a panel per direction, a line per variant."""
    table = evidence.traced()
    if table.empty:
        return NO_TRACES
    parts = []
    for variant, of in table.groupby("variant", sort=False):
        pressed = traces.squeezing(of, ["direction"], kind_of(evidence, variant))
        right = of[of["candidate"] == "right"]
        for title, source, value in (
            ("squeezing index", pressed, "index"),
            ("entropy", right, "entropy_mean"),
        ):
            found = traces.over_time(source, value, ["direction"])
            parts.append(found.assign(line=variant, panel=found["direction"].astype(str) + ": " + title))
    drawn = pd.concat(parts, ignore_index=True).sort_values("panel", kind="stable")
    looks = lines.looks(list(dict.fromkeys(drawn["line"])))
    title = "Squeezing index and entropy along the chosen, nats per token,"
    return curves.figure_of(drawn, title, looks, units="nats per token", per_row=2)


def plot_examples(evidence: Evidence) -> Figure | str:
    """Every question × every probe of the first seed, a row of maps per variant: the margin over its worse
    trace, sorted by its end."""
    table = observations(evidence)
    if table.empty:
        return NO_TRACES
    grids = {}
    for (variant, direction), part in table[table["seed"] == table["seed"].min()].groupby(
        ["variant", "direction"]
    ):
        if (kind := kind_of(evidence, variant)) in part:
            margin = part.assign(margin=part["right"] - part[kind])
            grid = margin.pivot_table(index="id", columns=["phase", "step"], values="margin")
            grids[variant, direction] = grid.loc[grid.iloc[:, -1].sort_values(ascending=False).index]
    unit = "chosen − rejected (nats per token)"
    return (
        curves.heat_maps(grids, unit, "Heat maps of the margin over the worse trace") if grids else NO_WORSE
    )
