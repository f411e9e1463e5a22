"""`--set path=value`: replaces one value, hole or entry of a file before it is checked, by the same YAML rules."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from raycon.config import Ablation, Repeat, Sweep, Trial
from raycon.errors import InvalidFile, nearest
from raycon.space.completion import named_scores
from raycon.space.holes import is_hole
from raycon.space.schema import all_paths, fields_at, is_mapping_field
from raycon.space.source import Source
from raycon.space.strict_yaml import Document, Keys, parse_value
from raycon.space.tree import ENTRY_SECTIONS
from raycon.wording import one_line

SECTIONS: dict[str, Any] = {"sweep": Sweep, "repeat": Repeat, "ablation": Ablation}
OPEN = (*ENTRY_SECTIONS, "scores")


def apply_overrides(document: Document, overrides: Sequence[str]) -> Source:
    """The document with each override put in, in order. Raises InvalidFile, with the nearest path, for an unknown
    one."""
    data = copy.deepcopy(document.data)
    done: set[Keys] = set()
    for override in overrides:
        path, equals, text = override.partition("=")
        path = path.strip()
        if not equals or not path:
            raise InvalidFile(f"needs path=value, not {one_line(override, longest=60)!r}", file="--set")
        try:
            value = parse_value(text, at=tuple(path.split(".")), integer_keys=("coarse",))
            done.add(_put(data, path, value))
        except InvalidFile as error:
            raise InvalidFile(error.reason, file="--set", field=one_line(path, longest=120)) from None
    return Source(Document(data, document.lines, document.file), frozenset(done))


def _put(data: dict[str, Any], path: str, value: Any) -> Keys:
    """Sets the value and returns its place."""
    names = path.split(".")
    keys: list[str | int] = [*names] if names[0] in (*SECTIONS, "name") else ["trial", *names]
    _check_known(data, path, names)
    if names[0] == "coarse" or names[:2] == ["data", "coarse"]:
        keys[3:] = [int(name) if name.isdigit() else name for name in keys[3:] if isinstance(name, str)]
    here: Any = data
    for index, key in enumerate(keys[:-1]):
        if is_hole(here) and index > 0:
            raise InvalidFile(f"{_words(keys[:index])} is a hole; set it as a whole")
        here = _step(here, key, keys[index + 1])
    last = keys[-1]
    if is_hole(here):
        raise InvalidFile(f"{_words(keys[:-1])} is a hole; set it as a whole")
    if isinstance(here, list):
        last = _item(here, last)
    options = here[last].get("choice") if isinstance(here, dict) and is_hole(here.get(last)) else None
    if isinstance(options, Mapping) and isinstance(value, str):
        if value not in options:
            names = [str(name) for name in options]
            raise InvalidFile(f"should be one of {', '.join(names)}, not {value!r}{nearest(value, names)}")
        value = {"choice": {value: options[value]}}
    here[last] = value
    if names[0] == "scores":
        data["trial"] = named_scores(data["trial"])
    return (*keys[:-1], last)


def _words(keys: Sequence[str | int]) -> str:
    return ".".join(str(key) for key in (keys[1:] if keys[0] == "trial" else keys))


def _step(here: Any, key: str | int, after: str | int) -> Any:
    """One level down; an absent or empty mapping is made."""
    if isinstance(here, list):
        return here[_item(here, key)]
    if here.get(key) is None:
        here[key] = {}
    if not isinstance(here[key], dict | list):
        raise InvalidFile(f"there is no such path: {key} is a single value, without a {after!r}")
    return here[key]


def _item(items: list[Any], key: str | int) -> int:
    if isinstance(key, str) and key.isdigit() and int(key) < len(items):
        return int(key)
    raise InvalidFile(f"there is no such path: the list has {len(items)} items, numbered from 0")


def _check_known(data: Mapping[str, Any], path: str, names: list[str]) -> None:
    """Refuses a path that no file could have, and a knob of an entry that this file does not have."""
    trial = data.get("trial") or {}
    if not all(names):
        raise InvalidFile("a path is names with dots between them")
    if names == ["name"]:
        return
    if names[0] == "trial":
        raise InvalidFile(f"paths have no leading 'trial.' (did you mean {path.removeprefix('trial.')}?)")
    if names[0] in OPEN:
        entries = trial.get(names[0]) or {}
        if len(names) <= 2 or not isinstance(entries, dict) or is_hole(entries) or names[1] in entries:
            return
        known = [f"{names[0]}.{entry}.{names[2]}" for entry in entries]
        raise InvalidFile(f"this file has no {names[0]}.{names[1]}{nearest(path, known)}")
    shape, inner = (SECTIONS[names[0]], names[1:]) if names[0] in SECTIONS else (Trial, names)
    for depth, name in enumerate(inner):
        parent = fields_at(shape, tuple(inner[:depth]))
        if name in parent:
            continue
        holder = fields_at(shape, tuple(inner[: depth - 1])).get(inner[depth - 1]) if depth else None
        if holder is not None and (is_mapping_field(holder) or "tuple" in str(holder)):
            return
        raise InvalidFile(f"there is no such path{nearest(path, _known_paths(trial))}")


def _known_paths(trial: Mapping[str, Any]) -> list[str]:
    known = [*all_paths(Trial), "name"]
    known += [f"{section}.{path}" for section, shape in SECTIONS.items() for path in all_paths(shape)]
    for section in OPEN:
        entries = trial.get(section)
        if isinstance(entries, dict):
            known += [f"{section}.{e}.{k}" for e, knobs in entries.items() if isinstance(knobs, dict) for k in knobs]
            known += [f"{section}.{e}.use" for e in entries]
    return known
