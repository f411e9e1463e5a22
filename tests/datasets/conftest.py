"""A place for fake data: no other data, no network, a cache and a home of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raycon.datasets.loading import forget_tables


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What RAYCON_DATA names: an empty folder."""
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setenv("RAYCON_DATA", str(root))
    monkeypatch.setenv("RAYCON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RAYCON_OFFLINE", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    forget_tables()
    yield root
    forget_tables()
