"""What a search may choose: a hole in place of a value, the conditions under which it is asked, and references.

    {uniform | log_uniform | integer | log_integer: [low, high]}    a number, both ends included
    {choice: [a, b]}   one of these scalars      {choice: {name: subtree, ...}}   one of these named subtrees
    {same_as: path}    {complement_of: path}     another value, or 1 minus it

A `when: {path: value or list of values}` beside the kind makes the hole or reference conditional: where it does not
hold, the knob is not chosen, not logged, and has its default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from raycon.errors import InvalidFile, nearest
from raycon.wording import shown

Scalar = str | int | float | bool | None
Kind = Literal["uniform", "log_uniform", "integer", "log_integer", "choice"]
KINDS: tuple[Kind, ...] = ("uniform", "log_uniform", "integer", "log_integer", "choice")
ReferenceKind = Literal["same_as", "complement_of"]
REFERENCES: tuple[ReferenceKind, ...] = ("same_as", "complement_of")
GOLDEN = 0.381966  # an interior point that is neither whole nor a simple share


@dataclass(frozen=True)
class Condition:
    """Holds where the choice at `path` has one of `values`; `objective.x.use` asks whether the entry is there."""

    path: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Hole:
    """A value that a search chooses. Numbers lie in [low, high], both included; `options` are a choice's scalars or the
    names of its subtrees. All of `conditions` must hold for it to be asked; those of the entries and choices around it
    are among them."""

    kind: Kind
    low: float | int | None = None
    high: float | int | None = None
    options: tuple[Scalar, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def bounds(self) -> tuple[float, float]:
        """low and high of a numeric hole; whole numbers for the integer kinds."""
        if self.low is None or self.high is None:
            raise InvalidFile("a choice has no bounds")
        return self.low, self.high

    def extremes(self) -> tuple[Scalar, ...]:
        """What the corners of the space must cover: low and high, or every option."""
        return self.options if self.kind == "choice" else self.bounds()

    def middle(self) -> Scalar:
        """The documented default: the (geometric, for the log kinds) mean of the bounds, or the first option."""
        return self.options[0] if self.kind == "choice" else self.inner(0.5)

    def inner(self, share: float) -> Scalar:
        """The number that lies `share` of the way from low to high, or the first option."""
        if self.kind == "choice":
            return self.options[0]
        low, high = self.bounds()
        if self.kind in ("log_uniform", "log_integer"):
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        value = min(max(value, low), high)
        return int(value) if self.kind in ("integer", "log_integer") else value

    def check(self, value: Any) -> Scalar:
        """`value` in the hole's own type. Raises InvalidFile if it lies outside."""
        if self.kind == "choice":
            for option in self.options:
                if same(option, value):
                    return option
            known = [o for o in self.options if isinstance(o, str)]
            hint = nearest(value, known) if isinstance(value, str) else ""
            raise InvalidFile(
                f"should be one of {', '.join(map(shown_option, self.options))}, not {shown(value)}{hint}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidFile(f"should be a number, not {shown(value)}")
        low, high = self.bounds()
        if not low <= value <= high:
            raise InvalidFile(f"should lie in [{low}, {high}], not {shown(value)}")
        if self.kind in ("uniform", "log_uniform"):
            return float(value)
        if value != int(value):
            raise InvalidFile(f"should be a whole number, not {shown(value)}")
        return int(value)

    def plain(self) -> dict[str, Any]:
        """As a file writes it, without its conditions."""
        return {self.kind: list(self.options) if self.kind == "choice" else list(self.bounds())}

    def under(self, conditions: tuple[Condition, ...]) -> Hole:
        """The same hole with these conditions."""
        return replace(self, conditions=conditions)


@dataclass(frozen=True)
class Reference:
    """The value at another path (`same_as`), or 1 minus it (`complement_of`, for numbers in [0, 1])."""

    kind: ReferenceKind
    path: str
    when: tuple[Condition, ...] = ()

    def apply(self, value: Any) -> Any:
        """What the reference stands for when its target is `value`. Raises InvalidFile."""
        if isinstance(value, dict):
            raise InvalidFile(f"{self.kind} {self.path}: that is a mapping, not one value")
        if self.kind == "same_as":
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InvalidFile(f"complement_of {self.path}: needs a number from 0 to 1, which {shown(value)} is not")
        return 1 - value


def same(first: Any, second: Any) -> bool:
    """Equal and not a boolean on one side alone (Python holds `True == 1`)."""
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)


