"""Spaces: what a file gives, what a search is asked, and what stays the same when a file is written differently."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from raycon.config import Trial
from raycon.errors import InvalidFile
from raycon.space import Filled, Space, load, loads, trial_from, trial_to_plain
from raycon.space.canonical import differences
from raycon.space.holes import Condition, Hole
from tests.space.fake_catalogue import FakeCatalogue

FULL = """
trial:
  data:
    dataset: digits
    coarse: {choice: {none: null, two: {0: 0, 1: 1, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 0, 9: 0}}}
  augmentation: {scale: [{uniform: [0.5, 0.9]}, 1]}
  objective:
    supcon:
      weight: {complement_of: objective.spread.weight, when: {objective.spread.use: true}}
      temperature: {log_uniform: [0.05, 0.5]}
      denominator: {choice: [all, one_positive], when: {objective.spread.use: false}}
    spread:
      use: {choice: [true, false]}
      weight: {uniform: [0, 1]}
      power: {integer: [1, 4]}
      temperature: {same_as: objective.supcon.temperature}
    extra:
      choice:
        cold: {term: supcon, temperature: {uniform: [0.01, 0.1]}}
        sharp: {term: spread, power: {integer: [5, 9]}}
  networks:
    decoder: {width: {log_integer: [4, 64]}, when: {objective.extra: [sharp]}}
  training:
    optimiser: {choice: [sgd, adamw]}
    momentum: {uniform: [0.1, 0.9], when: {training.optimiser: sgd}}
  scores: [linear_probe]
sweep:
  maximize: validation/linear_probe/accuracy
  first: [{objective.spread.weight: 0.5, training.optimiser: adamw}]
