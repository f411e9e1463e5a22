"""The `trial` of a file as a tree with holes: what is asked under which conditions, and what comes out.

`Reader` turns plain data into nodes and notes every hole with all conditions around it (named options, `use`, `when`).
`Tree.choose` asks for the active holes, `Tree.resolve` puts their values in and settles references.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from raycon.errors import InvalidFile
from raycon.space.holes import Condition, Hole, Reference, Scalar, same, shown_option
from raycon.space.strict_yaml import Keys, dotted

ENTRY_SECTIONS = ("objective", "transforms", "networks")
Guards = tuple[Condition, ...]
Values = dict[str, Scalar]
Suggest = Callable[[str, Hole], Any]


class _Missing:
    """A knob or an entry that is not there in this configuration."""


MISSING = _Missing()


@dataclass(frozen=True)
class Spot:
    """A hole in its place; `subtrees` are the named options of a choice."""

    path: str
    when: Guards
    subtrees: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Fixed:
    """A choice that an override fixed to one of its named options."""

    option: str
    node: Any


@dataclass(frozen=True)
class Entry:
    """A term, transform or network. `use` is the path of its `use` hole, or whether it is there."""

    use: bool | str
    when: Guards
    knobs: Mapping[str, Any]


@dataclass(frozen=True)
class Alternative:
    """One way in which an entry is present, or a value is fixed: its guards, and the `use` hole or the value."""

    guards: Guards
    use: str | None = None
    value: Scalar = None


@dataclass(frozen=True)
class Resolved:
    """A trial without holes as plain data, and the file's keys of each of its dotted paths."""

    plain: dict[str, Any]
    origins: Mapping[str, Keys]


@dataclass(frozen=True)
class Tree:
    """root: the nodes. holes: path -> hole, in the order of asking, which does not depend on the order of the keys.
    presence: `<entry>.use` -> the ways in which the entry is there. fixed: path -> what an override made of a choice.
    """

    root: Any
    holes: Mapping[str, Hole]
    presence: Mapping[str, tuple[Alternative, ...]]
    fixed: Mapping[str, tuple[Alternative, ...]]

    def without(self, path: str) -> Tree:
        """The same tree without a hole that is never asked."""
        return replace(self, holes={other: hole for other, hole in self.holes.items() if other != path})

    def choose(self, suggest: Suggest) -> Values:
        """Asks for every active hole, once and in a fixed order, and for no other."""
        values: Values = {}
        for path, hole in self.holes.items():
            if self.all_hold(hole.conditions, values):
                try:
                    values[path] = hole.check(suggest(path, hole))
                except InvalidFile as error:
                    if error.field is not None:
                        raise
                    raise InvalidFile(error.reason, field=path) from None
        return values

    def all_hold(self, conditions: Guards, values: Mapping[str, Scalar]) -> bool:
        """Whether all conditions hold, given the values of the holes asked so far."""
        return all(self._holds(condition, values) for condition in conditions)

    def _holds(self, condition: Condition, values: Mapping[str, Scalar]) -> bool:
        if condition.path in self.presence:
            here = any(
                self.all_hold(way.guards, values) and (way.use is None or values.get(way.use) is True)
                for way in self.presence[condition.path]
            )
            return any(same(here, wanted) for wanted in condition.values)
        if condition.path in self.fixed:
            ways = self.fixed[condition.path]
            found = [way.value for way in ways if self.all_hold(way.guards, values)]
            return any(same(value, wanted) for value in found for wanted in condition.values)
        return condition.path in values and any(same(values[condition.path], v) for v in condition.values)

    def resolve(self, values: Mapping[str, Scalar]) -> Resolved:
        """The trial for these values. Raises InvalidFile for a reference that leads nowhere."""
        origins: dict[str, Keys] = {}
        plain = self._fill(self.root, values, (), ("trial",), origins)
        return Resolved(_Settler(plain, values).settled(), origins)

    def _fill(self, node: Any, values: Mapping[str, Scalar], at: Keys, keys: Keys, origins: dict[str, Keys]) -> Any:
        origins[dotted(at)] = keys
        if isinstance(node, Spot):
            if not self.all_hold(node.when, values):
                return MISSING
            value = values[node.path]
            if node.subtrees is None:
                return value
            return self._fill(node.subtrees[str(value)], values, at, (*keys, "choice", str(value)), origins)
        if isinstance(node, Fixed):
            return self._fill(node.node, values, at, (*keys, "choice", node.option), origins)
        if isinstance(node, Reference):
            return node if self.all_hold(node.when, values) else MISSING
        if isinstance(node, Entry):
            present = node.use if isinstance(node.use, bool) else values.get(node.use) is True
            if not present or not self.all_hold(node.when, values):
                return MISSING
            node = node.knobs
        if isinstance(node, Mapping):
            items = {key: self._fill(child, values, (*at, key), (*keys, key), origins) for key, child in node.items()}
            return {key: value for key, value in items.items() if value is not MISSING}
        if isinstance(node, list):
            return [self._fill(child, values, (*at, i), (*keys, i), origins) for i, child in enumerate(node)]
        return node


