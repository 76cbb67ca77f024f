"""What the puzzle worlds share: instances made on demand (`making`), questions about them (`asking`) and
their grading, which are taught (`mixes`), quick pictures (`tiles`), exchange with other programs (`tsv`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from mmrc_helpers.worlds import World
from mmrc_helpers.worlds.puzzles import asking, mixes
from mmrc_helpers.worlds.puzzles.asking import asked, sentences_of
from mmrc_helpers.worlds.puzzles.making import Draw, Views, made, sized
from mmrc_helpers.worlds.puzzles.mixes import Blocks, lessons_of, paired, taught

FACETS = ("task", "difficulty", "view", "cot", "drop")


def puzzle_world(
    *,
    version: int = 1,
    facets: Sequence[str] = (),
    views: Views,
    draw: Draw,
    words: Callable,
    blocks: Blocks,
    miss: Callable,
    check: Callable[[Mapping], Iterator[str]],
    ask: Callable | None = None,
    **functions,
) -> World:
    """The world of a kind of puzzle. facets: beside those of every puzzle. words: (facts) → every word that
    it can say. blocks, miss: see `mixes.paired`. check: (facts) → what cannot be made. ask: instead of
    `asked`. functions: World's others."""
    return World(
        version=version,
        facets=(*FACETS, *facets),
        cells=("difficulty", "view"),
        make=partial(made, views=views, draw=draw),
        size=partial(sized, views=views, draw=draw),
        ask=ask or partial(asked, blocks=blocks),
        teach=partial(taught, blocks=blocks),
        taught=lessons_of,
        pairs=partial(paired, blocks=blocks, miss=miss),
        sentences=partial(sentences_of, views=views, words=words),
        check=partial(_problems, check),
        **{"check_asked": asking.problems, **functions},
    )


def _problems(
    check: Callable[[Mapping], Iterator[str]], facts: Mapping, phases: Sequence[Mapping] = ()
) -> Iterator[str]:
    """What of the facts cannot be made, else what of the phases' `teach` sections cannot be taught."""
    found = list(check(facts))
    yield from found or mixes.problems(facts, phases)
