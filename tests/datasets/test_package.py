from __future__ import annotations

import pytest

import raycon.datasets


def test_every_public_name_is_there() -> None:
    for name in raycon.datasets.__all__:
        assert getattr(raycon.datasets, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        raycon.datasets.nothing  # noqa: B018
