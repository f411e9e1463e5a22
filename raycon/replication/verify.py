"""Checks a bundle from its bytes to its conclusions, without running anything that is in it.

What this can show: that no part was changed after the bundle was made, unless the manifest was made anew with it; that
the log is whole and in order; that every run is what the configuration says; and that no test score was opened before
everything had been chosen. A bundle made anew from an invented log passes, but under another name: the SHA-256 of the
manifest, which is to be cited where the results are.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raycon.driver import run_key
from raycon.errors import InvalidFile, RayconError, Refused
from raycon.events import KINDS, STATES, Event, decode, parse
from raycon.history import RunRecord, SweepHistory
from raycon.replication.archive import (
    CHAIN,
    CODE_NAME,
    EVENTS,
    MANIFEST,
    RESULTS,
    SWEEP,
    VERSIONS,
    WEIGHTS_NAME,
    Archive,
    open_archive,
)
from raycon.replication.contents import FORMAT, chain_of, identity_of, is_sealed, kind_of, lines_of, sha256
from raycon.reporting.tables import run_rows, to_csv
from raycon.wording import one_line

_LISTED = ("repetition", "ablation")
"""Kinds whose runs are a list that the configuration holds."""
_AFTER_OPENING = ("test_opened", "test_scored", "opened", "process", "closed")
"""What a log may hold once the test set has been opened."""
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)


@dataclass
class Verified:
    """A bundle that has been checked. identifier: the SHA-256 of its manifest; texts: own code, in the order of the
    configuration; checks: what was looked at, in lines for people."""

    identifier: str = ""
    kind: str = ""
    canonical: dict[str, Any] = field(default_factory=dict)
    history: SweepHistory = field(default_factory=SweepHistory)
    manifest: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    checks: list[str] = field(default_factory=list)


def verify_bundle(path: Path) -> Verified:
    """Checks everything. Raises Refused with the first thing that is wrong, InvalidFile where there is no such file."""
    try:
        return _verified(path)
    except RayconError as error:
        if error.exit_code == RayconError.exit_code:
            raise Refused(one_line(str(error))) from None
        raise
    except _MALFORMED as error:
        raise Refused(f"the bundle is malformed: {type(error).__name__}: {one_line(str(error))}") from None


def _verified(path: Path) -> Verified:
    found = Verified()
    with open_archive(path) as archive:
        found.checks.append(f"container: {len(archive.names)} entries, stored as they are, nothing beside them")
        _check_manifest(archive, found)
        stored = json.loads(archive.read(SWEEP))
        log = archive.read(EVENTS)
        events = _check_log(archive, log, found)
        found.canonical = stored["canonical"]
        found.history.canonical = found.canonical
        _check_identity(stored, events, found)
        _check_code(archive, found)
        _check_runs(found)
        _check_test_set(events, found)
        _check_results(archive.read(RESULTS).decode(), found)
        _check_weights(archive, found)
        found.versions = json.loads(archive.read(VERSIONS))
    return found


def _check_manifest(archive: Archive, found: Verified) -> None:
    data = archive.read(MANIFEST)
    found.manifest = json.loads(data)
    found.identifier = sha256(data)
    if found.manifest["format"] != FORMAT:
        raise Refused(f"the bundle is of format {found.manifest['format']!r}; this raycon reads format {FORMAT}")
    if not is_sealed(data, found.manifest):
        raise Refused(f"{MANIFEST} was changed: it does not have the hash that it names")
    entries: Mapping[str, Mapping[str, Any]] = found.manifest["entries"]
    if extra := sorted(set(archive.names) - set(entries) - {MANIFEST}):
        raise Refused(f"{extra[0]} is not in the manifest")
    for name, described in entries.items():
        if name not in archive.names:
            raise Refused(f"{one_line(name)} is in the manifest and missing in the bundle")
        if archive.digest(name) != (described["sha256"], described["bytes"]):
            raise Refused(f"{name} was changed: it does not have the hash of the manifest")
    found.checks.append(f"manifest: SHA-256 and size of {len(entries)} entries, and of itself")


def _check_log(archive: Archive, log: bytes, found: Verified) -> list[Event]:
    lines = lines_of(log)
    links = archive.read(CHAIN).decode("ascii").splitlines()
    made = chain_of(archive.read(SWEEP), lines)
    for number, (link, wanted) in enumerate(zip(made, links, strict=False)):
        if link != wanted:
            raise Refused(f"the hash chain breaks at event {number}")
    if len(made) != len(links) or len(made) != found.manifest["events"] or made[-1:] != [found.manifest["chain"]]:
        raise Refused(f"the hash chain has {len(links)} links and the log {len(made)} events")
    found.checks.append(f"hash chain: {len(links)} events, up to {links[-1][:16]}")
    events, good = parse(log, EVENTS)
    if good != len(log):
        raise Refused(f"{EVENTS}: event {len(events)} is unreadable or does not have its checksum")
    _check_order(lines, events)
    found.history = SweepHistory.of(events)
    if not found.history.runs:
        raise Refused(f"{EVENTS} holds no run")
    counts = ", ".join(f"{count} {state}" for state, count in sorted(found.history.counts().items()))
    found.checks.append(f"log: number, order, time and checksum of {len(events)} events; runs: {counts}")
    return events


def _check_order(lines: Sequence[bytes], events: Sequence[Event]) -> None:
    if not events or events[0].kind != "opened":
        raise Refused(f"{EVENTS} does not begin with the opening of the log")
    earlier, durable = float("-inf"), 0
    for line, event in zip(lines, events, strict=True):
        decoded = decode(line)
        synced = decoded[1] if decoded else -1
        if event.kind not in KINDS:
            raise Refused(f"{EVENTS}: event {event.seq} is of the unknown kind {one_line(event.kind)!r}")
        if not event.time >= earlier:
            raise Refused(f"{EVENTS}: event {event.seq} is earlier than the one before it")
        if not durable <= synced <= event.seq:
            raise Refused(f"{EVENTS}: event {event.seq} says that {synced} events were durable before it")
        earlier, durable = event.time, synced


def _check_identity(stored: Mapping[str, Any], events: Sequence[Event], found: Verified) -> None:
    found.kind = kind_of(found.canonical)
    identity = identity_of(found.canonical)
    told = {"sweep.json": stored["identity"], MANIFEST: found.manifest["identity"]}
    # A folder without a run is free for another search: what opened it before counts for nothing.
    first = next(event.seq for event in events if event.kind == "asked")
    openings = [event for event in events if event.kind == "opened"]
    binding = [event for event in openings if event.seq > first] + [e for e in openings if e.seq < first][-1:]
    told |= {f"event {event.seq}": event["identity"] for event in binding}
    for where, value in told.items():
        if value != identity:
            raise Refused(f"the identity in {where} is not the hash of the configuration, {identity[:16]}")
    if found.manifest["kind"] != found.kind or found.manifest["name"] != found.history.name:
        raise Refused(f"{MANIFEST} calls the bundle something else than its log does")
    found.checks.append(f"identity: {identity[:16]} is the hash of the configuration of this {found.kind}")


def _check_code(archive: Archive, found: Verified) -> None:
    wanted = [str(digest) for digest in found.canonical.get("code", [])]
    there = {match[1]: name for name in archive.names if (match := CODE_NAME.fullmatch(name))}
    if set(wanted) != set(there):
        odd = sorted(set(wanted) ^ set(there))[0]
        raise Refused(f"own code {odd[:16]} is named by the configuration or held by the bundle, but not both")
    texts = [archive.read(there[digest]) for digest in wanted]
    for digest, text in zip(wanted, texts, strict=True):
        if sha256(text) != digest:
            raise Refused(f"{there[digest]} is not the own code that the configuration names")
    found.texts = tuple(text.decode() for text in texts)
    if texts:
        found.checks.append(f"own code: {len(texts)} file(s) with the hashes of the configuration; not run")


def _check_runs(found: Verified) -> None:
    listed = _listed_runs(found.canonical) if found.kind in _LISTED else None
    objectives = (*found.history.maximize, *found.history.minimize)
    for run in found.history.runs:
        if run.key != run_key(run.number, run.trial):
            raise Refused(f"run {run.number}: the key {one_line(run.key)} is not the hash of its trial")
        if run.seeds != run.trial["seeds"]:
            raise Refused(f"run {run.number}: its seeds are not those of its trial")
        if listed is not None and (run.number >= len(listed) or (run.values, run.trial) != listed[run.number]):
            raise Refused(f"run {run.number} is not the one that the configuration lists there")
        _check_end(run, objectives)
    if taken := sum(run.reused is not None for run in found.history.runs):
        found.checks.append(f"reused: {taken} taken over from other logs, which are not in this bundle")
    listing = ", and each is the listed configuration with the listed seed" if listed is not None else ""
    found.checks.append(f"runs: {len(found.history.runs)} keys are the hashes of their trials{listing}")


def _check_end(run: RunRecord, objectives: Sequence[str]) -> None:
    """Its state is one there is, and the scores of a complete run are those of its last epoch."""
    if run.finished and run.state not in STATES:
        raise Refused(f"run {run.number} ended in the unknown state {one_line(run.state)!r}")
    if run.state != "complete":
        return
    # By their texts, as a metric that nothing is searched by may be NaN, which no NaN equals.
    if not run.done or repr(run.epochs.get(run.final_epoch)) != repr(run.metrics):
        raise Refused(f"run {run.number} is complete with other scores than those of its last epoch")
    if missing := [name for name in objectives if name not in run.metrics]:
        raise Refused(f"run {run.number} is complete without {one_line(missing[0])}")


def _listed_runs(canonical: Mapping[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Values and trial of every run of a list. The order of the names is that of the log's first seed; see
    `raycon.repeats.Listed`."""
    runs = []
    for seed in canonical["seeds"]:
        for name, plain in canonical["configurations"].items():
            trial = {**plain, "seeds": {"split": seed, "init": seed, "order": seed}}
            runs.append(({"configuration": name, "seed": seed}, trial))
    return runs


