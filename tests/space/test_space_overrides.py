"""`--set path=value`."""

from __future__ import annotations

import pytest

from raycon.errors import InvalidFile
from tests.space.test_space import FULL, space_of


def test_a_hole_becomes_a_value_and_a_value_a_hole() -> None:
    space = space_of(FULL, "objective.supcon.temperature=1e-1", "training.learning_rate={log_uniform: [1e-4, 1e-2]}")
    assert "objective.supcon.temperature" not in space.holes
    assert space.holes["training.learning_rate"].bounds() == (1e-4, 1e-2)
    assert space.corners()[0].trial.objective["supcon"]["temperature"] == 0.1


def test_a_term_is_taken_out() -> None:
    space = space_of(FULL, "objective.spread.use=false")
    assert not any(path.startswith("objective.spread") for path in space.holes)
    assert all("spread" not in corner.trial.objective for corner in space.corners())
    assert space.first and "objective.spread.weight" not in space.first[0]
    # What asked for the term's absence is now always asked.
    assert all("objective.supcon.denominator" in corner.values for corner in space.corners())


def test_a_named_option_is_chosen_for_good() -> None:
    space = space_of(FULL, "objective.extra=sharp", "data.coarse=two")
    assert "objective.extra" not in space.holes and "data.coarse" not in space.holes
    trial = space.corners()[0].trial
    assert trial.data.coarse == {k: int(k == 1) for k in range(10)} and "decoder" in trial.networks
    assert trial.objective["extra"]["term"] == "spread"
    assert "decoder" not in space_of(FULL, "objective.extra=cold").corners()[0].trial.networks


def test_a_choice_that_others_look_at_is_fixed() -> None:
    assert "training.momentum" in space_of(FULL, "training.optimiser=sgd").holes
    assert "training.momentum" not in space_of(FULL, "training.optimiser=adamw").complete({})


def test_sections_and_list_items() -> None:
    space = space_of(FULL, "sweep.trials=3", "repeat.seeds=[7, 8]", "augmentation.scale.0=0.6", "name=other")
    assert (space.sweep.trials, space.repeat.seeds, space.name) == (3, (7, 8), "other")
    assert space.corners()[0].trial.augmentation.scale == (0.6, 1.0)


def test_a_missing_part_is_made() -> None:
    space = space_of(FULL, "data.bias.rate=0.5", "networks.decoder={}", "objective.new={term: supcon}")
    trial = space.corners()[0].trial
    assert trial.data.bias is not None and trial.data.bias.rate == 0.5
    assert trial.objective["new"]["term"] == "supcon"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epochs", "--set: needs path=value"),
        ("=3", "--set: needs path=value"),
        ("training.epoch=3", "--set: training.epoch: there is no such path (did you mean 'training.epochs'?)"),
        ("trial.training.epochs=3", "did you mean training.epochs?"),
        ("objective.supcom.weight=1", "--set: objective.supcom.weight: this file has no objective.supcom"),
        (
            "objective.supcon.temperatur=1",
            "--set: objective.supcon.temperatur: unknown knob (did you mean 'temperature'?)",
        ),
        ("objective.supcon.temperature=0", "--set: objective.supcon.temperature: should be greater than 0"),
        ("objective.supcon.temperature=[1", "--set: objective.supcon.temperature: is not YAML"),
        ("training.epochs=1.5", "--set: training.epochs: should be a whole number, not 1.5"),
        ("training.compile=on", "--set: training.compile: should be true or false, not text 'on' (did you mean true?)"),
        ("training.epochs.x=1", "there is no such path"),
        ("objective.extra.power=1", "objective.extra is a hole; set it as a whole"),
        ("objective.extra=shrap", "should be one of cold, sharp, not 'shrap' (did you mean 'sharp'?)"),
        ("augmentation.scale.7=1", "the list has 2 items"),
        ("sweep.trails=3", "did you mean 'sweep.trials'?"),
        ("..=3", "a path is names with dots"),
        ("name=A", "--set: name: should be 1 to 64"),
        ("repeat.seeds=[42]", "--set: repeat.seeds.0: 42 is seeds."),
        ("objective.supcon.weight={complement_of: objective.spread.weight}", "there is no such value"),
    ],
)
def test_refused_overrides_name_themselves(override: str, words: str) -> None:
    text = FULL.replace("  training:", "  seeds: {split: 42}\n  training:")
    with pytest.raises(InvalidFile) as caught:
        space_of(text, override)
    assert str(caught.value).startswith("--set: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_break_in_an_override_does_not_break_the_message() -> None:
    with pytest.raises(InvalidFile) as refused:
        space_of(FULL, "objective.supcon\n.1=")
    assert str(refused.value).startswith("--set: ")
    assert str(refused.value).isprintable()
