"""Fractions of two-level designs: fewer arms, at the price of effects that cannot be told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

Word = frozenset[int]


@dataclass(frozen=True)
class Fraction:
    """arms: each the set of components that are on. generators: component -> those whose product it is. resolution:
    the length of the shortest word of the defining relation; in resolution 3 main effects are aliased with two-way
    interactions, in 4 with three-way ones, in 5 two-way interactions are clear of one another. aliases: for every
    effect of one or two components the others of at most two that look the same."""

    arms: tuple[frozenset[str], ...]
    generators: dict[str, tuple[str, ...]]
    resolution: int
    aliases: dict[tuple[str, ...], tuple[tuple[str, ...], ...]]


def smallest_fraction(components: Sequence[str], resolution: int) -> Fraction:
    """The design of fewest arms whose resolution is at least the one asked for: 2^(k - p) of k components.

    The last p components follow from products of the others; of all choices of generators the first of the highest
    resolution is taken, so the design is always the same. The full method (all on) is always among the arms, since
    every product of `on` is `on`. Where no fraction reaches the resolution it is the full design, of resolution k + 1.
    Source: Box, Hunter and Hunter, Statistics for Experimenters (1978), chapter 12. Raises ValueError for fewer than 3
    components.
    """
    k = len(components)
    if k < 3:
        raise ValueError(f"a fraction needs at least 3 components, got {k}")
    for base in range(2, k):
        found = _best_generators(base, k - base, resolution)
        if found is not None:
            return _fraction(components, base, found)
    return _fraction(components, k, ())


def _best_generators(base: int, added: int, resolution: int) -> tuple[Word, ...] | None:
    """For each added component the base components whose product it is; None if none reaches the resolution."""
    # A shorter product would make, with its own component, too short a word.
    words = [frozenset(w) for size in range(resolution - 1, base + 1) for w in combinations(range(base), size)]
    best: tuple[int, tuple[Word, ...]] | None = None
    for chosen in combinations(sorted(words, key=lambda w: (-len(w), sorted(w))), added):
        found = _resolution(base, chosen)
        if found >= resolution and (best is None or found > best[0]):
            best = found, chosen
    return None if best is None else best[1]


def _defining_words(base: int, chosen: Sequence[Word]) -> Iterator[Word]:
    """All products of the generators' words, the empty one left out."""
    words = [word | {base + number} for number, word in enumerate(chosen)]
    for take in product((False, True), repeat=len(words)):
        made: Word = frozenset()
        for taken, word in zip(take, words, strict=True):
            made = made ^ word if taken else made
        if any(take):
            yield made


def _resolution(base: int, chosen: Sequence[Word]) -> int:
    return min((len(word) for word in _defining_words(base, chosen)), default=base + 1)


def _fraction(components: Sequence[str], base: int, chosen: tuple[Word, ...]) -> Fraction:
    arms = []
    for levels in product((True, False), repeat=base):
        on = {components[i] for i in range(base) if levels[i]}
        for number, word in enumerate(chosen):
            # The product of -1 and +1 levels is +1 where an even number of them is off.
            if sum(not levels[i] for i in word) % 2 == 0:
                on.add(components[base + number])
        arms.append(frozenset(on))
    generators = {
        components[base + number]: tuple(components[i] for i in sorted(word)) for number, word in enumerate(chosen)
    }
    relation = list(_defining_words(base, chosen))
    return Fraction(tuple(arms), generators, _resolution(base, chosen), _aliases(components, relation))


def _aliases(components: Sequence[str], relation: Sequence[Word]) -> dict[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    effects = [frozenset(e) for size in (1, 2) for e in combinations(range(len(components)), size)]
    found = {}
    for effect in effects:
        same = {effect ^ word for word in relation}
        found[_named(components, effect)] = tuple(_named(components, e) for e in effects if e in same)
    return found


def _named(components: Sequence[str], effect: Word) -> tuple[str, ...]:
    return tuple(components[i] for i in sorted(effect))
