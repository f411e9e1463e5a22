"""The training loop: one generator, the same for a laptop, a Ray Tune trial and a group of distributed workers.

It yields `Progress` now and then and `Scored` at the end of each epoch; all that survives a yield is in `State`, so a
run that is stopped at any yield, saved, and opened again elsewhere goes on as if nothing had happened. The draws of an
epoch are keyed by (order seed, epoch, sample) and those of dropout by (order seed, epoch, step, rank): they depend
neither on what ran before in the same process nor, but for dropout, on the number of workers.
"""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from raycon.collectives import mean_over_workers, smallest_over_workers
from raycon.config import Trial
from raycon.datasets import ImageTable, augment, bias_attribute, epoch_draws, load_tables
from raycon.errors import Diverged, InvalidFile
from raycon.evaluation import embed_table, score_encoder
from raycon.networks.auxiliary import Preparation
from raycon.networks.batch_norm import share_running_statistics
from raycon.optimisers import learning_rate_at
from raycon.own_code import OwnCode, activate
from raycon.runs import Progress, Scored, World
from raycon.scores import NotFinite
from raycon.seeding import derive_seed
from raycon.space import trial_from
from raycon.state import State
from raycon.vocabulary import DRAWS

STEPS_BETWEEN_PROGRESS = 25


class Batches:
    """The batches of an epoch: which images, in which order, with which random changes, for this worker.

    parts: how many parts of the step ask for random numbers of their own.
    """

    def __init__(self, trial: Trial, table: ImageTable, world: World, parts: int = 0):
        training = trial.training
        if training.batch_size % world.size:
            raise InvalidFile(
                f"{training.batch_size} images cannot be shared evenly by {world.size} workers",
                field="training.batch_size",
            )
        if training.batch_size > len(table):
            raise InvalidFile(
                f"{training.batch_size} is more than the {len(table)} training images", field="training.batch_size"
            )
        self.trial, self.world, self.parts = trial, world, parts
        self.images = table.images.to(world.device)
        self.attributes = {"labels": table.attributes[trial.data.labels].to(world.device)}
        if "bias_labels" in trial.data.reveal:
            self.attributes["bias_labels"] = table.attributes[bias_attribute(trial.data) or ""].to(world.device)
        if "groups" in trial.data.reveal:
            self.attributes["groups"] = table.product(trial.data.groups)[0].to(world.device)
        self.mean, self.std = table.mean, table.std
        self.steps = len(table) // training.batch_size
        self.dtype = torch.float64 if training.precision == "float64" else torch.float32

    def begin_epoch(self, epoch: int) -> None:
        """Draws the order of the images and the random numbers of every view. Images left over by the last full batch
        are left out of this epoch; the next order is another."""
        self.epoch = epoch
        generator = torch.Generator().manual_seed(self._seed("order"))
        self.order = torch.randperm(len(self.images), generator=generator)
        self.draws = self._view_draws("augmentation")
        self.further_draws: Tensor | None = None
        generator.manual_seed(self._seed("draws"))
        self.part_draws = torch.rand(len(self.images), self.parts, DRAWS, generator=generator)

    def batch(self, index: int) -> dict[str, Tensor]:
        """This worker's share of batch `index`: `views` [N, V, C, H, W], `labels` and `indices` [N], what is revealed,
        and `draws` [N, parts that ask, R]."""
        share = self.trial.training.batch_size // self.world.size
        start = index * self.trial.training.batch_size + self.world.rank * share
        chosen = self.order[start : start + share]
        rows = chosen.to(self.world.device)
        batch = {"views": self._views(rows, self.draws[chosen]), "indices": rows}
        batch |= {name: values[rows] for name, values in self.attributes.items()}
        if self.parts:
            batch["draws"] = self.part_draws[chosen].to(self.world.device, self.dtype)
        return batch

    def further_views(self, rows: Tensor) -> Tensor:
        """Views [N, V, C, H, W] of any training images, by their row numbers, drawn apart from the batch's own."""
        if self.further_draws is None:
            # On the device at once: which rows are wanted is only known there, and copying that back would wait for it.
            self.further_draws = self._view_draws("further").to(self.world.device)
        return self._views(rows, self.further_draws[rows])

    def _views(self, rows: Tensor, draws: Tensor) -> Tensor:
        draws = draws.to(self.world.device, self.dtype)
        return augment(self.images[rows], draws, self.trial.augmentation, self.mean, self.std, dtype=self.dtype)

    def _view_draws(self, purpose: str) -> Tensor:
        return epoch_draws(len(self.images), self.trial.training.views, seed=self._seed(purpose))

    def _seed(self, purpose: str) -> int:
        return derive_seed(self.trial.seeds.order, purpose, self.epoch)


