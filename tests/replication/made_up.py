"""Folders of searches and repetitions that never ran, with logs of the real driver, and bundles that were forged."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raycon.config import Sweep, Trial
from raycon.disk import RealDisk
from raycon.driver import Driver
from raycon.driver_contract import Assignment, Opener
from raycon.events import Event, EventLog, decode, encode, plain_metrics
from raycon.history import read_sweep
from raycon.repeats import Listed, ListSampler
from raycon.replication.archive import CHAIN, EVENTS, MANIFEST, RESULTS, SWEEP, write_archive
from raycon.replication.contents import chain_of, lines_of, sealed_manifest, sha256
from raycon.reporting.tables import run_rows, to_csv
from raycon.space import loads, trial_from
from tests.tiny import FINE, TINY

OPENER = Opener("the-lab-machine", 7, 1.0, "secret-session", {"raycon": "0.1.0", "torch": "2.14.0"})
Score = Callable[[Mapping[str, Any]], float | str]
"""The score of a run from its values, or the state that it ends in."""


def trial(**data: Any) -> Trial:
    """A configuration that could be trained."""
    return trial_from(
        {
            "data": {"dataset": "digits", "labels": "coarse", "coarse": "low_high", "train_size": 160, **data},
            "encoder": {"name": "convnet", "width": 4, "depth": 3, "projection": [16, 8]},
            "objective": {"supcon": {"temperature": 0.1}},
            "training": {"epochs": 2, "batch_size": 32},
            "scores": ["coarse_to_fine"],
        }
    )


def listed(seeds: Sequence[int] = (1, 2, 3), code: tuple[str, ...] = (), **data: Any) -> Listed:
    """A winner and a rival."""
    rival = trial(**data, validation_size=90)
    return Listed("tiny", {"winner": trial(**data), "plain": rival}, tuple(seeds), FINE, code)


def repetition(folder: Path, score: Score, of: Listed | None = None, *, opened: bool = False) -> Path:
    """A finished repetition, with the test set opened or not."""
    wanted = of or listed()
    place = _run(folder / wanted.name, wanted.identity(), wanted, ListSampler(wanted), wanted.sweep(Sweep()), score)
    if opened:
        log = EventLog(RealDisk(), place / "events.jsonl")
        log.open()
        runs = [run for run in read_sweep(place).runs if run.state == "complete"]
        log.append("test_opened", runs=[run.key for run in runs])
        for run in runs:
            log.append("test_scored", key=run.key, metrics={FINE.replace("validation", "test"): 0.5})
        log.sync()
    return place


def search(folder: Path, score: Score) -> Path:
    """A finished search of three runs."""

    class InOrder(ListSampler):
        def ask(self, number: int) -> dict[str, Any]:
            return dict(space.complete({"objective.supcon.temperature": 0.1 * (number + 1)}))

        def restore(self, number: int, values: dict[str, Any]) -> None:
            """Nothing is kept."""

    space = loads(TINY, name="tiny")
    return _run(folder / "tiny", space.identity(), space, InOrder(listed()), space.sweep, score)


def _run(place: Path, identity: str, space: Any, sampler: Any, sweep: Sweep, score: Score) -> Path:
    now = iter(range(1_790_000_000, 1_800_000_000))
    log = EventLog(RealDisk(), place / "events.jsonl", clock=lambda: float(next(now)))
    driver = Driver(sweep, place.name, identity, space, sampler, log, f"/home/somebody/out/{place.name}")
    driver.open(OPENER)
    while isinstance(work := driver.next(), Assignment):
        driver.started(work.key)
        run = driver.history.run(work.key)
        found = score(run.values)
        if isinstance(found, str):
            driver.ended(work.key, found, "lost /home/somebody/out/x.py of https://me:pw@host/, token=abc")
            continue
        for epoch in range(1, run.total_epochs + 1):
            metrics = {FINE: found if epoch == run.total_epochs else found / 2, "train/objective/total": float("nan")}
            checkpoint = f"{work.folder}/attempt-1/epoch-{epoch:04d}"
            driver.scored(work.key, epoch, metrics, checkpoint, epoch == run.total_epochs)
    driver.close()
    return place


@dataclass
class Parts:
    """A bundle taken apart, to be changed and put together again."""

    entries: dict[str, bytes]

    @classmethod
    def of(cls, bundle: Path) -> Parts:
        """The entries of a bundle."""
        with zipfile.ZipFile(bundle) as archive:
            return cls({name: archive.read(name) for name in archive.namelist()})

    @property
    def events(self) -> list[tuple[Event, int]]:
        """The events with what was durable before each."""
        return [found for line in lines_of(self.entries[EVENTS]) if (found := decode(line)) is not None]

    def with_events(self, events: Sequence[Event], *, results: bool = True) -> Parts:
        """Another log, numbered and summed as if it had been written so; by default with the table that it gives."""
        numbered = [Event(seq, event.time, event.kind, event.payload) for seq, event in enumerate(events)]
        log = b"".join(encode(event, 0) for event in numbered)
        changed = Parts({**self.entries, EVENTS: log})
        if results:
            from raycon.history import SweepHistory

            changed.entries[RESULTS] = to_csv(run_rows(SweepHistory.of(numbered))).encode()
        return changed

    def resealed(self) -> Parts:
        """With chain and manifest made anew, as a forger would who knows how they are made."""
        links = chain_of(self.entries[SWEEP], lines_of(self.entries[EVENTS]))
        entries = {**self.entries, CHAIN: "".join(f"{link}\n" for link in links).encode()}
        facts = json.loads(entries.pop(MANIFEST))
        facts.pop("sha256")
        described = {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in sorted(entries.items())}
        facts |= {"events": len(links), "chain": links[-1], "entries": described}
        return Parts({**entries, MANIFEST: sealed_manifest(facts)})

    def write(self, path: Path) -> Path:
        """The bundle."""
        target = io.BytesIO()
        write_archive(target, self.entries)
        path.write_bytes(target.getvalue())
        return path


def changed_event(event: Event, **payload: Any) -> Event:
    """The same event with other facts."""
    return Event(event.seq, event.time, event.kind, {**event.payload, **payload})


def metrics(value: float) -> dict[str, float | str]:
    """Scores as a log stores them."""
    return plain_metrics({FINE: value})
