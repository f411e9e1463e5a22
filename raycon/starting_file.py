"""`raycon init`: a method's own search space, commented, with the data section of another data set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from raycon.datasets import DATASETS
from raycon.errors import InvalidFile, Refused, nearest
from raycon.methods import Method, find_method, shipped_file
from raycon.space import loads

DATA_SECTION = re.compile(r"^  data:.*\n(?:^    .*\n)*", re.MULTILINE)
MIRRORED_MEANS_ANOTHER = ("digits", "mnist")


def write_starting_file(method: str, data: str, target: Path | None = None) -> Path:
    """Writes the file (by default `<method>_<data>.yaml` here) and returns where.

    Raises InvalidFile for an unknown method or data set, or one that the method cannot run on, with the reason; Refused
    where the file exists already.
    """
    found = find_method(method)
    target = target or Path(f"{found.name}_{data}.yaml")
    text = starting_text(found, data, target.stem)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused(f"{target} is there already; take another name with --to, or remove it") from None
    return target


def starting_text(method: Method, data: str, stem: str) -> str:
    """The text, checked as `raycon explain` checks it."""
    if data in ("folder", "hugging_face"):
        reason = f"images of your own need data.{data}: begin with another set and see README, Data"
        raise InvalidFile(reason)
    if data not in DATASETS:
        raise InvalidFile(f"no data set {data!r}{nearest(data, set(DATASETS))}; known: {', '.join(DATASETS)}")
    original = shipped_file(method.files[0]).read_text(encoding="utf-8")
    section = DATA_SECTION.search(original)
    assert section is not None, method.files[0]
    written = _data_section(method, yaml.safe_load(section.group())["data"], data)
    name = re.sub(r"[^a-z0-9._-]", "-", stem.lower().replace("_", "-"))[:64].lstrip("._-") or "space"
    body = original.replace(section.group(), written, 1)
    if "bias:" not in written and "aligned" not in DATASETS[data].attributes:
        # Nothing says which images agree with the bias; the worst of the groups can still be searched by.
        body = body.replace("groups/conflicting_accuracy", "groups/worst_accuracy")
    body = re.sub(r"^name: .*$", f"name: {name}", body, count=1, flags=re.MULTILINE)
    body = re.sub(r"^# yaml-language-server:.*\n", "", body, count=1)
    text = _header(method, data, body) + body
    try:
        loads(text, name=name)
    except InvalidFile as error:
        field = f"{error.field}: " if error.field else ""
        raise InvalidFile(f"{method.name} cannot begin on {data}: {field}{error.reason}") from None
    return text


def _header(method: Method, data: str, body: str) -> str:
    lines = [
        f"# Begun by `raycon init {method.name} --data {data}` from raycon's {method.files[0]}, whose own lines",
        f"# follow. Its cost and expectation were measured there: nothing of it was measured on {data}.",
    ]
    if data in MIRRORED_MEANS_ANOTHER and "flip:" in body:
        lines.append("# A digit in the mirror is another sign: consider augmentation.flip: 0.")
    return "\n".join(lines) + "\n"


def _data_section(method: Method, original: dict[str, Any], data: str) -> str:
    """The section for `data`: what the method asks of its data is kept, what belonged to its own data set is not."""
    info = DATASETS[data]
    wanted = {key: value for key, value in original.items() if key not in ("train_size", "validation_size", "size")}
    wanted["dataset"] = data
    if "coarse" in wanted:
        if not info.coarse:
            raise InvalidFile(f"{method.name} needs coarse labels, and {data} has no map of them")
        wanted["coarse"] = next(iter(info.coarse))
    if "bias" in wanted and info.bias is not None:
        # The set has a cue of its own, which takes the place of the colours.
        del wanted["bias"]
        wanted["groups"] = [g if g in info.attributes else info.bias for g in wanted.get("groups", ())]
    elif "bias" in wanted and info.channels != 1:
        raise InvalidFile(f"{method.name} needs a bias: grey images to colour, or a set with a cue; {data} has neither")
    lines = [f"    {key}: {_flow(value)}" for key, value in wanted.items() if value != []]
    note = "    # All images are used; train_size and validation_size take fewer."
    return "\n".join(["  data:", *lines, note]) + "\n"


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).removesuffix("...\n").strip()
