"""Secrets are hidden, and words that only look like secrets are not."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest

from raycon.cli import main
from raycon.tracking.redaction import HIDDEN, RedactionFilter, is_secret, redact, redact_text


@pytest.mark.parametrize(
    "name",
    ["token", "api_key", "apiKey", "aws.secret", "DB_PASSWORD", "ssh-key", "hub.credentials", "accessKey", "X.APIKEY"],
)
def test_secret_names(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["monkey", "keyboard", "tokens", "turkey.weight", "keys", "secretary", "temperature", "objective.passive"]
)
def test_innocent_names(name: str) -> None:
    assert not is_secret(name)


def test_a_tree_keeps_its_shape() -> None:
    tree = {
        "store": {"api_key": "abc", "url": "https://u:p@host/x"},
        "monkey": [1, "postgres://me@db/y"],
        "token": None,
    }
    assert redact(tree) == {
        "store": {"api_key": HIDDEN, "url": "https://***@host/x"},
        "monkey": [1, "postgres://***@db/y"],
        "token": None,
    }
    assert redact("abc", "store.api_key") == HIDDEN
    assert tree["token"] is None and tree["store"] == {"api_key": "abc", "url": "https://u:p@host/x"}


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://me:pa55@db:5432/x failed", "postgresql://***@db:5432/x failed"),
        ("cannot reach https://host/path?q=a@b", "cannot reach https://host/path?q=a@b"),
        ("?access_token=abc123&x=1", "?access_token=***&x=1"),
        ("{'password': 'two words'}", "{'password': ***}"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ***"),
        ("monkey=3 temperature=0.1", "monkey=3 temperature=0.1"),
    ],
)
def test_texts(text: str, hidden: str) -> None:
    assert redact_text(text) == hidden


def test_log_records_and_their_tracebacks_are_redacted() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactionFilter())
    logger = logging.Logger("raycon.test")
    logger.addHandler(handler)
    try:
        raise OSError("no route to http://bob:hunter2@host")
    except OSError:
        logger.exception("with token=%s", "abc123")
    assert "hunter2" not in stream.getvalue() and "abc123" not in stream.getvalue()
    assert "http://***@host" in stream.getvalue()


def test_the_command_line_logs_through_the_filter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.raises(SystemExit):
        main(["runs", "ls", "--out", str(tmp_path)])
    logging.getLogger("raycon.tracking").warning("tracker %s", "http://user:hunter2@host")
    assert stream.getvalue() == "tracker http://***@host\n"
