"""A user's own parts: loaded where they are named, hashed, kept with the sweep, and never in raycon's way."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import raycon
from raycon.cluster.engine import Engine
from raycon.driver_contract import Assignment
from raycon.errors import InvalidFile, RayconError, Refused
from raycon.losses import TERMS
from raycon.networks import NETWORKS
from raycon.one_trial import train
from raycon.own_code import OwnCode, activate, kept_code, own_code
from raycon.repeating import repeat
from raycon.runs import World
from raycon.searching import sweep
from raycon.settings import Settings
from raycon.space import first_trial, load
from raycon.sweep_folders import find_sweep, found_sweep
from raycon.transforms import TRANSFORMS
from tests.tiny import FINE, TINY, without_ray

OWN = """\
from raycon.knobs import Positive

def my_pull(features, labels, *, strength: Positive = 1.0):
    rows = features.flatten(0, 1)
    same = labels.repeat_interleave(features.shape[1])
    alike = (same[:, None] == same[None, :]).to(rows.dtype)
    return strength * (alike * (1 - rows @ rows.T)).mean()

TERMS = [my_pull]
"""
EXAMPLES = Path(raycon.__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def _ours_alone() -> Iterator[None]:
    yield
    activate(OwnCode())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A space with an own term, and the file that defines it."""
    space, code = tmp_path / "tiny.yaml", tmp_path / "mine.py"
    space.write_text(TINY.replace("    reconstruction:\n", "    my_pull: {strength: 0.5}\n    reconstruction:\n"))
    code.write_text(OWN)
    return space, code


def no_tracking(folder: Path) -> Settings:
    return Settings(out=folder / "out", tracking="off")


def test_a_space_names_a_term_of_ones_own(files: tuple[Path, Path]) -> None:
    space, code = files
    found = raycon.load(space, code=[code])
    assert found.code.hashes == own_code(files=[code]).hashes and len(found.code.hashes[0]) == 64
    assert found.canonical()["code"] == found.code.hashes
    assert found.corners()[0].trial.objective["my_pull"]["strength"] == 0.5
    with pytest.raises(InvalidFile, match=r"--set: objective\.my_pull\.strength: should be greater than 0"):
        raycon.load(space, ["objective.my_pull.strength=-1.0"], code=[code])


def test_yaml_alone_imports_nothing(files: tuple[Path, Path]) -> None:
    space, code = files
    raycon.load(space, code=[code])
    with pytest.raises(InvalidFile, match=r"unknown term 'my_pull'.*one of your own comes with --code"):
        raycon.load(space)
    assert "my_pull" not in TERMS


def test_the_identity_follows_the_text_and_code_that_is_not_used_is_not_part_of_it(files: tuple[Path, Path]) -> None:
    space, code = files
    before = raycon.load(space, code=[code]).identity()
    code.write_text(OWN.replace("1 - rows", "2 - rows"))
    assert raycon.load(space, code=[code]).identity() != before
    plain = space.with_name("plain.yaml")
    plain.write_text(TINY)
    assert load(plain, code=own_code(files=[code])).identity() == raycon.load(plain).identity()
    with pytest.raises(InvalidFile, match="own code: tiny names none of my_pull"):
        raycon.load(plain, code=[code])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def f(:\n    pass", r"mine\.py:1: is not Python"),
        ("x = 1\n", r"offers nothing: set one of TERMS, TRANSFORMS, NETWORKS, TRAIN"),
        (
            "def supcon(features):\n    return features.sum()\nTERMS = [supcon]",
            r"'supcon' is one of raycon's own names",
        ),
        ("\ndef f(feature):\n    return feature.sum()\nTERMS = [f]", r"mine\.py:2: .*no tensor is called 'feature'"),
        ("def f(features, *, a=1):\n    return features.sum()\nTERMS = [f]", "the knob 'a' needs a type"),
        ("def f(*features):\n    return 0\nTERMS = [f]", r"takes \*features"),
        ("def f(*, a: int = 1):\n    return 0\nTERMS = [f]", "asks for no tensor"),
        ("def f(features, *, a: Nope = 1):\n    return 0\nTERMS = [f]", "name 'Nope' is not defined"),
        ("from __future__ import annotations\ndef f(features, *, a: Nope = 1):\n    return 0\nTERMS = [f]", "'Nope'"),
        ("import nowhere_at_all\nTERMS = []", r"mine\.py:1: ModuleNotFoundError"),
        ("TERMS = [lambda features: features.sum()]", "'<lambda>' is no name of its own"),
        ("TERMS = 3", "TERMS: should be a list of functions"),
        ("def f(views):\n    return {}\nTRANSFORMS = [f]", "PROVIDES: says nothing of f"),
        ("def f(views):\n    return {}\nTRANSFORMS = [f]\nPROVIDES = {'f': ['veiws']}", "no tensor is called 'veiws'"),
        ("class F: pass\nNETWORKS = [F]", "F is no subclass of Auxiliary"),
        ("def f(trial):\n    return 1\nTRAIN = [f]", "f yields nothing"),
        ("def f(config):\n    yield 1\nTRAIN = [f]", "asks for 'config'; a loop is given trial, world, checkpoint"),
        ("import raycon\nraycon.sweep('x.yaml')\nTERMS = []", "put the call under `if __name__"),
    ],
)
def test_code_that_cannot_work_is_refused_in_one_line(text: str, reason: str, files: tuple[Path, Path]) -> None:
    space, code = files
    code.write_text(text)
    with pytest.raises(InvalidFile, match=reason) as caught:
        raycon.load(space, code=[code])
    assert "\n" not in str(caught.value)
    assert callable(TERMS["supcon"]) and "f" not in TERMS | TRANSFORMS | NETWORKS


