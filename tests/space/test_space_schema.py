"""The JSON Schema takes what `load` takes, as far as a schema can tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from raycon.space import json_schema, write_json_schema
from tests.space.test_space import FULL

jsonschema = pytest.importorskip("jsonschema")
FILES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))


def errors(text: str) -> list[str]:
    data = json.loads(json.dumps(yaml.safe_load(text)))
    return [str(error.message) for error in jsonschema.Draft202012Validator(json_schema()).iter_errors(data)]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_it_takes_every_feature() -> None:
    assert errors(FULL) == []
    assert errors("trial: {objective: {choice: {a: {supcon: }, b: {spread: {}}}}, scores: {linear_probe: {}}}") == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_takes_the_shipped_files(path: Path) -> None:
    assert errors(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "sweep: {}",
        "trial: {}",
        "trial: {objective: {supcon: {weight: -1}}}",
        "trial: {objective: {supcon: 3}}",
        "trial: {objective: {supcon: {}}, training: {learning_rte: 1}}",
        "trial: {objective: {supcon: {}}, training: {epochs: 1.5}}",
        "trial: {objective: {supcon: {}}, training: {optimiser: adam}}",
        "trial: {objective: {supcon: {}}, training: {epochs: {uniform: [1]}}}",
        "trial: {objective: {supcon: {}}, training: {epochs: {same_as: 3}}}",
        "trial: {objective: {supcon: {}}}\nsweep: {trials: 0}",
        "trial: {objective: {supcon: {}}}\nname: A b",
        "trial: {objective: {supcon: {}}}\nswep: {}",
    ],
)
def test_it_refuses_what_an_editor_should_mark(text: str) -> None:
    assert errors(text)


def test_it_is_written_as_json(tmp_path: Path) -> None:
    path = write_json_schema(tmp_path / "new" / "schema.json")
    written: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert written == json_schema()


def test_the_shipped_schema_is_the_current_one() -> None:
    """`raycon schema > search_spaces/schema.json` brings it up to date."""
    shipped = json.loads((FILES[0].parent / "schema.json").read_text(encoding="utf-8"))
    assert shipped == json_schema()
