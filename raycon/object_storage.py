"""Object storage (S3, Google Cloud Storage) by URI, through `pyarrow.fs`, which comes with Ray.

A *place* is text: the path of a folder, or a URI `s3://bucket/prefix` or `gs://bucket/prefix`, with the query that
pyarrow knows (`?region=`, `?endpoint_override=`, `?scheme=`). Credentials come from where the cloud's own tools look
for them (environment, files, the role of the machine) and never stand in a URI: it is written into logs.

Single objects are written whole or not at all: where anything fails in between, the object stays what it was. The parts
of a large one that had arrived then stay in the bucket, unseen, until a lifecycle rule removes them. Nothing here is
atomic beyond that, and no write is conditional.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from raycon.errors import InvalidFile

Result = TypeVar("Result")

SCHEMES = ("s3", "gs", "gcs")
QUERIES = ("region", "endpoint_override", "scheme", "tls_ca_file_path", "project_id", "retry_limit_seconds")
PATIENCE = 20.0
"""Seconds in which a storage has to answer before a sweep is started on it."""
CONNECT_SECONDS = 5.0
"""Seconds in which a connection to a storage has to stand."""
SILENT_SECONDS = 10.0
"""Seconds without a byte after which a request to S3 is given up. A large object may take as long as it moves."""
ATTEMPTS = 2
"""How often the client for S3 itself tries a request."""
RETRY_SECONDS = 10
"""Seconds in which the client for Google's storage itself tries a request again."""
PAUSES = (0.5, 2.0, 5.0)
"""Seconds before each further attempt at a request that failed."""
PIECE = 8 * 2**20
LIKE_A_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def is_uri(place: str | Path) -> bool:
    """Whether a place is a URI, not a path."""
    return "://" in str(place)


def checked(named: str) -> str:
    """A place as it is recorded: an absolute path, or the URI without a slash at its end; `file:///x` is the path /x.

    Raises InvalidFile for a URI of another kind, and for one with credentials in it, which are not repeated.
    """
    if not is_uri(named):
        if LIKE_A_SCHEME.match(named):
            reason = "is neither a folder nor a URI (s3://BUCKET/PREFIX); a folder with a colon begins with ./"
            raise InvalidFile(reason, field="storage")
        return str(Path(named).expanduser().resolve())
    try:
        parts = urlsplit(named)
    except ValueError as error:
        raise InvalidFile(f"is no URI: {error}", field="storage") from error
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return str(Path(unquote(parts.path)).resolve())
    if parts.scheme not in SCHEMES:
        reason = f"{parts.scheme}:// is not known; name a folder that all nodes mount, s3://BUCKET/PREFIX or gs://..."
        raise InvalidFile(reason, field="storage")
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if "@" in unquote(parts.netloc + parts.query):
        reason = "holds a user or password; credentials belong into the environment or the machine's role"
        raise InvalidFile(reason, field="storage")
    if unknown := [name for name in names if name not in QUERIES] + ["#"] * bool(parts.fragment):
        raise InvalidFile(f"{unknown[0]} is not known in a URI; known: {', '.join(QUERIES)}", field="storage")
    if strange := [letter for letter in parts.netloc + parts.path if letter.isspace() or letter == "%"]:
        # Ray and pyarrow would read it in two ways.
        raise InvalidFile(f"may not have {strange[0]!r} in bucket or prefix", field="storage")
    if not parts.netloc:
        raise InvalidFile(f"names no bucket: {parts.scheme}://BUCKET/PREFIX", field="storage")
    return join(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}" + (f"?{parts.query}" if parts.query else ""))


def join(place: str, *parts: str) -> str:
    """The place below, before the query of a URI."""
    start, mark, query = place.partition("?") if is_uri(place) else (place, "", "")
    return "/".join([start.rstrip("/"), *parts]) + mark + query


def above(place: str, levels: int = 1) -> str:
    """The place so many levels above."""
    start, mark, query = place.partition("?") if is_uri(place) else (place, "", "")
    return start.rstrip("/").rsplit("/", levels)[0] + mark + query


