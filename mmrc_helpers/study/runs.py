"""Study files: YAML becomes runs. params/base.yaml, worlds/NAME.yaml and methods/NAME.yaml are documentation,
defaults and schema at once: whatever a study says is merged strictly against them, so a misspelt name is an
error before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmrc_helpers.errors import UserError, check_known, check_name, listed, near_miss, raise_all, show
from mmrc_helpers.store import crates, files
from mmrc_helpers.store.keys import freeze
from mmrc_helpers.study import fitting
from mmrc_helpers.study.parameters import Known, Merge, read_known
from mmrc_helpers.study.yaml_files import is_there, read_yaml
from mmrc_helpers.training import METHODS
from mmrc_helpers.worlds import WORLDS
from mmrc_helpers.worlds.sources.places import absolute

PARAMS_FOLDER = files.REPOSITORY / "params"
NOTEBOOKS = files.REPOSITORY / "notebooks"

TEXTS = ("question", "expected", "cost")
NOT_A_SECTION = (*TEXTS, "extends", "variants", "seeds")
STUDY_WIDE = (*NOT_A_SECTION, "report", "data")  # one for all runs, so a variant may not change them


@dataclass(frozen=True)
class Run:
    """One variant × one seed, with every parameter spelled out and deeply immutable.

    params: model, world {name, version, facts}, also (the same of every further world that is asked),
    phases (a tuple of train sections, each with its `teach` and its `method` {name, version, …}; empty for
    the untrained control), untaught (the world's own `teach`), evaluate (with `ask`), dynamics, machine.
    folder: where the study's file lies. report: the study's own, which is in no key.
    """

    study: str
    variant: str
    seed: int
    params: Mapping
    folder: Path = PARAMS_FOLDER
    report: Mapping = field(default_factory=dict, compare=False)

    @property
    def name(self) -> str:
        return f"{self.variant}-s{self.seed}"


@dataclass(frozen=True)
class Study:
    """One study file: its texts, its variants in order, its runs (variant by variant, seed by seed)."""

    name: str
    question: str
    expected: str
    cost: str
    path: Path
    variants: tuple[str, ...]
    runs: tuple[Run, ...]
    report: Mapping


def studies_folder() -> Path:
    """Where studies are looked for by name: params/, or what an imported study has brought with it."""
    return files.artifacts_root() / "params" if crates.imported() else PARAMS_FOLDER


def load_study(name_or_path: str | Path, params_folder: Path | None = None) -> Study:
    """The study of this name in `params_folder` (default: the repository's params/), or in a given YAML file.

    Parameters, seeds and variants are inherited by `extends`; a file that lists variants lists all of them.
    Raises UserError, naming file, key and fix of everything that is wrong."""
    folder = Path(params_folder or studies_folder())
    path = _study_path(name_or_path, folder)
    known = read_known(_find_file("base", path.parent, folder, PARAMS_FOLDER))
    chain = [(file, read_yaml(file)) for file in reversed(_extends_chain(path, folder))]
    known = _with_sections(known, [content for _, content in chain], path, folder)
    sections = {key: value for key, value in known.defaults.items() if key not in NOT_A_SECTION}
    seeds, variants, own = known.defaults["seeds"], known.defaults["variants"], {}
    for file, own in chain:
        merge = Merge(file, known)
        sections = merge.merged(sections, {k: v for k, v in own.items() if k not in NOT_A_SECTION})
        merge.finish()
        seeds, variants = own.get("seeds", seeds), own.get("variants", variants)
    merge = Merge(path, known)
    texts = {key: merge.value("", own.get(key, known.defaults[key]), key) for key in TEXTS}
    merge.finish()
    runs = _runs(path, sections, variants, seeds, known)
    _check_report(sections["report"], variants, path)
    study = {"variants": tuple(variants), "runs": runs, "report": freeze(sections["report"]), "path": path}
    return Study(path.stem, **texts, **study)


def own_sections(run: Run, world: str) -> Mapping:
    """What a world's file declares: a study says neither `teach` nor `ask` of one in evaluate.also."""
    return freeze(read_known(_find_file(f"worlds/{world}", run.folder, PARAMS_FOLDER)).defaults)


def sources(path: Path) -> dict[str, Path]:
    """{name below params/: file} of all that says what a study file means: the chain of its parents,
    base.yaml, and the files of all worlds and methods."""
    chain = _extends_chain(path, path.parent)
    found = {f"{file.stem}.yaml": file for file in chain}
    names = ["base", *(f"worlds/{name}" for name in WORLDS), *(f"methods/{name}" for name in METHODS)]
    return found | {f"{name}.yaml": _find_file(name, path.parent, PARAMS_FOLDER) for name in names}


def find_run(study: Study, variant: str, seed: int) -> Run:
    """The run of this variant and seed. Raises UserError with the near miss if the study has none."""
    check_known(variant, study.variants, f"{show(study.path)}: variant")
    seeds = [run.seed for run in study.runs if run.variant == variant]
    if type(seed) is not int:
        raise UserError(f"{show(study.path)}: seed: expected a whole number such as {seeds[0]}; got {seed!r}")
    if seed not in seeds:
        raise UserError(f"{show(study.path)}: {variant} has no seed {seed}; it has {listed(seeds)}")
    return next(run for run in study.runs if (run.variant, run.seed) == (variant, seed))


def _with_sections(known: Known, contents: Sequence[Mapping], path: Path, folder: Path) -> Known:
    """`known` with the sections of the worlds and methods that the study's files name anywhere."""
    worlds = dict.fromkeys(["people", *_said(contents, "world")][-1:] + _said(contents, "also"))
    methods = dict.fromkeys(["sft", *_said(contents, "method")])
    for number, name in enumerate(worlds):
        check_known(
            name, WORLDS, f"{show(path)}: data.world:" if not number else f"{show(path)}: evaluate.also:"
        )
        own = read_known(_find_file(f"worlds/{name}", path.parent, folder, PARAMS_FOLDER))
        places = [(name, "facts")] + (
            [("train.teach", "teach"), ("evaluate.ask", "ask")] if not number else []
        )
        for place, section in places:
            limits = {
                key.removeprefix(f"{section}."): of
                for key, of in own.limits.items()
                if key.startswith(f"{section}.")
            }
            known = known.at(place, own.defaults[section], limits)
    for name in methods:
        check_known(name, METHODS, f"{show(path)}: train.method:")
        own = read_known(_find_file(f"methods/{name}", path.parent, folder, PARAMS_FOLDER))
        known = known.at(name, own.defaults, own.limits)
    return known


def _said(content, name: str) -> list[str]:
    """Every value given anywhere in a file under this name, or a dotted name that ends with it, in order."""
    found: list[str] = []
    if isinstance(content, Mapping):
        for key, value in content.items():
            if str(key).rpartition(".")[2] == name and not isinstance(value, Mapping):
                found += [str(item) for item in (value if isinstance(value, list) else [value])]
            found += _said(value, name)
    elif isinstance(content, list | tuple):
        for item in content:
            found += _said(item, name)
    return found


def _runs(path: Path, sections: Mapping, variants, seeds, known: Known) -> tuple[Run, ...]:
    if not isinstance(variants, Mapping) or not variants:
        raise UserError(f"{show(path)}: variants: expected at least one, such as `variants: {{base: {{}}}}`")
    runs, problems = [], []
    wrong_in: dict[str, list[str]] = {}  # what does not fit together → in which variants
    for variant, overrides in variants.items():
        check_name(variant, f"{show(path)}: variants")
        where = f"{show(path)}: variants.{variant}"
        overrides = {} if overrides is None else overrides
        if not isinstance(overrides, Mapping):
            raise UserError(f"{where}: expected a mapping such as {{train.steps: 100}}; got {overrides!r}")
        own_seeds = _check_seeds(overrides.get("seeds", seeds), where)
        merge = Merge(path, known)
        for key in overrides:
            if str(key).split(".")[0] in set(STUDY_WIDE) - {"seeds"}:
                raise UserError(f"{where}.{key}: belongs to the whole study; move it out of the variant")
        params = merge.merged(sections, {k: v for k, v in overrides.items() if k != "seeds"})
        params = _spelled_out(params, merge)
        problems += merge.problems
        for problem in () if merge.problems else dict.fromkeys(fitting.problems(params)):
            wrong_in.setdefault(problem, []).append(variant)
        report = freeze(sections["report"])
        runs += [Run(path.stem, variant, seed, freeze(params), path.parent, report) for seed in own_seeds]
    for problem, names in wrong_in.items():
        problems.append(f"{show(path)}: variants.{listed(names)}: {problem}")
    raise_all(dict.fromkeys(problems))
    return tuple(runs)


def _spelled_out(params: dict, merge: Merge) -> dict:
    """The parameters of one variant as a Run holds them."""
    world, also = params["data"]["world"], params["evaluate"]["also"]
    kept = {name: params[name] for name in ("model", "evaluate", "dynamics", "machine")}
    phases = [_phase(params, phase, merge) for phase in params["phases"]]
    worlds = {name: _of_world(name, params, merge.file.parent) for name in (world, *also)}
    untaught = merge.known.defaults["train"]["teach"]  # what stands for `teach` where nothing is taught
    return {**kept, "world": worlds.pop(world), "also": worlds, "phases": phases, "untaught": untaught}


def _of_world(name: str, params: Mapping, folder: Path) -> dict:
    """A world as a Run holds it, with the facts that it reads; the user's files by absolute paths, for stages
    run in another folder."""
    facts = absolute(WORLDS[name].in_use(params[name]), WORLDS[name].paths, folder)
    return {"name": name, "version": WORLDS[name].version, "facts": facts}


def _phase(params: Mapping, overrides: Mapping, merge: Merge) -> dict:
    """One training phase in full: the train section, what is taught, and the method with its parameters."""
    methods = {name: of for name, of in overrides.items() if str(name).partition(".")[0] in METHODS}
    rest = {name: of for name, of in overrides.items() if name not in methods}
    train = merge.merged(params["train"], rest, "train.")
    if train["learns"] == "everything":  # in no key, as before there was a choice
        del train["learns"]
    own = merge.merged({name: params[name] for name in METHODS if name in params}, methods)
    name = train["method"]
    if wrong := set(part.partition(".")[0] for part in methods) - {name}:
        merge.problems.append(
            f"{show(merge.file)}: phases: {listed(sorted(wrong))}: that phase's method is {name}"
        )
    version = METHODS[name].version if name in METHODS else 0
    return {**train, "method": {"name": name, "version": version, **own.get(name, {})}}


def _check_seeds(seeds, where: str) -> list[int]:
    whole = isinstance(seeds, list) and all(type(seed) is int and 0 <= seed < 2**32 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise UserError(
            f"{where}: seeds: expected different whole numbers from 0 to 2^32 - 1, such as [0, 1, 2]; "
            f"got {seeds!r}"
        )
    return seeds


def _check_report(report: Mapping, variants: Mapping, path: Path) -> None:
    where = f"{show(path)}: report"
    findings = sorted(file.stem.removeprefix("05_report_") for file in NOTEBOOKS.glob("05_report_*.ipynb"))
    check_known(report["finding"], findings, f"{where}.finding:")
    for key in ("read", "beside", "learnable"):
        if report[key]:
            check_known(report[key], variants, f"{where}.{key}: variant")
    for key in ("controls", "variants"):
        for name in report[key]:
            check_known(name, variants, f"{where}.{key}: variant")


def _study_path(name_or_path: str | Path, folder: Path) -> Path:
    name = str(name_or_path)
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not is_there(path):
            raise UserError(f"{name}: no such study file")
        check_name(path.stem, f"{show(path)}: the file's name")
        return path
    check_name(name, "study")
    return _find_file(name, folder, PARAMS_FOLDER)


def _find_file(name: str, *folders: Path) -> Path:
    for folder in folders:
        if is_there(folder / f"{name}.yaml"):
            return folder / f"{name}.yaml"
    found = {path.stem for folder in set(folders) for path in folder.glob("*.yaml")}
    names = sorted(found - {"base"})
    near = near_miss(name, names) or f"; there are {listed(names)}"
    raise UserError(f"{show(folders[-1])}: no study named {name}{near}")


def _extends_chain(path: Path, folder: Path) -> list[Path]:
    """The study's file, its parent, and so on up to but without base.yaml."""
    chain: list[Path] = []
    while path.stem != "base":
        if path in chain:
            raise UserError(
                f"{show(path)}: extends: goes in a circle: {' → '.join(p.stem for p in (*chain, path))}"
            )
        chain.append(path)
        parent = read_yaml(path).get("extends", "base")
        check_name(parent, f"{show(path)}: extends")
        path = _find_file(parent, path.parent, folder, PARAMS_FOLDER)
    return chain
