"""World `analogies`: which option completes the query by the relation of two examples (Visual Analogy)?

SIMPLE uses 17 of the 25 rules (attribute and relation), HARD the 8 that are held out, and its two examples
show the relation on different attributes. Grading is strict: the whole block of labels must be right.
"""

from collections import Counter
from collections.abc import Iterator

from mmrc_helpers.worlds import Data
from mmrc_helpers.worlds.analogies.grading import grade
from mmrc_helpers.worlds.analogies.misses import alternatives, miss
from mmrc_helpers.worlds.analogies.values import HELD_OUT
from mmrc_helpers.worlds.analogies.verify import solve
from mmrc_helpers.worlds.analogies.views import content, draw, problems, views, words_of
from mmrc_helpers.worlds.analogies.words import blocks
from mmrc_helpers.worlds.puzzles import puzzle_world
from mmrc_helpers.worlds.puzzles.asking import promised


def promises(data: Data) -> Iterator[tuple[str, int, int]]:
    """What holds in every puzzle world; that a solver who sees the words alone finds every block, which it
    refuses where a row of panels follows a second rule; that rules keep to their difficulty; and that each
    place of the right option is a quarter, within five deviations."""
    yield from promised(data, grade, content)
    instances = {example.group: example for example in data.examples}
    solved = sum(solve(e.truth["text"], e.truth["style"]) == e.truth["block"] for e in instances.values())
    yield "puzzles solved from their words alone", solved, len(instances)
    held_out = {" ".join(rule) for rule in HELD_OUT}
    wrong = sum(
        (e.facets["rule"] in held_out) != (e.facets["difficulty"] == "hard") for e in instances.values()
    )
    yield "rules of the other difficulty", wrong, 0
    places = Counter(example.truth["block"][-1] for example in instances.values())
    allowed = 5 * (len(instances) * 3 / 16) ** 0.5
    off = sum(abs(places[place] - len(instances) / 4) > allowed for place in "1234")
    yield "options right more or less often than a quarter", off, 0


WORLD = puzzle_world(
    facets=("rule",),
    views=views,
    draw=draw,
    words=words_of,
    blocks=blocks,
    miss=miss,
    grade=grade,
    alternatives=alternatives,
    promises=promises,
    check=problems,
)
