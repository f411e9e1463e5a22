"""Bad input as a user meets it: one line on stderr that says where and what, exit code 2, and never a traceback."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from raycon import cli
from raycon.datasets import describe, loading
from raycon.datasets.digits import digits
from raycon.datasets.loading import forget_tables
from raycon.datasets.places import RayconWarning
from raycon.datasets.table import ImageTable
from raycon.losses import TERMS
from raycon.one_trial import train
from raycon.space import load
from raycon.step import Step
from tests.tiny import tiny_file
from tests.training.trials import small_trial


@pytest.fixture(autouse=True)
def fresh_tables() -> Iterator[None]:
    forget_tables()
    yield
    forget_tables()


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail with exit code 2, nothing on stdout and one line on stderr: that line."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            cli.main(list(arguments))
        told = capsys.readouterr()
        assert end.value.code == 2, told.err
        assert told.out == ""
        assert told.err.count("\n") == 1 and "Traceback" not in told.err
        return told.err.rstrip("\n")

    return run


FAULTS: dict[str, tuple[tuple[str, str], str]] = {
    "wrong type": (("epochs: 1,", "epochs: many,"), r"tiny\.yaml:11: training\.epochs: .*many"),
    "wrong type of a section": (("  scores: [coarse_to_fine]", "  scores: 3"), r"tiny\.yaml:12: scores: .*3"),
    "unknown key": (("epochs: 1,", "epoch: 1,"), r"tiny\.yaml:11: training\.epoch: .*did you mean .?epochs"),
    "unknown section": (("repeat:", "repeats:"), r"tiny\.yaml:19: repeats: .*did you mean .?repeat"),
    "unknown term": (
        ("    supcon:\n", "    supcn: {}\n    supcon:\n"),
        r"tiny\.yaml:6: objective\.supcn: .*did you mean .?supcon",
    ),
    "unknown knob": (
        ("      temperature: {", "      temprature: 0.1\n      temperature: {"),
        r"tiny\.yaml:7: objective\.supcon\.temprature: .*did you mean .?temperature",
    ),
    "unknown data set": (
        ("dataset: digits", "dataset: digts"),
        r"tiny\.yaml:3: data\.dataset: .*did you mean 'digits'",
    ),
    "unknown map": (("coarse: low_high", "coarse: low_hgh"), r"tiny\.yaml:3: data\.coarse: .*low_high"),
    "unknown score": (
        ("[coarse_to_fine]", "[coarse_to_fine, coarse_to_fin]"),
        r"tiny\.yaml:12: scores.*did you mean .?coarse_to_fine",
    ),
    "unknown objective": (
        ("maximize: validation/coarse_to_fine/accuracy", "maximize: validation/coarse_to_fine/acuracy"),
        r"tiny\.yaml:14: sweep\.maximize: .*did you mean .?validation/coarse_to_fine/accuracy",
    ),
    "the test set as aim": (
        ("maximize: validation/coarse_to_fine/accuracy", "maximize: test/coarse_to_fine/accuracy"),
        r"tiny\.yaml:14: sweep\.maximize: .*never sees the test set",
    ),
    "low above high": (("[0.05, 0.5]", "[0.5, 0.05]"), r"tiny\.yaml:7: objective\.supcon\.temperature: .*above"),
    "no width": (("[0.05, 0.5]", "[0.5, 0.5]"), r"tiny\.yaml:7: objective\.supcon\.temperature: .*both"),
    "logarithm of zero": (
        ("[0.05, 0.5]", "[0, 0.5]"),
        r"tiny\.yaml:7: objective\.supcon\.temperature: .*greater than 0",
    ),
    "beyond the knob's bounds": (
        ("{log_uniform: [0.05, 0.5]}", "{uniform: [-1.0, 0.5]}"),
        r"tiny\.yaml:7: objective\.supcon\.temperature: .*-1",
    ),
    "not a number": (("[0.05, 0.5]", "[.nan, 0.5]"), r"tiny\.yaml:7: .*nan"),
    "a term that needs the colours": (
        ("    supcon:\n", "    fairkl: {}\n    supcon:\n"),
        r"tiny\.yaml:6: objective\.fairkl.*bias_labels",
    ),
    "colours revealed that are not there": (
        ("train_size: 160", "reveal: [bias_labels], train_size: 160"),
        r"tiny\.yaml:3: data\.reveal: bias_labels are the colours of data\.bias",
    ),
    "a seed that has chosen": (("seeds: [101, 102]", "seeds: [42, 102]"), r"tiny\.yaml:20: repeat\.seeds.*fresh seeds"),
    "no mapping": (("trial:\n", "trial: 3\nother:\n"), r"tiny\.yaml:\d+: "),
    "broken YAML": (("scores: [coarse_to_fine]", "scores: [coarse_to_fine"), r"tiny\.yaml:\d+: "),
    "a key twice": (("  scores:", "  training: {epochs: 2}\n  scores:"), r"tiny\.yaml:12: .*twice|duplicate"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_is_answered_with_its_line(fault: str, tmp_path: Path, answer: Callable[..., str]) -> None:
    change, pattern = FAULTS[fault]
    path = tiny_file(tmp_path, change)
    line = answer("explain", str(path))
    assert line.startswith(f"{path}:")
    assert re.search(pattern, line), line


DATA_FAULTS = {
    "a batch beyond the images": (
        ("batch_size: 32", "batch_size: 200"),
        r"tiny\.yaml:11: training\.batch_size: 200 is more than the 160 training images",
    ),
    "more images than there are": (("train_size: 160", "train_size: 99999"), r"tiny\.yaml:3: data\.train_size: 99999"),
    "more validation images than there are": (
        ("validation_size: 100", "validation_size: 99999"),
        r"tiny\.yaml:3: data\.validation_size: 99999",
    ),
}


@pytest.mark.parametrize("command", ["train", "sweep", "plan"])
@pytest.mark.parametrize("fault", DATA_FAULTS)
def test_what_only_the_data_show_is_answered_with_its_line_too(
    fault: str, command: str, tmp_path: Path, answer: Callable[..., str]
) -> None:
    change, pattern = DATA_FAULTS[fault]
    path = tiny_file(tmp_path, change)
    more = {"sweep": ["--out", str(tmp_path / "out")], "plan": ["--probe"]}.get(command, [])
    line = answer(command, str(path), *more)
    assert line.startswith(f"{path}:") and re.search(pattern, line), line
    assert not (tmp_path / "out").exists()


def test_what_was_set_by_hand_is_not_blamed_on_the_file(tmp_path: Path, answer: Callable[..., str]) -> None:
    line = answer("train", str(tiny_file(tmp_path)), "--set", "training.batch_size=200")
    assert line == "--set: training.batch_size: 200 is more than the 160 training images"
    assert answer("explain", str(tiny_file(tmp_path)), "--set", "training.epochs=x").startswith(
        "--set: training.epochs: "
    )


def test_a_file_that_is_not_there(tmp_path: Path, answer: Callable[..., str]) -> None:
    assert str(tmp_path / "none.yaml") in answer("explain", str(tmp_path / "none.yaml"))
    assert str(tmp_path) in answer("explain", str(tmp_path))


def test_a_file_that_is_no_text(tmp_path: Path, answer: Callable[..., str]) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00\x01")
    assert answer("explain", str(tmp_path / "x.yaml")).startswith(str(tmp_path / "x.yaml"))


def _idx(values: torch.Tensor) -> bytes:
    header = bytes([0, 0, 8, values.dim()]) + struct.pack(f">{values.dim()}I", *values.shape)
    return header + values.numpy().tobytes()


def _fashion(folder: Path, size: int = 28, count: int = 40) -> Path:
    """A folder with the four files, of noise."""
    generator = torch.Generator().manual_seed(0)
    for part in ("train", "t10k"):
        images = torch.randint(0, 256, (count, size, size), generator=generator, dtype=torch.uint8)
        labels = (torch.arange(count) % 10).to(torch.uint8)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(_idx(images)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(_idx(labels))
    return folder


@pytest.fixture
def fashion_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A space on Fashion-MNIST, which is looked for in `data` alone, without network."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("RAYCON_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("RAYCON_OFFLINE", "1")
    monkeypatch.setattr("raycon.datasets.fashion_mnist.SYSTEM_FOLDER", tmp_path / "nowhere")
    monkeypatch.setattr("raycon.datasets.fashion_mnist._cache", lambda: tmp_path / "cache")
    change = ("{dataset: digits, labels: coarse, coarse: low_high, train_size: 160, validation_size: 100}",)
    return tiny_file(
        tmp_path, (*change, "{dataset: fashion_mnist, labels: coarse, coarse: clothes_accessories, validation_size: 5}")
    )


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_missing_data_say_where_they_were_looked_for_and_how_to_get_them(
    command: str, fashion_file: Path, tmp_path: Path, answer: Callable[..., str]
) -> None:
    more = ["--out", str(tmp_path / "out")] if command == "sweep" else []
    line = answer(command, str(fashion_file), *more)
    for place in ("data", "data/fashion-mnist", "data/FashionMNIST/raw", "nowhere", "cache/FashionMNIST/raw"):
        assert str(tmp_path / place) in line
    assert "RAYCON_OFFLINE=1" in line and "dataset-fashion-mnist" in line and "set RAYCON_DATA" in line
    assert not (tmp_path / "out").exists()


def test_part_of_the_data_is_told(fashion_file: Path, tmp_path: Path, answer: Callable[..., str]) -> None:
    _fashion(tmp_path / "data")
    (tmp_path / "data" / "t10k-labels-idx1-ubyte").unlink()
    assert "lacks t10k-labels-idx1-ubyte" in answer("train", str(fashion_file))


def test_images_of_another_shape_are_named_with_their_file(
    fashion_file: Path, tmp_path: Path, answer: Callable[..., str]
) -> None:
    _fashion(tmp_path / "data", size=20)
    path = tmp_path / "data" / "train-images-idx3-ubyte.gz"
    assert answer("train", str(fashion_file)) == f"{path}: images are 20 x 20 pixels, not 28 x 28"


def _break(path: Path, fault: str) -> None:
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-7], "other": b"hello", "empty": b""}[fault])


@pytest.mark.parametrize("fault", ["cut", "other", "empty"])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"])
def test_broken_data_files_are_named(
    name: str, fault: str, fashion_file: Path, tmp_path: Path, answer: Callable[..., str]
) -> None:
    _break(_fashion(tmp_path / "data") / name, fault)
    assert answer("train", str(fashion_file)).startswith(f"{tmp_path / 'data' / name}: ")


def test_a_label_out_of_range_is_named(fashion_file: Path, tmp_path: Path, answer: Callable[..., str]) -> None:
    path = _fashion(tmp_path / "data") / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + bytes([11]))
    assert answer("train", str(fashion_file)) == f"{path}: label 11 is beyond 9"


def _digits_without(monkeypatch: pytest.MonkeyPatch, label: int, kept: int) -> None:
    """Digits whose training part has only `kept` images of one class."""
    whole = digits()
    rows = whole.splits["train"]
    of_class = rows[whole.attributes["class"][rows] == label]
    left = rows[~torch.isin(rows, of_class[kept:])]
    table: ImageTable = replace(whole, splits={**whole.splits, "train": left})
    monkeypatch.setitem(loading.LOADERS, "digits", lambda: table)


def test_a_class_with_one_image_is_trained_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _digits_without(monkeypatch, label=3, kept=1)
    with pytest.warns(RayconWarning, match="class 3: one distinct image each, which stays in train"):
        metrics = train(load(tiny_file(tmp_path)))
    assert metrics and all(value == value and abs(value) < 1e6 for value in metrics.values())


def test_a_class_without_images_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., str]
) -> None:
    _digits_without(monkeypatch, label=3, kept=0)
    path = tiny_file(tmp_path)
    assert answer("train", str(path)) == f"{path}:3: data.dataset: class 3 has no training image"


LABELS = {
    "one class": torch.zeros(8, dtype=torch.int64),
    "the other class": torch.ones(8, dtype=torch.int64),
    "one image of a class": torch.tensor([0, 0, 0, 0, 0, 0, 0, 1]),
}


@pytest.mark.parametrize("case", LABELS)
def test_a_step_on_a_batch_of_one_class_is_finite(case: str) -> None:
    trial = small_trial()
    step = Step(trial, describe(trial.data))
    views = torch.randn(8, 2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    total, parts = step({"views": views, "labels": LABELS[case]})
    torch.autograd.backward(total)
    assert torch.isfinite(total) and torch.isfinite(parts).all()
    assert all(torch.isfinite(p.grad).all() for p in step.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    "name", sorted({"supcon", "class_conditional_infonce", "epsilon_supinfonce", "fairkl"} & set(TERMS))
)
def test_a_term_on_a_batch_of_one_class_is_finite(name: str) -> None:
    raw = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    features = torch.nn.functional.normalize(raw, dim=2)
    labels = torch.ones(6, dtype=torch.int64)
    more = [torch.arange(6) % 2] if name == "fairkl" else []
    value = TERMS[name](features, labels, *more)
    torch.autograd.backward(value)
    assert torch.isfinite(value) and raw.grad is not None and torch.isfinite(raw.grad).all()
