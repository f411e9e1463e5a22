"""What Ray Tune keeps beside a sweep: each attempt has a place of its own."""

from __future__ import annotations

from pathlib import Path

from raycon.cluster.overhead import idle_driver
from raycon.cluster.search import remove_scaffolding, scaffolding
from raycon.driver import Driver
from tests.cluster.inline import TRIAL, make_sweep


def test_an_attempt_takes_away_what_earlier_ones_left_and_no_newer_ones(tmp_path: Path) -> None:
    drivers: list[Driver] = []
    for number in range(3):  # the second is lost without a word, the first ends while its storage takes nothing
        drivers.append(idle_driver(tmp_path, make_sweep(), TRIAL))
        drivers[-1].open()
        Path(scaffolding(drivers[-1], drivers[-1].attempt)).mkdir()
        if number == 0:
            drivers[-1].close()
    places = sorted(path.name for path in tmp_path.glob("tune-*"))
    assert places == ["tune-1", "tune-2", "tune-3"]
    remove_scaffolding(drivers[1])  # still lives: what the newer one works with stays
    assert sorted(path.name for path in tmp_path.glob("tune-*")) == ["tune-2", "tune-3"]
    remove_scaffolding(drivers[2])
    assert [path.name for path in tmp_path.glob("tune-*")] == ["tune-3"]
