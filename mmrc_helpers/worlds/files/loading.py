"""All of a user's files are read and checked at once: either everything fits, or one error lists all that is
wrong, before anything is trained."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from mmrc_helpers.errors import UserError, listed, show
from mmrc_helpers.tasks.orders import chosen
from mmrc_helpers.worlds.files import demo, text_curse
from mmrc_helpers.worlds.files.layouts import KNOWN, detect, samples_of
from mmrc_helpers.worlds.files.samples import Sample
from mmrc_helpers.worlds.sources.pictures import Picture, inspect
from mmrc_helpers.worlds.sources.places import located, tables_in
from mmrc_helpers.worlds.sources.rows import LINES, PICTURES, raise_some, read_table, table_of, told


@dataclass
class Loaded:
    """What was read. pictures: name → where its bytes lie, or the demo's scene. notes: what is worth knowing
    but no error."""

    layout: str = ""
    train: list[Sample] = field(default_factory=list)
    test: list[Sample] = field(default_factory=list)
    pictures: dict[str, Picture | demo.Scene] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def load(facts: Mapping, seed: int) -> Loaded:
    """Samples for training and for tests. Raises one UserError that lists everything that is wrong."""
    loaded = Loaded()
    if not facts["path"]:
        _made_here(facts, seed, loaded)
    else:
        _from_files(facts, loaded)
    raise_some(loaded.problems)
    _hold_out(facts, loaded)
    return loaded


def files_of(facts: Mapping) -> list[Path]:
    """The user's files that the data is made from: those with rows, and the pictures that rows name."""
    found = list(dict.fromkeys(file for files in named_files(facts).values() for file in files))
    named = dict.fromkeys(path for file in found for path in _named_in(file, _state(file)))
    return [*found, *(path for path in named if path.is_file())]


def _state(file: Path) -> tuple[int, int]:
    return file.stat().st_mtime_ns, file.stat().st_size


@lru_cache(maxsize=64)  # asked for with every stage of every run
def _named_in(file: Path, state: tuple[int, int]) -> tuple[Path, ...]:
    """The paths of pictures that the rows of a file name, in this state of the file."""
    paths = (path for row in read_table(file, None, KNOWN).rows for path in _paths(row.values, False))
    return tuple(dict.fromkeys(file.parent / Path(path).expanduser() for path in paths))


def _paths(value, pictured: bool) -> Iterator[str]:
    """The texts under keys that name pictures, however deep."""
    if isinstance(value, str) and pictured:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, pictured)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, key in (*PICTURES, "path", "url"))


def named_files(facts: Mapping) -> dict[str, list[Path]]:
    """The data files by what they are for: train, test, and the text work's tests."""
    if not facts["path"]:
        return {}

    def tables(path: str, split: str, name: str) -> list[Path]:
        return tables_in(located(path, f"files.{name}"), f"files.{name}", split)

    found = {"train": tables(facts["path"], facts["split"], "path")}
    for path in facts["more"]:
        found["train"] += tables(path, facts["split"], "more")
    if facts["eval_path"] or facts["eval_split"]:
        split = facts["eval_split"] or facts["split"]
        found["test"] = tables(facts["eval_path"] or facts["path"], split, "eval_path")
    for name in text_curse.tests():
        lists = [tables(path, "test", f"tests.{name}") for path in facts["tests"][name]]
        found[name] = [file for files in lists for file in files]
    return {name: list(dict.fromkeys(files)) for name, files in found.items()}


# --- reading -----------------------------------------------------------------------------------------------


def _from_files(facts: Mapping, loaded: Loaded) -> None:
    try:
        named = named_files(facts)
    except UserError as error:
        loaded.problems.append(str(error))
        return
    told = facts["layout"]
    if told == "auto" and any(named[name] for name in text_curse.tests()):
        told = "text_curse"
    if told == "text_curse" and not all(named[order] for order in text_curse.ORDERS):
        loaded.problems.append(
            "files.tests: the layout text_curse needs test files in same_order and in reverse_order"
        )
    loaded.layout = told
    read = {name: [s for file in files for s in _samples(file, loaded)] for name, files in named.items()}
    if loaded.problems:
        return
    loaded.train, loaded.test = read["train"], read.get("test", [])
    if loaded.layout == "text_curse":
        _add_orders(read, loaded)
    if loaded.layout == "reasoning":
        kinds = Counter(sample.direction for sample in (*loaded.train, *loaded.test))
        loaded.notes.append(f"{kinds['forward']} original and {kinds['inverse']} flipped rows")
    loaded.notes += _repeated(loaded.train)


