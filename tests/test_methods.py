"""The list of methods holds what is shipped: every search space, every term by its name, a row of METHODS.md each."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import raycon
from raycon.cli import main
from raycon.errors import InvalidFile
from raycon.losses import TERMS
from raycon.methods import METHODS, Method, find_method, shipped_file

ROOT = Path(raycon.__file__).parents[1]

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)


def test_every_search_space_belongs_to_one_method() -> None:
    shipped = sorted(path.name for path in (ROOT / "search_spaces").glob("*.yaml"))
    assert sorted(name for method in METHODS.values() for name in method.files) == shipped


@every_method
def test_what_is_said_of_a_method_is_so(method: Method) -> None:
    assert METHODS[method.name] is method and method.name.isidentifier()
    assert method.idea.endswith(".") and "\n" not in method.idea
    assert re.search(r"arXiv \d{4}\.\d{5}", method.paper)
    text = shipped_file(method.files[0]).read_text()
    for number in re.findall(r"\d{4}\.\d{5}", method.paper):
        assert number in text or "our own" in method.paper, f"{number} is not in {method.files[0]}"
    assert set(method.terms) <= set(TERMS)
    assert any(term in text for term in method.terms)


@every_method
def test_every_method_has_a_row(method: Method) -> None:
    rows = [line for line in (ROOT / "METHODS.md").read_text().splitlines() if line.startswith("| ")]
    assert any(name in row for row in rows for name in method.files), method.files


def test_every_shipped_term_belongs_to_a_method() -> None:
    assert set(TERMS) == {term for method in METHODS.values() for term in method.terms}


def test_names_are_found_and_missed() -> None:
    assert find_method("number-of-negatives").name == "number_of_negatives"
    with pytest.raises(InvalidFile, match=r"unknown method 'tanos' \(did you mean 'thanos'\?\)"):
        find_method("tanos")


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["methods"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"{name}: " in shown for name in METHODS)
    with pytest.raises(SystemExit):
        main(["methods", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == list(METHODS)
    assert set(rows[0]) == {"name", "paper", "idea", "files", "terms"}


def test_the_list_loads_nothing_heavy() -> None:
    code = "import sys, raycon.methods; print([n for n in ('torch', 'ray', 'yaml', 'pydantic') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"
