"""Visual Spatial Reasoning (arXiv 2205.00363): is a statement about a picture true?"""

from collections.abc import Mapping
from pathlib import Path

from mmrc_helpers.errors import UserError, listed, show
from mmrc_helpers.tasks import parsing
from mmrc_helpers.tasks.example import Example
from mmrc_helpers.worlds import INVALID, Grade
from mmrc_helpers.worlds.benchmarks import Asked, benchmark, graded
from mmrc_helpers.worlds.sources.places import located, tables_in
from mmrc_helpers.worlds.sources.rows import Row, text_in

VERDICTS = ("TRUE", "FALSE")
LONGEST = 40  # words of an answer; a longer one is not read

# VSR's relations by meta-category, as its authors count them (cambridgeltl/visual-spatial-reasoning,
# analysis_scripts/rel_meta_category_dict.txt); the six that they allocate to none, and any other, are
# "unallocated".
CATEGORIES = {
    "adjacency": (
        "adjacent to", "alongside", "at the side of", "at the right side of", "at the left side of",
        "attached to", "at the back of", "ahead of", "against", "at the edge of",
    ),
    "directional": (
        "off", "past", "toward", "down", "deep down", "up", "away from", "along", "around", "from", "into",
        "to", "across", "across from", "through", "down from",
    ),
    "orientation": ("facing", "facing away from", "parallel to", "perpendicular to"),
    "projective": (
        "on top of", "beneath", "beside", "behind", "left of", "right of", "under", "in front of", "below",
        "above", "over", "in the middle of",
    ),
    "proximity": ("by", "close to", "near", "far from", "far away from"),
    "topological": (
        "connected to", "detached from", "has as a part", "part of", "contains", "within", "at", "on", "in",
        "with", "surrounding", "among", "consists of", "out of", "between", "inside", "outside", "touching",
    ),
}  # fmt: skip


def tables(facts: Mapping) -> list[Path]:
    """The JSON lines of the asked split and part: the named file, or where the two published layouts have
    it."""
    path = located(facts["path"], "vsr.path")
    if path.is_file():
        return tables_in(path, "vsr.path")
    split, part = facts["split"], facts["part"]
    names = [f"{split}/{part}.jsonl", f"splits/{split}/{part}.jsonl", f"data/splits/{split}/{part}.jsonl",
             f"{split}_{part}.jsonl", f"{part}.jsonl"]  # fmt: skip
    found = [path / name for name in names if (path / name).is_file()]
    if not found:
        raise UserError(
            f"vsr.path: {show(path)} holds none of {listed(names)}; name the JSON lines of the {split} split"
        )
    return found[:1]


def read(row: Row, facts: Mapping) -> Asked | None:
    """A question of a row: image, caption, label 0 or 1, relation."""
    caption, image, relation = (text_in(row, name) for name in ("caption", "image", "relation"))
    label, relation = row.get("label"), relation.lower()
    if type(label) is not int or label not in (0, 1):
        row.blame(f"label must be 0 or 1; got {label!r:.60}")
    if row.is_broken:
        return None
    category = next((name for name, relations in CATEGORIES.items() if relation in relations), "unallocated")
    verdict = VERDICTS[1 - label]
    facets = {"relation": relation, "category": category, "label": verdict, "split": facts["split"]}
    folder = str(row.get("image_link") or "").rsplit("/", 2)[-2:-1]
    names = (image, *(f"{name}/{image}" for name in (*folder, "train2017", "val2017")))
    text = f"Is this statement about the picture true?\n{caption}\nAnswer TRUE or FALSE."
    return Asked(row, text, VERDICTS, 1 - label, facets, names)


def grade(example: Example, text: str) -> Grade:
    """TRUE or FALSE, once and undenied, in a short answer."""
    is_read = len(text.split()) <= LONGEST and not parsing.negated(text)
    said = parsing.claimed_verdicts(text) if is_read else set()
    answer = VERDICTS[0 if True in said else 1] if len(said) == 1 else INVALID
    return graded(example, answer, text.strip().removesuffix(".").upper() in VERDICTS)


WORLD = benchmark("vsr", ("relation", "category", "label", "split"), ("category",), tables, read, grade)
