"""Every file that cannot be meant gets one line, `file:line: field: reason`, and none of them a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raycon.datasets import DATASETS
from raycon.errors import InvalidFile
from raycon.space import loads
from tests.space.fake_catalogue import FakeCatalogue
from tests.space.test_space import SWEEP

KNOWN_SETS = ", ".join([*DATASETS, "folder", "hugging_face"])
HEAD = "trial:\n  objective:\n    supcon:\n      weight: 1\n"


def refusal(text: str) -> str:
    with pytest.raises(InvalidFile) as caught:
        loads(text, name="f.yaml" if "name:" not in text else "f", catalogue=FakeCatalogue())
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in message
    return message


def trial(more: str) -> str:
    """A trial whose objective stands on lines 2 to 4, with more from line 5 on."""
    return HEAD + more


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3", "f.yaml:1: should be a mapping with 'trial', not 3"),
        ("a: 1", "f.yaml:1: a: is not a known section"),
        ("objective: {}", "f.yaml:1: objective: is not a known section (did you mean trial.objective?)"),
        ("swep: {}\ntrial: {}", "f.yaml:1: swep: is not a known section (did you mean 'sweep'?)"),
        ("sweep: {}", "f.yaml:1: trial: is missing"),
        ("trial: []", "f.yaml:1: trial: should be a mapping, not a list"),
        ("trial: {}", "f.yaml:1: objective: is missing"),
        ("trial: {objective: {}}", "f.yaml:1: objective: needs at least one term"),
        ("trial: {objective: []}", "f.yaml:1: objective: should be a mapping, not a list"),
        ("trial: {objective: {supcon: 3}}", "f.yaml:1: objective.supcon: should be a mapping of knobs, not 3"),
        ("trial: {objective: {a.b: {}}}", "f.yaml:1: objective.a.b: a name here is made of letters, digits and _"),
        (
            "trial:\n  objective: {supcon: {}}\n  training:\n    learning_rte: 1",
            "f.yaml:4: training.learning_rte: is not a known field (did you mean 'learning_rate'?)",
        ),
        (
            "trial:\n  objective: {supcon: {}}\n  epochs: 1",
            "f.yaml:3: epochs: is not a known field (did you mean training.epochs?)",
        ),
        (
            trial("  training: {learning_rate: '0.1'}"),
            "f.yaml:5: training.learning_rate: should be a number, not text '0.1' (without the quotes)",
        ),
        (trial("  training: {epochs: 1.5}"), "f.yaml:5: training.epochs: should be a whole number, not 1.5"),
        (trial("  training: {epochs: true}"), "f.yaml:5: training.epochs: should be a whole number, not true"),
        (trial("  training: {momentum: 2}"), "f.yaml:5: training.momentum: should be at most 1, not 2"),
        (trial("  training: {learning_rate: 0}"), "f.yaml:5: training.learning_rate: should be greater than 0, not 0"),
        (
            trial("  training: {compile: yes}"),
            "f.yaml:5: training.compile: should be true or false, not text 'yes' (did you mean true?)",
        ),
        (
            trial("  training: {optimiser: adam}"),
            "f.yaml:5: training.optimiser: should be sgd, adamw or lars, not text 'adam' (did you mean 'adamw'?)",
        ),
        (trial("  training:"), "f.yaml:5: training: should be a mapping, not nothing"),
        (trial("  data: {coarse: 5}"), "f.yaml:5: data.coarse: should be text or a mapping, not 5"),
        (
            trial("  data:\n    coarse:\n      0: 1\n      1: x"),
            "f.yaml:8: data.coarse.1: should be a whole number, not text 'x'",
        ),
        (trial("  data: {bias: {rat: 1}}"), "f.yaml:5: data.bias.rat: is not a known field (did you mean 'rate'?)"),
        (
            trial("  data: {dataset: digitz}"),
            f"f.yaml:5: data.dataset: no data set 'digitz' (did you mean 'digits'?); known: {KNOWN_SETS}",
        ),
        (trial("  encoder: {projection: 5}"), "f.yaml:5: encoder.projection: should be a list, not 5"),
        (trial("  augmentation: {scale: [1]}"), "f.yaml:5: augmentation.scale.1: is missing"),
        (trial("  augmentation: {scale: [1, 2, 3]}"), "f.yaml:5: augmentation.scale: should hold 2 values, not 3"),
        (trial("  augmentation: {scale: [1, 0.5]}"), "f.yaml:5: augmentation.scale: low (1.0) is above high (0.5)"),
        (
            trial("      temperatur: 1"),
            "f.yaml:5: objective.supcon.temperatur: unknown knob (did you mean 'temperature'?)",
        ),
        (trial("      term: supcom"), "f.yaml:3: objective.supcon: unknown term 'supcom' (did you mean 'supcon'?)"),
        (trial("      term: 3"), "f.yaml:5: objective.supcon.term: should be the name of a term, not 3"),
        (
            trial("      inputs: [labels]"),
            "f.yaml:5: objective.supcon.inputs: should map a parameter to the name of a tensor",
        ),
        (
            "trial: {objective: {supcon: {weight: -1}}}",
            "f.yaml:1: objective.supcon.weight: should be at least 0, not -1",
        ),
        (
            "trial: {objective: {supcon: {weight: a}}}",
            "f.yaml:1: objective.supcon.weight: should be a number, not text 'a'",
        ),
        (trial("  networks: {decoda: {}}"), "f.yaml:5: networks.decoda: unknown network 'decoda'"),
        (trial("  scores: [linear_probe, linear_probe]"), "f.yaml:5: scores.1: text 'linear_probe' stands twice"),
        (trial("  scores: [3]"), "f.yaml:5: scores.0: should be the name of a score, not 3"),
        (
            trial("  scores: [linear_prob]"),
            "f.yaml:5: scores.linear_prob: unknown protocol 'linear_prob' (did you mean 'linear_probe'?); known: "
            "linear_probe, nearest_neighbours, coarse_to_fine, groups, geometry, shots, few_shot, calibration, "
            "estimated_groups, subgroup_ranking, sgd_probe, corruptions, out_of_distribution, transfer, fine_tune",
        ),
        (
            trial("  seeds: {init: {choice: [1, 2]}}"),
            "f.yaml:5: seeds.init: seeds are repeated, not searched (see `repeat.seeds`)",
        ),
        (
            "name: Thanos\n" + HEAD,
            "f:1: name: should be 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit, not text 'Thanos'",
        ),
        ("trial: {choice: {a: {}}}", "f.yaml:1: the whole trial cannot be one hole; put it at the parts that differ"),
    ],
)
def test_wrong_values(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("hole", "words"),
    [
        ("{uniform: [2, 1]}", "uniform: low (2) is above high (1)"),
        ("{uniform: [1, 1.0]}", "uniform: low and high are both 1; write 1 itself"),
        ("{uniform: 3}", "uniform needs [low, high], not 3"),
        ("{uniform: [1, 2, 3]}", "uniform needs [low, high], not 3 values"),
        ("{uniform: [a, 2]}", "uniform needs two numbers, not text 'a'"),
        ("{uniform: [true, 2]}", "uniform needs two numbers, not true"),
        ("{integer: [1, 2.5]}", "integer needs whole numbers, not 2.5"),
        ("{log_uniform: [0, 1]}", "log_uniform: low should be greater than 0, not 0"),
        ("{log_integer: [-1, 1]}", "log_integer: low should be greater than 0, not -1"),
        ("{choice: []}", "choice needs at least one option"),
        ("{choice: {}}", "choice needs at least one option"),
        ("{choice: 3}", "choice needs a list or named options, not 3"),
        ("{choice: [1, 1.0]}", "choice has 1.0 twice"),
        ("{choice: [[1], [2]]}", "choice lists single values"),
        ("{choice: {a: {uniform: [0, 1]}}}", "an option is a value or a mapping"),
        ("{uniform: [0, 1], choice: [1]}", "has both 'uniform' and 'choice'"),
        ("{uniform: [0, 1], lower: 1}", "a 'uniform' has no 'lower' beside it"),
        ("{uniform: [-1, 1]}", "should be at least 0, not -1.0"),
        ("{choice: [1, a]}", "should be a number, not text 'a'"),
        ("{uniform: [0, 1], when: {}}", "when needs {path: value or list of values}, not nothing"),
        ("{uniform: [0, 1], when: 3}", "when needs {path: value or list of values}, not 3"),
        ("{uniform: [0, 1], when: {a: []}}", "when: a needs a value or a list of values"),
        ("{uniform: [0, 1], when: {training.epochs: 3}}", "when training.epochs: is no choice"),
        ("{uniform: [0, 1], when: {training.kind: a}}", "when training.kind: there is no such choice"),
        (
            "{uniform: [0, 1], when: {objective.supcom.use: true}}",
            "there is no such choice (did you mean 'objective.supcon.use'?)",
        ),
        ("{uniform: [0, 1], when: {objective.supcon.use: on}}", "should be among true, false, not text 'on'"),
        (
            "{uniform: [0, 1], when: {training.optimiser: adam}}",
            "should be among sgd, adamw, not text 'adam' (did you mean 'adamw'?)",
        ),
        (
            "{same_as: objective.supcon.wait}",
            "this file writes no such value (did you mean 'objective.supcon.weight'?)",
        ),
        ("{same_as: 3}", "same_as needs the path of another value, not 3"),
        (
            "{same_as: objective.supcon.weight}",
            "refers to itself through objective.supcon.weight -> objective.supcon.weight",
        ),
        ("{same_as: training}", "that is a mapping, not one value"),
        (
            "{complement_of: training.epochs}",
            "complement_of training.epochs: needs a number from 0 to 1, which 3 is not",
        ),
        ("{complement_of: training.optimiser}", "needs a number from 0 to 1, which text 'sgd' is not"),
        ("{same_as: objective.other.weight}", "there is no such value when"),
    ],
)
def test_wrong_holes_and_references(hole: str, words: str) -> None:
    text = (
        "trial:\n  objective:\n    other: {term: spread, use: {choice: [true, false]}, weight: 1}\n    supcon:\n"
        f"      weight: {hole}\n  training:\n    optimiser: {{choice: [sgd, adamw]}}\n    epochs: 3\n{SWEEP}"
    )
    message = refusal(text)
    assert message.startswith("f.yaml:5: objective.supcon.weight: ")
    assert words in message


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (
            "a: {term: supcon, use: {choice: [1, 2]}}",
            "objective.a.use: should be true, false or {choice: [true, false]}",
        ),
        ("a: {term: supcon, use: on}", "objective.a.use: should be true, false or"),
        ("a: {term: supcon, use: {same_as: objective.supcon.use}}", "to follow another entry, write when"),
        ("a: {term: supcon, when: {objective.a.use: true}}", "go round in a circle"),
        (
            "a: {term: supcon, when: {objective.b.use: true}}\n    b: {term: supcon, when: {objective.a.use: true}}",
            "when: the conditions go round in a circle: objective.",
        ),
        (
            "a: {term: supcon, use: {choice: [true, false]}, weight: {choice: [1], when: {objective.a.use: false}}}",
            "objective.a.weight: is never asked: its conditions never hold together",
        ),
        (
            "a: {term: supcon, weight: {same_as: objective.b.weight}}\n    b: {weight: {same_as: objective.a.weight}}",
            "refers to itself through",
        ),
    ],
)
def test_wrong_entries(entries: str, words: str) -> None:
    message = refusal(f"trial:\n  objective:\n    supcon: {{}}\n    {entries}\n{SWEEP}")
    assert message.startswith(("f.yaml:4: objective.", "f.yaml:5: objective."))
    assert words in message


HOLED = "trial: {objective: {supcon: {temperature: {uniform: [0.1, 0.5]}}}, training: {score_every: 1}}\n"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ("", "sweep: needs maximize or minimize"),
        ("sweep: 3", "2: sweep: should be a mapping, not 3"),
        (
            "sweep: {trials: 0, maximize: validation/linear_probe/accuracy}",
            "2: sweep.trials: should be at least 1, not 0",
        ),
        ("sweep: {trails: 3}", "2: sweep.trails: is not a known field (did you mean 'trials'?)"),
        ("sweep: {maximize: 3}", "2: sweep.maximize: should be a list, not 3"),
        ("sweep: {maximize: validation/linear_probe/acuracy}", "(did you mean 'validation/linear_probe/accuracy'?)"),
        (
            "sweep: {maximize: test/linear_probe/accuracy}",
            "2: sweep.maximize: 'test/linear_probe/accuracy' cannot be searched for: a search never sees the test set",
        ),
        (
            "sweep: {minimize: train/objective/total}",
            "2: sweep.minimize: 'train/objective/total' cannot be searched for",
        ),
        ("sweep: {minimize: validation/linear_probe/accuracy}", "higher is better: write it under maximize"),
        (
            "sweep: {maximize: validation/groups/worst_accuracy}",
            "needs 'groups' among the trial's scores (linear_probe)",
        ),
        ("sweep: {maximize: [validation/linear_probe/accuracy, validation/linear_probe/accuracy]}", "stands twice"),
        (
            "sweep:\n  maximize: [validation/linear_probe/accuracy, validation/linear_probe/balanced_accuracy]\n"
            "  stop_early: {after: 1}",
            "sweep.gate: with 2 aims, stopping early needs one score to go by: set sweep.gate",
        ),
        (
            "sweep:\n  maximize: validation/linear_probe/accuracy\n  gate: validation/a/b\n  stop_early: {after: 1}",
            "4: sweep.gate: 'validation/a/b' is not a known metric",
        ),
        (
            "sweep:\n  maximize: validation/linear_probe/accuracy\n  gate: validation/linear_probe/accuracy",
            "4: sweep.gate: has no use without sweep.stop_early",
        ),
        (
            "sweep:\n  maximize: validation/linear_probe/accuracy\n  stop_early: {after: 10}",
            "4: sweep.stop_early.after: should be below training.epochs (10), not 10",
        ),
        (
            "sweep:\n  maximize: validation/linear_probe/accuracy\n  first:\n    - objective.supcon.temperatur: 1",
            "5: sweep.first.0.objective.supcon.temperatur: is no hole of this file (did you mean",
        ),
        (
            "sweep:\n  maximize: validation/linear_probe/accuracy\n  first:\n    - {}\n"
            "    - objective.supcon.temperature: 1",
            "6: sweep.first.1.objective.supcon.temperature: should lie in [0.1, 0.5], not 1",
        ),
        (SWEEP + "repeat: {seeds: []}", "3: repeat.seeds: needs at least one seed"),
        (SWEEP + "repeat: {seeds: [7, 7]}", "3: repeat.seeds.1: 7 stands twice"),
        (SWEEP + "repeat: {seeds: [7, -1]}", "3: repeat.seeds.1: should be at least 0, not -1"),
        (SWEEP + "repeat: {score: linear_probe}", "3: repeat.score: 'linear_probe' is no metric"),
        (
            SWEEP + "repeat: {score: train/objective/total}",
            "3: repeat.score: is judged on images that no run has trained on",
        ),
        (
            SWEEP + "repeat:\n  against:\n    plain:\n      objective.supcon.weight: 1",
            "6: repeat.against.plain.objective.supcon.weight: is no hole",
        ),
    ],
)
def test_wrong_sweeps_and_repeats(sections: str, message: str) -> None:
    found = refusal(HOLED + sections)
    assert found.startswith("f.yaml:")
    assert message in found


def test_seeds_of_the_selection_are_not_fresh() -> None:
    text = "trial: {objective: {supcon: {}}, seeds: {split: 7}}\nrepeat:\n  seeds: [5, 7]"
    assert "f.yaml:3: repeat.seeds.1: 7 is seeds.split, on which the winner was chosen" in refusal(text)


def test_stopping_early_needs_scores_on_the_way() -> None:
    text = HOLED.replace("score_every: 1", "score_every: 0") + SWEEP.replace("}", ", stop_early: {after: 1}}")
    assert "sweep.stop_early: goes by validation scores during training: set training.score_every" in refusal(text)


def test_choices_under_which_something_is_wrong_are_named() -> None:
    text = "trial:\n  objective: {supcon: {}}\n  data: {dataset: {choice: [digits, letters]}}\n" + SWEEP
    reason = f"no data set 'letters'; known: {KNOWN_SETS} (with data.dataset = letters)"
    assert refusal(text) == f"f.yaml:3: data.dataset: {reason}"


@pytest.mark.parametrize(
    "text",
    [
        "trial: [",
        "trial: {objective: {supcon: {weight: -1}}}",
        HOLED,
        "trial: {objektive: {}}",
        "trial: {objective: {supcon: {}}, data: {dataset: digitz}}",
        "trial: {objective: {supcon: {}}, scores: [linear_prob]}",
    ],
)
def test_wrong_files_are_refused_before_torch_is_loaded(text: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    code = (
        "import sys\nfrom raycon.errors import InvalidFile\nfrom raycon.space import load\n"
        "try:\n    load(sys.argv[1])\nexcept InvalidFile as error:\n    print(error)\n"
        "print(sorted({'torch', 'ray', 'optuna', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    message, loaded = done.stdout.splitlines()
    assert message.startswith(f"{path}:") and loaded == "[]" and not done.stderr


def test_an_aim_that_the_data_cannot_give_is_refused_before_training() -> None:
    text = """trial:
  data: {dataset: digits, labels: coarse, coarse: low_high, groups: [class]}
  objective: {supcon: {}}
  scores: [groups]
sweep: {maximize: validation/groups/conflicting_accuracy}
"""
    assert "needs images that a bias agrees with or not" in refusal(text)