class _Settler:
    """Replaces the references in a filled tree by the values that they stand for."""

    def __init__(self, plain: dict[str, Any], values: Mapping[str, Scalar]):
        self.plain, self.values = plain, values

    def settled(self) -> dict[str, Any]:
        result: dict[str, Any] = self._walk(self.plain, ())
        return result

    def _walk(self, node: Any, at: Keys) -> Any:
        if isinstance(node, Reference):
            try:
                return self._value(node, (dotted(at),))
            except InvalidFile as error:
                raise InvalidFile(error.reason, field=dotted(at)) from None
        if isinstance(node, dict):
            return {key: self._walk(child, (*at, key)) for key, child in node.items()}
        if isinstance(node, list):
            return [self._walk(child, (*at, i)) for i, child in enumerate(node)]
        return node

    def _value(self, reference: Reference, seen: tuple[str, ...]) -> Any:
        if reference.path in seen:
            raise InvalidFile(f"{reference.kind}: refers to itself through {' -> '.join([*seen, reference.path])}")
        target = look_up(self.plain, reference.path)
        if target is MISSING:
            choices = [f"{path} is {shown_option(v)}" for path, v in self.values.items() if not isinstance(v, float)]
            when = f" when {', '.join(choices)}" if choices else ""
            reason = f"there is no such value{when}; set this one too, or give it a 'when'"
            raise InvalidFile(f"{reference.kind} {reference.path}: {reason}")
        if isinstance(target, Reference):
            target = self._value(target, (*seen, reference.path))
        return reference.apply(target)


def look_up(plain: Any, path: str) -> Any:
    """The value at a dotted path, or MISSING."""
    for key in path.split("."):
        if isinstance(plain, dict) and key in plain:
            plain = plain[key]
        elif isinstance(plain, list) and key.isdigit() and int(key) < len(plain):
            plain = plain[int(key)]
        else:
            return MISSING
    return plain


def asking_order(holes: Mapping[str, Hole], presence: Mapping[str, tuple[Alternative, ...]]) -> list[str]:
    """The holes' paths, each after all that its conditions look at, and otherwise by name.

    Raises InvalidFile with the circle where conditions depend on one another.
    """
    order: list[str] = []
    done: set[tuple[str, str]] = set()

    def needs(kind: str, path: str) -> list[tuple[str, str]]:
        if kind == "hole":
            looked_at = [c.path for c in holes[path].conditions]
            uses: list[str] = []
        else:
            looked_at = [c.path for way in presence[path] for c in way.guards]
            uses = [way.use for way in presence[path] if way.use is not None]
        found = [("entry", p) if p in presence else ("hole", p) for p in looked_at if p in presence or p in holes]
        return sorted(found) + [("hole", use) for use in sorted(uses)]

    def visit(node: tuple[str, str], trail: tuple[tuple[str, str], ...]) -> None:
        if node in trail:
            circle = dict.fromkeys([path for _, path in trail[trail.index(node) :]] + [node[1]])
            raise InvalidFile(f"when: the conditions go round in a circle: {' -> '.join(circle)}", field=node[1])
        if node in done:
            return
        for other in needs(*node):
            visit(other, (*trail, node))
        done.add(node)
        if node[0] == "hole":
            order.append(node[1])

    for path in sorted(holes):
        visit(("hole", path), ())
    for path in sorted(presence):
        visit(("entry", path), ())
    return order