def test_a_term_that_returns_no_number_is_refused_before_training(files: tuple[Path, Path]) -> None:
    space, code = files
    code.write_text(OWN.replace(").mean()", ").mean(1)"))
    with pytest.raises(InvalidFile, match=r"my_pull cannot run here.*does not return a single number"):
        raycon.load(space, code=[code])


def test_two_files_cannot_define_one_name(files: tuple[Path, Path]) -> None:
    space, code = files
    other = code.with_name("other.py")
    other.write_text(OWN + "\n")
    with pytest.raises(InvalidFile, match="two files define 'my_pull'"):
        raycon.load(space, code=[code, other])
    assert "my_pull" not in TERMS


def test_a_sweep_keeps_its_code_and_its_workers_are_sent_it(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    space_file, code = files
    settings = no_tracking(tmp_path)
    space = raycon.load(space_file, code=[code])
    result = sweep(space, settings=settings)
    (digest,) = space.code.hashes
    assert (result.folder / "code" / f"{digest}.py").read_text() == OWN
    assert kept_code(result.folder) == space.code
    assert [run.state for run in result.history.runs] == ["complete"] * 3
    assert all("train/objective/my_pull" in run.epochs[1] for run in result.history.runs)
    # What was kept is enough to go on, to repeat and to test; the file itself is not needed any more.
    code.unlink()
    again = load(space_file, code=kept_code(result.folder))
    assert again.identity() == space.identity()
    repetition = repeat(found_sweep(again, settings).best())
    assert kept_code(repetition.folder) == space.code
    activate(OwnCode())
    assert "validation" in FINE and raycon.report("tiny", settings=settings, test=True).is_file()
    assert all(run.test for run in repetition.history.runs)
    assert find_sweep(str(space_file), settings) == result.folder


def test_changed_code_is_another_search(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ray(monkeypatch)
    space, code = files
    settings = no_tracking(tmp_path)
    folder = sweep(raycon.load(space, code=[code]), settings=settings).folder
    code.write_text(OWN.replace("1 - rows", "2 - rows"))
    with pytest.raises(Refused, match=r'code: \["[0-9a-f]{64}"\] -> \["[0-9a-f]{64}"\]'):
        sweep(raycon.load(space, code=[code]), settings=settings)
    (kept,) = (folder / "code").glob("*.py")
    kept.write_text(OWN + "# changed\n")
    with pytest.raises(Refused, match="has been changed; name the file with --code"):
        kept_code(folder)
    kept.unlink()
    with pytest.raises(Refused, match="is missing"):
        kept_code(folder)


def test_an_assignment_brings_its_code_to_a_process_that_has_never_seen_it(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    space, code = files
    found = raycon.load(space, code=[code])
    trial = first_trial(found)
    plain = raycon.space.trial_to_plain(trial)
    work = Assignment("key", 0, 1, 1, plain, str(tmp_path / "run"), None, {"code": list(found.code.texts)}).plain()
    activate(OwnCode())
    engine = Engine("raycon.training:open_run", World())
    assert engine.begin(work) is None
    report = engine.next(1000)
    while not report.done:
        report = engine.next(1000)
    assert report.kind == "scored" and "train/objective/my_pull" in report.metrics
    failed = engine.begin({name: value for name, value in work.items() if name != "code"})
    assert failed is not None and failed.state == "failed" and "unknown term 'my_pull'" in str(failed.reason)


def test_training_one_configuration_knows_its_code(files: tuple[Path, Path], tmp_path: Path) -> None:
    space, code = files
    found = raycon.load(space, code=[code])
    metrics = train(found, folder=tmp_path / "run")
    assert "train/objective/my_pull" in metrics
    code.write_text(OWN.replace("1 - rows", "2 - rows"))
    with pytest.raises(Refused, match="holds a run of another configuration"):
        train(raycon.load(space, code=[code]), folder=tmp_path / "run")


def test_functions_are_given_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    module = _import(EXAMPLES / "own_term.py")
    result = sweep(EXAMPLES / "own_term.yaml", terms=module.TERMS, trials=2, settings=no_tracking(tmp_path))
    assert [run.state for run in result.history.runs] == ["complete"] * 2
    assert "train/objective/centred_alignment" not in result.history.runs[0].epochs[1]
    assert "train/objective/centred_alignment" in result.history.runs[1].epochs[1]
    (kept,) = kept_code(result.folder).texts
    assert "def centred_alignment" in kept and "__main__" not in kept
    loaded = raycon.load(EXAMPLES / "own_term.yaml", terms=module.TERMS)
    assert sweep(loaded, trials=2, settings=no_tracking(tmp_path)).history.runs[1].key == result.history.runs[1].key
    with pytest.raises(InvalidFile, match="digits-demo names none of centred_alignment"):
        sweep(raycon.load(EXAMPLES.parent / "search_spaces/digits_demo.yaml"), terms=module.TERMS)


def _import(path: Path) -> Any:
    import sys

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_transforms_and_networks_of_ones_own(tmp_path: Path) -> None:
    code = tmp_path / "parts.py"
    code.write_text(
        """\
from raycon.networks.auxiliary import Auxiliary, Shapes
from torch import nn

def darker(views, *, factor: float = 0.5):
    return {"translated_views": views * factor}

class Guess(Auxiliary):
    provides = ("prototype_logits",)
    def __init__(self, shapes: Shapes, *, width: int = 3):
        super().__init__()
        self.layer = nn.Linear(shapes.embedding, width)
    def forward(self, embeddings):
        return {"prototype_logits": self.layer(embeddings)}

def agree(features, translated_features, prototype_logits):
    return (features - translated_features).square().mean() + prototype_logits.square().mean()

TERMS, TRANSFORMS, NETWORKS = [agree], [darker], [Guess]
PROVIDES = {"darker": ["translated_views"]}
"""
    )
    space = tmp_path / "own.yaml"
    text = TINY.replace("    reconstruction:\n", "    agree: {weight: 0.1}\n    reconstruction:\n")
    more = "  transforms: {darker: {factor: 0.7}}\n  networks: {Guess: {width: 2}}\n  training:"
    space.write_text(text.replace("  training:", more))
    metrics = train(raycon.load(space, code=[code]))
    assert metrics["train/objective/agree"] > 0


def test_a_call_within_the_file_itself_is_refused(tmp_path: Path) -> None:
    code = tmp_path / "script.py"
    code.write_text(OWN + "import raycon\nraycon.train(raycon.load('x.yaml'))\n")
    with pytest.raises(RayconError, match=r"script\.py:11: .*raycon\.load is called by the file of own code itself"):
        own_code(files=[code])


def command(*arguments: object) -> int:
    from raycon.cli import main

    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_commands_take_code_and_find_what_was_kept(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_ray(monkeypatch)
    space, code = files
    quietly = ("--out", tmp_path / "out", "--tracking", "off", "--quiet")
    assert command("explain", space) == 2
    assert "one of your own comes with --code" in capsys.readouterr().err
    assert command("explain", space, "--code", code) == 0
    assert f"code     {own_code(files=[code]).hashes[0][:8]}: my_pull" in capsys.readouterr().out
    assert command("plan", space, "--code", code) == 0
    assert command("train", space, "--code", code, "--out", tmp_path / "out", "--quiet") == 0
    assert "train/objective/my_pull" in capsys.readouterr().out
    assert command("sweep", space, *quietly) == 2
    assert command("sweep", space, "--code", code, *quietly) == 0
    # From here on the sweep's own folder is enough.
    code.unlink()
    assert command("sweep", space, "--trials", 4, *quietly) == 0
    assert (
        len(found_sweep(load(space, code=kept_code(tmp_path / "out" / "tiny")), no_tracking(tmp_path)).history.runs)
        == 4
    )
    assert command("repeat", space, "--seeds", "7,8", *quietly) == 0
    assert command("report", space, "--test", "--out", tmp_path / "out", "--tracking", "off") == 0
    assert command("explain", space) == 2
