"""`raycon init`: a method's own file for another data set, or the reason why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

import raycon
from raycon.cli import main
from raycon.errors import InvalidFile, Refused
from raycon.methods import METHODS, shipped_file
from raycon.space import first_trial
from raycon.starting_file import write_starting_file


def comments(text: str) -> list[str]:
    return [
        line.strip() for line in text.splitlines() if line.strip().startswith("#") and "language-server" not in line
    ]


def test_a_file_keeps_the_method_and_takes_other_data(tmp_path: Path) -> None:
    path = write_starting_file("thanos", "cifar10", tmp_path / "Mine.yaml")
    text, original = path.read_text(), shipped_file("thanos.yaml").read_text()
    assert set(comments(original)) <= set(comments(text))
    assert "nothing of it was measured on cifar10" in text.splitlines()[1]
    space, before = raycon.load(path), raycon.load(shipped_file("thanos.yaml"))
    assert space.name == "mine"
    assert space.holes == before.holes and space.first == before.first
    data = first_trial(space).data
    assert (data.dataset, data.labels, data.coarse, data.train_size) == ("cifar10", "coarse", "animals_vehicles", None)
    assert first_trial(space).objective == first_trial(before).objective


def test_the_colours_of_a_bias_give_way_to_the_cue_of_the_set_itself(tmp_path: Path) -> None:
    data = first_trial(raycon.load(write_starting_file("group_dro", "celeba", tmp_path / "dro.yaml"))).data
    assert (data.bias, data.groups, data.reveal) == (None, ("class", "male"), ("groups",))
    data = first_trial(raycon.load(write_starting_file("group_dro", "digits", tmp_path / "digits.yaml"))).data
    assert data.bias is not None and data.bias.rate == 0.95


@pytest.mark.parametrize(
    ("method", "data", "reason"),
    [
        ("thanos", "celeba", "thanos needs coarse labels, and celeba has no map of them"),
        ("group_dro", "cifar10", r"group_dro needs a bias: grey images to colour"),
        ("thanos", "cifar11", r"no data set 'cifar11' \(did you mean 'cifar10'\?\)"),
        ("thano", "digits", "unknown method 'thano'"),
    ],
)
def test_what_cannot_begin_is_refused_and_writes_nothing(method: str, data: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=reason):
        write_starting_file(method, data, tmp_path / "new.yaml")
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("precious")
    with pytest.raises(Refused, match="is there already"):
        write_starting_file("debiased", "digits", path)
    assert path.read_text() == "precious"


def test_the_command_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for code in (0, 5):
        with pytest.raises(SystemExit) as end:
            main(["init", "decoupled", "--data", "mnist"])
        assert end.value.code == code
    told = capsys.readouterr()
    assert told.out.startswith("decoupled_mnist.yaml: ") and "is there already" in told.err
    text = (tmp_path / "decoupled_mnist.yaml").read_text()
    assert "name: decoupled-mnist" in text and "A digit in the mirror" in text


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_can_begin_on_the_embedded_digits(name: str, tmp_path: Path) -> None:
    """Whatever the file of a method asks for: its section of data is found and replaced, its search stays."""
    space = raycon.load(write_starting_file(name, "digits", tmp_path / "new.yaml"))
    before = raycon.load(shipped_file(METHODS[name].files[0]))
    assert space.holes == before.holes and space.first == before.first
    assert first_trial(space).data.dataset == "digits"


@pytest.mark.parametrize("method", ["epsilon_supinfonce_fairkl", "selecmix", "lff", "group_dro"])
def test_what_is_searched_by_can_be_scored_on_the_new_data(method: str, tmp_path: Path) -> None:
    """CelebA says which images share an attribute, not which of them agree with a bias."""
    path = write_starting_file(method, "celeba", tmp_path / "celeba.yaml")
    assert "worst_accuracy" in path.read_text() and "conflicting_accuracy" not in path.read_text()
    raycon.load(path)
