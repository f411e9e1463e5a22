"""The shipped loop, with weights and order drawn for each arm apart; the split is shared, as in any study."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from raycon.config import Trial
from raycon.runs import Progress, Scored
from raycon.seeding import derive_seed
from raycon.training import train_here


def train_arm(trial: Trial) -> Iterator[Progress | Scored]:
    """Trains one arm, which is known by the limit that its gradients never reach."""
    noise = derive_seed(trial.seeds.init, "arm", int(trial.training.gradient_clip or 0))
    yield from train_here(replace(trial, seeds=replace(trial.seeds, init=noise, order=noise)))


TRAIN = [train_arm]
