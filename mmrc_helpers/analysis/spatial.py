"""The finding of spatial training in phases: what each phase adds to each relation, whether what was taught
from A to B reaches B to A, and what a reward that sees the truth does beyond one that does not."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmrc_helpers.analysis import accuracy, cells, intervals, scores
from mmrc_helpers.analysis.accuracy import OPEN, shown, told_of, word_of
from mmrc_helpers.analysis.evidence import Axes, Evidence, Verdict
from mmrc_helpers.analysis.intervals import Estimate, percent, points
from mmrc_helpers.errors import UserError
from mmrc_helpers.figures import accuracy as bars
from mmrc_helpers.figures import curves, lines, relations

VERSION = 2  # of 2026-11-29: a direction that gained nothing is not reached, however small the gap
DIRECTIONS = ("forward", "reverse")  # from which of two shapes a scene is asked, in a fixed order of shapes
TAUGHT, KNOWN = "novel", "background"
AXES = Axes(taught={"population": TAUGHT}, wrong="opposite")
NO_RELATIONS = "The world of this study has no relations."
WHOLE, PART, NOTHING, UNLEARNED = "reaches the other side", "reaches it in part", "stays there", "not learned"
LOGGED = {
    "reward": "reward",
    "rewards_right_mean": "right answers",  # logged whether or not the reward weighs them
    "rewards_(?!right_mean)(.*)_mean": "part of the reward: {}",
    "kl": "KL to the start, nats per token",
    "entropy": "entropy, nats per token",
    "completions_mean_length": "length of answers, tokens",
}


def about(evidence: Evidence, population: str = TAUGHT) -> Evidence:
    """The evidence on shapes of one population alone; answers of worlds without populations stay with the
    taught ones."""

    def kept(answers: pd.DataFrame) -> pd.DataFrame:
        if "population" not in answers:
            return answers
        other = answers["population"].isna() & (population == TAUGHT)
        return answers[other | (answers["population"] == population)]

    phases = evidence.answers if evidence.phases is None else evidence.phases
    return replace(evidence, answers=kept(evidence.answers), phases=kept(phases))


def asked(evidence: Evidence) -> pd.DataFrame:
    """The answers about the taught shapes, with `cell`."""
    return accuracy.asked(about(evidence))


def label(evidence: Evidence, variant: str, phase: int) -> str:
    """What a phase of a variant is called: its method, numbered where the method comes again; "untrained"."""
    before = list(evidence.methods.get(variant, ()))[:phase]
    if not phase or not before:
        return "untrained" if not phase else f"phase {phase}"
    again = before.count(before[-1])
    return before[-1] if again == 1 else f"{before[-1]} {again}"


def after_phases(evidence: Evidence, population: str = TAUGHT) -> pd.DataFrame:
    """The answers to whole questions of the study's own world about shapes of one population, after every
    evaluated phase, with `cell` and with `after`, the name of the phase."""
    found = about(evidence, population)
    answers = accuracy.asked(replace(found, answers=found.phases))
    if "world" in answers and evidence.facets:
        answers = answers[answers["world"] == next(iter(evidence.facets))]
    if "direction" not in answers:
        raise UserError("report.finding: spatial compares directions; this world has none, so write accuracy")
    keys = zip(answers["variant"], answers["phase"], strict=True)
    return answers.assign(after=[label(evidence, *key) for key in keys])


# --- what is compared --------------------------------------------------------------------------------------


def contrasts(evidence: Evidence) -> pd.DataFrame:
    """`cells.contrasts` on the taught shapes in each direction: the variant that is read against the one
    beside it, the untrained one and every declared control; every other trained one against the one
    beside."""
    read, beside = (evidence.report.get(part, "") for part in ("read", "beside"))
    controls = [name for name in evidence.report.get("controls", ()) if name != evidence.untrained]
    pairs = [(read, name) for name in dict.fromkeys((beside, *controls, evidence.untrained)) if name]
    named = (read, beside, evidence.untrained, *controls)
    pairs += [(name, beside) for name in evidence.variants if beside and name not in named]
    return cells.contrasts(own(evidence), [pair for pair in pairs if pair[0] != pair[1]], ["direction"])


def own(evidence: Evidence) -> pd.DataFrame:
    """The answers of `after_phases` after the last one."""
    return scores.last_phase(after_phases(evidence))


def transfer(evidence: Evidence) -> pd.DataFrame:
    """For every variant taught in one direction, and task by task for the one that is read: columns variant,
    task ("": all), taught, other (directions), here and there (estimates in both), gap (here − there, paired
    by scene), gain (there − the untrained model there), word: what became of the other direction."""
    rows, answers = [], own(evidence)
    untrained = scores.pick(answers, variant=evidence.untrained) if evidence.untrained else answers.iloc[:0]
    tasks = sorted(set(answers["task"])) if "task" in answers else []
    for variant in evidence.variants:
        taught = tuple(evidence.lesson(variant).get("directions", ()))
        if len(taught) != 1 or taught[0] not in DIRECTIONS:
            continue
        other = next(name for name in DIRECTIONS if name != taught[0])
        each = tasks if len(tasks) > 1 and variant == evidence.report.get("read") else ()
        for task in ("", *each):
            asked_of = {"task": task} if task else {}
            ours = scores.pick(answers, variant=variant, **asked_of)
            here, there = (ours[ours["direction"] == name] for name in (taught[0], other))
            if len(here) and len(there):
                before = scores.pick(untrained, **asked_of)
                gains = [_gain(part, before) for part in (here, there)]
                gap = cells.gap(here, there)
                row = {"variant": variant, "task": task, "taught": taught[0], "other": other, "gap": gap}
                row |= {"gain": gains[1], "here": scores.accuracy(here), "there": scores.accuracy(there)}
                rows.append(row | {"word": _reached(gap, *gains)})
    columns = ["variant", "task", "taught", "other", "gap", "gain", "here", "there", "word"]
    return pd.DataFrame(rows, columns=columns)


def _gain(ours: pd.DataFrame, untrained: pd.DataFrame) -> Estimate:
    """ours − the untrained model in the same direction, over the seeds that both have."""
    theirs = untrained[untrained["direction"] == ours["direction"].iloc[0]]
    common = set(ours["seed"]) & set(theirs["seed"])
    if not common:
        return intervals.NOT_MEASURED
    return intervals.difference(*(scores.accuracy(of[of["seed"].isin(common)]) for of in (ours, theirs)))


def _reached(gap: Estimate, here: Estimate, there: Estimate) -> str:
    if not here.low > 0:
        return UNLEARNED if here.high < intervals.MARGIN else OPEN
    if there.low > 0 and (gap.high < 0 or intervals.equivalence(gap, 0.0).p <= 0.05):
        return WHOLE
    if gap.low <= 0:
        return OPEN
    return PART if there.low > 0 else NOTHING


def verdict(evidence: Evidence) -> Verdict:
    """For the variant that is read: better than the one beside it? Than the null? Did it reach the direction
    in which it was not taught?"""
    tables = [accuracy.scored(about(evidence, name)).assign(population=name) for name in (TAUGHT, KNOWN)]
    numbers = accuracy.numbers_of(pd.concat([table for table in tables if len(table)]))
    read = evidence.report.get("read", "")
    if read not in evidence.variants:
        lacking = f"the variant `{read or 'report.read'}` is not evaluated"
        said = ("not compared", f"Not compared: {lacking}.")
        return Verdict(*said, VERSION, reasons=(lacking,), numbers=numbers)
    found, moved = contrasts(evidence), transfer(evidence)
    short, told, reasons = [], [], []
    for (variant, against), rows in found.groupby(["variant", "against"], sort=False) if len(found) else ():
        words = [f"{row.direction} {word_of(row)}" for row in rows.itertuples()]
        reasons += [f"{variant} against {against}, {row.direction}: {percent(row.value)} against "
                    f"{percent(row.other)}, {told_of(row)}" for row in rows.itertuples()]  # fmt: skip
        if variant == read and against != evidence.untrained:
            short.append(f"against {against}: {', '.join(words)}")
    for row in moved.itertuples():
        reasons.append(f"{row.variant}{', ' * bool(row.task)}{row.task}: {_told(row)}")
        if row.variant == read and not row.task:
            short.append(f"taught {row.taught}: {row.word}")
            told.append(f"{_told(row).capitalize()}.")
            told.append(_by_task(moved[(moved["variant"] == read) & (moved["task"] != "")], row.word))
    sentence = f"{read.capitalize()} {'; '.join(short)}. {' '.join(told)}".strip()
    said = ("; ".join(short) or "not compared", sentence)
    return Verdict(*said, VERSION, reasons=tuple(reasons), numbers=numbers)


def _by_task(rows: pd.DataFrame, word: str) -> str:
    """What became of the other direction task by task, if not the same of all."""
    words = {row.task: row.word for row in rows.itertuples()}
    if set(words.values()) <= {word}:
        return ""
    return f"Not all alike: {'; '.join(f'{task} {of}' for task, of in words.items())}."


def _told(row) -> str:
    here, there = (percent(of.value, of.low, of.high) for of in (row.here, row.there))
    gap, gain = points(row.gap), points(row.gain)
    beside = (
        f"{gain} against the untrained model" if row.gain.draws is not None else "with no untrained model"
    )
    return f"taught {row.taught} {here}, asked {row.other} {there} ({beside}), a gap of {gap}: {row.word}"


# --- numbers -----------------------------------------------------------------------------------------------


def everything(evidence: Evidence) -> pd.DataFrame:
    """`accuracy.everything` on the taught shapes; accuracy after every phase; of the variant that is read
    every relation after every phase; and the background shapes, which are known beside them."""
    table = accuracy.everything(about(evidence)).assign(population=TAUGHT)
    more = pd.DataFrame(list(_after(evidence)), columns=["variant", "condition", "cell", "shown"])
    keys = {"index": ["variant", "condition"], "columns": "cell", "values": "shown"}
    more = more.pivot_table(**keys, aggfunc="first", sort=False).reset_index().assign(population=TAUGHT)
    known = about(evidence, KNOWN)
    beside = [accuracy.everything(known).assign(population=KNOWN)] if len(known.answers) else []
    found = pd.concat([table, more, *beside]).fillna("").rename_axis(columns=None)
    places = found["variant"].map(evidence.variants.index) + 100 * (found["population"] == KNOWN)
    return found.iloc[np.argsort(places, kind="stable")]


def _after(evidence: Evidence) -> Iterator[tuple[str, str, str, str]]:
    answers = after_phases(evidence)
    for r in scores.score(answers, ["variant", "after", "cell"]).itertuples():
        yield r.variant, f"after {r.after}", r.cell, shown(r.accuracy, r.low, r.high)
    read = scores.pick(answers, variant=evidence.report.get("read", ""))
    by = ["variant", "relation", "after", "cell"]
    for r in scores.score(read, by).itertuples() if "relation" in read else ():
        yield r.variant, f"{r.relation}, after {r.after}", r.cell, shown(r.accuracy, r.low, r.high)


# --- figures -----------------------------------------------------------------------------------------------


def plot_scores(evidence: Evidence) -> Figure:
    """Accuracy after every phase in both directions, one panel per variant; background shapes beside."""
    parts = []
    for population, series in ((TAUGHT, "taught shapes"), (KNOWN, "background shapes")):
        answers = after_phases(evidence, population)
        parts.append(_scored(answers, ["variant", "phase", "after", "direction"]).assign(series=series))
    table = pd.concat(parts).rename(columns={"accuracy": "value", "direction": "section", "after": "tick"})
    table = table.sort_values(["phase", "section"], kind="stable")
    order = table["variant"].map(evidence.variants.index)
    table = table.iloc[np.lexsort((np.arange(len(table)), order, table["series"] != "taught shapes"))]
    return bars.cells(table, [name for name in DIRECTIONS if name in set(table["section"])])


def _scored(answers: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """`scores.score` of cells that hold several formats, or one relation alone: there a guesser takes one of
    the options, which every question names."""
    guessed = (
        (1 / answers["options"].map(len)).groupby([answers[name] for name in by]).mean().rename("chance")
    )
    return scores.score(answers, by).drop(columns="chance").join(guessed, on=by)


def _options(answers: pd.DataFrame) -> list[str]:
    """What was asked between, in the order of the questions: alternatives stand together."""
    return list(dict.fromkeys(option for options in answers["options"] for option in options))


def plot_relations(evidence: Evidence, variant: str = "") -> Figure | str:
    """Every relation after every phase of one variant (not said: the one that is read), a panel for each
    direction."""
    answers = scores.pick(after_phases(evidence), variant=variant or evidence.report.get("read", ""))
    if answers.empty:
        return "No answers of this variant: name an evaluated one, or set report.read."
    if "relation" not in answers:
        return NO_RELATIONS
    table = _scored(answers, ["direction", "relation", "phase", "after"])
    table = table.rename(columns={"accuracy": "value", "direction": "panel", "after": "line"})
    order = list(dict.fromkeys([*_options(answers), *table["relation"]]))
    table = table.sort_values("relation", key=lambda names: names.map(order.index), kind="stable")
    return relations.rates(table.sort_values(["panel", "phase"], kind="stable"), "accuracy per relation")


def plot_benchmarks(evidence: Evidence, world: str = "", variant: str = "") -> Figure | str:
    """Every relation (or task, where a benchmark has none) of a world in evaluate.also, after every phase of
    one variant. world: not said, the first of them."""
    _, *further = evidence.facets or {"": ()}
    answers = accuracy.asked(replace(evidence, answers=about(evidence).phases))
    answers = scores.pick(answers, variant=variant or evidence.report.get("read", ""))
    answers = answers[answers["world"] == (world or next(iter(further), ""))]
    if answers.empty:
        return "No answers of a benchmark: name one in evaluate.also, and an evaluated variant."
    by = next(
        name for name in ("relation", "task", "cell") if name in answers and answers[name].notna().all()
    )
    phases = zip(answers["variant"], answers["phase"], strict=True)
    answers = answers.assign(relation=answers[by], line=[label(evidence, *key) for key in phases])
    table = _scored(answers, ["world", "relation", "phase", "line"])
    table = table.rename(columns={"accuracy": "value", "world": "panel"})
    return relations.rates(table.sort_values("phase", kind="stable"), f"accuracy per {by}")


def plot_confusion(evidence: Evidence, variant: str = "") -> Figure | str:
    """What one variant (not said: the one that is read) wrote where each relation was true, after its last
    phase, in shares of the row, a panel for each direction."""
    answers = scores.pick(own(evidence), variant=variant or evidence.report.get("read", ""))
    if "relation" not in answers:
        return NO_RELATIONS
    answers = answers[scores.written(answers) & (answers["answer"] == answers["relation"])]
    if answers.empty:
        return "No relation was asked in words, so none was confused: put free into evaluate.ask.formats."
    grids = {}
    for direction, part in answers.groupby("direction", sort=False):
        grid = pd.crosstab(part["answer"], part["parsed"], normalize="index")
        listed = _options(answers)
        true = [name for name in listed if name in grid.index]
        said = [name for name in listed if name in grid.index or name in grid]
        said += [*(name for name in grid if name not in (*said, scores.INVALID)), scores.INVALID]
        grids[direction] = grid.reindex(index=true, columns=said, fill_value=0.0)
    return relations.confusion(grids)


def plot_rewards(evidence: Evidence) -> Figure | str:
    """What phases of rewards logged: the reward, its parts one by one, KL, entropy and length, a line for
    each variant with the range of its seeds."""
    table = evidence.logged()
    table = table[table["method"] == "grpo"] if len(table) else table
    if table.empty:
        return "No phase was rewarded: no variant has a phase with method grpo."
    parts = []
    for pattern, title in LOGGED.items():
        for column in table.filter(regex=f"^{pattern}$"):
            name = title.format(column.removeprefix("rewards_").removesuffix("_mean"))
            line = table[["variant", "seed", "step"]].assign(value=table[column]).dropna(subset="value")
            parts.append(line.assign(panel=name))
    long = pd.concat(parts)
    found = long.groupby(["panel", "variant", "step"], sort=False)["value"]
    drawn = found.agg(["mean", "min", "max", "count"]).reset_index()
    drawn = drawn.rename(columns={"variant": "line", "min": "low", "max": "high", "count": "seeds"})
    drawn = drawn.assign(phase=1).sort_values("step", kind="stable")
    panels = list(dict.fromkeys(long["panel"]))
    drawn = drawn.sort_values("panel", key=lambda names: names.map(panels.index), kind="stable")
    looks = lines.looks(list(dict.fromkeys(drawn["line"])))
    return curves.figure_of(drawn, "What answers earned,", looks, per_row=3)


def plot_transfer(evidence: Evidence) -> Figure:
    """Variants × tested cells of the taught shapes; framed: what a variant was taught in."""
    return accuracy.plot_transfer(about(evidence))


def plot_controls(evidence: Evidence) -> Figure | str:
    """Destroyed pictures against chance. (The null of rewards stands in the verdict: it is compared with the
    variant that is read, not with chance.)"""
    none = replace(about(evidence), report={**evidence.report, "controls": ()})
    found = accuracy.plot_controls(none)
    return "No picture was destroyed: evaluate.ask.drops is empty." if isinstance(found, str) else found


def plot_answers(evidence: Evidence) -> Figure | str:
    """How often each letter and verdict was favoured."""
    return accuracy.plot_answers(about(evidence))