"""
MINIMAL = "trial: {objective: {supcon: {temperature: {uniform: [0.1, 0.5]}}}}\n"
SWEEP = "sweep: {maximize: validation/linear_probe/accuracy}\n"


def space_of(text: str = FULL, *overrides: str) -> Space:
    return loads(text, overrides=overrides, catalogue=FakeCatalogue())


def draw(space: Space, seed: int) -> Filled:
    dice = random.Random(seed)

    def suggest(path: str, hole: Hole) -> Any:
        if hole.kind == "choice":
            return dice.choice(hole.options)
        low, high = hole.bounds()
        return dice.randint(int(low), int(high)) if "integer" in hole.kind else dice.uniform(low, high)

    return space.fill(suggest)


def test_holes_are_named_by_dotted_paths_and_know_their_conditions() -> None:
    holes = space_of().holes
    used = Condition("objective.spread.use", (True,))
    assert holes["objective.spread.weight"] == Hole("uniform", 0.0, 1.0, conditions=(used,))
    assert holes["objective.extra"].options == ("cold", "sharp")
    assert holes["objective.extra.power"].conditions == (Condition("objective.extra", ("sharp",)),)
    assert holes["augmentation.scale.0"].kind == "uniform"
    assert holes["training.momentum"].conditions == (Condition("training.optimiser", ("sgd",)),)
    order = list(holes)
    assert order.index("training.optimiser") < order.index("training.momentum")
    assert order.index("objective.spread.use") < order.index("objective.spread.weight")


def test_a_thousand_draws_hold_exactly_what_is_active() -> None:
    space = space_of()
    for seed in range(1000):
        values, trial = (filled := draw(space, seed)).values, filled.trial
        spread, sharp = values["objective.spread.use"], values["objective.extra"] == "sharp"
        active = {"data.coarse", "augmentation.scale.0", "objective.supcon.temperature", "objective.spread.use"}
        active |= {"objective.extra", "training.optimiser"}
        active |= {"objective.spread.weight", "objective.spread.power"} if spread else {"objective.supcon.denominator"}
        active |= {"objective.extra.power", "networks.decoder.width"} if sharp else {"objective.extra.temperature"}
        active |= {"training.momentum"} if values["training.optimiser"] == "sgd" else set()
        assert set(values) == active
        assert ("spread" in trial.objective) == spread
        assert ("decoder" in trial.networks) == sharp
        assert trial.objective["extra"]["term"] == ("spread" if sharp else "supcon")
        if not spread:
            assert trial.objective["supcon"]["weight"] == 1.0
        else:
            assert trial.objective["supcon"]["weight"] == 1 - float(values["objective.spread.weight"] or 0)
            assert trial.objective["spread"]["temperature"] == values["objective.supcon.temperature"]
            assert trial.objective["supcon"]["denominator"] == "all"
        if "training.momentum" not in values:
            assert trial.training.momentum == 0.9
        assert not ({"use", "when"} & {key for entry in trial.objective.values() for key in entry})


def test_stored_values_give_the_same_trial() -> None:
    space = space_of()
    for seed in range(50):
        filled = draw(space, seed)
        assert space.trial(json.loads(json.dumps(filled.values))) == filled.trial


def test_stored_values_must_be_those_that_are_asked() -> None:
    space = space_of()
    values = space.complete({"training.optimiser": "adamw"})
    with pytest.raises(InvalidFile, match=r"training\.momentum: has a value, but is not asked"):
        space.trial({**values, "training.momentum": 0.5})
    with pytest.raises(InvalidFile, match=r"is no hole .*did you mean 'training.momentum'"):
        space.trial({**values, "training.momentun": 0.5})
    del values["objective.supcon.temperature"]
    with pytest.raises(InvalidFile, match=r"objective\.supcon\.temperature: has no value"):
        space.trial(values)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("objective.supcon.temperature", 0.6, r"should lie in \[0.05, 0.5\]"),
        ("objective.supcon.temperature", math.nan, "should lie in"),
        ("objective.supcon.temperature", True, "should be a number, not true"),
        ("objective.spread.power", 2.5, "should be a whole number"),
        ("training.optimiser", "adam", "did you mean 'adamw'"),
        ("objective.spread.use", 1, "should be one of true, false"),
    ],
)
def test_suggestions_outside_a_hole_are_refused(path: str, value: Any, words: str) -> None:
    space = space_of()
    with pytest.raises(InvalidFile, match=words):
        space.fill(lambda p, hole: value if p == path else hole.middle())


def test_corners_cover_every_end_and_option() -> None:
    space = space_of()
    seen = {(path, value) for corner in space.corners() for path, value in corner.values.items()}
    for path, hole in space.holes.items():
        for end in hole.extremes():
            assert (path, end) in seen
    assert all(isinstance(corner.trial, Trial) for corner in space.corners())


def test_corners_of_many_choices_stay_few_and_complete() -> None:
    knobs = "\n".join(
        f"    t{i}: {{term: supcon, use: {{choice: [true, false]}}, weight: {{uniform: [0, 1]}}}}" for i in range(12)
    )
    space = space_of(f"trial:\n  objective:\n    supcon: {{}}\n{knobs}\n{SWEEP}")
    assert len(space.corners()) < 150
    seen = {(path, value) for corner in space.corners() for path, value in corner.values.items()}
    assert all((path, end) in seen for path, hole in space.holes.items() for end in hole.extremes())


def test_a_combination_of_choices_without_any_term_is_refused() -> None:
    entries = "supcon: {use: {choice: [true, false]}}, spread: {use: {choice: [true, false]}}"
    with pytest.raises(InvalidFile, match=r"objective: needs at least one term \(with .*spread.use = false"):
        space_of(f"trial: {{objective: {{{entries}}}}}\n{SWEEP}")


def test_a_real_hole_on_a_whole_knob_is_refused_when_read() -> None:
    with pytest.raises(InvalidFile, match=r"objective\.spread\.power: should be a whole number"):
        space_of("trial: {objective: {spread: {power: {uniform: [1, 4]}}}}\n" + SWEEP)
    with pytest.raises(InvalidFile, match=r"training\.epochs: should be a whole number, not 1\.0"):
        space_of("trial: {objective: {spread: {}}, training: {epochs: {uniform: [1, 4]}}}\n" + SWEEP)


def test_the_catalogue_checks_every_corner_and_first_configuration() -> None:
    catalogue = FakeCatalogue()
    space = loads(FULL, catalogue=catalogue)
    assert len(catalogue.checked) == len(space.corners()) + len(space.first)


def test_first_configurations_are_completed_with_the_middle() -> None:
    space = space_of()
    (first,) = space.first
    assert first["objective.spread.weight"] == 0.5
    assert first["objective.supcon.temperature"] == pytest.approx(math.sqrt(0.05 * 0.5))
    assert first["objective.spread.power"] == 2 and first["objective.extra"] == "cold"
    assert "training.momentum" not in first
    assert space.sweep.first == (first,)
    assert space.trial(first).training.optimiser == "adamw"


def test_two_options_may_share_a_hole() -> None:
    text = """
trial:
  objective:
    x:
      choice:
        a: {term: supcon, temperature: {uniform: [0.1, 0.2]}}
        b: {term: spread, temperature: {uniform: [0.1, 0.2]}}
        c: {term: spread}
"""
    space = space_of(text + SWEEP)
    assert space.holes["objective.x.temperature"].conditions == (Condition("objective.x", ("a", "b")),)
    with pytest.raises(InvalidFile, match="two options have different holes here"):
        space_of(
            text.replace("spread, temperature: {uniform: [0.1, 0.2]}", "spread, temperature: {uniform: [0, 1]}") + SWEEP
        )


def test_references_chain() -> None:
    text = """
trial:
  objective:
    a: {term: supcon, weight: {same_as: objective.b.weight}}
    b: {term: supcon, weight: {complement_of: objective.c.weight}}
    c: {term: spread, weight: {uniform: [0, 1]}}
"""
    filled = space_of(text + SWEEP).fill(lambda path, hole: 0.25)
    assert [entry["weight"] for entry in filled.trial.objective.values()] == [0.75, 0.75, 0.25]


def test_a_whole_section_may_be_a_choice() -> None:
    text = """
trial:
  objective:
    choice:
      plain: {supcon: {}}
      both: {supcon: {weight: {complement_of: objective.spread.weight}}, spread: {weight: {uniform: [0, 1]}}}
