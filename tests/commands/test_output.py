"""What commands print beside their results."""

from __future__ import annotations

from pathlib import Path

import raycon
from raycon.commands.output import progress_of
from tests.tiny import FINE, tiny_file


def test_only_a_search_reckons_with_its_lag(tmp_path: Path) -> None:
    """The runs of a repetition or study do not wait for one another: its time left is that of all slots."""
    space, wide = raycon.load(str(tiny_file(tmp_path))), raycon.Settings(slots=16)
    assert progress_of(10, space, wide, True, False, [FINE]).slots == 10
    assert progress_of(30, space, wide, True, False, [FINE]).slots == 16
    assert progress_of(30, space, wide, True, False, [FINE], space.sweep.lag + 1).slots == 4
