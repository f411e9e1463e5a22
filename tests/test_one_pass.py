"""`raycon eval`: any encoder by all protocols; the same numbers as the run's own; the sealed test set stays sealed."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from raycon import one_pass
from raycon.checkpoints import MANIFEST, newest_checkpoint
from raycon.cli import main
from raycon.encoder_sources import Found, checkpoint_of
from raycon.errors import InvalidFile, MissingData, Refused
from raycon.eval_request import PROTOCOL_NAMES
from raycon.history import read_sweep
from raycon.networks.named import NamedEncoder
from raycon.one_pass import Evaluation, evaluate
from raycon.one_trial import train
from raycon.repeating import repeat
from raycon.results import RepeatResult, SweepResult
from raycon.scores import PROTOCOLS
from raycon.searching import sweep
from raycon.settings import Settings
from raycon.space import load, trial_from
from raycon.statistics import clopper_pearson
from tests.tiny import tiny_file, without_ray

SCORES: dict[str, Any] = {"coarse_to_fine": {}, "nearest_neighbours": {"neighbours": 5}, "fine_tune": {"images": 4}}
QUICK = ["scores.few_shot.episodes=3", "scores.estimated_groups.steps=20", "scores.corruptions.images=20"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A training folder, and what its run scored at its end."""
    folder = tmp_path_factory.mktemp("run") / "run"
    data = {"dataset": "digits", "labels": "coarse", "coarse": "low_high", "train_size": 160, "validation_size": 100}
    trial = trial_from(
        {
            "data": data, "encoder": {"width": 4, "depth": 3, "projection": [16, 8]}, "objective": {"supcon": {}},
            "training": {"epochs": 1, "batch_size": 32}, "scores": SCORES,
        }
    )  # fmt: skip
    return folder, train(trial, folder=folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepResult, RepeatResult]:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        space = load(tiny_file(folder, ("trials: 3", "trials: 1"), ("seeds: [101, 102]", "seeds: [101]")))
        found = sweep(space, settings=Settings(out=folder / "out", tracking="off"))
        return found, repeat(found.best())


def test_the_scores_are_those_that_the_run_logged(run: tuple[Path, dict[str, float]]) -> None:
    folder, logged = run
    found = evaluate(folder, protocols=list(SCORES))
    own = {name: value for name, value in logged.items() if name.split("/")[1] in SCORES}
    assert found.metrics == own and len(own) == 5
    assert (found.images, found.trained_on, found.split) == (100, 160, "validation")
    assert found.knobs["nearest_neighbours"]["neighbours"] == 5


def test_all_protocols_but_those_that_the_data_cannot_give(run: tuple[Path, dict[str, float]]) -> None:
    found = evaluate(run[0], overrides=QUICK)
    assert {name.split("/")[1] for name in found.metrics} | set(found.left_out) == set(PROTOCOLS)
    assert set(found.left_out) == {"groups", "subgroup_ranking", "transfer", "out_of_distribution"}
    assert "data.groups" in found.left_out["groups"] and "trained on" in found.left_out["transfer"]
    assert all(math.isfinite(value) for value in found.metrics.values())


def test_a_second_pass_encodes_nothing_and_gives_the_same(run: tuple[Path, dict[str, float]], tmp_path: Path) -> None:
    protocols = ["linear_probe", "corruptions"]
    first = evaluate(run[0], protocols=protocols, overrides=QUICK[2:])
    second = evaluate(run[0], protocols=protocols, overrides=QUICK[2:])
    fresh = evaluate(run[0], protocols=protocols, overrides=QUICK[2:], cache=False)
    assert (first.encoded, first.remembered) == (17, 0) and (second.encoded, second.remembered) == (0, 17)
    assert first.metrics == second.metrics == fresh.metrics
    assert fresh.encoded == 17 and first.fingerprint == second.fingerprint
    assert all(torch.equal(first.features[name], second.features[name]) for name in first.features)


def test_groups_and_coarse_classes_can_be_asked_for(run: tuple[Path, dict[str, float]]) -> None:
    found = evaluate(run[0], protocols="groups, coarse_to_fine", overrides=["data.groups=[class]"])
    rows = {row["metric"]: row for row in found.rows()}
    row = rows["validation/groups/group_3_accuracy"]
    assert row["low"] <= row["value"] <= row["high"] and row["over"] == "images"
    assert sum(one["n"] for name, one in rows.items() if "/group_" in name) == 100
    assert not any(name.endswith(("_low", "_high", "_size")) for name in rows if "/group_" in name)
    counted = rows["validation/coarse_to_fine/accuracy"]
    assert counted["n"] == 100 and 0 <= counted["low"] < counted["value"] < counted["high"] <= 1
    assert rows["validation/groups/worst_accuracy"]["low"] is not None
    unbiased = rows["validation/groups/unbiased_accuracy"]
    assert 0 <= unbiased["low"] < unbiased["value"] < unbiased["high"] <= 1
    assert rows["validation/groups/worst3_accuracy"]["low"] is None


