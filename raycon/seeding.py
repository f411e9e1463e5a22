"""Seeds derived by name: adding a draw somewhere never shifts the draws of another."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: int | str) -> int:
    """A 63-bit seed that depends on `seed` and every one of `names`, the same on all machines and Python versions."""
    text = "/".join([str(int(seed)), *[f"{type(name).__name__}:{name}" for name in names]])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
