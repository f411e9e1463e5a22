"""Checkpoints are whole or not there; damage is found; the newest sound one is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from raycon.checkpoint_storage import checkpoint_place
from raycon.checkpoints import (
    MANIFEST,
    TENSORS,
    DamagedCheckpoint,
    is_sound,
    newest_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from raycon.state import State
from tests.training.trials import small_trial


def _write(run: Path, attempt: int, epoch: int) -> Path:
    folder = Path(checkpoint_place(str(run), attempt, epoch))
    write_checkpoint(folder, {"weights": torch.full((3,), float(epoch))}, {"epoch": epoch})
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    tensors, facts = read_checkpoint(_write(tmp_path, 1, 4))
    assert torch.equal(tensors["weights"], torch.full((3,), 4.0))
    assert facts["epoch"] == 4


def test_a_flipped_byte_is_found_and_the_one_before_taken(tmp_path: Path) -> None:
    older, newer = _write(tmp_path, 1, 1), _write(tmp_path, 2, 2)
    assert newest_checkpoint(tmp_path) == newer
    data = bytearray((newer / TENSORS).read_bytes())
    data[-1] ^= 1
    (newer / TENSORS).write_bytes(bytes(data))
    assert not is_sound(newer)
    with pytest.raises(DamagedCheckpoint):
        read_checkpoint(newer)
    assert newest_checkpoint(tmp_path) == older


@pytest.mark.parametrize("missing", [TENSORS, MANIFEST])
def test_a_half_one_is_not_taken_and_can_be_written_anew(tmp_path: Path, missing: str) -> None:
    folder = _write(tmp_path, 1, 1)
    (folder / missing).unlink()
    assert newest_checkpoint(tmp_path) is None
    assert is_sound(_write(tmp_path, 1, 1))


def test_later_attempts_and_other_files_are_told_apart(tmp_path: Path) -> None:
    _, second = _write(tmp_path, 1, 2), _write(tmp_path, 3, 2)
    (tmp_path / "attempt-x" / "epoch-0009").mkdir(parents=True)
    assert newest_checkpoint(tmp_path) == second


def test_only_the_last_epochs_are_kept(tmp_path: Path) -> None:
    folders = [_write(tmp_path, 1 + epoch // 3, epoch) for epoch in range(1, 6)]
    assert [folder.exists() for folder in folders] == [False, False, False, True, True]


def test_no_draft_is_left(tmp_path: Path) -> None:
    _write(tmp_path, 1, 1)
    assert [path.name for path in (tmp_path / "attempt-1").iterdir()] == ["epoch-0001"]


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    State(small_trial()).save(tmp_path / "epoch-0001")
    with pytest.raises(DamagedCheckpoint, match="another configuration"):
        State(small_trial(encoder__width=5)).load(tmp_path / "epoch-0001")
