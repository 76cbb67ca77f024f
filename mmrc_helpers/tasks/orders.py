"""Which of many, and in what order. Choices go by hashes, so that with more to choose from earlier ones
stay."""

import random
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256


def chosen(items: Sequence, count: int, name: Callable[..., str]) -> list:
    """`count` of the items in their order, those whose names have the smallest hashes; 0: all."""
    if not count or count >= len(items):
        return list(items)
    places = sorted(range(len(items)), key=lambda place: sha256(name(items[place]).encode()).digest())
    return [items[place] for place in sorted(places[:count])]


def without_end(items: Sequence, seed: int) -> Iterator:
    """All items, again and again, in another order every time through."""
    epoch = 0
    while True:
        yield from random.Random(f"{seed}/epoch/{epoch}").sample(items, len(items))
        epoch += 1


def permuted(text: str, rng: random.Random) -> str:
    """The words of a text in another order; "" if there is none."""
    words = text.split()
    if len(set(words)) < 2:
        return ""
    mixed = words
    while mixed == words:
        mixed = rng.sample(words, len(words))
    return " ".join(mixed)