"""
    space = space_of(text + SWEEP)
    assert space.trial({"objective": "plain"}).objective.keys() == {"supcon"}
    assert space.trial({"objective": "both", "objective.spread.weight": 0.3}).objective["supcon"]["weight"] == 0.7


def test_trials_round_trip_through_json() -> None:
    space = space_of()
    for seed in range(100):
        trial = draw(space, seed).trial
        plain = json.loads(json.dumps(trial_to_plain(trial), allow_nan=False))
        assert plain == trial_to_plain(trial)
        assert trial_from(plain, FakeCatalogue()) == trial
    two = space.trial(space.complete({"data.coarse": "two"}))
    coarse = {k: int(k == 1) for k in range(10)}
    assert two.data.coarse == coarse
    assert trial_to_plain(two)["data"]["coarse"] == {str(k): v for k, v in coarse.items()}


def test_trial_from_refuses_holes_and_what_no_file_holds() -> None:
    with pytest.raises(InvalidFile, match=r"training\.epochs: is a hole"):
        trial_from({"objective": {"supcon": {}}, "training": {"epochs": {"integer": [1, 2]}}}, FakeCatalogue())
    with pytest.raises(InvalidFile, match="holds what no file can"):
        trial_from({"objective": {"supcon": {"temperature": object()}}}, FakeCatalogue())
    with pytest.raises(InvalidFile, match=r"training\.epochs: should be a whole number, not text '3'"):
        trial_from({"objective": {"supcon": {}}, "training": {"epochs": "3"}}, FakeCatalogue())


def test_identity_ignores_layout_and_what_does_not_change_the_search() -> None:
    space = space_of()
    reordered = json.dumps(dict(reversed(json.loads(json.dumps(_plain_file())).items())))
    for same in (
        space_of(FULL.replace("{uniform: [0, 1]}", "{uniform: [0.0, 1]}")),
        space_of(FULL, "sweep.trials=99", "sweep.workers=2", "sweep.retries=0"),
        space_of(FULL, "repeat.seeds=[7]"),
        space_of(FULL, "training.epochs=10"),
        space_of(FULL, "objective.supcon.temperature={log_uniform: [5e-2, 0.5]}"),
        space_of(reordered),
    ):
        assert differences(space.canonical(), same.canonical()) == []
        assert same.identity() == space.identity()
    assert len(space.identity()) == 64


def _plain_file() -> dict[str, Any]:
    from raycon.space.strict_yaml import parse

    data = parse(FULL, integer_keys=("coarse",)).data
    data["trial"]["data"]["coarse"]["choice"]["two"] = {str(k): int(k == 1) for k in range(10)}
    data["trial"]["objective"] = dict(reversed(data["trial"]["objective"].items()))
    return dict(data)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("sweep.seed=1", "sweep.seed: 0 -> 1"),
        ("sweep.lag=0", "sweep.lag: 3 -> 0"),
        ("training.epochs=11", "training.epochs: 10 -> 11"),
        ("objective.spread.weight={uniform: [0, 2]}", None),
        ("name=other", 'name: "space" -> "other"'),
        (
            "objective.supcon.temperature={uniform: [0.05, 0.5]}",
            'objective.supcon.temperature: {"log_uniform": [0.05, 0.5]} -> {"uniform": [0.05, 0.5]}',
        ),
    ],
)
def test_identity_sees_what_changes_the_search(override: str, line: str | None) -> None:
    space = space_of()
    if line is None:
        with pytest.raises(InvalidFile, match="needs a number from 0 to 1"):
            space_of(FULL, override)
        return
    other = space_of(FULL, override)
    assert other.identity() != space.identity()
    assert differences(space.canonical(), other.canonical()) == [line]


def test_canonical_is_json_with_every_default() -> None:
    canonical = space_of().canonical()
    assert json.loads(json.dumps(canonical, allow_nan=False)) == canonical
    assert canonical["trial"]["training"]["batch_size"] == 256
    assert canonical["trial"]["objective"]["spread"]["use"] == {"choice": [True, False]}
    assert canonical["trial"]["objective"]["supcon"]["term"] == "supcon"
    assert canonical["trial"]["objective"]["extra"]["choice"]["sharp"]["temperature"] == 0.2
    assert canonical["trial"]["networks"]["decoder"]["when"] == {"objective.extra": ["sharp"]}


def test_the_name_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "thanos.yaml"
    path.write_text(MINIMAL + SWEEP)
    space = load(path, catalogue=FakeCatalogue())
    assert (space.name, space.source) == ("thanos", path)
    path.rename(tmp_path / "My File.yaml")
    with pytest.raises(InvalidFile, match="name: should be 1 to 64 of a-z"):
        load(tmp_path / "My File.yaml", catalogue=FakeCatalogue())


def test_a_file_without_holes_is_one_trial() -> None:
    space = space_of("trial: {objective: {supcon: }}")
    assert space.holes == {} and len(space.corners()) == 1
    assert space.trial({}).objective == {
        "supcon": {"term": "supcon", "weight": 1.0, "temperature": 0.1, "denominator": "all"}
    }
