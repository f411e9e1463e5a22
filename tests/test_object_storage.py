"""Buckets: what a URI may be, and reading, writing and looking at what lies below it; against a server and files."""

from __future__ import annotations

import gc
import io
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raycon.cli import main
from raycon.cluster.doctor import Probe
from raycon.errors import InvalidFile
from raycon.object_storage import (
    ObjectFolder,
    _file_system,
    above,
    check_reachable,
    checked,
    join,
    last_part,
    read_text,
    remove_tree,
    shown,
    write_text,
)
from raycon.settings import Settings
from tests.buckets import Server, environment, s3_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with s3_server(tmp_path_factory.mktemp("moto")) as server, environment(server.settings):
        yield server


@pytest.fixture(params=["s3", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/deep"
    server: Server = request.getfixturevalue("server")
    return f"{server.uri}/{request.node.name}".replace("[", "-").replace("]", "")


def test_places_are_joined_before_their_query() -> None:
    uri = "s3://bucket/a?region=x&scheme=http"
    assert join(uri, "b", "c") == "s3://bucket/a/b/c?region=x&scheme=http"
    assert above(join(uri, "b", "c"), 2) == uri and last_part(join(uri, "b")) == "b" and shown(uri) == "s3://bucket/a"
    assert join("/a/b", "c") == "/a/b/c" and above("/a/b/c", 2) == "/a" and last_part("/a/b?c") == "b?c"


def test_a_place_is_a_folder_or_the_uri_of_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert checked("x/../y") == str(tmp_path / "y")
    assert checked("./a:b") == str(tmp_path / "a:b") and checked("~/x") == str(Path.home() / "x")
    assert checked(f"file://{tmp_path}/a%20b/") == str(tmp_path / "a b")
    assert checked("s3://bucket/a/") == "s3://bucket/a" and checked("gs://bucket") == "gs://bucket"
    assert checked("s3://bucket/?region=eu-central-1") == "s3://bucket?region=eu-central-1"
    monkeypatch.setenv("RAYCON_STORAGE", "s3://bucket/a/")
    assert Settings().shared == "s3://bucket/a" and Settings(storage="/b").shared == "/b"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("https://bucket/a", "https:// is not known"),
        ("s3://key:pa55word@bucket/a", "user or password"),
        ("gs://token-pa55word@bucket", "user or password"),
        ("s3://bucket?endpoint_override=http://u:pa55word@host", "user or password"),
        ("s3://bucket/a?secret_key=pa55word", "secret_key is not known"),
        ("s3://bucket/a#pa55word", "# is not known"),
        ("s3:///a", "names no bucket"),
        ("s3://key%3Apa55word%40bucket/a", "user or password"),
        ("s3://bucket?endpoint_override=http%3A%2F%2Fu%3Apa55word%40host", "user or password"),
        ("s3://bucket/a%20b", "may not have '%'"),
        ("s3://bucket/a b", "may not have ' '"),
        ("s3://[bucket/a", "is no URI"),
        ("s3:/pa55word/a", "neither a folder nor a URI"),
        ("C:\\data", "neither a folder nor a URI"),
    ],
)
def test_what_is_no_bucket_is_refused_without_its_secrets(uri: str, reason: str) -> None:
    with pytest.raises(InvalidFile, match=reason) as raised:
        checked(uri)
    assert "pa55word" not in str(raised.value)


