"""Reads the `trial` of a file into a `Tree`: finds and checks holes, references, entries, `use` and `when`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raycon.errors import InvalidFile, nearest
from raycon.space.holes import (
    Condition,
    Hole,
    Reference,
    is_hole,
    is_reference,
    read_hole,
    read_reference,
    read_when,
    same,
    shown_option,
)
from raycon.space.source import Source
from raycon.space.strict_yaml import Keys, dotted
from raycon.space.tree import ENTRY_SECTIONS, Alternative, Entry, Fixed, Guards, Spot, Tree, asking_order
from raycon.wording import one_line, shown

_ENTRY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_SEARCHED = {
    "seeds": "seeds are repeated, not searched (see `repeat.seeds`)",
    "scores": "scores judge the search, so all runs need the same ones",
}


def read_tree(trial: Mapping[Any, Any], source: Source) -> Tree:
    """The tree of a file's `trial`. Raises InvalidFile with the line of the first thing that cannot be meant."""
    reader = _Reader(source)
    root = reader.read(trial, (), ("trial",), ())
    presence = {path: tuple(ways) for path, ways in reader.presence.items()}
    fixed = {path: tuple(ways) for path, ways in reader.fixed.items()}
    reader.check_conditions()
    reader.check_references()
    try:
        order = asking_order(reader.holes, presence)
    except InvalidFile as error:
        raise source.refuse(error.reason, reader.places.get(error.field or "", ("trial",)), field=error.field) from None
    return Tree(root, {path: reader.holes[path] for path in order}, presence, fixed)


