"""What overrides may touch, and what a near miss is answered with."""

from __future__ import annotations

import pytest

from raycon.errors import InvalidFile
from raycon.losses import supcon
from raycon.scores import PROTOCOLS
from raycon.searching import sweep
from raycon.signatures import check_knobs
from raycon.space import loads
from raycon.space.completion import SCORED
from tests.space.test_space import MINIMAL, SWEEP, space_of

COARSE = "data.coarse={0: 0, 1: 0, 2: 0, 3: 0, 4: 0, 5: 1, 6: 1, 7: 1, 8: 1, 9: 1}"


def refused(text: str, *overrides: str) -> str:
    with pytest.raises(InvalidFile) as caught:
        space_of(text, *overrides)
    return str(caught.value)


def with_encoder(encoder: str) -> str:
    return f"trial:\n  objective: {{supcon: {{}}}}\n  encoder: {encoder}\n{SWEEP}"


def test_the_default_seeds_of_a_repetition_bind_no_file_without_one() -> None:
    assert space_of(MINIMAL + SWEEP, "seeds.init=3").corners()[0].trial.seeds.init == 3
    assert "3 is seeds.init" in refused(MINIMAL + SWEEP + "repeat: {}", "seeds.init=3")


SWITCHED = """
trial:
  objective:
    supcon: {}
    moments: {term: supcon, use: {choice: [true, false]}}
    other:
      term: spread
      when: {objective.moments.use: false}
      use: {choice: [true, false]}
      weight: {uniform: [0, 1]}
sweep:
  maximize: validation/linear_probe/accuracy
  first: [{objective.moments.use: false, objective.other.use: false}]
repeat:
  against: {plain: {objective.moments.use: false, objective.other.use: true, objective.other.weight: 0.5}}
"""


def test_holes_that_an_override_switches_off_may_still_be_named() -> None:
    space = space_of(SWITCHED, "objective.moments.use=true")
    assert not space.holes and space.first == [{}]
    assert "is no hole" in refused(
        SWITCHED.replace("other.use: false}]", "othr.use: false}]"), "objective.moments.use=true"
    )


def test_known_scores_are_those_of_the_catalogue() -> None:
    assert set(SCORED) == set(PROTOCOLS)


def test_a_misspelt_score_is_blamed_where_it_stands() -> None:
    text = "trial:\n  objective: {supcon: {}}\n  scores: [nearest_neighbour]\n"
    message = refused(text + "sweep: {maximize: validation/nearest_neighbours/accuracy}")
    assert message.startswith("space:3: scores.nearest_neighbour: unknown protocol 'nearest_neighbour'")
    assert "(did you mean 'nearest_neighbours'?)" in message


def test_overrides_follow_the_rules_of_a_file() -> None:
    space = space_of(MINIMAL + SWEEP, "scores=[linear_probe, geometry]", "scores.geometry={}", COARSE)
    trial = space.corners()[0].trial
    assert list(trial.scores) == ["linear_probe", "geometry"]
    assert trial.data.coarse == {label: label // 5 for label in range(10)}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scores=[3]", "--set: scores: should be the name of a score, not 3"),
        ("scores=[linear_prob]", "--set: scores.linear_prob: unknown protocol"),
        ("data.coarse={0: 0, 1: 1}", "--set: data.coarse: no coarse class for class 2, 3"),
        ("augmentation.scale={x: 1}", "--set: augmentation.scale: should be a list"),
        ("data.bias.rate=2", "--set: data.bias.rate: should be at most 1, not 2"),
        ("data.reveal=[bias_labels]", "--set: data.reveal: bias_labels are the colours of data.bias"),
        ("sweep.trials=0", "--set: sweep.trials: should be at least 1"),
        ("training.learning_rte=1", "--set: training.learning_rte: there is no such path"),
        ("sweep.stop_early.after=50", "--set: sweep.stop_early: goes by validation scores"),
    ],
)
def test_wrong_overrides_are_blamed_on_the_option(override: str, message: str) -> None:
    assert refused(MINIMAL + SWEEP, override).startswith(message)