def test_objects_are_written_read_and_removed(place: str, tmp_path: Path) -> None:
    folder = ObjectFolder(place)
    assert folder.read("a") is None and folder.size("a") is None and folder.end_of("a", 3) is None
    assert folder.names() == []
    folder.write("a", b"one\ntwo\n")
    folder.write("b/c", b"")
    assert folder.read("a") == b"one\ntwo\n" and folder.read("b/c") == b"" and folder.size("a") == 8
    assert folder.end_of("a", 4) == (8, b"two\n") and folder.end_of("a", 100) == (8, b"one\ntwo\n")
    assert folder.names() == ["a", "b/c"]
    big = bytes(range(256)) * 50_000
    (tmp_path / "big").write_bytes(big)
    folder.upload(tmp_path / "big", "big")
    folder.download("big", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == big and folder.size("big") == len(big)
    folder.delete("b/c")
    with pytest.raises(FileNotFoundError):
        folder.delete("b/c")
    with pytest.raises(FileNotFoundError):
        folder.download("b/c", tmp_path / "no")
    remove_tree(place)
    assert folder.names() == []
    remove_tree(place)


def test_small_texts_lie_in_folders_and_buckets_alike(place: str, tmp_path: Path) -> None:
    for where in (place, str(tmp_path / "plain")):
        assert read_text(where, "x") == ""
        write_text(where, "x", "hello")
        assert read_text(where, "x") == "hello"


def test_the_query_says_where_the_server_is(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    place = join(checked(server.whole_uri), "name")
    ObjectFolder(place).write("runs/a", b"1")
    assert ObjectFolder(above(place)).names() == ["name/runs/a"]
    check_reachable(place)
    assert str(ObjectFolder(place)) == f"{server.uri}/x/name"


def test_a_storage_that_can_be_used_is_left_as_it_was(server: Server, tmp_path: Path) -> None:
    check_reachable(f"{server.uri}/checked")
    assert ObjectFolder(f"{server.uri}/checked").names() == []
    check_reachable(str(tmp_path / "not even there"))


def test_a_bucket_that_is_not_there_is_told_at_once(server: Server) -> None:
    # In the storage's own words, which come before PATIENCE is over.
    with pytest.raises(InvalidFile, match=r"s3://no-such-bucket/a: .*NO_SUCH_BUCKET.*check bucket, region"):
        check_reachable("s3://no-such-bucket/a")


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(InvalidFile, match="no answer within 1 s"):
            check_reachable(
                f"s3://bucket/a?endpoint_override=127.0.0.1:{silent.getsockname()[1]}&scheme=http&region=us-east-1", 1.0
            )
        assert time.monotonic() - began < 10


def test_a_request_to_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raycon.object_storage.SILENT_SECONDS", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        query = f"endpoint_override=127.0.0.1:{silent.getsockname()[1]}&scheme=http&region=us-east-1"
        began = time.monotonic()
        with pytest.raises(OSError):
            ObjectFolder(f"s3://bucket/a?{query}").read("x")
        assert time.monotonic() - began < 6


def test_a_bucket_is_found_as_pyarrow_finds_it_but_with_bounded_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    looks: list[str] = []

    def look(bucket: str) -> str:
        looks.append(bucket)
        return "eu-west-3"

    monkeypatch.setattr("pyarrow.fs.resolve_s3_region", look)

    def facts(query: str) -> tuple[object, ...]:
        system, path = _file_system.__wrapped__("s3://bucket", query)
        found = system.__reduce__()[1][0]
        assert path == "bucket" and found["allow_delayed_open"]
        assert 0 < found["connect_timeout"] <= 5 and 0 < found["request_timeout"] <= 10
        return tuple(found[name] for name in ("region", "endpoint_override", "scheme"))

    assert facts("") == ("eu-west-3", "", "https") and looks == ["bucket"]
    assert facts("region=x-1") == ("x-1", "", "https")
    assert facts("endpoint_override=h%3A9000&scheme=http&region=r")[1:] == ("h:9000", "http")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all")
    assert facts("region=r")[1] == "http://all"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    assert facts("region=r")[1] == "http://s3" and facts("endpoint_override=own&region=r")[1] == "own"
    assert looks == ["bucket"]
    with pytest.raises(OSError, match="project_id is not known"):
        facts("project_id=1")


@pytest.mark.parametrize("size", [4, 25_000_000])
def test_what_fails_in_the_middle_leaves_the_object_as_it_was(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    class Torn(io.BytesIO):
        def read(self, *length: int | None) -> bytes:
            return super().read(*length) or self.fail()

        def fail(self) -> bytes:
            raise OSError("Input/output error")

    folder = ObjectFolder(f"{server.uri}/torn-{size}")
    folder.write("old", b"whole")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda *arguments: Torn(bytes(size)))
        for name in ("old", "new"):
            with pytest.raises(OSError, match="Input/output error"):
                folder.upload(tmp_path / "x", name)
    gc.collect()
    assert folder.read("old") == b"whole" and folder.names() == ["old"]


def test_the_doctor_says_whether_a_bucket_can_be_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("raycon.diagnosis.local_checks", lambda *arguments: [])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for storage, code, told in (
        (f"{server.uri}/a", 0, "written, read and removed from here"),
        ("s3://no-such-bucket/a", 1, "NO_SUCH_BUCKET"),
        ("s3://key:pa55word@bucket", 2, "credentials belong into the environment"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["doctor", "--out", str(tmp_path), "--storage", storage])
        said = "".join(capsys.readouterr())
        assert ended.value.code == code and told in said and "pa55word" not in said


def test_a_node_writes_reads_and_removes_what_the_doctor_asks_for(server: Server) -> None:
    probe, place = Probe(), f"{server.uri}/probe"
    assert probe.write(place, "a") == "" and probe.write(place, "b") == ""
    assert probe.read(place, ["a", "b"]) == ["a", "b"]
    probe.remove(place)
    assert ObjectFolder(place).names() == []
    assert "NO_SUCH_BUCKET" in probe.write("s3://no-such-bucket/a", "a")
