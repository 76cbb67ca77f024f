"""Sums of two numbers, as text or in a picture: the smallest world, and the example of CONTRIBUTING.md."""

import random
from collections.abc import Iterable, Iterator, Mapping

from PIL import Image, ImageDraw

from mmrc_helpers.tasks.example import Example, conversation
from mmrc_helpers.tasks.parsing import number
from mmrc_helpers.tasks.rows import Chat
from mmrc_helpers.worlds import INVALID, Data, Grade, Made, World

VIEWS = ("text", "image")


def make(facts: Mapping, seed: int) -> Made:
    """Sums in both views; of a pair of numbers a hash decides whether it is for training or for tests."""
    numbers = [(a, b) for a in range(facts["largest"] + 1) for b in range(facts["largest"] + 1)]
    pictures = {f"sum-{a}-{b}.png": f"{a} + {b}" for a, b in numbers}
    rows = [
        {"group": f"{a}-{b}", "title": f"{a} + {b}", "text": f"is {a + b}", "pictures": [f"sum-{a}-{b}.png"]}
        for a, b in numbers
    ]
    return Made((_example(a, b, view) for a, b in numbers for view in VIEWS), pictures, draw, rows)


def _example(a: int, b: int, view: str) -> Example:
    split = "test" if random.Random(f"{a}/{b}/split").random() < 0.25 else "train"
    shown = ("image", f"sum-{a}-{b}.png") if view == "image" else ("text", f"{a} + {b}. ")
    other = a + b + random.Random(f"{a}/{b}/other").choice([-1, 1, 10])
    return Example(
        id=f"{split}/{a}-{b}/{view}",
        group=f"{a}-{b}",
        split=split,
        prompt=(shown, ("text", "What is the sum?")),
        answer=str(a + b),
        options=(str(a + b), str(other)),
        gold=0,
        facets={"view": view, "size": "small" if a + b < 10 else "large"},
        lesson=view,
    )


def draw(text: str) -> Image.Image:
    """The text in black on white, 64 pixels on a side."""
    picture = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(picture).text((32, 32), text, fill="black", anchor="mm", font_size=18)
    return picture


def grade(example: Example, text: str) -> Grade:
    """Right when the text is the sum and nothing else."""
    found = number(text)
    right = found is not None and found == int(example.answer)
    return Grade(INVALID if found is None else text.strip(), right, {"sum": float(right)})


def teach(data: Data, teach: Mapping, seed: int) -> Iterator[Chat]:
    """Sums in the taught views, in random order, without end."""
    rng = random.Random(f"{seed}/rows")
    taught = [e for e in data.examples if e.lesson in teach["views"]]
    while True:
        example = rng.choice(taught)
        yield Chat(conversation([example]), (example,))


def sentences(facts: Mapping, seed: int) -> Iterable[str]:
    """Every word of the world."""
    yield from ("What is the sum?", *(f"{n} + {n}. {2 * n}" for n in range(facts["largest"] + 1)))


WORLD = World(
    version=1,
    facets=("view", "size"),
    cells=("view", "size"),
    make=make,
    grade=grade,
    size=lambda facts: 4096 * (facts["largest"] + 1) ** 2,
    ask=lambda data, ask, teach: [e for e in data.examples if e.split == "test"],
    teach=teach,
    taught=lambda teach: teach["views"],
    alternatives=lambda example, data: {"right": example.answer, "wrong": example.options[1]},
    sentences=sentences,
)
