"""The tables of the reversal study beside its verdict: everything in numbers, contrasts of variants, what is
bound where, judging as detection, the power as run."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mmrc_helpers.analysis import cells as pairs
from mmrc_helpers.analysis import intervals, power, scores
from mmrc_helpers.analysis.accuracy import shown
from mmrc_helpers.analysis.evidence import Evidence
from mmrc_helpers.analysis.intervals import MARGIN
from mmrc_helpers.analysis.reversal import cells

KEYS = ["variant", "population", "condition"]


def contrasts(evidence: Evidence, found: cells.Split | None = None) -> pd.DataFrame:
    """Novel people: every trained variant against the untrained one, then against the one beside the one that
    is read, cell by cell; see `pairs.contrasts`."""
    untrained, beside = evidence.untrained, evidence.report.get("beside", "")
    trained = [variant for variant in evidence.variants if variant != untrained]
    compared = [(variant, against) for against in (untrained, beside) for variant in trained
                if against and variant != against]  # fmt: skip
    return pairs.contrasts(cells.asked(evidence, found), compared, ["cell"], cells.measure)


def judges(evidence: Evidence) -> pd.DataFrame:
    """Judging as detection per variant, population and direction: AUC with its interval, accuracy, rates of
    "Right" to matches (tpr) and mismatches (fpr), their difference."""
    rows = []
    for (variant, population, topic, drop, _), cell in cells.split(evidence.answers).items():
        if cell.format == "judge" and (topic, drop) == ("identity", "none"):
            says = cell.rows["logprobs"].map(lambda logprobs: logprobs[0] > np.log(0.5))
            match = cell.rows["gold"] == 0
            tpr, fpr = says[match].mean(), says[~match].mean()
            row = {"variant": variant, "population": population, "direction": cell.name.split("/")[0]}
            row |= scores.columns_of(cell.read, "auc") | {"accuracy": cell.rows["correct"].mean()}
            rows.append(row | {"tpr": tpr, "fpr": fpr, "separation": tpr - fpr, "share_right": says.mean()})
    return pd.DataFrame(rows)


def with_probe(answers: pd.DataFrame) -> pd.DataFrame:
    """The reverse choices with the naming probe of their line-ups: `storage` (for every picture, log p(asked
    name | picture), less its log-mean over the names of the line-up) and `storage_correct` (whether the right
    picture has the largest). The subtraction removes what a picture does to every name. Without probes: the
    answers with both columns empty."""
    keys = ["variant", "seed", *(["phase"] if "phase" in answers else []), "id"]
    probes = answers[answers["topic"] == "storage"]
    told = probes["truth"].map(lambda truth: (truth["lineup"], truth["place"]))
    probes = probes.assign(id=told.str[0], place=told.str[1])[[*keys, "place", "logprobs"]]
    probes = probes.merge(answers[[*keys, "gold"]], on=keys).sort_values("place")
    bound = [logprobs[gold] - np.log(np.mean(np.exp(logprobs)))
             for logprobs, gold in zip(probes["logprobs"], probes["gold"], strict=True)]  # fmt: skip
    lists = probes.assign(storage=bound).groupby(keys)["storage"].agg(list)
    answers = answers.merge(lists, how="left", left_on=keys, right_index=True)
    right = [float(np.argmax(of) == gold) if isinstance(of, list) else np.nan
             for of, gold in zip(answers["storage"], answers["gold"], strict=True)]  # fmt: skip
    return answers.assign(storage_correct=np.array(right, dtype=float))


def binding(evidence: Evidence) -> pd.DataFrame:
    """What binds a person to a name, read in two formats, beside what is reached, per variant and population.

    naming: the naming probe, on the line-ups with the pictures first: the right picture makes the name
    likeliest. choosing: the forward choice of the same person is right. access: the reverse choice is. Then
    the shares of the line-ups: bound in either format and reached or not, and reached without either.
    """
    found = cells.split(with_probe(evidence.answers))
    rows = []
    for variant in evidence.variants:
        for population in cells.POPULATIONS:
            asked = cells.of(found, variant, population)
            if {"forward/choice", "reverse/choice"} <= set(asked):
                lineups, chosen = asked["reverse/choice"].rows, asked["forward/choice"].rows
                probed = lineups[lineups["storage_correct"].notna()]
                row = {"variant": variant, "population": population, "chance": asked["reverse/choice"].chance}
                row |= _rate("naming", scores.accuracy(probed, "storage_correct"))
                row |= _rate("choosing", asked["forward/choice"].read) | _rate(
                    "access", asked["reverse/choice"].read
                )
                by_choosing = chosen.groupby("cluster")["correct"].mean() >= 0.5
                bound = lineups["storage_correct"].eq(1) | lineups["cluster"].map(by_choosing).eq(True)
                reached = lineups["correct"] > 0
                row |= {
                    "bound_reached": (bound & reached).mean(),
                    "bound_unreached": (bound & ~reached).mean(),
                }
                row |= {"unbound_reached": (~bound & reached).mean(), "neither": (~bound & ~reached).mean()}
                rows.append(row)
    return pd.DataFrame(rows)


def _rate(name: str, of: intervals.Estimate) -> dict[str, float]:
    return {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high}


def power_table(evidence: Evidence) -> pd.DataFrame:
    """Power of the reverse cells on novel people as run, seeds taken as alike: the accuracy told from chance
    with 80 %, and the power to show chance."""
    found, rows = cells.split(evidence.answers), []
    for variant in evidence.variants:
        for cell in cells.of(found, variant).values():
            if cell.name.startswith("reverse/") and cell.format != "judge":
                people, chance = cell.rows["cluster"].nunique(), cell.chance
                row = {"variant": variant, "cell": cell.name, "seeds": cell.rows["seed"].nunique()}
                row |= {"people": people, "chance": chance, "detectable": power.detectable(people, chance)}
                rows.append(row | {"equivalence_power": power.equivalence_power(people, chance, MARGIN)})
    return pd.DataFrame(rows)


def everything(evidence: Evidence) -> pd.DataFrame:
    """Percent with intervals: rows variant × people × condition, columns the cells that were asked.

    Conditions of novel people: primary (judging by AUC); by seed; minus forward (the gap within a format);
    minus untrained, minus the variant beside (contrasts); in every order; accuracy and rates of judging; the
    other way of scoring; harder distractors. Of the others the primary one.
    """
    found = cells.split(evidence.answers)
    table = cells.table_of(found, evidence)
    parts = [_primary(table), _seeds(table), _gaps(found, evidence), _contrasted(evidence, found)]
    parts += [_every_order(table), _judging(evidence), _other_scoring(found), _harder(evidence)]
    rows = pd.DataFrame([row for part in parts for row in part])
    table = rows.pivot_table(index=KEYS, columns="cell", values="shown", aggfunc="first", sort=False)
    table = table.reindex(columns=[cell for cell in cells.CELLS if cell in table.columns]).fillna("")
    places = [(evidence.variants.index(v), cells.POPULATIONS.index(p)) for v, p, _ in table.index]
    return table.iloc[sorted(range(len(table)), key=places.__getitem__)].reset_index()


def _row(variant: str, population: str, condition: str, cell: str, shown: str) -> dict[str, str]:
    return {
        "variant": variant,
        "population": population,
        "condition": condition,
        "cell": cell,
        "shown": shown,
    }


def _primary(table: pd.DataFrame) -> Iterator[dict]:
    for r in table.itertuples():
        yield _row(r.variant, r.population, "primary", r.cell, shown(r.value, r.low, r.high))


def _seeds(table: pd.DataFrame) -> Iterator[dict]:
    for r in table[table["population"] != "background"].itertuples():
        if r.seeds > 1:
            values = " / ".join(f"{100 * value:.0f}" for value in r.by_seed)
            yield _row(r.variant, r.population, "by seed", r.cell, values)


def _gaps(found: cells.Split, evidence: Evidence) -> Iterator[dict]:
    for variant in evidence.variants:
        asked = cells.of(found, variant)
        for name, cell in asked.items():
            forward = asked.get(f"forward/{cell.format}")
            if name.startswith("reverse/") and forward:
                gap = pairs.gap(cell.rows, forward.rows, cells.measure)
                yield _row(variant, "novel", "minus forward", name, shown(gap.value, gap.low, gap.high, "+"))


def _contrasted(evidence: Evidence, found: cells.Split) -> Iterator[dict]:
    for r in contrasts(evidence, found).itertuples():
        p = "p\u00a0<\u00a00.001" if r.p_holm < 0.001 else f"p\u00a0{r.p_holm:.2g}"
        change = f"{shown(r.difference, r.low, r.high, '+')}, {p}"
        yield _row(r.variant, "novel", f"minus {r.against}", r.cell, change)


def _every_order(table: pd.DataFrame) -> Iterator[dict]:
    for r in table[table["all_orders"].notna() & (table["population"] != "background")].itertuples():
        yield _row(r.variant, r.population, "right in every order", r.cell, f"{100 * r.all_orders:.1f}")


def _judging(evidence: Evidence) -> Iterator[dict]:
    table = judges(evidence)
    for r in table[table["population"] == "novel"].itertuples() if len(table) else ():
        rates = f"{100 * r.accuracy:.1f} ({100 * r.tpr:.0f} / {100 * r.fpr:.0f})"
        yield _row(r.variant, "novel", "accuracy (TPR / FPR)", f"{r.direction}/judge", rates)


def _other_scoring(found: cells.Split) -> Iterator[dict]:
    for (variant, population, topic, drop, name), cell in found.items():
        if (topic, drop) == ("identity", "none") and population != "background":
            column = "correct_logprob" if cell.format == "free" else "correct_text"
            other = f"{100 * cell.rows[column].astype(float).mean():.1f}"
            yield _row(variant, population, "other scoring", name, other)


def _harder(evidence: Evidence) -> Iterator[dict]:
    """Choices whose distractors resemble the right option."""
    rows = scores.pick(evidence.answers, topic="identity", drop="none", distractors="matched")
    for key, cell in cells.celled(rows).groupby(["variant", "population", "cell"], sort=False):
        of = cells.measure(cell)
        yield _row(key[0], key[1], "like distractors", key[2], shown(of.value, of.low, of.high))