def train(trial: Trial, tables: Mapping[str, ImageTable], state: State, world: World) -> Iterator[Progress | Scored]:
    """Trains from where `state` stands to the last epoch.

    tables: `train`, and `validation` where scores are due. Raises Diverged, with the step, when a loss or a gradient is
    NaN or infinite.
    """
    batches = Batches(trial, tables["train"], world, parts=len(state.step.plan.drawing))
    model = _wrap(state, trial, world)
    while state.epoch < trial.training.epochs:
        batches.begin_epoch(state.epoch + 1)
        _prepare(trial, tables["train"], batches, state, world)
        yield from _run_epoch(trial, batches, model, state, world)
        metrics = _epoch_metrics(trial, batches, state)
        state.epoch += 1
        done = state.epoch == trial.training.epochs
        if done or (trial.training.score_every and state.epoch % trial.training.score_every == 0):
            metrics |= _validate(state, trial, tables, world)
        state.begin_epoch()
        state.scored = metrics
        yield Scored(state.epoch, metrics, done)


def _prepare(trial: Trial, table: ImageTable, batches: Batches, state: State, world: World) -> None:
    """Lets every network look at the training images before an epoch, the one that was interrupted included."""
    preparation = Preparation(
        trial=trial,
        table=table,
        epoch=state.epoch,
        seed=derive_seed(trial.seeds.order, "prepare", state.epoch),
        embed=lambda: embed_table(state.step, trial, table, world.device).embeddings,
        make_views=batches.further_views,
        resumed=state.index > 0,
    )
    for network in state.step.auxiliaries.values():
        network.prepare(preparation)


def _validate(state: State, trial: Trial, tables: Mapping[str, ImageTable], world: World) -> dict[str, float]:
    try:
        return score_encoder(state.step, trial, tables, "validation", world.device)
    except NotFinite as error:
        # The loss was finite, but the step that it led to was not survived by the weights.
        raise Diverged(str(error), epoch=state.epoch, step=state.index) from None


def _run_epoch(trial: Trial, batches: Batches, model: nn.Module, state: State, world: World) -> Iterator[Progress]:
    epoch = state.epoch + 1
    state.step.train()
    started = time.monotonic()
    while state.index < batches.steps:
        seed = derive_seed(trial.seeds.order, "step", epoch, state.index, world.rank)
        torch.manual_seed(seed)
        _one_step(trial, batches, model, state)
        state.index += 1
        if state.index % STEPS_BETWEEN_PROGRESS == 0 and state.index < batches.steps:
            _check_finite(state, epoch)
            state.seconds += time.monotonic() - started
            share_running_statistics(state.step)
            yield Progress(
                epoch, state.index, batches.steps, {"train/objective/total": float(state.sums[-2] / state.index)}
            )
            state.step.train()
            started = time.monotonic()
    _check_finite(state, epoch)
    share_running_statistics(state.step)
    state.seconds += time.monotonic() - started


def _one_step(trial: Trial, batches: Batches, model: nn.Module, state: State) -> None:
    rate = learning_rate_at(
        state.epoch * batches.steps + state.index, trial.training.epochs * batches.steps, trial.training
    )
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    state.optimiser.zero_grad(set_to_none=True)
    total, parts = model(batches.batch(state.index))
    total.backward()
    limit = trial.training.gradient_clip or float("inf")
    norm = nn.utils.clip_grad_norm_(state.step.parameters(), limit)
    state.optimiser.step()
    state.step.after_step()
    seen = torch.stack([*parts.double(), total.detach().double(), norm.double()])
    state.sums += seen
    # Kept on the device: asking for the value would wait for it at every step.
    bad = (state.bad_step < 0) & ~torch.isfinite(seen).all()
    state.bad_step = torch.where(bad, state.index + 1, state.bad_step)


