"""What can be said of an order for `raycon eval` before torch is loaded: a wrong name is answered at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raycon.config import Data
from raycon.datasets import describe
from raycon.errors import InvalidFile, MissingData, nearest
from raycon.history import LOG_NAME
from raycon.metric_names import METRICS, TRAINING_PROTOCOLS

SPLITS = ("validation", "test")
PROTOCOL_NAMES = tuple(
    dict.fromkeys(name.split("/")[0] for name in METRICS if name.split("/")[0] not in TRAINING_PROTOCOLS)
)
"""The protocols of `raycon.scores`, by their metrics."""


def check_request(
    encoder: str, protocols: str | Sequence[str], data: str | None, split: str, overrides: Sequence[str]
) -> None:
    """Raises InvalidFile for a split, protocol, data set or override that there is not, MissingData for a path."""
    if split not in SPLITS:
        raise InvalidFile(f"should be one of {', '.join(SPLITS)}, not {split!r}", field="--split")
    named_protocols(protocols)
    for override in overrides:
        if not override.startswith(("data.", "scores.")):
            raise InvalidFile(
                f"replaces values below data or scores here, not {override.partition('=')[0]!r}", field="--set"
            )
    _check_place(encoder)
    if data is not None and not is_file(data):
        describe(Data(dataset=data))
    elif data is not None and not Path(data).is_file():
        raise MissingData(f"no file {data}")


def named_protocols(protocols: str | Sequence[str]) -> list[str] | None:
    """The protocols that were asked for, each once; None for all. Raises InvalidFile for one that there is not."""
    names = [name.strip() for name in protocols.split(",")] if isinstance(protocols, str) else list(protocols)
    if names == ["all"]:
        return None
    for name in names:
        if name not in PROTOCOL_NAMES:
            known = f"known: all, {', '.join(PROTOCOL_NAMES)}"
            raise InvalidFile(f"no protocol {name!r}{nearest(name, PROTOCOL_NAMES)}; {known}", field="--protocols")
    return list(dict.fromkeys(names))


def is_file(data: str) -> bool:
    """Whether `--data` names a search-space file, not a data set."""
    return Path(data).suffix in (".yaml", ".yml")


def _check_place(encoder: str) -> None:
    """A path that is not there, unless the log of a sweep may know the run, or it is a URI or a name with its
    source."""
    path = Path(encoder)
    known = path.resolve().parent.name == "runs" and (path.resolve().parent.parent / LOG_NAME).is_file()
    if not (":" in encoder or known or path.exists()):
        raise MissingData(f"{path} does not exist; give a run's folder, a checkpoint, torchvision:NAME or timm:NAME")
