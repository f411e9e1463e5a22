"""Who may watch a sweep, and what is told."""

from __future__ import annotations

from typing import Any, Protocol


class Observer(Protocol):
    """Whoever watches a sweep, such as `raycon.progress.SweepProgress`. Called from the driver's thread. Its errors do
    not stop the sweep: the first one is logged as a warning."""

    def on_event(self, event: dict[str, Any]) -> None:
        """One thing that happened to the run 'key' with 'number': kind 'started' (epoch, resumed, try), 'progress' and
        'scored' (as in `raycon.cluster.engine.Report`), 'lost' (reason), and once 'ended' (state, reason, epoch,
        metrics), in whatever state it ended. Before all of them comes 'opened': 'total' runs are wanted, and those
        'ended' earlier (number, state, metrics)."""