def test_every_row_says_its_label_and_its_chance(run: tuple[Path, dict[str, float]]) -> None:
    """Digits below five and from five on: the probe knows two labels, coarse_to_fine ten."""
    judged = evaluate(run[0], overrides=["data.groups=[coarse, class]", *QUICK])
    rows = {row["metric"].split("/", 1)[1]: row for row in judged.rows()}
    labels = {name: row["label"] for name, row in rows.items()}
    assert labels["linear_probe/accuracy"] == labels["calibration/brier"] == "coarse"
    assert labels["coarse_to_fine/accuracy"] == "class" and labels["coarse_to_fine/coarse_accuracy"] == "coarse"
    assert labels["groups/worst_accuracy"] == "coarse by coarse x class"
    assert labels["groups/group_3_accuracy"] == "coarse in coarse 0, class 3"
    assert labels["groups/group_17_accuracy"] == "coarse in coarse 1, class 7"
    assert labels["geometry/effective_rank"] is None and labels["subgroup_ranking/area"] == "coarse 1"
    chance = {name: row["chance"] for name, row in rows.items()}
    most = judged.guesses["labels"]["frequent"]
    assert chance["linear_probe/accuracy"] == most and 0.4 < most < 0.6
    assert chance["linear_probe/balanced_accuracy"] == chance["groups/worst_accuracy"] == 0.5
    assert chance["coarse_to_fine/accuracy"] == judged.guesses["class"]["frequent"] < 0.2
    assert chance["calibration/log_loss"] == pytest.approx(math.log(2)) and chance["subgroup_ranking/area"] == 0.5
    assert chance["geometry/alignment"] is None and rows["corruptions/clean_accuracy"]["n"] == 20


def test_accuracies_where_the_bias_agrees_or_not_have_intervals(run: tuple[Path, dict[str, float]]) -> None:
    """Made up: 30 of 100 images agree with their bias."""
    judged = evaluate(run[0], protocols="linear_probe")
    metrics = {"test/groups/aligned_accuracy": 0.9, "test/groups/conflicting_accuracy": 0.5}
    made_up = replace(judged, metrics=metrics, aligned=30, grouped={"class": 10, "aligned": 2})
    rows = {row["metric"].rsplit("/", 1)[1]: row for row in made_up.rows()}
    assert (rows["aligned_accuracy"]["low"], rows["aligned_accuracy"]["high"]) == clopper_pearson(27, 30)
    assert (rows["conflicting_accuracy"]["low"], rows["conflicting_accuracy"]["high"]) == clopper_pearson(35, 70)
    assert [row["n"] for row in rows.values()] == [30, 70]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"protocols": "groups"}, "data.groups"),
        ({"protocols": "linear_prob"}, "did you mean 'linear_probe'"),
        ({"protocols": "transfer"}, "trained on"),
        ({"split": "train"}, "validation, test"),
        ({"data": "fashion_mnist"}, r"1x28x28, the encoder was trained on 1x8x8; --set data\.size=8"),
        ({"overrides": ["training.epochs=3"]}, "below data or scores"),
        ({"overrides": ["scores.transfer.dataset=mnits"]}, "did you mean 'mnist'"),
        ({"overrides": ["scores.linear_probe.l2=-1"]}, "l2"),
        ({"weights": "default"}, "encoders by name"),
    ],
)
def test_what_cannot_be_done_is_refused(run: tuple[Path, dict[str, float]], arguments: Any, words: str) -> None:
    with pytest.raises(InvalidFile, match=words):
        evaluate(run[0], **arguments)


def test_the_names_of_protocols_are_known_without_torch() -> None:
    assert set(PROTOCOL_NAMES) == set(PROTOCOLS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "does not exist"),
        ([".", "--protocols", "linear_prob"], "did you mean 'linear_probe'"),
        ([".", "--split", "train"], "validation, test"),
        ([".", "--set", "training.epochs=3"], "below data or scores"),
        ([".", "--data", "mnits"], "did you mean 'mnist'"),
        ([".", "--data", "nowhere.yaml"], "no file nowhere.yaml"),
    ],
)
def test_a_wrong_name_is_answered_before_torch_is_loaded(arguments: list[str], words: str, tmp_path: Path) -> None:
    code = "import sys; from raycon.cli import main\ntry: main(sys.argv[1:])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "eval", *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode != 0 and words in done.stderr and done.stdout.strip() == "False"


