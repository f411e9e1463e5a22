"""Finished runs of other studies and repetitions that need not be run again: same configuration, seed, code, versions.

A run of a list is taken over from another folder of the same output folder where everything that its result depends on
is recorded there and equal here: the whole configuration with its seeds, the hashes of own code, the versions (and the
commit) of raycon and of the libraries that compute, and the content hash of the data. Searches are no source, nor are
replications, whose whole point is to run again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from raycon.checkpoint_storage import usable
from raycon.disk import RealDisk
from raycon.driver_contract import Origin
from raycon.errors import RayconError
from raycon.history import LOG_NAME, RunRecord, SweepHistory, read_sweep, read_sweep_file
from raycon.repeats import Listed
from raycon.space import trial_to_plain

COMPUTING = ("raycon", "commit", "torch", "torchvision", "numpy", "scikit-learn")
"""Versions that a score may depend on; and every entry of the data."""


def find_origins(listed: Listed, folder: Path, versions: Callable[[], Mapping[str, str]]) -> dict[int, Origin]:
    """By number, the runs of a list whose results are in another folder of the output folder `folder` already.

    versions: gives those of this process, with the content hashes of the data
    (`raycon.datasets.card.content_versions`), and is asked only where there is something to compare; without such a
    hash nothing is found. A source must be complete, with sound final weights where it kept any. Folders that cannot be
    read are passed over.
    """
    logs = sorted(folder.glob(f"*/{LOG_NAME}"))
    places = [log.parent for log in logs if log.parent.name != listed.name and _may_hold(log.parent, listed)]
    computing = _computing(versions()) if places else {}
    if not any(name.startswith("data ") for name in computing):
        return {}
    wanted: dict[str, list[int]] = {}
    for number, values in enumerate(listed.runs):
        wanted.setdefault(_text(trial_to_plain(listed.trial(values))), []).append(number)
    found: dict[int, Origin] = {}
    for place in places:
        try:
            history = read_sweep(place)
        except RayconError:
            continue
        if all(_computing(attempt.versions) == computing for attempt in history.attempts):
            for number, origin in _matching(history, wanted):
                found.setdefault(number, origin)
    return found


def origin_lines(found: Mapping[int, Origin], runs: int) -> list[str]:
    """What is taken over, in plain lines; none where nothing is."""
    told = ", ".join(f"{count} of {sweep}" for sweep, count in Counter(o.sweep for o in found.values()).items())
    return [f"reused: {len(found)} of {runs} runs are finished already ({told}); --no-reuse runs them again"][
        : len(found)
    ]


def reused_line(history: SweepHistory) -> str | None:
    """Which runs of a log were taken over, for its report; None where none was."""
    counts = Counter(run.reused["sweep"] for run in history.runs if run.reused is not None)
    if not counts:
        return None
    told = ", ".join(f"{count} of {sweep}" for sweep, count in sorted(counts.items()))
    return (
        f"taken over and not run again, as configuration, seed, code, data and versions are equal: {told}. Those "
        "results were there before this was stated"
    )


def _may_hold(folder: Path, listed: Listed) -> bool:
    """Whether the list in a folder shares a configuration and a seed with this one, by its small file alone."""
    canonical = (read_sweep_file(folder, RealDisk()) or {}).get("canonical", {})
    if "repeat_of" not in canonical or canonical.get("code", []) != list(listed.code):
        return False
    known = {_text(_bare(plain)) for plain in canonical.get("configurations", {}).values()}
    own = {_text(_bare(trial_to_plain(trial))) for trial in listed.configurations.values()}
    return bool(known & own) and bool(set(canonical.get("seeds", ())) & set(listed.seeds))


def _matching(history: SweepHistory, wanted: Mapping[str, list[int]]) -> Iterator[tuple[int, Origin]]:
    for run in history.runs:
        numbers = wanted.get(_text(run.trial), [])
        if numbers and _is_kept(run):
            place = {"identity": history.identity, "key": run.key}
            origin = Origin(history.name, place, run.epochs, run.checkpoints)
            yield from ((number, origin) for number in numbers)


def _is_kept(run: RunRecord) -> bool:
    """Complete in its last epoch, and its weights there for a later look at the test set, where it kept any."""
    whole = run.state == "complete" and run.final_epoch == run.last_epoch == run.total_epochs
    return whole and (run.checkpoint is None or usable(run.checkpoint))


def _computing(versions: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in versions.items() if name in COMPUTING or name.startswith("data ")}


def _bare(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in plain.items() if name != "seeds"}


def _text(plain: Mapping[str, Any]) -> str:
    """As the log holds it, so that equal configurations have equal texts."""
    return json.dumps(plain, sort_keys=True)
