"""A server of S3's protocol on this machine (moto), in a process of its own, and what reaches it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from raycon.object_storage import _file_system

BUCKET = "raycon-test"


@dataclass(frozen=True)
class Server:
    """A running server with one empty bucket. `settings` are the environment in which it is found."""

    port: int
    settings: dict[str, str]
    process: subprocess.Popen[bytes]

    @property
    def uri(self) -> str:
        """The bucket."""
        return f"s3://{BUCKET}"

    @property
    def whole_uri(self) -> str:
        """The bucket with all that is needed to find it but credentials, for use without the environment."""
        return f"{self.uri}/x?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[Server]:
    """A server while the block runs; its environment is not set here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "moto.txt").open("wb") as words:
        process = subprocess.Popen(command, stdout=words, stderr=subprocess.STDOUT)
    try:
        limit = time.monotonic() + 60
        while True:
            try:
                request = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
                urllib.request.urlopen(request, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > limit:
                    raise AssertionError((folder / "moto.txt").read_text()) from None
                time.sleep(0.1)
        settings = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        yield Server(port, settings, process)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def environment(settings: dict[str, str]) -> Iterator[None]:
    """These variables while the block runs; connections that were made under others are forgotten."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    _file_system.cache_clear()
    try:
        yield
    finally:
        _file_system.cache_clear()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
