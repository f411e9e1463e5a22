"""The words of refusals: pydantic's errors and the values of a file, said so that whoever wrote the file knows them."""

from __future__ import annotations

import re
from typing import Any

from raycon.errors import nearest

_SPOKEN = {
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_PLAIN_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OTHER_NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_,]*(\.[0-9_]*)?)")
"""Spellings of numbers in other languages, which YAML 1.2 reads as text."""


def one_line(text: str, *, longest: int = 300) -> str:
    """`text` on one printable line, cut where it is too long to read."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    words = " ".join(printable.split())
    return words if len(words) <= longest else words[: longest - 3] + "..."


def shown(value: Any) -> str:
    """A value as an error message shows it: short and on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return one_line(f"text {value!r}" if isinstance(value, str) else repr(value), longest=60)


def reason_of(error: Any, value: Any) -> str:
    """One of pydantic's errors in plain words. value: what the file has there, before any conversion."""
    kind, context = error["type"], error.get("ctx") or {}
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"should be {words} {context[key]:g}, not {shown(value)}"
    if kind == "literal_error":
        options = str(context["expected"]).replace("'", "")
        hint = nearest(value, options.replace(" or ", ", ").split(", ")) if isinstance(value, str) else ""
        return f"should be {options}, not {shown(value)}{hint}"
    if kind in ("too_long", "too_short"):
        bound = context.get("max_length", context.get("min_length"))
        return f"should hold {bound} values, not {context['actual_length']}"
    if kind in _SPOKEN:
        return f"should be {_SPOKEN[kind]}, not {shown(value)}{_meant(kind, value)}"
    return one_line(str(error["msg"]).replace("Input should be", "should be"))


def _meant(kind: str, value: Any) -> str:
    """What a YAML habit probably meant."""
    if not isinstance(value, str):
        return ""
    if kind.startswith("bool"):
        meant = {"on": "true", "yes": "true", "off": "false", "no": "false"}.get(value.lower(), value.lower())
        return f" (did you mean {meant}?)" if meant in ("true", "false") else ""
    if kind.startswith(("float", "int")):
        if _PLAIN_NUMBER.fullmatch(value.strip()):
            return " (without the quotes)"
        if _OTHER_NUMBER.fullmatch(value.strip()):
            return f" (write it as a plain {'whole number' if kind.startswith('int') else 'number'}, with digits alone)"
    return ""
