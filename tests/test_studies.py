"""Ablation studies as a whole: their plan, their runs as the driver hands them out, their report."""

from __future__ import annotations

import csv
import html.parser
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import raycon
from raycon.ablation.arms import named_as
from raycon.ablation.study import Study, study_answers
from raycon.config import Sweep
from raycon.disk import RealDisk
from raycon.driver import Driver
from raycon.driver_contract import Assignment
from raycon.errors import InvalidFile, Refused
from raycon.events import EventLog
from raycon.history import LOG_NAME, read_sweep
from raycon.repeats import ListSampler
from raycon.replication.verify import verify_bundle
from raycon.reporting.study_report import write_study_report
from raycon.space import Space, loads
from raycon.studies import StudyResult, plan_study, study_plan
from tests.shipped import FOLDER

SCORE = "validation/coarse_to_fine/accuracy"
TERMS = ("supcon", "class_conditional_infonce", "reconstruction")
FILE = """
name: tiny-study
trial:
  data: {dataset: digits, labels: coarse, coarse: low_high, train_size: 200, validation_size: 200}
  augmentation: {shift: 0.1}
  encoder: {name: convnet, width: 4, depth: 3, projection: [16, 8]}
  objective:
    supcon: {weight: 0.7, temperature: {uniform: [0.05, 0.5]}}
    class_conditional_infonce: {weight: 0.3, temperature: 0.1}
    reconstruction: {weight: 1.0}
  training: {epochs: 1, batch_size: 50, learning_rate: 0.01}
  scores: [coarse_to_fine]
sweep: {maximize: validation/coarse_to_fine/accuracy, trials: 4}
ablation:
  plan: PLAN
  values: {objective.supcon.temperature: 0.1}
  seeds: [1, 2, 3, 4, 5, 6]
  components:
    spread: {drop: [objective.class_conditional_infonce], off: {objective.supcon.weight: 1.0}}
    decoder: {drop: [objective.reconstruction]}
  against: {longer: {training.epochs: 2}}
  claims:
    both: {effect: interaction, of: [spread, decoder], sign: positive, margin: 0.02}
"""


def _space(plan: str = "factorial", text: str = FILE) -> Space:
    return loads(text.replace("PLAN", plan))


def _study(**given: Any) -> tuple[Study, Space]:
    return plan_study(_space(), given)


def _finish(study: Study, folder: Path, *, stop_after: int | None = None) -> None:
    """Runs a study with made-up scores, as far as `stop_after` runs; called again it goes on."""
    wanted = study.sweep(Sweep())
    folder.mkdir(parents=True, exist_ok=True)
    log = EventLog(RealDisk(), folder / LOG_NAME)
    driver = Driver(wanted, study.name, study.identity(), study, ListSampler(study), log, str(folder))
    driver.open()
    count = 0
    while isinstance(found := driver.next(), Assignment) and (stop_after is None or count < stop_after):
        count += 1
        epochs = int(found.trial["training"]["epochs"])
        for epoch in range(1, epochs + 1):
            metrics = {SCORE: _made_up(found.trial)} if epoch == epochs else {}
            driver.scored(found.key, epoch, metrics | {"train/speed/seconds": float(count)}, None, epoch == epochs)
    driver.close()


def _made_up(trial: dict[str, Any]) -> float:
    """Both parts together add 10 points; a seed shifts all of its arms."""
    on = {"class_conditional_infonce", "reconstruction"} & set(trial["objective"])
    noise = np.random.default_rng([trial["seeds"]["init"], len(on)]).normal(0, 0.002)
    return 0.6 + 0.1 * (len(on) == 2) + 0.01 * int(trial["seeds"]["init"]) + float(noise)


def test_the_plan_says_arms_cost_questions_and_power() -> None:
    study, _ = _study()
    text = "\n".join(study_plan(study))
    assert "factorial, 5 arms x 6 seeds = 30 runs" in text
    assert "arms: full, spread, decoder, nothing, longer" in text
    assert "questions: 5, 1 of them corrected together" in text
    assert "smallest p 0.0312 with 6 seeds, and under Holm over 1 can reject" in text and "power: 80 %" in text