def test_a_checkpoint_that_stands_alone_needs_its_search_space(
    run: tuple[Path, dict[str, float]], tmp_path: Path
) -> None:
    place = newest_checkpoint(run[0])
    assert place is not None
    alone = Path(shutil.copytree(place, tmp_path / "alone"))
    with pytest.raises(InvalidFile, match="--data FILE"):
        evaluate(alone)
    with pytest.raises(MissingData, match="does not exist"):
        evaluate(tmp_path / "nowhere")
    with pytest.raises(InvalidFile, match="neither a checkpoint"):
        evaluate(tmp_path)
    found = evaluate(alone / "state.safetensors", data=str(tiny_file(tmp_path)), protocols="linear_probe")
    assert found.images == 100


class Restless(nn.Module):
    """Moves a buffer when it is asked in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        self.seen += 1
        return images.flatten(1)


def test_an_encoder_that_changes_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def given(*_: object) -> Found:
        return Found(NamedEncoder(Restless(), name="restless", size=8), "restless", "as it is")

    monkeypatch.setattr(one_pass, "named", given)
    with pytest.raises(RuntimeError, match="changed"):
        evaluate("torchvision:restless", data="digits", protocols="linear_probe", cache=False)


def test_the_runs_of_a_search_are_never_tested(trained: tuple[SweepResult, RepeatResult]) -> None:
    searched = trained[0].folder
    place = searched / "runs" / read_sweep(searched).runs[0].key
    assert evaluate(place, protocols="coarse_to_fine").metrics["validation/coarse_to_fine/accuracy"] == pytest.approx(
        read_sweep(searched).runs[0].metrics["validation/coarse_to_fine/accuracy"]
    )
    with pytest.raises(Refused, match="repetitions alone"):
        evaluate(place, protocols="coarse_to_fine", split="test")
    assert read_sweep(searched).openings == 0


def test_opening_the_test_set_of_a_repetition_is_counted(trained: tuple[SweepResult, RepeatResult]) -> None:
    folder = trained[1].folder
    place = folder / "runs" / read_sweep(folder).runs[0].key
    with pytest.raises(InvalidFile):  # what cannot be judged opens nothing
        evaluate(place, protocols="groups", split="test")
    assert read_sweep(folder).openings == 0
    found = evaluate(place, protocols="coarse_to_fine", split="test")
    history = read_sweep(folder)
    assert found.opened == history.openings == 1 and not history.runs[0].test
    assert set(found.metrics) == {"test/coarse_to_fine/accuracy", "test/coarse_to_fine/coarse_accuracy"}
    assert evaluate(place, protocols="coarse_to_fine", split="test").opened == 2


def test_the_command_writes_what_it_prints(
    run: tuple[Path, dict[str, float]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores"
    command = ["eval", str(run[0]), "--protocols", "linear_probe,few_shot", "--set", QUICK[0], "--device", "cpu"]
    with pytest.raises(SystemExit) as end:
        main([*command, "--out", str(out), "--features", "--json"])
    assert end.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((out / "scores.json").read_text()) == printed
    rows = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    assert {row["metric"]: float(row["value"]) for row in rows} == {
        name: value for name, value in printed["metrics"].items() if "half_width" not in name
    }
    assert next(row for row in rows if row["metric"].endswith("accuracy_5"))["over"] == "episodes"
    features = load_file(out / "features.safetensors")
    assert features["train.embeddings"].shape[0] == 160 and features["validation.class"].shape == (100,)
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 0
    table = capsys.readouterr().out
    assert "| validation/linear_probe/accuracy | coarse |" in table and "100 images of digits (validation)" in table
    assert "over the images judged" in table and "of this one encoder" in table


def test_an_encoder_by_name_is_judged_on_data_by_name() -> None:
    found: Evaluation = evaluate(
        "torchvision:resnet18", data="digits", size=16, protocols="nearest_neighbours", device="cpu",
        overrides=["data.train_size=100", "data.validation_size=50"],
    )  # fmt: skip
    assert found.images == 50 and found.preprocessing.startswith("3x16")
    assert found.metrics["validation/nearest_neighbours/accuracy"] > 0.3
    with pytest.raises(InvalidFile, match="--data"):
        evaluate("torchvision:resnet18")


def test_the_folder_of_a_sweep_means_its_best_run(trained: tuple[SweepResult, RepeatResult]) -> None:
    result, _ = trained
    found = checkpoint_of(result.folder)
    assert found.parent.parent.name == result.best().run.key and (found / MANIFEST).is_file()