def test_a_sweep_runs_all_that_it_begins_with() -> None:
    first = "first: [{objective.supcon.temperature: 0.2}, {objective.supcon.temperature: 0.3}]"
    text = MINIMAL + f"sweep:\n  maximize: validation/linear_probe/accuracy\n  {first}\n  trials: "
    assert space_of(text + "2").sweep.trials == 2
    assert refused(text + "1").startswith("space:5: sweep.trials: 1 is less than the 2 configurations of sweep.first")
    # Of a call with fewer trials the option is to blame, and nothing has been started.
    with pytest.raises(InvalidFile, match=r"^--trials: 1 is less than the 2 configurations of sweep.first"):
        sweep(space_of(text + "2"), trials=1)


@pytest.mark.parametrize("knob", ["width: 8", "depth: 3"])
def test_what_an_encoder_has_no_use_for_is_refused_where_it_is_written(knob: str) -> None:
    name = knob.split(":")[0]
    message = refused(with_encoder(f"{{name: resnet18, {knob}}}"))
    assert message.startswith(f"space:3: encoder.{name}: resnet18 has no {name}, only convnet has")
    with pytest.raises(InvalidFile, match=r"encoder\.name: unknown encoder 'convnt'"):
        loads(with_encoder(f"{{name: convnt, {knob}}}"))
    assert space_of(with_encoder("{name: resnet18}")).corners()
    assert space_of(with_encoder(f"{{{knob}}}")).corners()


def test_a_searched_encoder_keeps_the_knobs_of_one_under_when() -> None:
    searched = "{name: {choice: [convnet, resnet18]}, width: {integer: [4, 8]WHEN}}"
    assert "(with encoder.name = resnet18)" in refused(with_encoder(searched.replace("WHEN", "")))
    space = space_of(with_encoder(searched.replace("WHEN", ", when: {encoder.name: convnet}")))
    assert "encoder.width" in space.holes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("  training: {learning_rate: {unifrom: [0, 1]}}", "not a mapping (did you mean 'uniform'?)"),
        ("  training: {optimiser: {choise: [sgd, adamw]}}", "not a mapping (did you mean 'choice'?)"),
        ("  training: {warmup: {same_os: training.momentum}}", "not a mapping (did you mean 'same_as'?)"),
        ("  objective: {supcon: {weight: {unifrom: [0, 1]}}}", "not a mapping (did you mean 'uniform'?)"),
        ("  objective: {supcon: {temperature: {log_unifrom: [0.1, 1]}}}", "(did you mean 'log_uniform'?)"),
        ("  training: {epochs: 1_0}", "not text '1_0' (write it as a plain whole number, with digits alone)"),
        ("  training: {epochs: 0x10}", "not text '0x10' (write it as a plain whole number, with digits alone)"),
        ("  training: {learning_rate: 1_0.5}", "(write it as a plain number, with digits alone)"),
        ("  training: {epochs: '10'}", "not text '10' (without the quotes)"),
        ("  training: {epochs: inf}", "should be a whole number, not text 'inf'"),
    ],
)
def test_near_misses_are_answered_with_what_was_meant(text: str, words: str) -> None:
    objective = "" if "objective" in text else "  objective: {supcon: {}}\n"
    assert refused(f"trial:\n{objective}{text}\n").endswith(words)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (True, "should be a number, not true"),
        (0, "should be greater than 0, not 0"),
        ("0.1", "should be a number, not text '0.1' (without the quotes)"),
        (None, "should be a number, not nothing"),
    ],
)
def test_knobs_are_refused_in_the_words_of_the_file(value: object, reason: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        check_knobs(supcon, {"temperature": value})
    assert (caught.value.field, caught.value.reason) == ("temperature", reason)


def test_the_data_are_checked_without_the_catalogue_of_terms() -> None:
    """The catalogue loads torch; the fake one does not look at labels, so only the quick checks can refuse them."""
    assert refused(MINIMAL + SWEEP, "data.labels=clas").startswith("--set: data.labels: no attribute 'clas'")
