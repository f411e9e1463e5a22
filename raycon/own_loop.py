"""A user's own training loop: any generator that yields `Scored`, driven as the shipped one is.

    def my_loop(trial, world, checkpoint):
        model, optimiser = ...
        checkpoint.keep(model=model, optimiser=optimiser)
        for epoch in checkpoint.epochs():
            ...                                            # the loop as it was
            yield Scored(epoch, score(trial, model.embed))

It asks for what it needs by the names of its parameters: `trial` (see `raycon.config.Trial`), `world` (rank, size,
device) and `checkpoint`. Seeds: the global generators of Python, NumPy and torch are set from `trial.seeds.init`
before it begins, and from (`trial.seeds.order`, epoch, rank) before each epoch, so that there are no random streams
to keep. Resumption: what `checkpoint.keep` was given is written with a checksum, whole or not at all, after each
epoch that is due. Between two yields no rank may have a collective operation under way.
"""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor

from raycon.checkpoints import DamagedCheckpoint, read_checkpoint, write_checkpoint
from raycon.config import Trial
from raycon.datasets import ImageTable, load_tables, normalise
from raycon.errors import RayconError
from raycon.fine_tuning import Copied, EmbedRows
from raycon.further_images import embed_further
from raycon.metric_names import metric
from raycon.own_code import OwnCode, activate
from raycon.runs import Progress, Scored, World
from raycon.scores import Embedded, evaluate
from raycon.seeding import derive_seed
from raycon.space import trial_from

ROWS_AT_ONCE = 1000
FACTORY = "raycon.own_loop:open_run"


class Stateful(Protocol):
    """Models, optimisers, schedulers, scalers: whatever gives its state as a dict and takes it back."""

    def state_dict(self) -> Any:
        """The state: dicts, lists and tuples of tensors, numbers, text and None."""

    def load_state_dict(self, state: Any) -> Any:
        """Becomes what the state says."""


class Checkpoint:
    """What a loop keeps over interruptions, and where it stands. `epoch`: finished epochs; 0 at the beginning."""

    def __init__(self, trial: Trial, world: World, resume: Path | None):
        self.trial, self.world = trial, world
        self.epoch = 0
        self.scored: dict[str, float] = {}
        self._parts: dict[str, Stateful | dict[str, Any]] = {}
        self._found: dict[str, Any] | None = None
        if resume is not None:
            tensors, facts = read_checkpoint(resume)
            place = facts["place"]
            self.epoch, self.scored = place["epoch"], place["scored"]
            self._found = {name: _decode(part, tensors) for name, part in facts["parts"].items()}

    def keep(self, **parts: Stateful | dict[str, Any]) -> None:
        """Names what must survive: objects with `state_dict` and `load_state_dict`, or dicts of tensors and plain
        values. Where the run goes on from a checkpoint, they become what they were. Call it once, when all are made.

        Raises DamagedCheckpoint where the checkpoint holds other parts.
        """
        if self._parts:
            raise RayconError("checkpoint.keep was called twice; name all parts at once")
        self._parts = parts
        if self._found is None:
            return
        if self._found.keys() != parts.keys():
            raise DamagedCheckpoint(f"the checkpoint holds {', '.join(self._found)}, not {', '.join(parts)}")
        for name, part in parts.items():
            if isinstance(part, dict):
                part.clear()
                part.update(self._found[name])
            else:
                part.load_state_dict(self._found[name])

    def epochs(self) -> Iterator[int]:
        """The epochs that are left, counted from 1 to `trial.training.epochs`, each with its own seeds."""
        while self.epoch < self.trial.training.epochs:
            epoch = self.epoch + 1
            seed_all(derive_seed(self.trial.seeds.order, "own epoch", epoch, self.world.rank))
            yield epoch
            if self.epoch != epoch:
                raise RayconError(f"epoch {epoch} ended without a Scored of its own")

    def save(self, folder: Path) -> None:
        """Writes a checkpoint. raycon calls it when one is due."""
        tensors: dict[str, Tensor] = {}
        parts = {}
        for name, part in self._parts.items():
            state = part if isinstance(part, dict) else part.state_dict()
            parts[name] = _encode(state, name, tensors)
        # A checkpoint always has one tensor, even of a loop that keeps none.
        tensors["epoch"] = torch.tensor(self.epoch)
        write_checkpoint(folder, tensors, {"place": {"epoch": self.epoch, "scored": self.scored}, "parts": parts})


