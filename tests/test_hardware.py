"""The machine in a line, here and on others."""

from __future__ import annotations

from pathlib import Path

import pytest

from raycon import hardware


def test_this_machine_has_cores_memory_and_python() -> None:
    told = hardware.hardware()
    assert " x " in told and "GiB" in told and "Python 3" in told and told == hardware.hardware()


def test_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Some CPU @ 2 GHz\n")
    for slot in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / slot).mkdir(parents=True)
        (tmp_path / "gpus" / slot / "information").write_text("Model: \t\t Some GPU\nIRQ: 5\n")
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(hardware, "GPU_INFO", tmp_path / "gpus")
    told = hardware.hardware()
    assert " x Some CPU @ 2 GHz; " in told and "; 2 x Some GPU; " in told


def test_a_machine_that_says_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "absent")
    monkeypatch.setattr(hardware, "GPU_INFO", tmp_path / "absent")
    assert "no NVIDIA GPU" in hardware.hardware()
