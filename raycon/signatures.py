"""The signature is the schema: which tensors a function asks for, which knobs it has, and whether values fit them.

Positional parameters are names of tensors (or scores' inputs); keyword-only parameters are knobs, whose bounds stand in
their types (`raycon.knobs`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from raycon.errors import InvalidFile, nearest
from raycon.wording import reason_of


@dataclass(frozen=True)
class Signature:
    """names: the tensors asked for, in order. knobs: name -> type with bounds. defaults: name -> default, for those
    knobs that have one."""

    names: tuple[str, ...]
    knobs: Mapping[str, Any]
    defaults: Mapping[str, Any]


@cache
def read_signature(function: Callable[..., Any]) -> Signature:
    """The names and knobs of a function; `self` and a leading `shapes` of a network are left out."""
    made: Any = function
    target = made.__init__ if isinstance(function, type) else function
    parameters = inspect.signature(target).parameters
    hints = get_type_hints(target, include_extras=True)
    names = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)]
    knobs = {p.name: hints[p.name] for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
    defaults = {
        name: parameters[name].default for name in knobs if parameters[name].default is not inspect.Parameter.empty
    }
    return Signature(tuple(name for name in names if name not in ("self", "shapes")), knobs, defaults)


@cache
def _model(function: Callable[..., Any]) -> type[BaseModel]:
    signature = read_signature(function)
    fields: dict[str, Any] = {name: (kind, signature.defaults.get(name, ...)) for name, kind in signature.knobs.items()}
    config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True, arbitrary_types_allowed=True)
    return create_model("Knobs", __config__=config, **fields)


def check_knobs(function: Callable[..., Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with every default filled in.

    Raises InvalidFile, with the knob as its field, for an unknown name, a wrong type or a value out of bounds.
    """
    signature = read_signature(function)
    for name in values:
        if name not in signature.knobs:
            known = ", ".join(signature.knobs) or "none"
            raise InvalidFile(f"unknown knob{nearest(name, set(signature.knobs))}; it has: {known}", field=name)
    # A whole number is a fine value for a real knob, but strict pydantic wants it said.
    plain = {
        k: float(v) if signature.knobs[k] is not bool and _wants_float(signature.knobs[k], v) else v
        for k, v in values.items()
    }
    try:
        return _model(function)(**plain).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][:1])
        raise InvalidFile(_reason(first, values), field=field) from None


def _wants_float(kind: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and "float" in str(kind) and "int" not in str(kind)


def _reason(error: Any, values: Mapping[str, Any]) -> str:
    """One of pydantic's errors in plain words."""
    if error["type"] == "missing":
        return "a value is needed"
    # A number that was made real for pydantic is shown as the file writes it.
    whole = len(error["loc"]) == 1 and error["loc"][0] in values
    return reason_of(error, values[error["loc"][0]] if whole else error["input"])
