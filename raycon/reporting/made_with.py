"""What results were made with, as their log has it: commit, versions, hardware."""

from __future__ import annotations

from raycon.history import SweepHistory


def versions_of(history: SweepHistory) -> list[str]:
    """Versions and commit of each attempt in which they changed, in words."""
    told = (
        ", ".join(f"{name} {version}" for name, version in sorted(attempt.versions.items()))
        for attempt in history.attempts
    )
    return [line for line in dict.fromkeys(told) if line]


def made_lines(history: SweepHistory) -> list[str]:
    """Versions, and the machines of the drivers, one line of each that was used. Logs of before have no hardware."""
    lines = [f"versions: {line}" for line in versions_of(history)]
    machines = dict.fromkeys(attempt.hardware for attempt in history.attempts)
    return lines + [f"hardware (of the command; workers on other machines aside): {one}" for one in machines if one]
