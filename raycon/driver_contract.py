"""What the driver needs of a search space and of a search method, what it is told, and what it hands out."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from raycon.hardware import hardware
from raycon.versions import installed_versions

Decision = Literal["continue", "stop"]


class SpaceLike(Protocol):
    """What the driver needs of a search space."""

    def trial(self, values: dict[str, Any]) -> Any:
        """The whole configuration that belongs to the values of the holes."""

    def canonical(self) -> dict[str, Any]:
        """The space with every default filled in, as plain values."""


class Sampler(Protocol):
    """What the driver needs of a search method. Numbers come in order; pending runs are known to it."""

    def ask(self, number: int) -> dict[str, Any]:
        """Values of the active holes for run `number`, which counts as pending from now on."""

    def restore(self, number: int, values: dict[str, Any]) -> None:
        """Run `number` was asked before, with this answer: it counts as pending from now on."""

    def tell(self, number: int, state: str, values: list[float] | None, intermediate: dict[int, float]) -> None:
        """The result of a pending run: `values` (one per objective, maximised ones first) for a complete run only;
        `intermediate` maps epochs to the single objective, and is empty for runs that did not end by themselves."""


@dataclass(frozen=True)
class Assignment:
    """Work for one worker. `resume` is the newest usable checkpoint, or None to begin at epoch 1. (`attempt`, `try_`)
    is different for each worker that ever takes up the run. `shipped` is what every run of the sweep needs besides,
    such as own code."""

    key: str
    number: int
    attempt: int
    try_: int
    trial: dict[str, Any]
    folder: str
    resume: str | None
    shipped: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The assignment as a dict of plain values; `try_` is named `try`, and what is shipped stands beside it."""
        plain = asdict(self)
        plain["try"] = plain.pop("try_")
        shipped: dict[str, Any] = plain.pop("shipped")
        return shipped | plain


@dataclass(frozen=True)
class Origin:
    """A finished run of another log: the name of its sweep, its `place` {identity, key}, and what every epoch gave."""

    sweep: str
    place: Mapping[str, str]
    epochs: Mapping[int, Mapping[str, float]]
    checkpoints: Mapping[int, str]


@dataclass(frozen=True)
class Wait:
    """Nothing can be handed out before one of the runs under way ends."""


@dataclass(frozen=True)
class Finished:
    """Every run has ended. `counts` says how many are in each state."""

    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Opener:
    """The process that opens the log, and what it runs on. `session` names the cluster session, if there is one."""

    host: str
    pid: int
    created: float
    session: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    hardware: str = ""

    @classmethod
    def here(cls, session: str = "") -> Opener:
        """This process."""
        import psutil

        pid = os.getpid()
        created = psutil.Process(pid).create_time()
        return cls(socket.gethostname(), pid, created, session, installed_versions(), hardware())
