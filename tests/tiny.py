"""The smallest search that trains for real: digits, one epoch, half a second a run; and a stand-in for Ray's part."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from raycon.cluster.here import run_here
from raycon.driver import Driver

FINE = "validation/coarse_to_fine/accuracy"

TINY = """\
name: tiny
trial:
  data: {dataset: digits, labels: coarse, coarse: low_high, train_size: 160, validation_size: 100}
  encoder: {name: convnet, width: 4, depth: 3, projection: [16, 8]}
  objective:
    supcon:
      temperature: {log_uniform: [0.05, 0.5]}
    reconstruction:
      use: {choice: [true, false]}
      weight: {log_uniform: [0.1, 10.0]}
  training: {epochs: 1, batch_size: 32, learning_rate: 0.01}
  scores: [coarse_to_fine]
sweep:
  maximize: validation/coarse_to_fine/accuracy
  trials: 3
  sampler: random
  first:
    - {objective.supcon.temperature: 0.1, objective.reconstruction.use: false}
repeat:
  seeds: [101, 102]
  against:
    plain: {objective.supcon.temperature: 0.4, objective.reconstruction.use: false}
"""


def tiny_file(folder: Path, *changes: tuple[str, str]) -> Path:
    """The space as a file, with pieces of its text replaced."""
    text = TINY
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def run_sweep(
    driver: Driver,
    sweep: Any,
    *,
    factory: str,
    slots: int | None = None,
    resources: Mapping[str, float] | None = None,
    wait_minutes: float = 0.0,
    observer: Any = None,
    folder: Path,
) -> None:
    """What `raycon.cluster.search.run_sweep` does, one run after another in this process."""
    run_here(driver, sweep, factory=factory, observer=observer, folder=folder)


def without_ray(patch: pytest.MonkeyPatch) -> None:
    """Sweeps and repetitions run in this process, one run at a time."""
    search = ModuleType("raycon.cluster.search")
    search.run_sweep = run_sweep  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "raycon.cluster.search", search)
