"""Packs the folder of a sweep, repetition or ablation into one file that others can check.

What could not be shown to others is left out or replaced in the copy of the log: machine names, sessions, folders, and
secrets in the reasons of failures. Every event keeps its number, time and place; its line gets a checksum of its own.
"""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from raycon.checkpoints import MANIFEST as CHECKPOINT_MANIFEST
from raycon.checkpoints import TENSORS
from raycon.disk import RealDisk
from raycon.errors import RayconError, Refused
from raycon.events import Event, decode, encode, parse
from raycon.history import LOG_NAME, SWEEP_NAME, SweepHistory, read_sweep_file
from raycon.object_storage import shown
from raycon.own_code import kept_code
from raycon.replication.archive import (
    CHAIN,
    EVENTS,
    INSTALLED,
    LARGEST_TEXT,
    MANIFEST,
    RESULTS,
    SWEEP,
    VERSIONS,
    Content,
    write_archive,
)
from raycon.replication.contents import FORMAT, chain_of, identity_of, kind_of, lines_of, sealed_manifest, sha256
from raycon.replication.verify import verify_bundle
from raycon.reporting.tables import run_rows, to_csv
from raycon.sealed import final_checkpoint
from raycon.tracking.redaction import redact, redact_text

_PATH = re.compile(r"(?<![\w./~-])(?:~?/|[A-Za-z]:\\)(?:[^\s/\\:'\"<>]+[/\\])+")
_ABSOLUTE = re.compile(r"(/|~|[A-Za-z]:[\\/])")


def write_bundle(folder: Path, target: Path, *, weights: bool = False, keep_paths: bool = False) -> str:
    """Writes the bundle of a folder to `target` and returns its name for citing: the SHA-256 of its manifest.

    weights: with the last checkpoint of every complete run. keep_paths: although the configuration names an absolute
    path, which is part of the identity and cannot be left out. The same folder gives the same bytes as long as the same
    packages are installed. Raises RayconError where the folder holds nothing to bundle, and Refused for a configuration
    or own code with a password in an address, for missing weights, for a folder that contradicts itself (see
    `raycon.replication.verify`), and where `target` is another file already.
    """
    log = _log_of(folder)
    entries = bundle_entries(folder, log, keep_paths=keep_paths)
    if weights:
        entries |= _weights(folder, _history(log))
    manifest = _manifest(entries, log)
    draft = target.with_name(f".{target.name}.partial")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with draft.open("wb+") as file:
            write_archive(file, {**entries, MANIFEST: manifest})
            file.flush()
            os.fsync(file.fileno())
        # What `raycon verify` would refuse is not given away.
        verify_bundle(draft)
        if target.exists() and not filecmp.cmp(draft, target, shallow=False):
            raise Refused(f"{target} is there already and is another file; name a new one with --to")
        RealDisk().replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return sha256(manifest)


def bundle_entries(folder: Path, data: bytes, *, keep_paths: bool = False) -> dict[str, Content]:
    """All entries but weights and manifest; `data` is the log. Raises as `write_bundle`."""
    stored = read_sweep_file(folder, RealDisk())
    if stored is None or not isinstance(stored.get("canonical"), dict):
        raise RayconError(f"{folder / SWEEP_NAME} is missing or cannot be read")
    code = kept_code(folder)
    _check_shareable(stored, "the configuration", keep_paths)
    for text in code.texts:
        _check_shareable(text, "the own code", keep_paths=True)
    log = shareable_log(data)
    history = _history(log)
    sweep = (json.dumps(stored, indent=1) + "\n").encode()
    entries: dict[str, Content] = {
        SWEEP: sweep,
        EVENTS: log,
        CHAIN: "".join(f"{link}\n" for link in chain_of(sweep, lines_of(log))).encode(),
        RESULTS: to_csv(run_rows(history)).encode(),
        INSTALLED: "".join(f"{line}\n" for line in installed()).encode(),
        VERSIONS: _versions(history),
    }
    entries |= {f"code/{digest}.py": text.encode() for digest, text in zip(code.hashes, code.texts, strict=True)}
    for name, content in entries.items():
        if len(content) > LARGEST_TEXT:  # type: ignore[arg-type]
            raise RayconError(f"{name} would have more than {LARGEST_TEXT} bytes; a bundle cannot hold it")
    return entries


