"""All of a run that survives a yield of the training loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raycon.checkpoints import DamagedCheckpoint, read_checkpoint, write_checkpoint
from raycon.config import Trial
from raycon.datasets import describe
from raycon.optimisers import build_optimiser
from raycon.seeding import derive_seed
from raycon.step import Step


class State:
    """Weights, optimiser, place in the schedule and running sums of one run.

    There are no random streams to keep: every draw is keyed by (seed, epoch, sample or step), see `raycon.training`.

    epoch: finished epochs. index: finished steps of the epoch under way. sums: float64 [L + 2], over those steps, of
    all that a step logs, the total and the gradient's norm. bad_step: its first step that was not finite, or -1.
    scored: the metrics of the last finished epoch, so that a result that got lost with its driver can be told again.
    """

    def __init__(self, trial: Trial, device: str = "cpu"):
        torch.manual_seed(derive_seed(trial.seeds.init, "init"))
        self.trial = trial
        self.device = torch.device(device)
        self.step = Step(trial, describe(trial.data)).to(self.device)
        if trial.training.precision == "float64":
            self.step.double()
        self.step.encoder.to(memory_format=self.step.layout)
        self.optimiser = build_optimiser(self.step, trial.training)
        self.epoch = 0
        self.index = 0
        self.scored: dict[str, float] = {}
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forgets the sums of the epoch before."""
        self.index = 0
        self.sums = torch.zeros(len(self.step.logged) + 2, dtype=torch.float64, device=self.device)
        self.bad_step = torch.full((), -1, dtype=torch.int64, device=self.device)
        self.seconds = 0.0

    def save(self, folder: Path) -> None:
        """Writes the state as a checkpoint."""
        tensors = {f"model.{name}": value for name, value in self.step.state_dict().items()}
        facts: dict[str, Any] = {}
        for number, values in self.optimiser.state_dict()["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimiser.{number}.{name}"] = value
                else:
                    facts[f"optimiser.{number}.{name}"] = value
        tensors |= {"loop.sums": self.sums, "loop.bad_step": self.bad_step}
        place = {"epoch": self.epoch, "index": self.index, "seconds": self.seconds, "scored": self.scored}
        write_checkpoint(folder, tensors, {"place": place, "optimiser": facts})

    def load(self, folder: Path) -> None:
        """Becomes the state that `folder` holds. Raises DamagedCheckpoint if it is not whole or not of this trial."""
        tensors, facts = read_checkpoint(folder)
        model = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
        try:
            self.step.load_state_dict(model)
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise DamagedCheckpoint(f"{folder}: the checkpoint is of another configuration: {first}") from None
        self._load_optimiser(tensors, facts["optimiser"])
        self.sums = tensors["loop.sums"].to(self.device)
        self.bad_step = tensors["loop.bad_step"].to(self.device)
        place = facts["place"]
        self.epoch, self.index, self.seconds, self.scored = (place[n] for n in ("epoch", "index", "seconds", "scored"))

    def _load_optimiser(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        state: dict[int, dict[str, Any]] = {}
        for path, value in [*tensors.items(), *facts.items()]:
            section, _, rest = path.partition(".")
            if section == "optimiser":
                number, _, name = rest.partition(".")
                state.setdefault(int(number), {})[name] = value
        whole = self.optimiser.state_dict()
        whole["state"] = state
        self.optimiser.load_state_dict(whole)
