"""Two studies, or two variants of one or of two, side by side: what is read in every cell, the difference
with its interval, and the parameters that are not alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import pandas as pd

from mmrc_helpers.analysis import FINDINGS, Finding, cells, reading, scores
from mmrc_helpers.errors import UserError, check_known, show
from mmrc_helpers.execution import sheet, terminal
from mmrc_helpers.store import crates, files, folders
from mmrc_helpers.study.runs import Study, load_study

Side = tuple[Study, str]  # a study, and one variant of it or ""
NOT_COMPARED = ("machine", "untaught")  # sections in no key, and what stands in for `teach` without training


@dataclass(frozen=True)
class Comparison:
    """names: what the sides are called. table: a row per pair of variants and cell: variant, cell, value,
    other, difference, each with its interval, p_holm, paired, seeds. parameters: those that differ:
    parameter, one, other, variants. notes: what else a reader needs, a sentence each."""

    names: tuple[str, str]
    table: pd.DataFrame
    parameters: pd.DataFrame
    notes: tuple[str, ...]


def compare(one: Side, other: Side) -> Comparison:
    """Variant against variant, or every variant that both studies have. Raises UserError if the two have
    nothing in common that could be compared."""
    pairs = _pairs(one, other)
    finding = _finding(one[0], other[0])
    variants = [list(of) for of in zip(*pairs, strict=True)]
    rows = _joined(*(_answers(*of, finding) for of in zip((one[0], other[0]), variants, strict=True)))
    named = [(f"1 {first}", f"2 {second}") for first, second in pairs]
    found = cells.contrasts(rows, named, ["cell"], finding.measure)
    if found.empty:
        raise UserError(f"{name_of(one)} and {name_of(other)} have no cell in common that both were asked")
    found = _with_intervals(found, rows, finding)
    found = found.assign(variant=[_told(row.variant[2:], row.against[2:]) for row in found.itertuples()])
    columns = ["parameter", "one", "other", "variants"]
    parameters = pd.DataFrame(_parameters(one[0], other[0], pairs), columns=columns)
    return Comparison((name_of(one), name_of(other)), found, parameters, tuple(_notes(one, other, found)))


def side(name: str, params_folder: Path) -> Side:
    """What STUDY or STUDY:VARIANT names. Raises UserError with the near miss of a variant."""
    of, _, variant = name.partition(":")
    study = load_study(of, params_folder)
    if variant:
        check_known(variant, study.variants, f"{show(study.path)}: variant")
    return study, variant


def name_of(side: Side) -> str:
    """STUDY or STUDY:VARIANT."""
    return f"{side[0].name}:{side[1]}" if side[1] else side[0].name


def _pairs(one: Side, other: Side) -> list[tuple[str, str]]:
    """The variants that are compared."""
    if bool(one[1]) != bool(other[1]):
        raise UserError(f"{name_of(one)} and {name_of(other)}: name a variant of both, or of none of them")
    if one == other:
        raise UserError(f"{name_of(one)} is named twice; compare it with another, such as STUDY:VARIANT")
    if one[1]:
        return [(one[1], other[1])]
    done = [{run.variant for run in study.runs if reading.is_evaluated(run)} for study, _ in (one, other)]
    if common := [(name, name) for name in one[0].variants if name in done[0] & done[1]]:
        return common
    raise UserError(f"{name_of(one)} and {name_of(other)} have no evaluated variant of the same name; "
                    "name one of each: STUDY:VARIANT")  # fmt: skip


def _finding(one: Study, other: Study) -> Finding:
    """What both conclude; of two that conclude different things, the accuracies."""
    same = one.report["finding"] == other.report["finding"]
    return reading.finding_of(one) if same else FINDINGS["accuracy"]


def _answers(study: Study, variants: Sequence[str], finding: Finding) -> pd.DataFrame:
    """The answers of these variants that the finding is about."""
    runs = tuple(run for run in study.runs if run.variant in variants)
    return finding.asked(reading.evidence(replace(study, runs=runs)))


def _joined(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Both sides' answers, with the number of the side before the variant. Groups that were not asked the
    very same in a cell are clusters of their own on each side, so that they are not taken for pairs."""
    sides = [rows.assign(variant=f"{n} " + rows["variant"]) for n, rows in enumerate((ours, theirs), 1)]
    rows = scores.join(sides)
    place, asked = rows["cell"] + "\n" + rows["cluster"], rows["id"] + "\n" + rows["question"]
    asked, number = asked + "\n" + rows["answer"], rows["variant"].str[0]
    sets = asked.groupby([place, number]).agg(frozenset).unstack()
    alike = set(sets.index[sets["1"] == sets["2"]]) if {"1", "2"} <= set(sets) else set()
    return rows.assign(cluster=rows["cluster"].where(place.isin(alike), number + "/" + rows["cluster"]))


