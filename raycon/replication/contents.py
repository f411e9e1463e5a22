"""What a bundle's entries say: manifest, hash chain, identity, and which kind of study it is. Read, never run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

FORMAT = 1
KINDS = {"replication_of": "replication", "ablation": "ablation", "repeat_of": "repetition"}
"""A key of the canonical configuration -> the kind it marks, the first that is there; with none, a sweep."""


def kind_of(canonical: Mapping[str, Any]) -> str:
    """'sweep', 'repetition', 'ablation' or 'replication'."""
    return next((kind for key, kind in KINDS.items() if key in canonical), "sweep")


def identity_of(canonical: Mapping[str, Any]) -> str:
    """The hash that a folder of this canonical configuration carries as its identity."""
    if kind_of(canonical) == "sweep":
        text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), allow_nan=False)
    else:
        text = json.dumps(canonical, sort_keys=True)
    return sha256(text.encode())


def sha256(data: bytes) -> str:
    """SHA-256 as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def chain_of(start: bytes, lines: Sequence[bytes]) -> list[str]:
    """link_i = SHA-256(link_(i-1) + line_i), with link_(-1) = SHA-256(start): each link holds all that came before."""
    links: list[str] = []
    link = sha256(start)
    for line in lines:
        link = sha256(link.encode() + line)
        links.append(link)
    return links


def lines_of(log: bytes) -> list[bytes]:
    """The lines of a log without their newlines."""
    return log.removesuffix(b"\n").split(b"\n") if log else []


def sealed_manifest(facts: Mapping[str, Any]) -> bytes:
    """The manifest as bytes, with the hash of itself."""
    plain = {**facts, "sha256": sha256(_written(facts))}
    return _written(plain)


def is_sealed(data: bytes, manifest: Mapping[str, Any]) -> bool:
    """Whether the bytes are what `sealed_manifest` makes of the rest."""
    return sealed_manifest({name: value for name, value in manifest.items() if name != "sha256"}) == data


def _written(plain: Mapping[str, Any]) -> bytes:
    return (json.dumps(plain, indent=1, sort_keys=True) + "\n").encode()
