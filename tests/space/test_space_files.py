"""The shipped search spaces, checked against the real catalogue."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from raycon.errors import InvalidFile
from raycon.space import load, loads, trial_from, trial_to_plain
from raycon.space.holes import Hole

FILES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_files_are_valid_and_their_trials_survive_json(path: Path) -> None:
    space = load(path)
    assert space.holes and space.first
    dice = random.Random(0)

    def suggest(name: str, hole: Hole) -> Any:
        return dice.choice(hole.options) if hole.kind == "choice" else hole.inner(dice.random())

    for _ in range(10):
        filled = space.fill(suggest)
        assert trial_from(json.loads(json.dumps(trial_to_plain(filled.trial)))) == filled.trial
        assert space.trial(filled.values) == filled.trial
    again = load(path, overrides=["sweep.trials=1000"])
    assert again.identity() == space.identity()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("supcom: {}", "f:1: objective.supcom: unknown term 'supcom' (did you mean 'supcon'?)"),
        ("supcon: {temperatur: 1}", "f:1: objective.supcon.temperatur: unknown knob (did you mean 'temperature'?)"),
        ("fairkl: {}", "f:1: objective.fairkl: fairkl needs 'bias_labels'"),
        ("supcon: {temperature: 0}", "f:1: objective.supcon.temperature: should be greater than 0"),
        ("supcon: {temperature: '0.1'}", "f:1: objective.supcon.temperature: should be "),
    ],
)
def test_the_catalogues_refusals_have_a_place(objective: str, message: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        loads(f"trial: {{objective: {{{objective}}}}}", name="f")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
