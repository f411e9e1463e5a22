"""What people call: load, train, sweep, repeat, report. Nothing heavy is imported before it is needed."""

from __future__ import annotations

from raycon.one_trial import train
from raycon.repeating import repeat
from raycon.reports import report
from raycon.results import RepeatResult, SweepResult, Winner
from raycon.searching import sweep
from raycon.settings import Settings
from raycon.space_loading import load
from raycon.sweep_folders import find_sweep

__all__ = [
    "RepeatResult",
    "Settings",
    "SweepResult",
    "Winner",
    "find_sweep",
    "load",
    "repeat",
    "report",
    "sweep",
    "train",
]