def shown_option(value: Scalar) -> str:
    """An option as a message shows it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def is_hole(value: Any) -> bool:
    """Whether a mapping is meant as a hole: it has the word of a kind among its keys."""
    return isinstance(value, Mapping) and any(kind in value for kind in KINDS)


def is_reference(value: Any) -> bool:
    """Whether a mapping is meant as a reference."""
    return isinstance(value, Mapping) and any(kind in value for kind in REFERENCES)


def meant_hole(value: Any) -> str:
    """' (did you mean X?)' for a mapping where one value is wanted, whose only word is close to that of a hole or
    reference, else the empty string."""
    words = [key for key in value if key != "when"] if isinstance(value, Mapping) else []
    if len(words) != 1 or not isinstance(words[0], str):
        return ""
    return nearest(words[0], (*KINDS, *REFERENCES))


def only_kind(value: Mapping[Any, Any]) -> str:
    """The one kind of a hole or reference. Raises InvalidFile for a second kind or for any other key than `when`."""
    kinds = [key for key in (*KINDS, *REFERENCES) if key in value]
    others = [str(key) for key in value if key not in kinds and key != "when"]
    if len(kinds) > 1:
        raise InvalidFile(f"has both {kinds[0]!r} and {kinds[1]!r}; one value has one kind")
    if others:
        raise InvalidFile(f"a {kinds[0]!r} has no {others[0]!r} beside it (only 'when' may stand there)")
    return str(kinds[0])


def read_hole(value: Mapping[Any, Any]) -> Hole:
    """The hole that a mapping writes, without conditions. Raises InvalidFile with the reason."""
    kind = cast(Kind, only_kind(value))
    content = value[kind]
    if kind == "choice":
        return Hole(kind, options=_options(content))
    if not isinstance(content, list) or len(content) != 2:
        found = f"{len(content)} values" if isinstance(content, list) else shown(content)
        raise InvalidFile(f"{kind} needs [low, high], not {found}")
    for bound in content:
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise InvalidFile(f"{kind} needs two numbers, not {shown(bound)}")
        if kind in ("integer", "log_integer") and not isinstance(bound, int):
            raise InvalidFile(f"{kind} needs whole numbers, not {bound!r}")
    low, high = content
    if low > high:
        raise InvalidFile(f"{kind}: low ({low!r}) is above high ({high!r})")
    if low == high:
        raise InvalidFile(f"{kind}: low and high are both {low!r}; write {low!r} itself")
    if kind in ("log_uniform", "log_integer") and low <= 0:
        raise InvalidFile(f"{kind}: low should be greater than 0, not {low!r}")
    if kind in ("uniform", "log_uniform"):
        low, high = float(low), float(high)
    return Hole(kind, low, high)


def _options(content: Any) -> tuple[Scalar, ...]:
    if isinstance(content, Mapping):
        names = tuple(str(name) for name in content)
        if len(names) != len(content) or not all(isinstance(name, str) for name in content):
            raise InvalidFile("the options of a choice are named by text")
        options: tuple[Scalar, ...] = names
    elif isinstance(content, list):
        for option in content:
            if isinstance(option, list | dict):
                raise InvalidFile("choice lists single values; name anything larger: {choice: {name: ..., other: ...}}")
        options = tuple(content)
    else:
        raise InvalidFile(f"choice needs a list or named options, not {shown(content)}")
    if not options:
        raise InvalidFile("choice needs at least one option")
    for index, option in enumerate(options):
        if any(same(option, earlier) for earlier in options[:index]):
            raise InvalidFile(f"choice has {shown_option(option)} twice")
    return options


def read_reference(value: Mapping[Any, Any], when: tuple[Condition, ...] = ()) -> Reference:
    """The reference that a mapping writes. Raises InvalidFile with the reason."""
    kind = cast(ReferenceKind, only_kind(value))
    target = value[kind]
    if not isinstance(target, str) or not target:
        raise InvalidFile(f"{kind} needs the path of another value, not {shown(target)}")
    return Reference(kind, target, when)


def read_when(value: Any) -> tuple[Condition, ...]:
    """The conditions of a `when`. Raises InvalidFile; whether the paths exist is seen when the space is complete."""
    if not isinstance(value, Mapping) or not value:
        raise InvalidFile(
            f"when needs {{path: value or list of values}}, not {shown(value) if value != {} else 'nothing'}"
        )
    conditions = []
    for path, wanted in value.items():
        values = wanted if isinstance(wanted, list) else [wanted]
        if not values or any(isinstance(v, list | dict) for v in values):
            raise InvalidFile(f"when: {path} needs a value or a list of values")
        conditions.append(Condition(str(path), tuple(values)))
    return tuple(conditions)