def test_claims_are_part_of_the_identity() -> None:
    study, _ = _study()
    other, _ = _study(claims={"both": {"effect": "interaction", "of": ["spread", "decoder"], "margin": 0.03}})
    assert study.identity() != other.identity()
    assert study.configurations == other.configurations


def test_python_gives_its_own_design() -> None:
    study, _ = plan_study(_space(), {"plan": "leave_one_out", "claims": {}, "components": {}, "seeds": range(8)})
    assert study.seeds == tuple(range(8))
    assert list(study.configurations) == [
        "full",
        "without supcon",
        "without class_conditional_infonce",
        "without reconstruction",
        "longer",
    ]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"seeds": [42]}, InvalidFile, "at least two seeds"),
        ({"seeds": [41, 42]}, Refused, "chose the configuration"),
        ({"score": "test/coarse_to_fine/accuracy"}, InvalidFile, "validation images"),
        ({"plan": "leave_one_out"}, InvalidFile, "cannot be answered by this plan"),
        ({"components": {"a": {"drop": ["objective.supcom"]}}}, InvalidFile, "did you mean 'supcon'"),
        (
            {
                "claims": {},
                "components": {"decoder": {"off": {f"objective.{term}.weight": 0.0 for term in TERMS}}},
                "plan": "leave_one_out",
            },
            InvalidFile,
            "the arm 'without decoder' has nothing to train",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_run(given: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        plan_study(_space(), given)


def test_a_file_without_the_section_says_so() -> None:
    with pytest.raises(InvalidFile, match="no `ablation` section"):
        plan_study(raycon.load(FOLDER / "digits_demo.yaml"))


@pytest.mark.parametrize("path", sorted((FOLDER / "ablations").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_studies_can_be_planned(path: Path) -> None:
    study, _ = plan_study(raycon.load(path))
    assert study.arms is not None and len(study.arms.trials) >= 4
    assert any("runs" in line for line in study_plan(study))


def test_a_study_is_told_from_its_log_alone(tmp_path: Path) -> None:
    study, _ = _study()
    _finish(study, tmp_path)
    history = read_sweep(tmp_path)
    again = Study.of_canonical(history.canonical)
    assert again.configurations == study.configurations and again.arms == study.arms
    assert again.identity() == history.identity == study.identity()
    answers = study_answers(again, history)
    assert answers.answers[0].question.claim == "both"
    assert answers.answers[0].verdict == "shown"
    assert answers.answers[0].interval.mean == pytest.approx(0.1, abs=0.01)
    table = StudyResult(study, tmp_path).table("nothing")
    assert table.count("n = 6") == 4 and "p = " in table


def test_a_study_whose_arms_were_named_otherwise_can_be_read(tmp_path: Path) -> None:
    given = {"plan": "leave_one_out", "claims": {}, "against": {}}
    study, _ = _study(**given)
    assert list(study.configurations) == ["full", "without spread", "without decoder"]
    older = dict(zip(["full", "decoder", "spread"], study.configurations.values(), strict=True))
    assert study.arms is not None
    _finish(replace(study, configurations=older, arms=named_as(study.arms, older)), tmp_path)
    history = read_sweep(tmp_path)
    again = Study.of_canonical(history.canonical)
    answers = study_answers(again, history)
    assert answers.seeds == study.seeds and list(answers.scores) == list(older)
    assert again.identity() == history.identity != study.identity()


@pytest.mark.parametrize("plan", ["factorial", "pairs"])
def test_the_page_says_how_to_make_it_again(tmp_path: Path, plan: str) -> None:
    study, _ = _study(plan=plan, claims={}, retune={"space": {"objective.supcon.weight": {"uniform": [0.1, 1.0]}}})
    _finish(study, tmp_path)
    folder = write_study_report(tmp_path).parent
    again, _ = plan_study(loads((folder / "study.yaml").read_text()))
    assert again.identity() == study.identity() and again.arms == study.arms
    page, html = ((folder / name).read_text() for name in ("study.md", "study.html"))
    (attempt,) = read_sweep(tmp_path).attempts
    assert attempt.hardware and "Python" in attempt.hardware
    for words in ("raycon ablate study.yaml", attempt.hardware, f"torch {attempt.versions['torch']}"):
        assert words in page and words in html


def test_every_arm_says_its_own_budget(tmp_path: Path) -> None:
    study, _ = _study()
    _finish(study, tmp_path)
    page = write_study_report(tmp_path)
    assert "budget: 1 epoch(s) a run in every arm but longer: 2;" in page.read_text()
    rows = csv.DictReader((page.parent / "arms.csv").read_text().splitlines())
    assert {row["arm"]: row["epochs"] for row in rows} == {arm: "12"[arm == "longer"] for arm in study.configurations}


def test_the_committed_study_can_be_planned_from_its_own_page() -> None:
    folder = FOLDER.parent / "studies" / "perfectly_balanced"
    study, _ = plan_study(raycon.load(folder / "study.yaml"))
    first, _ = plan_study(raycon.load(FOLDER / "ablations" / "perfectly_balanced.yaml"))
    assert study.identity() == first.identity()
    assert "raycon ablate study.yaml" in (folder / "study.md").read_text()


def test_the_committed_numbers_are_those_of_the_committed_log() -> None:
    folder = FOLDER.parent / "studies" / "perfectly_balanced"
    found = verify_bundle(folder / "study.zip")
    assert found.kind == "ablation" and found.history.openings == 0 and found.history.counts() == {"complete": 90}
    answers = study_answers(Study.of_canonical(found.canonical), found.history).answers
    rows = list(csv.DictReader((folder / "contrasts.csv").read_text().splitlines()))
    assert [(row["contrast"], row["verdict"]) for row in rows] == [(a.question.label, a.verdict) for a in answers]
    assert [float(row["effect"]) for row in rows] == pytest.approx([a.interval.mean for a in answers])
    assert found.history.identity in (folder / "study.md").read_text()


def test_a_seed_without_a_pair_is_left_out_of_all_arms(tmp_path: Path) -> None:
    study, _ = _study()
    _finish(study, tmp_path, stop_after=28)
    answers = study_answers(study, read_sweep(tmp_path))
    assert answers.seeds == (1, 2, 3, 4, 5) and len(answers.lost) == 1
    assert {len(row) for row in answers.scores.values()} == {5}


def test_the_report_of_an_interrupted_study_is_that_of_an_undisturbed_one(tmp_path: Path) -> None:
    study, _ = _study()
    whole, broken = tmp_path / "whole" / study.name, tmp_path / "broken" / study.name
    _finish(study, whole)
    for count in (3, 11, None):
        _finish(study, broken, stop_after=count)
    pages = [write_study_report(folder).parent for folder in (whole, broken)]
    names = {path.name for path in pages[0].iterdir()}
    assert names == {path.name for path in pages[1].iterdir()}
    assert {"study.md", "study.html", "contrasts.csv", "contrasts.tex", "study.json", "effects.png"} <= names
    for name in names:
        assert (pages[0] / name).read_bytes() == (pages[1] / name).read_bytes(), name


class _Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        self.outside += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_holds_everything_and_the_table_is_latex(tmp_path: Path) -> None:
    study, _ = _study()
    _finish(study, tmp_path)
    folder = write_study_report(tmp_path).parent
    tags = _Tags()
    tags.feed((folder / "study.html").read_text())
    assert tags.opened.count("img") == 3 and "script" not in tags.opened
    assert all(source.startswith("data:image/png;base64,") for source in tags.outside)
    latex = (folder / "contrasts.tex").read_text()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert r"\toprule" in latex and "_" not in latex.replace(r"\_", "")
    whole = json.loads((folder / "study.json").read_text())
    assert whole["parts"][0]["contrasts"][0]["verdict"] == "shown"
    assert "n = 6 paired seeds" in (folder / "study.md").read_text()
