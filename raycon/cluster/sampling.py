"""Which configuration is tried next: Optuna's samplers behind ask, restore and tell. The only module that loads Optuna.

Each ask is answered by a fresh sampler, seeded by (search seed, number), on a study that is built anew from what was
told. So a search that was interrupted and rebuilt from its log cannot differ from one that was not: there is no state
that could. Samplers keep notes in the trials of a study (TPE its relative draw, with parameters that a condition later
switched off); they are dropped, but for the generation that NSGA-II counts by, which `restore` draws again.

- `tpe`: multivariate, grouped (so that conditional holes are modelled together where they occur together), with the
  constant liar for runs under way; the first `sweep.startup` runs are random. Stopped runs count below complete ones,
  by epoch and value (single objective only).
- `random`: independent uniform draws.
- `nsga2`: a population of `max(4, sweep.startup)` complete runs a generation.
- `qmc`: point n of one scrambled Sobol sequence with a dimension for every hole, active or not. It uses no results.

The first runs are `space.first`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from raycon.config import Sweep
from raycon.errors import InvalidFile
from raycon.seeding import derive_seed
from raycon.space.holes import Hole, same


class SpaceLike(Protocol):
    """What is used of `raycon.space.Space`."""

    @property
    def holes(self) -> Mapping[str, Hole]:
        """All holes by path, conditional ones included."""

    @property
    def first(self) -> Sequence[Mapping[str, Any]]:
        """Values of all active holes of the runs that always come first."""

    def fill(self, suggest: Callable[[str, Hole], Any]) -> Any:
        """Ask `suggest(path, hole)` for each active hole, in a fixed order; the answer has the `values` by path."""


@dataclass
class _Told:
    """What is known of one run: enough to build its trial in a study."""

    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    notes: dict[str, Any]
    state: TrialState = TrialState.RUNNING
    values: list[float] | None = None
    intermediate: dict[int, float] = field(default_factory=dict)


class OptunaSampler:
    """The `Sampler` of a sweep (`raycon.driver_contract`). Numbers must come in order, asked or restored, each of them
    once."""

    def __init__(self, space: SpaceLike, sweep: Sweep):
        self.space, self.sweep = space, sweep
        self._first = list(space.first)
        self._runs: list[_Told] = []
        if sweep.sampler == "qmc" and not space.holes:
            raise InvalidFile("a qmc search needs at least one hole", field="sweep.sampler")

    def ask(self, number: int) -> dict[str, Any]:
        """Values of the active holes for run `number`, a pending run from now on."""
        self._check_next(number)
        if number < len(self._first):
            point = self._first[number]
            return self._draw(number, lambda path, hole: point[path])
        if self.sweep.sampler == "qmc":
            return self._draw(number, self._sobol_point(number))
        return self._draw(number, None)

    def restore(self, number: int, values: dict[str, Any]) -> None:
        """Run `number` had this answer before: it is a pending run from now on."""
        self._check_next(number)
        self._draw(number, lambda path, hole: values[path])

    def tell(self, number: int, state: str, values: list[float] | None, intermediate: dict[int, float]) -> None:
        """The result of a pending run. Anything but a complete one counts as pruned; diverged, out-of-memory and failed
        runs without any value. Raises ValueError for a NaN or an infinity."""
        run = self._runs[number]
        if run.state != TrialState.RUNNING:
            raise ValueError(f"run {number} was told before")
        numbers = [*(values or []), *intermediate.values()]
        if not all(math.isfinite(value) for value in numbers):
            raise ValueError(f"run {number} was told a number that is not finite")
        if state == "complete":
            run.state, run.values = TrialState.COMPLETE, values or [0.0]
            return
        run.state = TrialState.PRUNED
        if state == "pruned" and len(self._directions()) == 1:
            run.intermediate = dict(intermediate)
            run.values = [intermediate[max(intermediate)]] if intermediate else None

    def study(self) -> optuna.Study:
        """All runs as an Optuna study in memory, for importances and plots. Choices appear as indices of options."""
        with _quiet():
            study = optuna.create_study(directions=self._directions(), storage=None)
            study.add_trials([_trial(run) for run in self._runs])
        return study

    def _draw(self, number: int, given: Callable[[str, Hole], Any] | None) -> dict[str, Any]:
        """Fill the space with `given` values or with the sampler's, and enter the run as pending. NSGA-II draws in any
        case: that is when it notes the generation."""
        params: dict[str, Any] = {}
        distributions: dict[str, BaseDistribution] = {}
        trial = self._open_trial(number) if given is None or self.sweep.sampler == "nsga2" else None

        def suggest(path: str, hole: Hole) -> Any:
            distribution = distributions[path] = distribution_of(hole)
            drawn = None if trial is None else _suggest(trial, path, distribution)
            value = _from_param(hole, drawn) if given is None else given(path, hole)
            params[path] = _to_param(path, hole, value)
            return value

        with _quiet():
            values = dict(self.space.fill(suggest).values)
        notes = (
            dict(trial.study.get_trials(deepcopy=False)[trial.number].system_attrs)
            if trial and self.sweep.sampler == "nsga2"
            else {}
        )
        self._runs.append(_Told(params, distributions, notes))
        return values

    def _open_trial(self, number: int) -> optuna.Trial:
        study = self.study()
        study.sampler = self._sampler(derive_seed(self.sweep.seed, "ask", number) % 2**32)
        with _quiet():
            return study.ask()

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        with _quiet():
            if self.sweep.sampler == "tpe":
                return optuna.samplers.TPESampler(
                    n_startup_trials=self.sweep.startup, multivariate=True, group=True, constant_liar=True, seed=seed
                )
            if self.sweep.sampler == "nsga2":
                return optuna.samplers.NSGAIISampler(population_size=max(4, self.sweep.startup), seed=seed)
            return optuna.samplers.RandomSampler(seed=seed)

    def _sobol_point(self, number: int) -> Callable[[str, Hole], Any]:
        from scipy.stats.qmc import Sobol

        paths = list(self.space.holes)
        sequence = Sobol(len(paths), scramble=True, rng=derive_seed(self.sweep.seed, "qmc"))
        if number:
            sequence.fast_forward(number)
        point = dict(zip(paths, sequence.random(1)[0].tolist(), strict=True))
        return lambda path, hole: at_quantile(hole, point[path])

    def _directions(self) -> list[StudyDirection]:
        """Optuna wants one direction at least: a sweep without an objective has one in which all runs are equal."""
        up, down = [StudyDirection.MAXIMIZE], [StudyDirection.MINIMIZE]
        return up * len(self.sweep.maximize) + down * len(self.sweep.minimize) or up

    def _check_next(self, number: int) -> None:
        if number != len(self._runs):
            raise ValueError(f"run {number} was asked where run {len(self._runs)} was due")


def distribution_of(hole: Hole) -> BaseDistribution:
    """The Optuna distribution of a hole. Choices are indices of their options, because Optuna compares options with
    `==`, under which 1, 1.0 and true are one."""
    if hole.kind == "choice":
        return CategoricalDistribution(tuple(range(len(hole.options))))
    low, high = hole.bounds()
    if hole.kind in ("integer", "log_integer"):
        return IntDistribution(int(low), int(high), log=hole.kind == "log_integer")
    return FloatDistribution(low, high, log=hole.kind == "log_uniform")


def at_quantile(hole: Hole, quantile: float) -> Any:
    """The value of a hole at `quantile` (0 to 1) of its prior: every integer and every option has an equal share, but
    for logarithmic integers, whose shares are those of the logarithm."""
    if hole.kind == "choice":
        return hole.options[min(int(quantile * len(hole.options)), len(hole.options) - 1)]
    low, high = hole.bounds()
    if hole.kind == "uniform":
        return min(max(low + quantile * (high - low), low), high)
    if hole.kind == "log_uniform":
        return min(max(math.exp(math.log(low) + quantile * (math.log(high) - math.log(low))), low), high)
    if hole.kind == "integer":
        return min(int(low) + int(quantile * (high - low + 1)), int(high))
    edges = math.log(low - 0.5), math.log(high + 0.5)
    return min(max(round(math.exp(edges[0] + quantile * (edges[1] - edges[0]))), int(low)), int(high))


def _to_param(path: str, hole: Hole, value: Any) -> Any:
    if hole.kind != "choice":
        return value
    for index, option in enumerate(hole.options):
        if same(option, value):
            return index
    raise InvalidFile(f"{value!r} is not one of its options", field=path)


def _from_param(hole: Hole, param: Any) -> Any:
    return hole.options[param] if hole.kind == "choice" else param


def _suggest(trial: optuna.Trial, path: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(path, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(path, distribution.low, distribution.high, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(path, distribution.low, distribution.high, log=distribution.log)


def _trial(run: _Told) -> optuna.trial.FrozenTrial:
    return optuna.trial.create_trial(
        state=run.state,
        values=run.values,
        params=run.params,
        distributions=run.distributions,
        system_attrs=run.notes,
        intermediate_values=run.intermediate,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """No word about experimental arguments and independent draws; the process's own settings stay as they are."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", category=UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