def shareable_log(data: bytes) -> bytes:
    """A copy of the whole lines of a log that can be given away."""
    machines: dict[str, str] = {}
    lines = []
    for line in lines_of(data):
        decoded = decode(line)
        assert decoded is not None, "the log has been read"
        event, synced = decoded
        lines.append(encode(Event(event.seq, event.time, event.kind, _shareable(event, machines)), synced))
    return b"".join(lines)


def shareable_text(text: str) -> str:
    """Without secrets, and with paths cut to their last part."""
    return _PATH.sub(".../", redact_text(text))


def installed() -> list[str]:
    """`name==version` of every installed distribution, sorted; where it came from is not told."""
    found = {
        (distribution.metadata["Name"] or "").lower().replace("_", "-"): distribution.version
        for distribution in metadata.distributions()
    }
    return sorted(f"{name}=={version}" for name, version in found.items() if name)


def _shareable(event: Event, machines: dict[str, str]) -> dict[str, Any]:
    payload = dict(event.payload)
    if "host" in payload:
        payload["host"] = machines.setdefault(str(payload["host"]), f"machine-{len(machines) + 1}")
    if "session" in payload:
        payload["session"] = ""
    if isinstance(payload.get("checkpoint"), str):
        payload["checkpoint"] = _inside(payload["checkpoint"])
    if isinstance(payload.get("reason"), str):
        payload["reason"] = shareable_text(payload["reason"])
    return payload


def _inside(checkpoint: str) -> str:
    """`runs/KEY/attempt-1/epoch-0003` of a path; of one with another shape, the last part alone."""
    parts = Path(shown(checkpoint)).parts
    return "/".join(parts[-4:]) if len(parts) >= 4 and parts[-4] == "runs" else parts[-1] if parts else ""


def _log_of(folder: Path) -> bytes:
    """The log of a folder as it is now, without a torn tail. Raises DamagedLog where it cannot be trusted."""
    path = folder / LOG_NAME
    if not path.is_file():
        raise RayconError(f"{folder} holds no sweep ({LOG_NAME} is missing)")
    data = path.read_bytes()
    events, good = parse(data, str(path))
    if not any(event.kind == "asked" for event in events):
        raise RayconError(f"{folder} holds no run yet")
    return data[:good]


def _history(log: Content) -> SweepHistory:
    assert isinstance(log, bytes)
    return SweepHistory.of(parse(log)[0])


def _check_shareable(value: Any, what: str, keep_paths: bool) -> None:
    for text in _texts(value):
        if redact(text) != text:
            raise Refused(f"{what} holds an address with a password or user, and cannot be changed without its hash")
        if not keep_paths and _ABSOLUTE.match(text):
            reason = f"{what} names the absolute path {text!r}, which is part of its identity"
            raise Refused(f"{reason}; --keep-paths bundles it nevertheless")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield str(name)
            yield from _texts(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _texts(child)


def _versions(history: SweepHistory) -> bytes:
    """What the log recorded at each attempt, and the machine that packs."""
    machine = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    recorded = [{"attempt": attempt.number, "versions": attempt.versions} for attempt in history.attempts]
    return (json.dumps({"bundled_on": machine, "recorded": recorded}, indent=1, sort_keys=True) + "\n").encode()


def _weights(folder: Path, history: SweepHistory) -> dict[str, Content]:
    """The last checkpoints of the complete runs, from the folder or from where its log says they are."""
    entries: dict[str, Content] = {}
    for run in history.runs:
        if run.state == "complete":
            place = final_checkpoint(run, folder)
            entries |= {f"weights/{run.key}/{name}": place / name for name in (TENSORS, CHECKPOINT_MANIFEST)}
    return entries


def _manifest(entries: Mapping[str, Content], log: bytes) -> bytes:
    events, sweep = entries[EVENTS], entries[SWEEP]
    assert isinstance(events, bytes) and isinstance(sweep, bytes)
    history, stored = _history(events), json.loads(sweep)
    links = chain_of(sweep, lines_of(events))
    facts = {
        "format": FORMAT,
        "kind": kind_of(stored["canonical"]),
        "name": history.name,
        "identity": identity_of(stored["canonical"]),
        "objectives": {"maximize": list(history.maximize), "minimize": list(history.minimize)},
        "runs": history.counts(),
        "events": len(links),
        "chain": links[-1],
        "log": {"sha256": sha256(log), "what": "the log as it stood on the machine, before names and paths were cut"},
        "entries": {name: _described(content) for name, content in sorted(entries.items())},
    }
    return sealed_manifest(facts)


def _described(content: Content) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"bytes": len(content), "sha256": sha256(content)}
    with content.open("rb") as file:
        return {"bytes": content.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