def _samples(file: Path, loaded: Loaded) -> list[Sample]:
    """The samples of one file. The first file decides the layout; the others must have it too."""
    table = read_table(file, inspect, KNOWN)
    samples: list[Sample] = []
    if table.rows:
        try:
            loaded.layout = detect(table.columns, loaded.layout)
            samples = samples_of(table, loaded.layout)
        except UserError as error:
            loaded.problems.append(f"{show(file)}: {error}")
    loaded.problems += told(table, table.problems)
    loaded.notes += told(table, table.notes)
    loaded.pictures |= table.pictures
    return samples


def _made_here(facts: Mapping, seed: int, loaded: Loaded) -> None:
    """Without files: names and descriptions for the layout text_curse, else drawn pictures for adpo."""
    if facts["layout"] == "text_curse":
        loaded.layout = "text_curse"
        made = text_curse.made(facts["names"], seed)
        read = {name: samples_of(table_of(rows, name), "text_curse") for name, rows in made.items()}
        loaded.train = read["train"]
        _add_orders(read, loaded)
    elif facts["layout"] in ("auto", "adpo"):
        loaded.layout, table = "adpo", table_of(demo.rows(), "demo")
        loaded.train, loaded.pictures = samples_of(table, "adpo"), table.pictures
    else:
        loaded.problems.append(
            f"files.path: there is no demo set of the layout {facts['layout']}; write the path of your file"
        )


def _add_orders(read: Mapping[str, Sequence[Sample]], loaded: Loaded) -> None:
    """The text work's tests, each beside its random completions."""
    for order in text_curse.ORDERS:
        try:
            loaded.test += text_curse.with_random(read[order], read[f"{order}_random"], order)
        except UserError as error:
            loaded.problems.append(str(error))


def _repeated(samples: Sequence[Sample]) -> list[str]:
    """Rows that say the same as an earlier one; they stay, and stay in one split."""
    seen: dict[Sample, int] = {}
    again = []
    for sample in samples:
        first = seen.setdefault(replace(sample, row=0, source=""), sample.row)
        if first != sample.row:
            again.append(f"{sample.row} (as {first})")
    if not again:
        return []
    more = f" and {len(again) - LINES} more" if len(again) > LINES else ""
    return [f"{len(again)} rows repeat an earlier one: row {listed(again[:LINES])}{more}"]


# --- splits ------------------------------------------------------------------------------------------------


def _hold_out(facts: Mapping, loaded: Loaded) -> None:
    """Takes a share of the facts out of training for tests, if there are no test rows yet, then as many of
    both as are asked for. Which ones follows from what they say, not from their place or a seed."""
    facts_of = sorted({sample.fact for sample in loaded.train}, key=_digest)
    if not loaded.test and facts["eval_share"] > 0:
        if len(facts_of) < 2:
            raise UserError(
                f"files: too few rows: {len(loaded.train)} with one question between them leave none to hold "
                "out; add rows, name files.eval_path or set files.eval_share: 0"
            )
        count = min(max(1, round(facts["eval_share"] * len(facts_of))), len(facts_of) - 1)
        held = set(facts_of[:count])
        loaded.test = [sample for sample in loaded.train if sample.fact in held]
        loaded.train = [sample for sample in loaded.train if sample.fact not in held]
    elif loaded.layout != "text_curse" and (both := _shared(loaded)):
        loaded.notes.append(f"{both} test rows have a question that is also trained on")
    loaded.train = chosen(loaded.train, facts["max_train_samples"], lambda s: f"{s.source}/{s.row}")
    loaded.test = chosen(loaded.test, facts["max_eval_samples"], lambda s: f"{s.source}/{s.row}")
    shown = {name for s in (*loaded.train, *loaded.test) for turns in (s.prompt, s.other)
             for _, parts in turns for kind, name in parts if kind == "image"}  # fmt: skip
    loaded.pictures = {name: of for name, of in loaded.pictures.items() if name in shown}


def _shared(loaded: Loaded) -> int:
    taught = {sample.fact for sample in loaded.train}
    return sum(sample.fact in taught for sample in loaded.test)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def group_of(sample: Sample) -> str:
    """The name of a sample's fact."""
    return f"fact-{_digest(sample.fact)}"
