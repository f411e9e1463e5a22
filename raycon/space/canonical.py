"""One normal form of a space, for its identity, and the differences between two of them in plain lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from raycon.config import Sweep
from raycon.space.holes import Condition, Reference, is_hole
from raycon.space.tree import Entry, Fixed, Spot, Tree, Values

Samples = Sequence[tuple[Values, Any]]
"""Values of the holes, and the complete plain trial (or the part of it at hand) that they make."""

NOT_IDENTITY = ("trials", "workers", "retries")
ABSENT = "(absent)"


def canonical_space(
    name: str, tree: Tree, samples: Samples, sweep: Sweep, first: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The space as plain data in a fixed order.

    samples: the complete corners, from which defaults are taken. first: `sweep.first` as far as the file gives it.
    """
    sweep = dataclasses.replace(sweep, first=tuple(dict(values) for values in first))
    settings = {key: value for key, value in dataclasses.asdict(sweep).items() if key not in NOT_IDENTITY}
    space = {"name": name, "trial": _Writer(tree).write(tree.root, samples), "sweep": settings}
    ordered: dict[str, Any] = json.loads(json.dumps(space, sort_keys=True))
    return ordered


class _Writer:
    """Writes nodes as a file would, and takes what the file leaves out from the samples."""

    def __init__(self, tree: Tree):
        self.tree = tree

    def write(self, node: Any, samples: Samples) -> Any:
        if isinstance(node, Spot):
            return self._hole(node, samples)
        if isinstance(node, Fixed):
            return self.write(node.node, samples)
        if isinstance(node, Reference):
            return {node.kind: node.path, **_when(node.when)}
        if isinstance(node, Entry):
            use = {"use": self.tree.holes[node.use].plain()} if isinstance(node.use, str) else {}
            return {**use, **_when(node.when), **self.write(node.knobs, samples)}
        if isinstance(node, Mapping):
            return self._mapping(node, samples)
        if isinstance(node, list):
            return [
                self.write(child, [(v, s[i]) for v, s in samples if isinstance(s, list) and i < len(s)])
                for i, child in enumerate(node)
            ]
        return samples[0][1] if samples else node

    def _hole(self, spot: Spot, samples: Samples) -> dict[str, Any]:
        hole = self.tree.holes[spot.path]
        if spot.subtrees is None:
            return {**hole.plain(), **_when(spot.when)}
        options = {
            name: self.write(subtree, [(values, s) for values, s in samples if values.get(spot.path) == name])
            for name, subtree in spot.subtrees.items()
        }
        return {"choice": options, **_when(spot.when)}

    def _is_idle(self, node: Any) -> bool:
        """Whether a node never is there: an entry that is switched off, or a hole that an override left unasked."""
        return (isinstance(node, Entry) and node.use is False) or (
            isinstance(node, Spot) and node.path not in self.tree.holes
        )

    def _mapping(self, node: Mapping[Any, Any], samples: Samples) -> dict[str, Any]:
        seen: dict[str, list[tuple[Values, Any]]] = {}
        for values, sample in samples:
            for key, child in sample.items() if isinstance(sample, dict) else ():
                seen.setdefault(str(key), []).append((values, child))
        written: dict[str, Any] = {}
        for key, child in node.items():
            if not self._is_idle(child):
                written[str(key)] = self.write(child, seen.get(str(key), []))
        return {key: found[0][1] for key, found in seen.items()} | written


def _when(conditions: tuple[Condition, ...]) -> dict[str, Any]:
    return {"when": {c.path: list(c.values) for c in conditions}} if conditions else {}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lines `path: old -> new`, sorted by path; a hole is one value. Paths of a trial have no leading `trial.`."""
    before, after = _flat(old), _flat(new)
    lines = []
    for path in sorted(before.keys() | after.keys()):
        first, second = before.get(path, ABSENT), after.get(path, ABSENT)
        if first != second:
            lines.append(f"{path.removeprefix('trial.')}: {first} -> {second}")
    return lines


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, Mapping) and value and not is_hole(value):
        flat: dict[str, str] = {}
        for key, child in value.items():
            flat |= _flat(child, f"{path}.{key}" if path else str(key))
        return flat
    return {path: json.dumps(value, sort_keys=True)}