def last_part(place: str) -> str:
    """The last name in a place."""
    return shown(place).rsplit("/", 1)[-1]


def shown(place: str) -> str:
    """The place for people: without the query."""
    return place.partition("?")[0] if is_uri(place) else place


def patiently(action: Callable[[], Result]) -> Result:
    """The value of a request, which is tried again after `PAUSES`. What is not there is not waited for."""
    for pause in PAUSES:
        try:
            return action()
        except FileNotFoundError:
            raise
        except OSError:
            time.sleep(pause)
    return action()


class ObjectFolder:
    """The objects below a URI, by the rest of their names. Whatever fails raises OSError, once the client has given up
    by itself: at once to a few seconds later where S3 refuses or nobody listens, after about 20 s (reading) to 35 s
    (writing) where it takes a request and says nothing."""

    def __init__(self, uri: str):
        self.uri = uri

    def __str__(self) -> str:
        return shown(self.uri)

    def read(self, name: str) -> bytes | None:
        """The content of an object, or None."""
        with _failing(), contextlib.suppress(FileNotFoundError), self._input(name) as stream:
            return bytes(stream.read())
        return None

    def end_of(self, name: str, length: int) -> tuple[int, bytes] | None:
        """The size of an object and its last bytes, or None."""
        with _failing(), contextlib.suppress(FileNotFoundError), self._input(name) as stream:
            size = int(stream.size())
            return size, bytes(stream.read_at(min(length, size), max(0, size - length)))
        return None

    def size(self, name: str) -> int | None:
        """The size of an object, or None."""
        with _failing():
            system, path = self._place(name)
            size: int | None = system.get_file_info(path).size
        return size

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        with _failing(), self._output(name) as stream:
            stream.write(data)

    def upload(self, source: Path, name: str) -> None:
        """Put a file as an object."""
        with source.open("rb") as file, _failing(), self._output(name) as stream:
            while piece := file.read(PIECE):
                stream.write(piece)

    def download(self, name: str, target: Path) -> None:
        """Get an object as a file. Raises FileNotFoundError where there is none."""
        with target.open("wb") as file, _failing(), self._input(name) as stream:
            while piece := stream.read(PIECE):
                file.write(piece)

    def names(self) -> list[str]:
        """The names of all objects below, sorted."""
        from pyarrow import fs

        with _failing():
            system, path = self._place()
            found = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
            files = [info.path for info in found if info.type == fs.FileType.File]
        return sorted(name.removeprefix(path).lstrip("/") for name in files)

    def delete(self, name: str) -> None:
        """Take an object away. Raises FileNotFoundError where there is none."""
        with _failing():
            system, path = self._place(name)
            system.delete_file(path)

    def clear(self) -> None:
        """Take all objects below away."""
        with _failing(), contextlib.suppress(FileNotFoundError):
            system, path = self._place()
            system.delete_dir(path)

    @contextlib.contextmanager
    def _input(self, name: str) -> Iterator[Any]:
        system, path = self._place(name)
        with system.open_input_file(path) as stream:
            yield stream

    @contextlib.contextmanager
    def _output(self, name: str) -> Iterator[Any]:
        system, path = self._place(name)
        if system.type_name == "local":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        stream = system.open_output_stream(path)
        try:
            yield stream
        except BaseException:
            # Closing publishes what has been written so far, and so does the end of the stream's life.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream))
            raise
        stream.close()

    def _place(self, name: str = "") -> tuple[Any, str]:
        parts = urlsplit(self.uri)
        system, root = _file_system(f"{parts.scheme}://{parts.netloc}", parts.query)
        return system, "/".join(part for part in (root + parts.path.rstrip("/"), name) if part)


