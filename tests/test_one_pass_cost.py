"""What a pass of all protocols costs: below 30 seconds of one CPU for 10,000 images judged."""

from __future__ import annotations

import hashlib
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from raycon.encoder_sources import Found
from raycon.metric_names import METRICS
from raycon.one_pass import evaluate
from raycon.one_trial import train
from raycon.scores import PROTOCOLS
from raycon.space import trial_from

SECONDS = 30.0
REFERENCE = 0.43
"""CPU-seconds of `calibration` on the machine of the README's results (0.39 to 0.45 in four measurements). A slower
machine, or one whose core is shared, has proportionally more time; a faster one has no less."""

ABSENT = {
    "shots/few_accuracy",  # no coarse class has fewer than 20 training images
    "shots/medium_accuracy",
    "shots/head_accuracy",  # a third of two coarse classes is none
    "shots/tail_accuracy",
    "corruptions/relative_error",  # in some family the probe on pixels errs no more than on clean images
}
"""What two coarse classes cannot have, and what these images do not give."""


def calibration() -> float:
    """CPU-seconds of a fixed amount of multiplying and of passing over memory, as encoders and probes do it."""
    generator = torch.Generator().manual_seed(0)
    square, long = torch.rand(1024, 1024, generator=generator), torch.rand(8_000_000, generator=generator)
    started = time.process_time()
    for _ in range(12):
        square @ square
        long.exp().sum()
    return time.process_time() - started


def trial(**data: Any) -> Any:
    return trial_from(
        {
            "data": {
                "dataset": "fashion_mnist", "labels": "coarse", "coarse": "clothes_accessories",
                "bias": {"rate": 0.9}, "groups": ["class", "aligned"], "validation_size": 10000, **data,
            },
            "encoder": {"name": "convnet", "width": 24},
            "objective": {"supcon": {}},
            "training": {"epochs": 1, "batch_size": 128},
        }
    )  # fmt: skip


def state_of(found: Found) -> tuple[str, list[bool]]:
    digest = hashlib.sha256()
    for name, value in [*found.model.named_parameters(), *found.model.named_buffers()]:
        digest.update(name.encode() + value.detach().numpy().tobytes())
    return digest.hexdigest(), [part.training for part in found.model.modules()]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_all_protocols_of_a_structured_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raycon import one_pass
    from raycon.encoder_sources import from_checkpoint

    monkeypatch.setenv("RAYCON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(one_pass, "from_checkpoint", remember := _Remembered(from_checkpoint))
    train(trial(train_size=3000), folder=tmp_path / "run")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        slowness = [calibration()]
        started = time.process_time()
        changes = ["data.train_size=null", "data.long_tail={imbalance: 100}"]
        found = evaluate(tmp_path / "run", overrides=changes, device="cpu")
        spent = time.process_time() - started
        slowness.append(calibration())
    finally:
        torch.set_num_threads(threads)
    factor = max(1.0, sum(slowness) / len(slowness) / REFERENCE)
    print(f"{spent:.1f} CPU-s, calibration {slowness}, factor {factor:.2f}, {found.trained_on} training images")
    assert spent < SECONDS * factor
    assert found.images == 10000 and found.trained_on == 20200
    assert not found.left_out
    named = {name.removeprefix("validation/") for name in found.metrics}
    assert {name.split("/")[0] for name in named} == set(PROTOCOLS)
    assert all(math.isfinite(value) for value in found.metrics.values())
    wanted = {name for name in METRICS if name.split("/")[0] in PROTOCOLS}
    assert wanted - named == ABSENT
    assert state_of(remember.found) == remember.before


class _Remembered:
    """Opens a checkpoint as it is opened, and remembers what it was."""

    def __init__(self, function: Any):
        self.function = function

    def __call__(self, *arguments: Any) -> Found:
        found: Found = self.function(*arguments)
        self.found, self.before = found, state_of(found)
        return found
