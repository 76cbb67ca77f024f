"""Study files: YAML becomes runs. params/base.yaml is documentation, default and schema at once: whatever a
study says is merged strictly against it, so a misspelt name is an error before anything runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmrc_helpers.errors import UserError, check_known, check_name, listed, near_miss, show
from mmrc_helpers.store import files
from mmrc_helpers.store.keys import freeze
from mmrc_helpers.study.parameters import check_value, merge, read_yaml

PARAMS_FOLDER = files.REPOSITORY / "params"

TEXTS = ("question", "expected", "cost")
NOT_A_SECTION = (*TEXTS, "extends", "variants", "seeds")
STUDY_WIDE = (*NOT_A_SECTION, "report")  # one for all runs, so a variant may not change them


@dataclass(frozen=True)
class Run:
    """One variant × one seed. `params` holds the sections of base.yaml without `report`, deeply immutable;
    `phases` is spelled out as a tuple of full `train` sections (empty for the untrained control)."""

    study: str
    variant: str
    seed: int
    params: Mapping

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


def load_study(name_or_path: str | Path, params_folder: Path | None = None) -> Study:
    """The study of this name in `params_folder` (default: the repository's params/), or in a given YAML file.

    Parameters, seeds and variants are inherited by `extends`; a file that lists variants lists all of them.
    Raises UserError, naming file, key and fix, for anything that base.yaml does not know."""
    folder = Path(params_folder or PARAMS_FOLDER)
    path = _study_path(name_or_path, folder)
    base = read_yaml(_find_file("base", path.parent, folder))
    sections = {key: value for key, value in base.items() if key not in NOT_A_SECTION}
    seeds, variants, own = base["seeds"], base["variants"], {}
    for file in reversed(_extends_chain(path, folder)):
        own = read_yaml(file)
        sections = merge(sections, {k: v for k, v in own.items() if k not in NOT_A_SECTION}, file)
        seeds, variants = own.get("seeds", seeds), own.get("variants", variants)
    texts = {key: check_value("", own.get(key, base[key]), key, path) for key in TEXTS}
    runs = _runs(path, sections, variants, seeds)
    _check_together(runs, path)
    for arm in sections["report"]["arms"]:
        check_known(arm, variants, f"{show(path)}: report.arms: variant")
    return Study(
        path.stem, **texts, variants=tuple(variants), runs=runs, report=freeze(sections["report"]), path=path
    )


def find_run(study: Study, variant: str, seed: int) -> Run:
    """The run of this variant and seed. Raises UserError with the near miss if the study has none."""
    check_known(variant, study.variants, f"{show(study.path)}: variant")
    seeds = [run.seed for run in study.runs if run.variant == variant]
    if seed not in seeds:
        raise UserError(f"{show(study.path)}: {variant} has no seed {seed}; it has {listed(seeds)}")
    return next(run for run in study.runs if (run.variant, run.seed) == (variant, seed))


def _runs(path: Path, sections: Mapping, variants, seeds) -> tuple[Run, ...]:
    if not isinstance(variants, Mapping) or not variants:
        raise UserError(f"{show(path)}: variants: expected at least one, such as `variants: {{base: {{}}}}`")
    runs = []
    for variant, overrides in variants.items():
        check_name(variant, f"{show(path)}: variants")
        where = f"{show(path)}: variants.{variant}"
        overrides = {} if overrides is None else overrides
        if not isinstance(overrides, Mapping):
            raise UserError(f"{where}: expected a mapping such as {{train.steps: 100}}; got {overrides!r}")
        own_seeds = _check_seeds(overrides.get("seeds", seeds), where)
        params = _spelled_out(sections, {k: v for k, v in overrides.items() if k != "seeds"}, path, where)
        runs += [Run(path.stem, variant, seed, params) for seed in own_seeds]
    return tuple(runs)


def _spelled_out(sections: Mapping, overrides: Mapping, path: Path, where: str) -> Mapping:
    """Every parameter of one variant, frozen, its phases as full `train` sections."""
    for key in overrides:
        if str(key).split(".")[0] in STUDY_WIDE:
            raise UserError(f"{where}.{key}: belongs to the whole study; move it out of the variant")
    params = merge(sections, overrides, path)
    params["phases"] = [merge(params["train"], phase, path, "train.") for phase in params["phases"]]
    return freeze({key: value for key, value in params.items() if key != "report"})


def _check_seeds(seeds, where: str) -> list[int]:
    whole = isinstance(seeds, list) and all(type(seed) is int and seed >= 0 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"{where}: seeds: expected different whole numbers, such as [0, 1, 2]; got {seeds!r}")
    return seeds


def _check_together(runs: Iterable[Run], path: Path) -> None:
    """Rules that join several parameters."""
    for run in runs:
        where, data = f"{show(path)}: variants.{run.variant}", run.params["data"]
        people, names = data["background"] + data["novel"], data["first_names"] * data["last_names"]
        if people > names:
            raise UserError(
                f"{where}: data.background + data.novel = {people} people, but only {names} names "
                "(data.first_names × data.last_names); raise first_names or last_names"
            )
        machine = run.params["machine"]
        if machine["launcher"] == "python" and machine["processes"] > 1:
            raise UserError(
                f"{where}: machine.launcher: python starts one process, but machine.processes is "
                f"{machine['processes']}; use deepspeed or torchrun"
            )
        if machine["launcher"] == "python" and machine["zero"] != "none":
            raise UserError(
                f"{where}: machine.zero: {machine['zero']} shards over processes, but machine.launcher is "
                "python; use deepspeed"
            )
        keeps = run.params["dynamics"]["probes"] and run.params["dynamics"]["snapshots"]
        for phase in run.params["phases"]:
            if keeps and not phase["lora_r"]:
                raise UserError(
                    f"{where}: dynamics.snapshots: keeps adapters, but train.lora_r 0 trains every weight; "
                    "set snapshots: false"
                )
            if bool(phase["steps"]) == bool(phase["novel_tokens"]):
                raise UserError(
                    f"{where}: train.steps, train.novel_tokens: give one of them, and 0 for the other"
                )
            if phase["replay"] > 0 and not any(phase["replay_mix"].values()):
                raise UserError(
                    f"{where}: train.replay_mix: all zero; give one a share, or set train.replay: 0"
                )
            if not machine["hostfile"]:  # with one, only the launcher knows how many processes there are
                micro_batch(phase["batch"], machine["processes"], machine["micro_batch"], f"{where}: ")


def micro_batch(batch: int, processes: int, most: int, where: str = "") -> int:
    """Rows of one process and forward pass, at most `most`. Raises UserError unless the global batch divides
    into them evenly."""
    micro = min(most, max(1, batch // processes))
    if batch % (processes * micro):
        raise UserError(
            f"{where}train.batch: {batch} rows do not divide into machine.processes: {processes} x "
            f"machine.micro_batch: {micro}; change one of them"
        )
    return micro


def _study_path(name_or_path: str | Path, folder: Path) -> Path:
    name = str(name_or_path)
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"{name}: no such study file")
        check_name(path.stem, f"{show(path)}: the file's name")
        return path
    check_name(name, "study")
    return _find_file(name, folder, folder)


def _find_file(name: str, *folders: Path) -> Path:
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    names = sorted(path.stem for folder in set(folders) for path in folder.glob("*.yaml"))
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
        path = _find_file(parent, path.parent, folder)
    return chain