@functools.lru_cache(maxsize=8)
def _file_system(bucket: str, query: str) -> tuple[Any, str]:
    """The file system of a bucket, and the path of the bucket in it."""
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem

    scheme, _, name = bucket.partition("://")
    if scheme == "file":
        return FileSystem.from_uri("file:///")[0], ""
    if scheme == "s3":
        return _s3(name, query), name
    limit = "" if "retry_limit_seconds" in query else f"retry_limit_seconds={RETRY_SECONDS}"
    for text in (f"{query}&{limit}".strip("&"), query):
        with contextlib.suppress(ArrowInvalid):
            system, path = FileSystem.from_uri(f"{bucket}?{text}" if text else bucket)
            return system, path.rstrip("/")
    raise OSError(f"{bucket}?{query} is not understood")


def _s3(bucket: str, query: str) -> Any:
    """What `FileSystem.from_uri` makes of the same query and environment, but for its patience: a URI cannot say how
    long a silent server is waited for."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem, resolve_s3_region

    wanted = dict(parse_qsl(query))
    if unknown := wanted.keys() - {"region", "endpoint_override", "scheme", "tls_ca_file_path"}:
        raise OSError(f"s3://{bucket}: {min(unknown)} is not known there")
    for variable in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if "endpoint_override" not in wanted and os.environ.get(variable):
            wanted["endpoint_override"] = os.environ[variable]
    if "region" not in wanted and "endpoint_override" not in wanted:
        wanted["region"] = resolve_s3_region(bucket)
    return S3FileSystem(
        **wanted,
        allow_delayed_open=True,  # one request for a small object
        connect_timeout=CONNECT_SECONDS,
        request_timeout=SILENT_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    """Whatever pyarrow raises that is no OSError becomes one."""
    from pyarrow import ArrowException

    try:
        yield
    except OSError:
        raise
    except ArrowException as error:
        raise OSError(str(error)) from error


def remove_tree(place: str) -> None:
    """Take all below a place away, as far as that can be done."""
    if is_uri(place):
        with contextlib.suppress(OSError):
            ObjectFolder(place).clear()
    else:
        shutil.rmtree(place, ignore_errors=True)


def write_text(place: str, name: str, text: str) -> None:
    """Put a small file or object there. Raises OSError."""
    if is_uri(place):
        ObjectFolder(place).write(name, text.encode())
    else:
        os.makedirs(place, exist_ok=True)
        Path(place, name).write_text(text)


def read_text(place: str, name: str) -> str:
    """What a small file or object holds; nothing where it is not there or cannot be read."""
    try:
        if is_uri(place):
            return (ObjectFolder(place).read(name) or b"").decode(errors="replace")
        with contextlib.suppress(OSError):
            os.listdir(place)  # has a network file system look anew
        return Path(place, name).read_text()
    except OSError:
        return ""


def check_reachable(place: str, seconds: float = PATIENCE) -> None:
    """Write, read and remove an object at a URI; a folder is not looked at.

    Raises InvalidFile, with the reason, if that fails or takes longer.
    """
    if not is_uri(place):
        return
    # In a process of its own: a client that waits for a silent server cannot be stopped, and would hold up this one.
    root = str(Path(__file__).parents[1])
    settings = os.environ | {"PYTHONPATH": os.pathsep.join([root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])}
    command = [sys.executable, "-c", f"from {__name__} import _tell; _tell()", place]
    try:
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=seconds, check=False)
        problem = done.stdout.strip() if done.returncode == 0 else done.stderr.strip()[-300:] or "the attempt failed"
    except subprocess.TimeoutExpired:
        problem = f"no answer within {seconds:g} s"
    if problem:
        hint = "check bucket, region, endpoint and credentials; docs/cluster.md, Object storage"
        raise InvalidFile(f"{shown(place)}: {problem}; {hint}", field="storage")


def _tell() -> None:
    print(_tried(sys.argv[1]))


def _tried(place: str) -> str:
    folder, name = ObjectFolder(place), f".raycon-check-{uuid.uuid4().hex[:8]}"
    try:
        folder.write(name, name.encode())
        if folder.read(name) != name.encode():
            return "what was written is not read again"
        folder.delete(name)
    except OSError as error:
        return " ".join(str(error).split())[:300]
    return ""
