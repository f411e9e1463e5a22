"""Search spaces: from a YAML file to checked trials. Loads torch only when terms are checked."""

from __future__ import annotations

from raycon.space.holes import Hole
from raycon.space.search_space import (
    Filled,
    Space,
    first_trial,
    json_schema,
    load,
    loads,
    name_of,
    trial_from,
    trial_to_plain,
    write_json_schema,
)

__all__ = [
    "Filled",
    "Hole",
    "Space",
    "first_trial",
    "json_schema",
    "load",
    "loads",
    "name_of",
    "trial_from",
    "trial_to_plain",
    "write_json_schema",
]