def _check_finite(state: State, epoch: int) -> None:
    """Raises Diverged on all workers if one of them met a number that is not finite."""
    step = torch.where(state.bad_step < 0, torch.iinfo(torch.int64).max, state.bad_step)
    first = int(smallest_over_workers(step))
    if first < torch.iinfo(torch.int64).max:
        raise Diverged("the loss or its gradient", epoch=epoch, step=first)


def _epoch_metrics(trial: Trial, batches: Batches, state: State) -> dict[str, float]:
    means = mean_over_workers(state.sums / batches.steps).tolist()
    names = [*state.step.logged, "total", "gradient_norm"]
    metrics = {f"train/objective/{name}": value for name, value in zip(names, means, strict=True)}
    metrics["train/objective/learning_rate"] = float(state.optimiser.param_groups[0]["lr"])
    metrics["train/speed/seconds"] = state.seconds
    metrics["train/speed/images_per_second"] = batches.steps * trial.training.batch_size / max(state.seconds, 1e-9)
    return metrics


def _wrap(state: State, trial: Trial, world: World) -> nn.Module:
    if trial.training.compile:
        state.step.encoder.compile()
    if world.size == 1:
        return state.step
    # Buffers hold statistics of the whole batch already: they are the same everywhere, and need no broadcast. The
    # option that says so has got another name in torch 2.14.
    wrapper: Callable[..., nn.Module] = DistributedDataParallel
    names = inspect.signature(wrapper).parameters
    option = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    return wrapper(state.step, **{option: False})


class TrainingRun:
    """A run of the shipped loop, as workers drive it (see `raycon.runs.Run`)."""

    def __init__(self, trial: Trial, tables: Mapping[str, ImageTable], world: World, resume: Path | None):
        self.world = world
        self.state = State(trial, world.device)
        told: list[Scored] = []
        if resume is not None:
            self.state.load(resume)
            if self.state.epoch and not self.state.index:
                # The driver may have died before it wrote this result down; one that it has is ignored by it.
                told = [Scored(self.state.epoch, self.state.scored, self.state.epoch == trial.training.epochs)]
        self.loop = train(trial, tables, self.state, world)
        self.events: Iterator[Progress | Scored] = itertools.chain(told, self.loop)

    def save(self, folder: Path) -> None:
        """Writes a checkpoint, on rank 0."""
        if self.world.rank == 0:
            self.state.save(folder)

    def close(self) -> None:
        """Ends the loop and drops the weights."""
        self.events = iter(())
        closing = getattr(self.loop, "close", None)
        if closing is not None:
            closing()
        self.loop = iter(())


def open_run(assignment: Mapping[str, Any], world: World) -> TrainingRun:
    """The run of an assignment, from its checkpoint `resume` where it names one. The test split is never read."""
    activate(OwnCode(tuple(assignment.get("code", ()))))
    trial = trial_from(assignment["trial"])
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    resume = assignment.get("resume")
    return TrainingRun(trial, tables, world, Path(resume) if resume else None)


def train_here(
    trial: Trial, folder: Path | None = None, resume: Path | None = None, device: str = "cpu"
) -> Iterator[Progress | Scored]:
    """Trains one trial in this process, without Ray. `folder`: where checkpoints go; `resume`: which to start from."""
    tables = load_tables(trial.data, split_seed=trial.seeds.split)
    run = TrainingRun(trial, tables, World(device=device), resume)
    for event in run.events:
        due = isinstance(event, Scored) and (event.done or event.epoch % trial.training.checkpoint_every == 0)
        if folder is not None and due:
            run.save(folder / "attempt-1" / f"epoch-{event.epoch:04d}")
        yield event
