"""The JSON Schema of a search-space file, for completion and checks in editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raycon.config import Ablation, Repeat, Sweep, Trial
from raycon.space.schema import json_schema_of

HOLE = {"$ref": "#/$defs/Hole"}
REFERENCE = {"$ref": "#/$defs/Reference"}
PARTS = ("Trial", "Data", "Folder", "Bias", "LongTail", "Augmentation", "Encoder", "Training")
"""The dataclasses in which any value may be a hole or a reference."""


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of a file: holes and references may stand for any value of the trial, terms are
    free-form but for their reserved words, which only the catalogue could complete."""
    definitions: dict[str, Any] = {}
    sections = {}
    for name, shape in (("trial", Trial), ("sweep", Sweep), ("repeat", Repeat), ("ablation", Ablation)):
        schema = json_schema_of(shape)
        definitions |= schema.pop("$defs", {})
        definitions[shape.__name__] = schema
        sections[name] = {"$ref": f"#/$defs/{shape.__name__}"}
    for part in PARTS:
        _open(definitions[part])
    definitions |= {"Hole": _hole(), "Reference": _reference(), "When": _when(), "Entry": _entry()}
    trial, sweep = definitions["Trial"]["properties"], definitions["Sweep"]["properties"]
    for name in ("objective", "transforms", "networks"):
        entries = {
            "type": "object",
            "additionalProperties": {"anyOf": [{"$ref": "#/$defs/Entry"}, {"type": "null"}, HOLE]},
        }
        trial[name] = {"anyOf": [HOLE, entries]}
    names = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
    trial["scores"] = {"anyOf": [names, {"type": "object", "additionalProperties": {"type": ["object", "null"]}}]}
    for side in ("maximize", "minimize"):
        sweep[side] = {"anyOf": [{"type": "string"}, sweep[side]]}
    pattern = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "raycon search space",
        "type": "object",
        "properties": {"name": pattern, **sections},
        "required": ["trial"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def write_json_schema(path: str | Path) -> Path:
    """Writes the schema and returns where. The folder is made where it is missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
    return path


def _open(definition: dict[str, Any]) -> None:
    """Lets every value of a dataclass be a hole or a reference, the items of its lists too. Holes come first: a map
    with keys of its own choosing would take one for a wrong map."""
    for name, schema in definition["properties"].items():
        default = {key: schema.pop(key) for key in ("default", "title", "description") if key in schema}
        _open_items(schema)
        definition["properties"][name] = {"anyOf": [HOLE, REFERENCE, schema], **default}


def _open_items(schema: dict[str, Any]) -> None:
    if "prefixItems" in schema:
        schema["prefixItems"] = [{"anyOf": [HOLE, REFERENCE, item]} for item in schema["prefixItems"]]
    elif isinstance(schema.get("items"), dict):
        schema["items"] = {"anyOf": [HOLE, REFERENCE, schema["items"]]}


def _hole() -> dict[str, Any]:
    def one(kind: str, content: dict[str, Any]) -> dict[str, Any]:
        properties = {kind: content, "when": {"$ref": "#/$defs/When"}}
        return {"type": "object", "properties": properties, "required": [kind], "additionalProperties": False}

    def pair(kind: str) -> dict[str, Any]:
        return {"type": "array", "items": {"type": kind}, "minItems": 2, "maxItems": 2}

    scalar = {"type": ["string", "number", "boolean", "null"]}
    listed = {"type": "array", "items": scalar, "minItems": 1, "uniqueItems": True}
    named = {"type": "object", "minProperties": 1}
    return {
        "description": "A value that a search chooses.",
        "oneOf": [
            one("uniform", pair("number")),
            one("log_uniform", pair("number")),
            one("integer", pair("integer")),
            one("log_integer", pair("integer")),
            one("choice", {"anyOf": [listed, named]}),
        ],
    }


def _reference() -> dict[str, Any]:
    def one(kind: str) -> dict[str, Any]:
        properties = {kind: {"type": "string"}, "when": {"$ref": "#/$defs/When"}}
        return {"type": "object", "properties": properties, "required": [kind], "additionalProperties": False}

    return {"description": "Another value, or 1 minus it.", "oneOf": [one("same_as"), one("complement_of")]}


def _when() -> dict[str, Any]:
    return {"description": "Choices under which it is there.", "type": "object", "minProperties": 1}


def _entry() -> dict[str, Any]:
    weight = {"type": "number", "minimum": 0, "default": 1.0}
    return {
        "description": "A term, transform or network: reserved words, and knobs.",
        "type": "object",
        "properties": {
            "term": {"anyOf": [{"type": "string"}, HOLE]},
            "weight": {"anyOf": [HOLE, REFERENCE, weight]},
            "inputs": {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, HOLE, REFERENCE]}},
            "use": {"anyOf": [{"type": "boolean"}, HOLE]},
            "when": {"$ref": "#/$defs/When"},
        },
    }
