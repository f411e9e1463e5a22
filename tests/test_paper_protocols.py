"""The protocols at their papers' own scale: complete, valid at every corner, planned, and said not to have been run."""

from __future__ import annotations

from pathlib import Path

import pytest

import raycon
from raycon.methods import METHODS
from raycon.objective import explain
from raycon.planning import make_plan
from raycon.space import first_trial

FOLDER = Path(raycon.__file__).parents[1] / "search_spaces" / "paper"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_there_are_protocols() -> None:
    assert len(FILES) >= 15
    names = {path.stem for path in FILES}
    assert {"supcon_cifar10", "thanos_cifar10", "epsilon_cifar10", "epsilon_biased_mnist"} <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_protocol_says_what_it_is(path: Path) -> None:
    lines = path.read_text().splitlines()
    header = " ".join(line.removeprefix("# ") for line in lines if line.startswith("#"))
    assert lines[0] == "# yaml-language-server: $schema=../schema.json"
    assert "Not run; for GPU clusters" in lines[1]
    assert "arXiv" in header and "Not expressible" in header
    assert any(path.stem.startswith(method.name.split("_supinfonce")[0]) for method in METHODS.values())


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_protocol_can_be_explained_and_planned(path: Path) -> None:
    space = raycon.load(path)
    assert explain(first_trial(space))
    lines = make_plan(space).lines(4, None)
    assert space.name in lines[0] and space.name.startswith("paper-")
    assert space.sweep.first and space.repeat.against
    assert first_trial(space).training.epochs >= 20
