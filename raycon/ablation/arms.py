"""From a configuration and its components to the trials of a study's arms."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from raycon.ablation.fractions import Fraction, smallest_fraction
from raycon.config import Ablation, Component, Trial
from raycon.errors import InvalidFile, nearest
from raycon.space import trial_from, trial_to_plain
from raycon.space.completion import shape_trial

Arm = frozenset[str]
FULL, NOTHING, WITHOUT = "full", "nothing", "without "
LEAVING_OUT = ("leave_one_out", "pairs")
"""Plans whose arms are named by what was left out; those of the others by what they have."""
MOST_COMPONENTS = 10


@dataclass(frozen=True)
class Arms:
    """The arms of a study. trials: by name, the full one first. on: the components of the arms that are sets of them.
    fraction: how a fractional plan was made."""

    components: tuple[str, ...]
    trials: Mapping[str, Trial]
    on: Mapping[str, Arm]
    swapped: Mapping[str, tuple[str, str]]
    fraction: Fraction | None = None


def make_arms(base: Trial, design: Ablation) -> Arms:
    """All arms of a design, each checked as a configuration of its own.

    Raises InvalidFile, with its field under `ablation`, for a component that is not there, that changes nothing, or
    without which no valid configuration is left.
    """
    components = components_of(base, design)
    names = tuple(components)
    fraction = smallest_fraction(names, design.resolution) if design.plan == "fractional" else None
    on = {_arm_name(arm, names, design.plan): arm for arm in _planned(names, design, fraction)}
    trials = {name: _trial(base, components, arm, design) for name, arm in on.items()}
    swapped = _swapped(components, design)
    for name, (component, alternative) in swapped.items():
        values = components[component].swap[alternative]
        field = f"ablation.components.{component}.swap.{alternative}"
        trials[name] = _changed(base, components[component].drop, values, design, field)
    for name, values in design.against.items():
        if name in trials:
            raise InvalidFile(f"{name!r} is an arm of the plan", field="ablation.against")
        trials[name] = _changed(base, (), values, design, f"ablation.against.{name}")
    _check_distinct(trials)
    return Arms(names, trials, on, swapped, fraction)


def components_of(base: Trial, design: Ablation) -> dict[str, Component]:
    """The components of a design: those it names, else each entry of the sections in `over`. Raises InvalidFile."""
    found = dict(design.components)
    if not found:
        found = {
            name: Component(drop=(f"{section}.{name}",)) for section in design.over for name in getattr(base, section)
        }
    if not found:
        raise InvalidFile("there is nothing to ablate: name components", field="ablation.components")
    if len(found) > MOST_COMPONENTS:
        reason = f"{len(found)} components are too many to combine; at most {MOST_COMPONENTS}"
        raise InvalidFile(reason, field="ablation.components")
    for name, component in found.items():
        if name in (FULL, NOTHING) or "+" in name or " " in name:
            raise InvalidFile(f"{name!r} cannot name a component", field=f"ablation.components.{name}")
        if not (component.drop or component.off or component.swap):
            raise InvalidFile("says neither drop, off nor swap", field=f"ablation.components.{name}")
        if design.plan == "swap" and not component.swap:
            raise InvalidFile("has no swap, which the plan needs", field=f"ablation.components.{name}")
        if design.plan != "swap" and not (component.drop or component.off):
            raise InvalidFile("says neither drop nor off", field=f"ablation.components.{name}")
    return found


def _planned(names: tuple[str, ...], design: Ablation, fraction: Fraction | None) -> list[Arm]:
    """The arms that are sets of components, the full one first, then from most to fewest."""
    full = frozenset(names)
    if fraction is not None:
        return sorted(fraction.arms, key=lambda arm: -len(arm))
    if design.plan in ("factorial", "shapley"):
        return [frozenset(c) for size in range(len(names), -1, -1) for c in combinations(names, size)]
    without_one = [full - {name} for name in names]
    if design.plan == "leave_one_out":
        return [full, *without_one]
    if design.plan == "add_one_in":
        return [full, *(frozenset([name]) for name in names), frozenset()]
    if design.plan == "pairs":
        pairs = [full - set(pair) for pair in combinations(names, 2)]
        return list(dict.fromkeys([full, *without_one, *pairs]))
    return [full]


def _arm_name(arm: Arm, names: tuple[str, ...], plan: str) -> str:
    if arm == frozenset(names):
        return FULL
    if plan in LEAVING_OUT:
        return WITHOUT + " and ".join(name for name in names if name not in arm)
    return "+".join(name for name in names if name in arm) or NOTHING


def _swapped(components: Mapping[str, Component], design: Ablation) -> dict[str, tuple[str, str]]:
    if design.plan != "swap":
        return {}
    return {f"{name}:{other}": (name, other) for name, component in components.items() for other in component.swap}


def _trial(base: Trial, components: Mapping[str, Component], arm: Arm, design: Ablation) -> Trial:
    off = [name for name in components if name not in arm]
    drop = [path for name in off for path in components[name].drop]
    values = {path: value for name in off for path, value in components[name].off.items()}
    field = f"ablation.components.{off[0]}" if len(off) == 1 else "ablation.components"
    return _changed(base, drop, values, design, field) if off else base


def _changed(base: Trial, drop: Sequence[str], values: Mapping[str, Any], design: Ablation, field: str) -> Trial:
    """The configuration without some entries and with other values, and without what nothing asks for any more."""
    from raycon.objective import complete_term

    plain = copy.deepcopy(trial_to_plain(base))
    total = sum(entry["weight"] for entry in plain["objective"].values())
    for path in drop:
        _delete(plain, path, field)
    for path, value in values.items():
        _put(plain, path, value, field)
    try:
        plain["objective"] = {key: complete_term(key, entry) for key, entry in plain["objective"].items()}
        if design.weights == "renormalise":
            _renormalise(plain, total)
        _delete_idle(plain)
        return trial_from(plain)
    except InvalidFile as error:
        place = f"{error.field}: " if error.field else ""
        raise InvalidFile(f"leaves no valid configuration: {place}{error.reason}", field=field) from None


def _delete_idle(plain: dict[str, Any]) -> None:
    """Takes out the transforms and networks that only the dropped terms asked for."""
    from raycon.datasets import describe
    from raycon.objective import idle_parts, order_parts

    trial = shape_trial(plain)
    for section, name in idle_parts(trial, order_parts(trial, describe(trial.data))):
        del plain[section][name]


def _renormalise(plain: dict[str, Any], total: float) -> None:
    left = sum(entry["weight"] for entry in plain["objective"].values())
    if left == 0:
        raise InvalidFile("no weight is left to be renormalised", field="objective")
    for entry in plain["objective"].values():
        entry["weight"] *= total / left


def _delete(plain: dict[str, Any], path: str, field: str) -> None:
    section, _, name = path.partition(".")
    here = plain.get(section)
    if section not in ("objective", "transforms", "networks", "scores") or not isinstance(here, dict):
        raise InvalidFile(f"cannot drop {path!r}: only entries of objective, transforms, networks, scores", field=field)
    if name not in here:
        raise InvalidFile(f"cannot drop {path!r}, which is not there{nearest(name, list(here))}", field=field)
    del here[name]


def _put(plain: dict[str, Any], path: str, value: Any, field: str) -> None:
    *parents, last = path.split(".")
    here: Any = plain
    for parent in parents:
        if not isinstance(here, dict) or not isinstance(here.get(parent), dict | type(None)):
            raise InvalidFile(f"no value stands at {path!r}", field=field)
        if here.get(parent) is None:
            here[parent] = {}
        here = here[parent]
    here[last] = value


def check_trained(trials: Mapping[str, Trial]) -> None:
    """Refuses arms in which no term has a weight: their encoders would be scored as they were drawn. Raises
    InvalidFile, which names the arm."""
    for name, trial in trials.items():
        if not any(entry["weight"] for entry in trial.objective.values()):
            reason = (
                f"the arm {name!r} has nothing to train: the weight of {', '.join(trial.objective)} is 0; for an "
                "untrained encoder on purpose set training.learning_rate to 1.0e-12"
            )
            raise InvalidFile(reason, field="ablation")


def named_as(arms: Arms, trials: Mapping[str, Trial]) -> Arms:
    """The same arms under the names that `trials` has for them: a log keeps the names that it was begun with."""
    names = {
        own: next((name for name, one in trials.items() if one == trial), own) for own, trial in arms.trials.items()
    }
    return replace(
        arms,
        trials={names[own]: trial for own, trial in arms.trials.items()},
        on={names[own]: on for own, on in arms.on.items()},
        swapped={names[own]: swapped for own, swapped in arms.swapped.items()},
    )


def _check_distinct(trials: Mapping[str, Trial]) -> None:
    names = list(trials)
    for index, name in enumerate(names):
        for other in names[:index]:
            if trials[name] == trials[other]:
                raise InvalidFile(f"the arms {other!r} and {name!r} are the same configuration", field="ablation")