def _check_test_set(events: Sequence[Event], found: Verified) -> None:
    """No test score before every run has ended, none in a search, and none among what runs were chosen by."""
    history = SweepHistory()
    opened: set[str] = set()
    for event in events:
        if event.kind in ("test_opened", "test_scored") and found.kind == "sweep":
            raise Refused(f"event {event.seq} opens the test set in a search, whose runs chose the winner")
        if event.kind == "test_opened":
            if not history.finished:
                raise Refused(f"event {event.seq} opens the test set before all runs had ended")
            opened |= set(event["runs"])
        elif event.kind == "test_scored" and event["key"] not in opened:
            raise Refused(f"event {event.seq} holds a test score that was read without opening the test set")
        elif opened and event.kind not in _AFTER_OPENING:
            raise Refused(f"event {event.seq} goes on with the runs after the test set had been opened")
        names = [*event.get("metrics", {})] if event.kind in ("scored", "finished") else []
        if event.kind == "opened":
            names = [*event["objectives"]["maximize"], *event["objectives"]["minimize"]]
        if tested := [name for name in names if str(name).startswith("test/")]:
            raise Refused(f"event {event.seq} holds {one_line(tested[0])} where runs are chosen")
        history.add(event)
    times = f"opened {history.openings} time(s), after all runs had ended" if opened else "never opened"
    found.checks.append(f"test set: {times}")


