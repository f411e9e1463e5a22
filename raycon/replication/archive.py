"""The container of a bundle: a zip file of which every byte is determined by its entries, and which is read safely.

Entries are sorted, of one fixed date, and stored without compression, so that the same entries give the same bytes on
every machine and no entry can grow while it is read. Names come from a closed list of forms: there is no folder above
or beside that one could lead to. Nothing is ever extracted.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from raycon.errors import InvalidFile, Refused
from raycon.wording import one_line

MANIFEST, CHAIN, SWEEP, EVENTS = "manifest.json", "chain.txt", "sweep.json", "events.jsonl"
RESULTS, INSTALLED, VERSIONS = "results.csv", "installed.txt", "versions.json"
REQUIRED = (MANIFEST, CHAIN, SWEEP, EVENTS, RESULTS, INSTALLED, VERSIONS)

CODE_NAME = re.compile(r"code/([0-9a-f]{64})\.py")
WEIGHTS_NAME = re.compile(r"weights/([0-9]{4,9}-[0-9a-f]{8})/(state\.safetensors|manifest\.json)")
LARGEST_TEXT = 2**29
"""Bytes of an entry other than weights; more would not be read into memory."""
MOST_ENTRIES = 100_000

_DATE = (1980, 1, 1, 0, 0, 0)
_READABLE = 0o100644 << 16
_BLOCK = 2**20
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError, struct.error)

Content = bytes | Path
"""What an entry holds: bytes, or a file's."""


def write_archive(target: IO[bytes], entries: Mapping[str, Content]) -> None:
    """Writes the entries into a file that can be sought in. Raises ValueError for a name that no bundle may hold."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(entries.items()):
            if not allowed(name):
                raise ValueError(f"no entry of a bundle is called {name!r}")
            if isinstance(content, bytes):
                archive.writestr(_info(name), content)
                continue
            info = _info(name)
            info.file_size = content.stat().st_size
            with content.open("rb") as source, archive.open(info, "w") as sink:
                shutil.copyfileobj(source, sink, _BLOCK)


def allowed(name: str) -> bool:
    """Whether a bundle may hold an entry of that name."""
    return name in REQUIRED or bool(CODE_NAME.fullmatch(name) or WEIGHTS_NAME.fullmatch(name))


class Archive:
    """A bundle that is open for reading; made by `open_archive`."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self.names = tuple(archive.namelist())

    def read(self, name: str) -> bytes:
        """The whole content of an entry that is no weights. Raises Refused where it cannot be read."""
        with _readable(name):
            return self._archive.read(name)

    def digest(self, name: str) -> tuple[str, int]:
        """SHA-256 (hex) and length of an entry, read block by block."""
        with _readable(name), self._archive.open(name) as source:
            found, size = hashlib.sha256(), 0
            while block := source.read(_BLOCK):
                found.update(block)
                size += len(block)
            return found.hexdigest(), size


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Opens a bundle. Raises InvalidFile where there is no such file, and Refused for a container that is not exactly
    what `write_archive` makes of its entries."""
    if not path.is_file():
        raise InvalidFile("no such file", file=str(path))
    with path.open("rb") as file:
        with _readable(path.name):
            archive = zipfile.ZipFile(file)
        with archive:
            _check_entries(archive, path)
            _check_bytes(archive, file)
            yield Archive(archive)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system, info.external_attr = 3, _READABLE
    return info


@contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise Refused(f"{one_line(what)} cannot be read: {one_line(str(error))}") from None


def _check_entries(archive: zipfile.ZipFile, path: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise Refused(f"the bundle has {len(entries)} entries, more than {MOST_ENTRIES}")
    seen: set[str] = set()
    for entry in entries:
        shown = one_line(repr(entry.filename), longest=80)
        if not allowed(entry.filename):
            raise Refused(f"no entry of a bundle is called {shown}")
        if entry.filename in seen:
            raise Refused(f"the entry {shown} stands there twice")
        seen.add(entry.filename)
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits:
            raise Refused(f"the entry {shown} is compressed or encrypted; raycon stores entries as they are")
        if entry.file_size > LARGEST_TEXT and not entry.filename.endswith(".safetensors"):
            raise Refused(f"the entry {shown} has {entry.file_size} bytes, more than {LARGEST_TEXT}")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise Refused("the entries are larger than the file: they lie over one another")
    if missing := [name for name in REQUIRED if name not in seen]:
        raise Refused(f"the entry {missing[0]} is missing")


def _check_bytes(archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    """Writes the entries anew and compares, so that nothing hides between them."""
    with tempfile.TemporaryFile() as again:
        with zipfile.ZipFile(again, "w", zipfile.ZIP_STORED) as copy:
            for name in sorted(archive.namelist()):
                info = _info(name)
                info.file_size = archive.getinfo(name).file_size
                with _readable(name), archive.open(name) as source, copy.open(info, "w") as sink:
                    shutil.copyfileobj(source, sink, _BLOCK)
        again.seek(0)
        file.seek(0)
        while block := file.read(_BLOCK):
            if block != again.read(_BLOCK):
                raise Refused("the container is not as raycon writes it: something beside the entries was changed")
        if again.read(1):
            raise Refused("the container is not as raycon writes it: it ends too early")
