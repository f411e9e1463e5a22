"""The shape of a file: plain values become the dataclasses of `raycon.config`, or one plain sentence says why not.

Types are strict: text is never a number, 1.5 never a whole number, a boolean never a number; 1 is a fine real number.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from raycon.errors import InvalidFile, nearest
from raycon.space.holes import meant_hole
from raycon.space.strict_yaml import Keys, dotted
from raycon.wording import one_line, reason_of

Shape = TypeVar("Shape")


def build(shape: Callable[..., Shape], plain: Any, *, prefix: str = "") -> Shape:
    """`plain` as a `shape`, with every default filled in.

    prefix: the dotted path of `plain` itself, put before the field of an error. Raises InvalidFile with one field and
    one reason: an unknown key first, then wrong values in the order of the dataclass, then what is missing.
    """
    try:
        text = json.dumps(plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidFile(f"holds what no file can: {one_line(str(error))}", field=prefix or None) from None
    try:
        built: Shape = _adapter(cast(Any, shape)).validate_json(text, strict=True)
        return built
    except ValidationError as error:
        problems = [_problem(shape, plain, item) for item in error.errors(include_url=False)]
    _, path, reason = min(problems, key=lambda problem: problem[0])
    both = [r for _, p, r in problems if p == path and r.startswith("should be ")]
    if len(both) > 1 and reason.startswith("should be "):
        kinds = dict.fromkeys(r.removeprefix("should be ").split(", not ")[0] for r in both)
        reason = f"should be {' or '.join(kinds)}, not {reason.split(', not ', 1)[-1]}"
    field = ".".join(part for part in (prefix, one_line(dotted(path), longest=120)) if part)
    raise InvalidFile(reason, field=field or None)


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def json_schema_of(shape: Any) -> dict[str, Any]:
    """The JSON Schema that pydantic derives from a dataclass."""
    return _adapter(shape).json_schema()


def _problem(shape: Any, plain: Any, item: Any) -> tuple[tuple[int, int], Keys, str]:
    """(rank, path, reason) of one of pydantic's errors. Deeper errors of a union come first: its other branch is not
    what was meant."""
    kind, path, value = item["type"], _own_path(item["loc"], plain, item["type"]), item["input"]
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        known = list(fields_at(shape, path[:-1]))
        return (0, 0), path, f"is not a known field{nearest(str(path[-1]), known) or _elsewhere(shape, str(path[-1]))}"
    if kind in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return (2, 0), path, "is missing"
    return (1, -len(path)), path, reason_of(item, value) + meant_hole(value)


def _own_path(location: tuple[int | str, ...], plain: Any, kind: str) -> Keys:
    """pydantic's location without the names of union branches that it puts between the keys."""
    path: list[str | int] = []
    here = plain
    for index, step in enumerate(location):
        last = index == len(location) - 1
        if isinstance(here, dict) and (
            step in here or (isinstance(step, str) and step.lstrip("-").isdigit() and int(step) in here)
        ):
            here = here[step] if step in here else here[int(step)]
            path.append(step)
        elif isinstance(here, list | tuple) and isinstance(step, int) and step < len(here):
            here = here[step]
            path.append(step)
        elif last and kind.startswith("missing"):
            path.append(step)
    return tuple(path)


def fields_at(shape: Any, path: Keys) -> dict[str, Any]:
    """Field -> type of the dataclass that `path` leads to; empty where there is none."""
    for key in path:
        shape = fields_at(shape, ()).get(str(key))
    for candidate in (shape, *get_args(shape)):
        if dataclasses.is_dataclass(candidate) and isinstance(candidate, type):
            hints = get_type_hints(candidate, include_extras=True)
            return {field.name: hints[field.name] for field in dataclasses.fields(candidate)}
    return {}


def all_paths(shape: Any, prefix: str = "") -> Iterator[str]:
    """The dotted path of every field, those of optional parts too."""
    for name, kind in fields_at(shape, ()).items():
        yield prefix + name
        yield from all_paths(kind, f"{prefix}{name}.")


def is_mapping_field(kind: Any) -> bool:
    """Whether a field's type takes a mapping with keys of its own choosing."""
    options = get_args(kind) if get_origin(kind) in (Union, type(int | str)) else (kind,)
    return any(get_origin(option) is dict for option in options)


def _elsewhere(shape: Any, name: str) -> str:
    found = [path for path in all_paths(shape) if path.split(".")[-1] == name]
    return f" (did you mean {found[0]}?)" if found else ""
