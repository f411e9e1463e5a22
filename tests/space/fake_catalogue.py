"""A catalogue of two terms without torch, so that spaces can be tested alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raycon.config import Trial
from raycon.errors import InvalidFile, nearest

TERMS: dict[str, dict[str, Any]] = {
    "supcon": {"temperature": 0.1, "denominator": "all"},
    "spread": {"temperature": 0.2, "power": 2},
}


class FakeCatalogue:
    """Knows the terms above, a network `decoder` with a `width`, and two scores. `temperature` must be positive,
    `power` whole."""

    def __init__(self) -> None:
        self.checked: list[Trial] = []

    def complete_term(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        term = entry.get("term", name)
        if term not in TERMS:
            raise InvalidFile(f"unknown term {term!r}{nearest(term, list(TERMS))}")
        knobs = TERMS[term]
        for knob, value in entry.items():
            if knob not in (*knobs, "term", "weight", "inputs"):
                raise InvalidFile(f"unknown knob{nearest(knob, list(knobs))}", field=knob)
            if knob == "temperature" and not (isinstance(value, int | float) and value > 0):
                raise InvalidFile(f"should be greater than 0, not {value!r}", field=knob)
            if knob == "power" and not isinstance(value, int):
                raise InvalidFile(f"should be a whole number, not {value!r}", field=knob)
        return {"term": term, "weight": 1.0, **knobs, **entry}

    def complete_transform(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        raise InvalidFile(f"unknown transform {name!r}")

    def complete_network(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        if name != "decoder":
            raise InvalidFile(f"unknown network {name!r}")
        return {"width": 8, **entry}

    def complete_score(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        if name not in ("linear_probe", "geometry"):
            raise InvalidFile(f"unknown protocol {name!r}")
        return dict(entry)

    def check_trial(self, trial: Trial) -> None:
        self.checked.append(trial)
        if trial.data.dataset != "digits":
            raise InvalidFile(f"unknown data set {trial.data.dataset!r}", field="data.dataset")
