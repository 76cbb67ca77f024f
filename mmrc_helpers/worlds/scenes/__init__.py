"""The world of scenes: drawn pictures of coloured shapes, and questions about how they stand to each other,
how many there are, which is larger or nearer, and where each is. Every relation holds by a margin
that was measured."""

from collections.abc import Iterator, Mapping, Sequence

from mmrc_helpers.worlds import Made, World
from mmrc_helpers.worlds.drops import NOISES, noises
from mmrc_helpers.worlds.scenes.drawing import Plan, draw
from mmrc_helpers.worlds.scenes.grading import grade
from mmrc_helpers.worlds.scenes.promises import promises
from mmrc_helpers.worlds.scenes.questions import count_claim, examples, name, sentences, views
from mmrc_helpers.worlds.scenes.scene import POPULATIONS, Scene, scenes
from mmrc_helpers.worlds.scenes.teaching import alternatives, ask, pairs, teach

FACETS = ("task", "direction", "relation", "format", "kind", "wording", "population", "drop")


def make(facts: Mapping, seed: int) -> Made:
    """All scenes with their pictures and questions. facts: image_size (pixels), background, novel,
    test_scenes, kinds, distractors, most. Raises UserError where things find no room."""
    made = list(scenes(facts, seed))
    plans = {shot.picture: shot.plan for scene in made for shot in scene.shots}
    plans |= noises(facts["image_size"], facts["image_size"])
    asked = (example for scene in made for example in examples(scene, facts))
    return Made(asked, plans, draw, [_fact(scene) for scene in made])


def _fact(scene: Scene) -> dict:
    """A scene as 01_data shows it. drawn: its pictures in words and numbers, alike only for like pictures."""
    if scene.kind == "counting":
        title, text = (
            name(scene.a, plural=True),
            "; ".join(count_claim(scene, shot.number) for shot in scene.shots),
        )
    else:
        seen = [views(scene, shot)[0] for shot in scene.shots]
        title, text = (
            f"{name(scene.a)} and {seen[0].b}",
            "; ".join(view.claim(view.relation) for view in seen),
        )
    return {
        "group": scene.group,
        "title": title,
        "text": text,
        "kind": scene.kind,
        "population": scene.population,
        "split": scene.split,
        "pictures": [shot.picture for shot in scene.shots],
        "drawn": [_drawn(shot.plan) for shot in scene.shots],
    }


def _drawn(plan: Plan) -> str:
    return " ".join(f"{t.colour} {t.shape} {t.x:.3f} {t.y:.3f} {t.half:.3f}" for t in plan.things)


def size(facts: Mapping) -> int:
    """Bytes of the pictures and questions, a little too many."""
    train = facts["background"] + facts["novel"]
    test = facts["test_scenes"] * sum(facts[population] > 0 for population in POPULATIONS)
    side = facts["image_size"]
    pictures = 2 * (train + test) * (1_200 + 32 * side) + NOISES * 3 * side * side
    return pictures + 24_000 * train + 45_000 * test + 100_000


def check(facts: Mapping, phases: Sequence[Mapping] = ()) -> Iterator[str]:
    """Problems that join several facts."""
    if facts["background"] + facts["novel"] == 0:
        yield "scenes.novel and scenes.background are both 0: there is nothing to see"
    kinds = len(facts["kinds"])
    for key in (*POPULATIONS, "test_scenes"):
        if 0 < facts[key] < kinds:
            yield f"scenes.{key}: {facts[key]} cannot hold all {kinds} kinds; raise it or name fewer kinds"
    if not kinds:
        yield "scenes.kinds: none is named"


WORLD = World(
    version=4,
    facets=FACETS,
    cells=("task", "direction"),
    make=make,
    grade=grade,
    size=size,
    promises=promises,
    ask=ask,
    teach=teach,
    taught=lambda teach: [f"{task}/{way}" for task in teach["tasks"] for way in teach["directions"]],
    pairs=pairs,
    alternatives=alternatives,
    sentences=sentences,
    check=check,
)
