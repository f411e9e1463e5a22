"""Whatever happens to a good file, it is read or refused on one line: mutated values, damaged text, odd overrides."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raycon.errors import InvalidFile
from raycon.space import loads
from raycon.space.strict_yaml import parse
from tests.space.fake_catalogue import FakeCatalogue
from tests.space.test_space import FULL


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        found += _places(child, (*path, key))
    return found


VALID = parse(FULL, integer_keys=("coarse",)).data
PLACES = _places(VALID)[1:]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1.5, 1e308, "", "on", "x", "1", "a.b"),
        *([], {}, [1, 2], [[]], {"a": 1}, {"when": {"objective": 1}}, {"use": False}),
        *({"uniform": [0, 1]}, {"log_uniform": [1, 0]}, {"choice": [1, 2]}, {"choice": {"a": None}}),
        {"integer": [1, 2], "when": {"data.coarse": "two"}},
        {"same_as": "training.momentum"},
        {"complement_of": "objective"},
    ]
)


def _mutate(data: Any, place: tuple[Any, ...], how: str, value: Any) -> None:
    parent = data
    for key in place[:-1]:
        if not isinstance(parent, dict | list) or (isinstance(parent, dict) and key not in parent):
            return
        if isinstance(parent, list) and not (isinstance(key, int) and key < len(parent)):
            return
        parent = parent[key]
    last = place[-1]
    if isinstance(parent, list) and (not isinstance(last, int) or last >= len(parent)):
        return
    if not isinstance(parent, dict | list):
        return
    if how == "replace":
        parent[last] = value
    elif how == "delete" and (isinstance(parent, list) or last in parent):
        del parent[last]
    elif how == "rename" and isinstance(parent, dict):
        parent[f"{last}x"] = parent.pop(last, value)
    elif how == "add" and isinstance(parent, dict):
        parent["extra_key"] = value


def _read_or_refuse(text: str, *overrides: str) -> None:
    """Anything but a space or a well-formed refusal is a failure."""
    try:
        space = loads(text, name="f", overrides=overrides, catalogue=FakeCatalogue())
    except InvalidFile as error:
        message = str(error)
        assert error.exit_code == 2
        assert message.startswith("--set: " if error.file == "--set" else "f:") and message.isprintable()
    else:
        space.fill(lambda path, hole: hole.middle())
        assert len(space.identity()) == 64


Place = tuple[Any, ...]
CHANGES = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(["replace", "delete", "rename", "add"]), ODD),
    min_size=1,
    max_size=3,
)
DAMAGE = st.tuples(
    st.integers(0, len(FULL) - 1), st.integers(0, 12), st.text(alphabet="{}[]:,-#'\"\n\t&*! aué1.~\x00", max_size=6)
)
OVERRIDES = st.tuples(st.sampled_from(PLACES), st.text(alphabet="{}[]:,-abé1.~=\n", max_size=6), ODD)


def some(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check_mutation(changes: list[tuple[Place, str, Any]]) -> None:
    data = copy.deepcopy(VALID)
    for place, how, value in changes:
        _mutate(data, place, how, copy.deepcopy(value))
    _read_or_refuse(yaml.safe_dump(data, sort_keys=False))


def check_damage(damage: tuple[int, int, str]) -> None:
    start, length, text = damage
    _read_or_refuse(FULL[:start] + text + FULL[start + length :])


def check_override(odd: tuple[Place, str, Any]) -> None:
    place, tail, value = odd
    path = ".".join(str(key) for key in (place[1:] if place[0] == "trial" else place))
    for override in (f"{path}{tail}", f"{path}={yaml.safe_dump(value, default_flow_style=True)}"):
        _read_or_refuse(FULL, override)


@some(50)
@given(CHANGES)
def test_mutated_values(changes: list[tuple[Place, str, Any]]) -> None:
    check_mutation(changes)


@some(60)
@given(DAMAGE)
def test_damaged_text(damage: tuple[int, int, str]) -> None:
    check_damage(damage)


@some(25)
@given(OVERRIDES)
def test_odd_overrides(odd: tuple[Place, str, Any]) -> None:
    check_override(odd)


@pytest.mark.slow
@pytest.mark.timeout(300)
@some(1000)
@given(CHANGES)
def test_many_mutated_values(changes: list[tuple[Place, str, Any]]) -> None:
    check_mutation(changes)


@pytest.mark.slow
@pytest.mark.timeout(300)
@some(1000)
@given(DAMAGE)
def test_many_damaged_texts(damage: tuple[int, int, str]) -> None:
    check_damage(damage)


@pytest.mark.slow
@pytest.mark.timeout(300)
@some(500)
@given(OVERRIDES)
def test_many_odd_overrides(odd: tuple[Place, str, Any]) -> None:
    check_override(odd)