class _Reader:
    """Walks the plain data once. `at` is the dotted path of a value, `keys` its place in the file, `guards` all
    conditions around it."""

    def __init__(self, source: Source):
        self.source = source
        self.holes: dict[str, Hole] = {}
        self.presence: dict[str, list[Alternative]] = defaultdict(list)
        self.fixed: dict[str, list[Alternative]] = defaultdict(list)
        self.places: dict[str, Keys] = {}
        self.switched_off: set[str] = set()
        self.conditions: list[tuple[Condition, Keys]] = []
        self.references: list[tuple[Reference, Keys]] = []

    def read(self, node: Any, at: Keys, keys: Keys, guards: Guards) -> Any:
        self.places.setdefault(dotted(at), keys)
        if is_hole(node) or is_reference(node):
            return self._chosen(node, at, keys, guards)
        if len(at) == 2 and at[0] in ENTRY_SECTIONS:
            return self._entry(node, at, keys, guards)
        if isinstance(node, Mapping):
            for key in node:
                self._check_key(key, (*at, key), (*keys, key))
            return {key: self.read(child, (*at, key), (*keys, key), guards) for key, child in node.items()}
        if isinstance(node, list):
            return [self.read(child, (*at, i), (*keys, i), guards) for i, child in enumerate(node)]
        if self.source.is_overridden(keys):
            self.fixed[dotted(at)].append(Alternative(guards, value=node))
        return node

    def _check_key(self, key: Any, at: Keys, keys: Keys) -> None:
        if isinstance(key, int):
            return
        if not isinstance(key, str) or not key:
            raise self.source.refuse(f"a key should be text, not {shown(key)}", keys[:-1])
        if len(at) == 2 and at[0] in (*ENTRY_SECTIONS, "scores") and not _ENTRY_NAME.fullmatch(key):
            raise self.source.refuse("a name here is made of letters, digits and _", keys)
        if "." in key:
            raise self.source.refuse("a name has no dots; nest the keys instead", keys)

    def _chosen(self, node: Mapping[Any, Any], at: Keys, keys: Keys, guards: Guards) -> Any:
        """A hole or a reference."""
        if not at:
            raise self.source.refuse("the whole trial cannot be one hole; put it at the parts that differ", keys)
        if at[0] in _NOT_SEARCHED and is_hole(node):
            raise self.source.refuse(_NOT_SEARCHED[str(at[0])], keys)
        try:
            when = self._when(node, keys)
            if when and isinstance(at[-1], int):
                raise InvalidFile("an item of a list cannot be left out, so it takes no 'when'")
            if is_reference(node) and not is_hole(node):
                reference = read_reference(node, when)
                self.references.append((reference, keys))
                return reference
            hole = read_hole(node)
        except InvalidFile as error:
            raise self.source.refuse(error.reason, keys) from None
        options = node.get("choice")
        inner = (*guards, *when)
        if isinstance(options, Mapping) and len(options) == 1 and self.source.is_overridden(keys):
            (option,) = options
            self.fixed[dotted(at)].append(Alternative(guards, value=option))
            return Fixed(option, self.read(options[option], at, (*keys, "choice", option), guards))
        self._register(hole, at, keys, inner)
        if not isinstance(options, Mapping):
            return Spot(dotted(at), when)
        subtrees = {}
        for name, subtree in options.items():
            if is_hole(subtree):
                raise self.source.refuse(
                    "an option is a value or a mapping that may hold holes, not a hole itself", keys
                )
            deeper = (*inner, Condition(dotted(at), (name,)))
            subtrees[name] = self.read(subtree, at, (*keys, "choice", name), deeper)
        return Spot(dotted(at), when, subtrees)

    def _when(self, node: Mapping[Any, Any], keys: Keys) -> Guards:
        if "when" not in node:
            return ()
        conditions = read_when(node["when"])
        self.conditions += [(condition, (*keys, "when", condition.path)) for condition in conditions]
        return conditions

    def _entry(self, node: Any, at: Keys, keys: Keys, guards: Guards) -> Entry:
        node = {} if node is None else node
        if not isinstance(node, Mapping):
            raise self.source.refuse(f"should be a mapping of knobs, not {shown(node)}", keys)
        try:
            when = self._when(node, keys)
        except InvalidFile as error:
            raise self.source.refuse(error.reason, (*keys, "when")) from None
        when = (*when, *self._when_of_use(node.get("use"), (*keys, "use")))
        inner = (*guards, *when)
        use = self._use(node.get("use", True), (*at, "use"), (*keys, "use"), inner)
        switch = dotted((*at, "use"))
        ways = self.presence[switch]
        if use is False:
            self._note_switched_off(node, at, keys)
            return Entry(False, when, {})
        if isinstance(use, str):
            ways.append(Alternative(inner, use=use))
            inner = (*inner, Condition(switch, (True,)))
        else:
            ways.append(Alternative(inner))
        knobs = {key: child for key, child in node.items() if key not in ("use", "when")}
        for key in knobs:
            self._check_key(key, (*at, key), (*keys, key))
        return Entry(use, when, {k: self.read(child, (*at, k), (*keys, k), inner) for k, child in knobs.items()})

    def _note_switched_off(self, node: Any, at: Keys, keys: Keys) -> None:
        """Paths inside an entry that is switched off: they may be named, but nothing there is asked."""
        self.places.setdefault(dotted(at), keys)
        self.switched_off.add(dotted(at))
        if isinstance(node, Mapping) and not is_hole(node) and not is_reference(node):
            for key, child in node.items():
                self._note_switched_off(child, (*at, key), (*keys, key))

    def _when_of_use(self, use: Any, keys: Keys) -> Guards:
        """A `when` beside the choice of `use` is that of the entry: what is not asked for is not there."""
        try:
            return self._when(use, keys) if is_hole(use) else ()
        except InvalidFile as error:
            raise self.source.refuse(error.reason, keys) from None

    def _use(self, use: Any, at: Keys, keys: Keys, guards: Guards) -> bool | str:
        self.places.setdefault(dotted(at), keys)
        if isinstance(use, bool):
            return use
        if not is_hole(use):
            hint = " (to follow another entry, write when: {path.use: true})" if is_reference(use) else ""
            raise self.source.refuse(
                f"should be true, false or {{choice: [true, false]}}, not {shown(use)}{hint}", keys
            )
        try:
            hole = read_hole(use)
        except InvalidFile as error:
            raise self.source.refuse(error.reason, keys) from None
        if hole.kind != "choice" or not all(isinstance(option, bool) for option in hole.options):
            raise self.source.refuse("should be true, false or {choice: [true, false]}", keys)
        self._register(hole, at, keys, guards)
        return dotted(at)

    def _register(self, hole: Hole, at: Keys, keys: Keys, guards: Guards) -> None:
        path = dotted(at)
        hole = hole.under(tuple(dict.fromkeys(guards)))
        if path in self.holes:
            merged = _merge(self.holes[path], hole)
            if merged is None:
                raise self.source.refuse(
                    "two options have different holes here; give both the same kind and range", keys
                )
            hole = merged
        self.holes[path] = hole

    def check_conditions(self) -> None:
        """Refuses a `when` that looks at something that is no choice, or for a value that it never has."""
        for condition, keys in self.conditions:
            path = condition.path
            if path in self.fixed or (path in self.switched_off and path not in self.presence):
                continue
            if path in self.presence:
                options: tuple[Any, ...] = (True, False)
            elif path in self.holes and self.holes[path].kind == "choice":
                options = self.holes[path].options
            else:
                choices = [p for p, hole in self.holes.items() if hole.kind == "choice"]
                known = {*choices, *self.presence}
                what = "is no choice" if path in self.places else f"there is no such choice{nearest(path, known)}"
                raise self.source.refuse(f"when {one_line(path, longest=120)}: {what}", keys[:-2])
            for value in condition.values:
                if not any(same(value, option) for option in options):
                    words = ", ".join(shown_option(option) for option in options)
                    hint = nearest(value, [o for o in options if isinstance(o, str)]) if isinstance(value, str) else ""
                    raise self.source.refuse(
                        f"when {path}: should be among {words}, not {shown(value)}{hint}", keys[:-2]
                    )

    def check_references(self) -> None:
        """Refuses a reference to what this file does not write."""
        for reference, keys in self.references:
            if reference.path not in self.places:
                hint = nearest(reference.path, set(self.places))
                reason = (
                    f"{reference.kind} {one_line(reference.path, longest=120)}: this file writes no such value{hint}"
                )
                raise self.source.refuse(reason, keys)


def _merge(first: Hole, second: Hole) -> Hole | None:
    """One hole for the same path in two options of a choice: asked under either of them. None if they differ."""
    if replace(first, conditions=()) != replace(second, conditions=()) or first.options != second.options:
        return None
    if not all(same(a, b) for a, b in zip(first.options, second.options, strict=True)):
        return None
    pairs = list(zip(first.conditions, second.conditions, strict=False))
    apart = [i for i, (a, b) in enumerate(pairs) if a != b]
    if len(first.conditions) != len(second.conditions) or len(apart) != 1:
        return None
    index = apart[0]
    one, other = pairs[index]
    if one.path != other.path:
        return None
    both = Condition(one.path, (*one.values, *other.values))
    return first.under((*first.conditions[:index], both, *first.conditions[index + 1 :]))
