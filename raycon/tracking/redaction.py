"""Keeps secrets out of what is logged, written or shown: passwords in addresses, and values under telling names.

Names are judged word by word, so `api_key`, `apiKey` and `aws.secret` are secret while `monkey` and `keyboard` are not.
"""

from __future__ import annotations

import logging
import re
from typing import Any

HIDDEN = "***"
SECRET_WORDS = frozenset(
    {
        *("token", "key", "apikey", "accesskey", "secretkey", "secret", "secrets", "credential", "credentials"),
        *("password", "passwords", "passwd", "passphrase"),
    }
)

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_USERINFO = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/?#\"'<>]*)@")
_NAMED_VALUE = re.compile(
    r"(?P<name>\b[\w.-]*(?:token|secret|passw|passphrase|key|credential)[\w.-]*)"
    r"(?P<sign>[\"']?\s*[=:]\s*)(?P<value>\"[^\"]*\"|'[^']*'|(?:(?:Bearer|Basic)\s+)?[^\s,;&\"'}\]]+)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"\b(?P<kind>Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}")


def is_secret(name: str) -> bool:
    """Whether a value under this (dotted) name must not be shown."""
    return any(word.lower() in SECRET_WORDS for word in _WORDS.findall(name))


def redact_text(text: str) -> str:
    """`text` without the user part of addresses, values of secret-looking `name=value` pairs, and bearer tokens."""
    text = _USERINFO.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _NAMED_VALUE.sub(_hide_named_value, text)
    return _AUTHORIZATION.sub(rf"\g<kind> {HIDDEN}", text)


def _hide_named_value(match: re.Match[str]) -> str:
    if not is_secret(match["name"]):
        return match[0]
    return f"{match['name']}{match['sign']}{HIDDEN}"


def redact(value: Any, name: str = "") -> Any:
    """A copy of a plain value (dicts, lists, scalars) with everything secret replaced by `***`.

    `name` is the dotted name of `value`. A non-empty value under a secret name is hidden whole, whatever its type;
    strings elsewhere lose the user part of addresses. `None`, true and false hide nothing and stay.
    """
    if value is None or isinstance(value, bool):
        return value
    if name and is_secret(name.rsplit(".", 1)[-1]):
        return HIDDEN
    if isinstance(value, dict):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(item) for item in value]
    return _USERINFO.sub(rf"\g<scheme>{HIDDEN}@", value) if isinstance(value, str) else value


class RedactionFilter(logging.Filter):
    """Redacts a log record in place. It belongs on a handler, since a logger's filters do not see its children's."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact_text(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = redact_text(logging.Formatter().formatException(record.exc_info))
        return True
