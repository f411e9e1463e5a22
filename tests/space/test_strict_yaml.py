"""Strict YAML: the traps are closed, lines are kept, and whatever is wrong gets one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raycon.errors import InvalidFile
from raycon.space.strict_yaml import BIGGEST_FILE, parse, parse_value, read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-.5", -0.5),
        ("2.", 2.0),
        ("+3", 3),
        ("010", 10),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("2024-01-02", "2024-01-02"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("0x1F", "0x1F"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("null", None),
        ("~", None),
        ("[1, a, 2.5]", [1, "a", 2.5]),
        ("{a: [], b: {}}", {"a": [], "b": {}}),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    found = parse_value(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "b.c: stands twice (first on line 3)"),
        ("a: &x [1]\nb: *x\n", 1, "anchors and aliases"),
        ("a: 1\nb:\n  <<: {c: 1}\n", 3, "merge keys"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "tags are not allowed"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a:\n\t- 1\n", 2, "a tab"),
        ("a: .nan\n", 1, "should be a finite number"),
        ("a: -.inf\n", 1, "should be a finite number"),
        ("a: 1e999\n", 1, "too large"),
        ("a: 12345678901234567890\n", 1, "digits"),
        ("true: 1\n", 1, "a key should be text, not true"),
        ("a: 1\n2: 1\n", 2, "a key should be text, not 2"),
        ("? [a]\n: 1\n", 1, "a key should be text"),
        ("~: 1\n", 1, "a key should be text"),
        ("a: 1\nb: [1,\nc: 2\n", 2, "opened here is never closed"),
        ("a: 1\nb: 'x\nc: 2\n", 2, "opened here is never closed"),
        ("a: b: c\n", 1, "':' where no key can stand"),
        ("a: 1\nb: \x00\n", 2, "control character"),
        ('a: "\\ud800"\n', 1, "surrogate"),
    ],
)
def test_refusals_have_line_and_reason(text: str, line: int, words: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        parse(text, file="f.yaml")
    assert str(caught.value).startswith(f"f.yaml:{line}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "\n\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    with pytest.raises(InvalidFile, match=r"f\.yaml: is empty"):
        parse(text, file="f.yaml")


def test_bytes_must_be_utf8() -> None:
    with pytest.raises(InvalidFile, match=r"f:2: is not UTF-8"):
        parse(b"a: 1\nb: \xff\n", file="f")
    assert parse("\ufeffa: ü\n".encode()).data == {"a": "ü"}


def test_a_large_file_is_refused_unparsed() -> None:
    with pytest.raises(InvalidFile, match="larger than 1 MB"):
        parse("a" * (BIGGEST_FILE + 1))


def test_bombs_are_refused_early() -> None:
    with pytest.raises(InvalidFile, match="levels deep"):
        parse("[" * 5000)
    with pytest.raises(InvalidFile, match="more than 20000 values"):
        parse("[" + "1," * 60_000 + "1]")


def test_whole_number_keys_only_below_the_named_key() -> None:
    text = "coarse: {choice: {two: {0: 0, 1: 1}}}\n"
    assert parse(text, integer_keys=("coarse",)).data == {"coarse": {"choice": {"two": {0: 0, 1: 1}}}}
    with pytest.raises(InvalidFile, match="not 0"):
        parse(text)


def test_every_value_has_its_line() -> None:
    document = parse("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n")
    assert document.line(("a", "b")) == 2
    assert document.line(("a", "c", 1, "y")) == 5
    assert document.line(("a", "c", 0, "missing")) == 4


def test_a_missing_file_names_a_near_one(tmp_path: Path) -> None:
    (tmp_path / "thanos.yaml").write_text("a: 1")
    with pytest.raises(InvalidFile, match=r"did you mean 'thanos\.yaml'"):
        read(tmp_path / "thanso.yaml")
    with pytest.raises(InvalidFile, match="cannot be read: is a directory"):
        read(tmp_path)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{},&*!|>'\"#%@` \n\t\\?1.e~<\x00\ud800é"), max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse(text, file="f")
    except InvalidFile as error:
        assert str(error).startswith("f")
        assert "\n" not in str(error)