def _with_intervals(found: pd.DataFrame, rows: pd.DataFrame, finding: Finding) -> pd.DataFrame:
    """The contrasts with the intervals of both values."""
    read = {key: finding.measure(part) for key, part in rows.groupby(["variant", "cell"], sort=False)}
    columns = {}
    for name, variant in (("value", "variant"), ("other", "against")):
        of = [read[key] for key in zip(found[variant], found["cell"], strict=True)]
        columns |= {f"{name}_low": [x.low for x in of], f"{name}_high": [x.high for x in of]}
    return found.assign(**columns)


def _told(first: str, second: str) -> str:
    return first if first == second else f"{first} − {second}"


def _parameters(one: Study, other: Study, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple]:
    """Every parameter that is not alike, with the variants in which it is not."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for first, second in pairs:
        ours, theirs = _flat(_given(one, first)), _flat(_given(other, second))
        for name in {**ours, **theirs}:
            values = tuple(str(side.get(name, "–")) for side in (ours, theirs))
            if values[0] != values[1]:
                found.setdefault((name, *values), []).append(_told(first, second))
    for (name, *values), variants in found.items():
        yield name, *values, "all" if len(variants) == len(pairs) else ", ".join(variants)


def _given(study: Study, variant: str) -> dict:
    """The parameters of a variant; phases only where there are some, told by their number first."""
    runs = [run for run in study.runs if run.variant == variant]
    params = {name: value for name, value in runs[0].params.items() if name not in NOT_COMPARED}
    phases = params.pop("phases")
    numbered = {f"phase {number}": phase for number, phase in enumerate(phases, 1)}
    return {"seeds": [run.seed for run in runs], "phases": len(phases), **params, **numbered}


def _flat(value, name: str = "") -> dict[str, str]:
    """Nested parameters by their dotted names."""
    if not isinstance(value, Mapping) or not value:
        return {name: ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)}
    parts = (_flat(part, f"{name}.{inner}".strip(".")) for inner, part in value.items())
    return {key: of for part in parts for key, of in part.items()}


def _notes(one: Side, other: Side, found: pd.DataFrame) -> Iterator[str]:
    """The verdicts, and how the differences are to be read."""
    for study in dict.fromkeys((one[0].name, other[0].name)):
        path = folders.study_folder(study) / "verdict.json"
        if path.is_file():
            yield f"Verdict of {study}: {files.read_json(path)['verdict']}."
    told = "percent, with 95 % intervals over seeds and groups; p is corrected for their number (Holm)"
    yield f"Values are {told}. The difference is {name_of(one)} minus {name_of(other)}."
    if not found["paired"].all():
        yield "* not asked the very same in as many seeds, so the two are compared as independent."
    if found["seeds"].min() < 2:
        yield "With one seed on a side, nothing says how much another seed would differ."


# --- how it is shown ----------------------------------------------------------------------------------------


def say(one: Side, other: Side) -> None:
    """Prints the comparison in 80 columns and writes it as a page beside the studies."""
    found = compare(one, other)
    legend = [f"{n}: {name}" for n, name in enumerate(found.names, 1)]
    tables = {"What was answered": values(found), "Parameters that differ": differing(found)}
    tables = {title: table for title, table in tables.items() if table[1]}
    print("\n".join([*legend, "", "\n\n".join(terminal.table(*table) for table in tables.values()), ""]))
    print("\n".join(terminal.paragraph(note) for note in found.notes))
    if crates.imported():  # which is only read
        return
    parts = [f"<p>{'<br>'.join(map(escape, legend))}</p>"]
    parts += [sheet.table(title, *table) for title, table in tables.items()]
    parts += [f"<p>{escape(note)}</p>" for note in found.notes]
    title = f"{found.names[0]} and {found.names[1]}"
    name = "-".join(name.replace(":", ".") for name in found.names)
    page = folders.study_folder(f"compare-{name}.html")
    files.make_folder(page.parent)
    files.write_text(page, sheet.page(title, "".join(parts)))
    print(f"as a page: {show(page)}")


def values(of: Comparison) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of values; with a column of variants only where there are several."""
    several = of.table["variant"].nunique() > 1
    head = [*(["variant"] if several else []), "cell", "1", "2", "1 − 2", "p"]
    rows = []
    for r in of.table.itertuples():
        row = [*([r.variant] if several else []), r.cell, _share(r.value, r.value_low, r.value_high)]
        row += [_share(r.other, r.other_low, r.other_high), _share(r.difference, r.low, r.high, "+")]
        rows.append(
            [*row, ("<0.001" if r.p_holm < 0.001 else f"{r.p_holm:.2g}") + ("" if r.paired else " *")]
        )
    return head, rows


def differing(of: Comparison) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of parameters that differ."""
    several = of.table["variant"].nunique() > 1
    rows = of.parameters if several else of.parameters.drop(columns="variants")
    return ["parameter", "1", "2", *(["variants"] if several else [])], rows.astype(str).values.tolist()


def _share(value: float, low: float, high: float, sign: str = "") -> str:
    return f"{100 * value:{sign}z.0f} [{100 * low:{sign}z.0f}, {100 * high:{sign}z.0f}]"