def _check_results(table: str, found: Verified) -> None:
    """The table says what the log says, in every column that this version writes too."""
    rows = list(csv.DictReader(io.StringIO(table)))
    wanted = list(csv.DictReader(io.StringIO(to_csv(run_rows(found.history)))))
    if len(rows) != len(wanted):
        raise Refused(f"the table of results has {len(rows)} rows for {len(wanted)} runs")
    for number, (row, due) in enumerate(zip(rows, wanted, strict=True)):
        for column in ("number", "key", "state", *due):
            if (column in row or column in ("number", "key", "state")) and row.get(column) != due.get(column):
                raise Refused(f"the table of results gives run {number} another {one_line(column)} than the log")
    found.checks.append(f"results: the table of {len(rows)} runs says what the log says")


def _check_weights(archive: Archive, found: Verified) -> None:
    held: dict[str, set[str]] = {}
    for name in archive.names:
        if match := WEIGHTS_NAME.fullmatch(name):
            held.setdefault(match[1], set()).add(match[2])
    for key, files in held.items():
        if found.history.run(key).state != "complete" or len(files) != 2:
            raise Refused(f"the weights of run {key} are incomplete, or the run is")
        told = json.loads(archive.read(f"weights/{key}/manifest.json"))
        if archive.digest(f"weights/{key}/state.safetensors")[0] != told["sha256"]:
            raise Refused(f"the weights of run {key} do not have the hash of their checkpoint")
    found.checks.append(
        f"weights: of {len(held)} run(s), with the hashes of their checkpoints" if held else "weights: none"
    )


def check_published(found: Verified, published: str | None) -> None:
    """Compares the bundle's hash with one that was published, in full or its first eight digits or more.

    Raises Refused where they differ, InvalidFile for what is no such hash.
    """
    if published is None:
        return
    if not re.fullmatch(r"[0-9a-f]{8,64}", published):
        raise InvalidFile(
            f"should be 8 to 64 hexadecimal digits, not {one_line(published, longest=80)!r}", field="--expect"
        )
    if not found.identifier.startswith(published):
        raise Refused(
            f"this is bundle {found.identifier[:16]}, not {published[:16]}: it is another one, or was made anew"
        )
