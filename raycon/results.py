"""What a sweep and a repetition give back: their logs as records, the best run, the differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raycon.errors import RayconError
from raycon.history import RunRecord, SweepHistory, read_sweep
from raycon.repeats import Difference, paired_differences
from raycon.settings import Settings
from raycon.space import Space

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Winner:
    """The best run of a sweep, and where it comes from; `sweep` is the name of the sweep's folder."""

    space: Space
    run: RunRecord
    settings: Settings
    sweep: str

    @property
    def values(self) -> dict[str, Any]:
        """The chosen values by dotted path."""
        return self.run.values

    @property
    def metrics(self) -> dict[str, float]:
        """Its final metrics, on the seeds that chose it: too good by construction."""
        return self.run.metrics


@dataclass(frozen=True)
class SweepResult:
    """A sweep as its log tells it."""

    space: Space
    folder: Path
    settings: Settings

    @property
    def history(self) -> SweepHistory:
        """All runs, as records."""
        return read_sweep(self.folder)

    def best(self) -> Winner:
        """The run with the best validation score of the file. Raises RayconError if no run is complete."""
        run = self.history.best()
        if run is None:
            raise RayconError(f"no run of {self.folder.name} is complete")
        return Winner(self.space, run, self.settings, self.folder.name)

    def front(self) -> list[Winner]:
        """The Pareto set of a sweep with several objectives: full-budget runs only."""
        return [Winner(self.space, run, self.settings, self.folder.name) for run in self.history.pareto_front()]

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run: state, seeds, values, final metrics."""
        import pandas

        from raycon.reporting.tables import run_rows

        return pandas.DataFrame(run_rows(self.history))


@dataclass(frozen=True)
class RepeatResult:
    """A repetition as its log tells it. `same` names the rivals that the winner turned out to be itself."""

    folder: Path
    score: str
    same: tuple[str, ...] = ()

    @property
    def history(self) -> SweepHistory:
        """All runs, as records; `values` hold the configuration's name and the seed."""
        return read_sweep(self.folder)

    def differences(self) -> list[Difference]:
        """The first configuration less each other one, paired by seed."""
        return paired_differences(self.history, self.score)