def seed_all(seed: int) -> None:
    """Sets the global generators of Python, NumPy and torch, of GPUs too."""
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON can hold it; its tensors go to `tensors` under their paths."""
    if isinstance(value, Tensor):
        # Tied weights are two names for one piece of memory, which safetensors refuses.
        tensors[path] = value.detach().clone()
        return {"tensor": path}
    if isinstance(value, Mapping):
        return {"dict": [[key, _encode(child, f"{path}.{key}", tensors)] for key, child in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encode(child, f"{path}.{index}", tensors) for index, child in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise RayconError(f"checkpoint.keep: {path} is a {type(value).__name__}; keep tensors, numbers, text and None")


def _decode(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    ((kind, content),) = plain.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _decode(child, tensors) for key, child in content}
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(_decode(child, tensors) for child in content)
    return content


class OwnRun:
    """A run of an own loop, as workers drive it (see `raycon.runs.Run`)."""

    def __init__(self, loop: Callable[..., Any], trial: Trial, world: World, resume: Path | None):
        asked = inspect.signature(loop).parameters
        # Without a checkpoint in its hands a loop can only begin at its first epoch.
        self.checkpoint = Checkpoint(trial, world, resume if "checkpoint" in asked else None)
        self.trial, self.world = trial, world
        given = {"trial": trial, "world": world, "checkpoint": self.checkpoint}
        self.loop = loop(**{name: given[name] for name in asked})
        self.events: Iterator[Progress | Scored] = self._events()

    def _events(self) -> Iterator[Progress | Scored]:
        last = self.trial.training.epochs
        if self.checkpoint.epoch:
            # The driver may have died before it wrote this result down; one that it has is ignored by it.
            yield Scored(self.checkpoint.epoch, self.checkpoint.scored, self.checkpoint.epoch == last)
        seed_all(derive_seed(self.trial.seeds.init, "init"))
        for event in self.loop:
            if isinstance(event, Scored):
                event = self._checked(event)
                self.checkpoint.epoch, self.checkpoint.scored = event.epoch, dict(event.metrics)
            yield event

    def _checked(self, event: Scored) -> Scored:
        """The event with plain numbers and `done` set. Raises InvalidFile for a metric that nobody knows."""
        expected = self.checkpoint.epoch + 1
        if event.epoch != expected:
            raise RayconError(f"Scored epoch {event.epoch}, expected {expected}: epochs count from 1, without a gap")
        for name in event.metrics:
            metric(name)
        metrics = {name: float(value) for name, value in event.metrics.items()}
        return Scored(event.epoch, metrics, event.done or event.epoch == self.trial.training.epochs)

    def save(self, folder: Path) -> None:
        """Writes a checkpoint, on rank 0."""
        if self.world.rank == 0:
            self.checkpoint.save(folder)

    def close(self) -> None:
        """Ends the loop and drops what it holds."""
        self.events = iter(())
        self.loop.close()


def open_run(assignment: Mapping[str, Any], world: World) -> OwnRun:
    """The run of an assignment that carries the code of a loop."""
    code = OwnCode(tuple(assignment["code"]))
    activate(code)
    loop = code.loop
    if loop is None:
        raise RayconError("the own code of this run has no loop")
    resume = assignment.get("resume")
    return OwnRun(loop, trial_from(assignment["trial"]), world, Path(resume) if resume else None)


def train_here(
    code: OwnCode, trial: Trial, folder: Path | None = None, resume: Path | None = None, device: str = "cpu"
) -> Iterator[Progress | Scored]:
    """Runs the loop of `code` once in this process, without Ray; as `raycon.training.train_here`."""
    activate(code)
    assert code.loop is not None
    run = OwnRun(code.loop, trial, World(device=device), resume)
    for event in run.events:
        due = isinstance(event, Scored) and (event.done or event.epoch % trial.training.checkpoint_every == 0)
        if folder is not None and due:
            run.save(folder / "attempt-1" / f"epoch-{event.epoch:04d}")
        yield event


@torch.no_grad()
def score(trial: Trial, embed: Callable[[Tensor], Tensor], device: str = "cpu") -> dict[str, float]:
    """The scores of `trial.scores` for any frozen encoder: {`validation/protocol/metric`: value}.

    embed: normalised images [n, C, H, W] -> embeddings [n, E]. Put the model into evaluation mode before. Probes are
    fitted on the trial's own training images and judged on its validation images, whatever the loop was trained on.
    `fine_tune` trains a copy of `embed`, which has to be an nn.Module for it.
    """
    tables = load_tables(trial.data, split_seed=trial.seeds.split)

    def embed_table(table: ImageTable) -> Tensor:
        chunks = [
            embed(normalise(images.to(device), table.mean, table.std, torch.float32)).float().cpu()
            for images in (table.images[at : at + ROWS_AT_ONCE] for at in range(0, len(table), ROWS_AT_ONCE))
        ]
        return torch.cat(chunks)

    embedded = {}
    for name in ("train", "validation"):
        table = tables[name]
        embeddings = embed_table(table)
        groups, count = table.product(trial.data.groups)
        embedded[name] = Embedded(
            embeddings=embeddings,
            features=torch.nn.functional.normalize(embeddings, dim=1),
            attributes=dict(table.attributes),
            sizes=dict(table.sizes),
            labels=table.attributes[trial.data.labels],
            groups=groups if trial.data.groups else None,
            group_count=count,
        )
    copied = _copies(embed, device) if isinstance(embed, torch.nn.Module) else None
    further = embed_further(trial, tables, "validation", embed_table, copied)
    return evaluate(trial, embedded, "validation", further)


def _copies(embed: torch.nn.Module, device: str) -> Copied:
    def copied() -> tuple[torch.nn.Module, EmbedRows]:
        twin = copy.deepcopy(embed).eval()

        def embed_rows(table: ImageTable, rows: Tensor) -> Tensor:
            made: Tensor = twin(normalise(table.images[rows].to(device), table.mean, table.std, torch.float32))
            return made

        return twin, embed_rows

    return copied
