"""Waiting for what another process brings about."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def wait_until(
    condition: Callable[[], Any],
    patience: float,
    what: str | Callable[[], object],
    *,
    every: float = 0.1,
    words: Path | None = None,
) -> float:
    """Wait for a condition and say how long it took, in seconds; AssertionError after `patience` seconds. `what`: what
    was waited for, or a function that says what is wrong then; `words`: a file whose end is told with it."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience:
            said = words.read_text(errors="replace")[-6000:] if words is not None and words.exists() else ""
            raise AssertionError(f"waited {patience:g} s for {what() if callable(what) else what}\n{said}")
        time.sleep(every)
    return time.monotonic() - began
