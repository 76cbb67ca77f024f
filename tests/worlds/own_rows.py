"""What the tests of a user's own rows share: rows and pictures to read, and how they are read."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from mmrc_helpers.store.decoding import decoded, upright
from mmrc_helpers.worlds.files import WORLD

ROOT = Path(__file__).parents[2]
DEFAULTS = yaml.safe_load((ROOT / "params" / "worlds" / "files.yaml").read_text(encoding="utf-8"))
TEACH, ASK = DEFAULTS["teach"], DEFAULTS["ask"]
COLORS = ("red", "green", "blue", "white", "black", "orange")


def facts(path="", **changes) -> dict:
    return {**DEFAULTS["facts"], "path": str(path), **changes}


def write(folder: Path, rows, name="rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_parquet(rows: list[dict], path: Path | str) -> Path:
    """Rows of texts as parquet."""
    pq.write_table(pa.Table.from_pylist(rows), path)
    return Path(path)


def picture(folder: Path, name: str, color="red", mode="RGB", size=(12, 8)) -> str:
    Image.new("RGB", size, color).convert(mode).save(folder / name)
    return name


def loaded(path="", **changes):
    """The examples in the rows' order, none held out, and what was made."""
    made = WORLD.make(facts(path, eval_share=0.0, **changes), 0)
    return list(made.examples), made


def words(turns) -> str:
    return " ".join(content for _, parts in turns for kind, content in parts if kind == "text")


def pixel(made, name) -> tuple:
    """The first pixel of a drawn picture, as it is kept."""
    drawn = made.draw(made.pictures[name])
    return upright(decoded(drawn) if isinstance(drawn, bytes) else drawn).getpixel((0, 0))


def adpo(folder: Path, count=6) -> list[dict]:
    """Contexts that differ in their pictures; the wrong side has two, of another size."""
    rows = []
    for n in range(count):
        right = picture(folder, f"right{n}.png", COLORS[n % 6])
        wrong = [
            picture(folder, f"wrong{n}{k}.png", COLORS[(n + 1 + k) % 6], size=(20, 30)) for k in range(2)
        ]
        rows.append(
            {
                "response": f"It is {COLORS[n % 6]}, number {n}.",
                "chosen": "What is it?",
                "chosen_images": [right],
                "rejected": "What is it?",
                "rejected_images": wrong,
            }
        )
    return rows


def png(color: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (9, 7), color).save(stream, format="PNG")
    return stream.getvalue()


def numbered(folder: Path, count: int, name="rows.jsonl") -> Path:
    return write(folder, [{"prompt": f"{n}?", "completion": f"{n}"} for n in range(count)], name)
