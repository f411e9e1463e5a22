"""raycon: searches and ablations of contrastive objectives on Ray. See the README for the ten lines that matter."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raycon import losses
    from raycon.api import Settings, load, repeat, report, sweep, train
    from raycon.comparing import compare
    from raycon.one_pass import evaluate
    from raycon.studies import ablate

__all__ = ["Settings", "ablate", "compare", "evaluate", "load", "losses", "repeat", "report", "sweep", "train"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazily, so that `raycon --help` and the configuration never wait for torch.
    if name == "losses":
        return importlib.import_module("raycon.losses")
    if name == "ablate":
        return importlib.import_module("raycon.studies").ablate
    if name == "evaluate":
        return importlib.import_module("raycon.one_pass").evaluate
    if name == "compare":
        return importlib.import_module("raycon.comparing").compare
    if name in __all__:
        return getattr(importlib.import_module("raycon.api"), name)
    raise AttributeError(f"module 'raycon' has no attribute {name!r}")
