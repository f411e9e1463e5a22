"""The space of `raycon demo`."""

from __future__ import annotations

from raycon.methods import shipped_file
from raycon.space import Space, load

FILE = "digits_demo.yaml"


def demo_space() -> Space:
    """The shipped demonstration."""
    return load(shipped_file(FILE))
