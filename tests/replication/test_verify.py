"""Verification: no part of a bundle can be changed unnoticed, forgeries contradict themselves, and nothing is run."""

from __future__ import annotations

import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raycon.errors import InvalidFile, Refused
from raycon.events import Event
from raycon.replication.archive import CHAIN, EVENTS, MANIFEST, RESULTS, SWEEP, write_archive
from raycon.replication.bundle import write_bundle
from raycon.replication.rerun import plan_replication
from raycon.replication.verify import verify_bundle
from tests.replication.made_up import Parts, changed_event, listed, metrics, repetition, search
from tests.tiny import FINE

CODE = "raise SystemExit('was run')\nTERMS = []\n"


def _noisy(values: object) -> float:
    return random.Random(repr(values)).random()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles of a search and of a repetition whose test set was opened."""
    folder = tmp_path_factory.mktemp("shelf")
    write_bundle(search(folder, _noisy), folder / "search.zip")
    write_bundle(repetition(folder, _noisy, opened=True), folder / "repetition.zip")
    return folder


def _refused(path: Path, match: str | None = None) -> str:
    with pytest.raises(Refused, match=match) as error:
        verify_bundle(path)
    assert error.value.exit_code == 5
    text = str(error.value)
    assert text and text.isprintable() and len(text) < 500
    return text


def _events(parts: Parts) -> list[Event]:
    return [event for event, _ in parts.events]


def _first(events: list[Event], kind: str) -> int:
    return next(number for number, event in enumerate(events) if event.kind == kind)


def test_what_was_bundled_passes(shelf: Path) -> None:
    found = verify_bundle(shelf / "search.zip")
    assert found.kind == "sweep" and "test set: never opened" in found.checks
    found = verify_bundle(shelf / "repetition.zip")
    assert found.kind == "repetition" and "test set: opened 1 time(s), after all runs had ended" in found.checks


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_any_changed_byte_is_found(shelf: Path, place: float, flip: int) -> None:
    whole = bytearray((shelf / "search.zip").read_bytes())
    whole[int(place * len(whole))] ^= flip
    target = shelf / "flipped.zip"
    target.write_bytes(whole)
    _refused(target)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), more=st.booleans())
def test_any_cut_or_addition_is_found(shelf: Path, place: float, more: bool) -> None:
    whole = (shelf / "search.zip").read_bytes()
    at = int(place * len(whole))
    (shelf / "cut.zip").write_bytes(whole[:at] + b"PK" + whole[at:] if more else whole[:at])
    _refused(shelf / "cut.zip")


@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, 10**6), how=st.sampled_from(["dropped", "doubled", "swapped", "moved"]))
def test_any_changed_event_is_found_though_the_log_is_whole(shelf: Path, number: int, how: str) -> None:
    """The log is numbered and summed anew, and the entries are in the manifest: the chain tells."""
    parts = Parts.of(shelf / "search.zip")
    events = _events(parts)
    at = number % (len(events) - 1)
    if how == "dropped":
        del events[at]
    elif how == "doubled":
        events.insert(at, events[at])
    elif how == "swapped":
        events[at : at + 2] = reversed(events[at : at + 2])
    else:
        events[at] = Event(0, events[at].time + 1e-3, events[at].kind, events[at].payload)
    forged = parts.with_events(events, results=False)
    forged.entries = {**forged.resealed().entries, CHAIN: parts.entries[CHAIN]}
    facts = {name: value for name, value in json.loads(forged.entries[MANIFEST]).items() if name != "sha256"}
    facts["entries"][CHAIN] = json.loads(parts.entries[MANIFEST])["entries"][CHAIN]
    forged.entries[MANIFEST] = _sealed(facts)
    _refused(forged.write(shelf / "event.zip"), "hash chain")


def _sealed(facts: dict[str, object]) -> bytes:
    from raycon.replication.contents import sealed_manifest

    return sealed_manifest(facts)


def test_any_changed_entry_is_found(shelf: Path) -> None:
    parts = Parts.of(shelf / "repetition.zip")
    for name, content in parts.entries.items():
        wrong = {"changed": content[:-2] + b" \n", "longer": content + b"\n", "empty": b""}
        for how, data in wrong.items():
            told = _refused(Parts({**parts.entries, name: data}).write(shelf / "entry.zip"))
            assert name in told or name == MANIFEST, (name, how, told)
        less = {other: data for other, data in parts.entries.items() if other != name}
        assert name in _refused(Parts(less).write(shelf / "less.zip"), "missing")
    extra = {**parts.entries, f"code/{'0' * 64}.py": b"print(1)"}
    _refused(Parts(extra).write(shelf / "more.zip"), "not in the manifest")


def _score_changed(events: list[Event]) -> list[Event]:
    at = _first(events, "finished")
    events[at] = changed_event(events[at], metrics=metrics(0.99))
    return events


def _test_opened_early(events: list[Event]) -> list[Event]:
    opening = events.pop(_first(events, "test_opened"))
    last = max(number for number, event in enumerate(events) if event.kind == "finished")
    events.insert(last, Event(0, events[last].time, "test_opened", opening.payload))
    return events


def _test_scored_unopened(events: list[Event]) -> list[Event]:
    del events[_first(events, "test_opened")]
    return events


def _run_after_opening(events: list[Event]) -> list[Event]:
    taken = events[_first(events, "started")]
    return [*events, Event(0, events[-1].time, "started", taken.payload)]


def _chosen_by_test(events: list[Event]) -> list[Event]:
    events[0] = changed_event(events[0], objectives={"maximize": [FINE.replace("validation", "test")], "minimize": []})
    return events


def _test_among_scores(events: list[Event]) -> list[Event]:
    at = _first(events, "scored")
    seen = {**events[at]["metrics"], "test/linear_probe/accuracy": 0.5}
    events[at] = changed_event(events[at], metrics=seen)
    return events


def _trial_changed(events: list[Event]) -> list[Event]:
    at = _first(events, "asked")
    trial = json.loads(json.dumps(events[at]["trial"]))
    trial["training"]["learning_rate"] = 0.5
    events[at] = changed_event(events[at], trial=trial)
    return events


def _trial_and_key_changed(events: list[Event]) -> list[Event]:
    from raycon.driver import run_key

    old = events[_first(events, "asked")]["key"]
    events = _trial_changed(events)
    new = run_key(0, events[_first(events, "asked")]["trial"])
    return [
        changed_event(
            e, **({"key": new} if e.get("key") == old else {"runs": [new]} if e.kind == "test_opened" else {})
        )
        for e in events
    ]


def _time_back(events: list[Event]) -> list[Event]:
    events[3] = Event(0, events[2].time - 1, events[3].kind, events[3].payload)
    return events


def _unknown_state(events: list[Event]) -> list[Event]:
    at = _first(events, "finished")
    events[at] = changed_event(events[at], state="\x1b[31mwon")
    return events


def _other_identity(events: list[Event]) -> list[Event]:
    events[0] = changed_event(events[0], identity="0" * 64)
    return events


def _without_opening(events: list[Event]) -> list[Event]:
    return events[1:]


@pytest.mark.parametrize(
    ("forge", "match"),
    [
        (_score_changed, "run 0 is complete with other scores"),
        (_test_opened_early, "before all runs had ended"),
        (_test_scored_unopened, "without opening the test set"),
        (_run_after_opening, "after the test set had been opened"),
        (_chosen_by_test, "where runs are chosen|complete without"),
        (_test_among_scores, "test/linear_probe/accuracy where runs are chosen"),
        (_trial_changed, "is not the hash of its trial"),
        (_trial_and_key_changed, "not the one that the configuration lists"),
        (_time_back, "earlier than the one before"),
        (_unknown_state, "unknown state"),
        (_other_identity, "identity in event 0"),
        (_without_opening, "does not begin with the opening"),
        (lambda events: events[:1], "holds no run"),
    ],
)
def test_a_forger_who_knows_the_hashes_still_contradicts_the_rules(
    shelf: Path, forge: Callable[[list[Event]], list[Event]], match: str
) -> None:
    parts = Parts.of(shelf / "repetition.zip")
    forged = parts.with_events(forge(_events(parts)), results=forge is not _without_opening)
    _refused(forged.resealed().write(shelf / "forged.zip"), match)


def test_a_search_whose_test_set_was_opened_is_refused(shelf: Path) -> None:
    parts = Parts.of(shelf / "search.zip")
    events = _events(parts)
    events.append(Event(0, events[-1].time, "test_opened", {"runs": []}))
    _refused(parts.with_events(events).resealed().write(shelf / "forged.zip"), "opens the test set in a search")


def test_a_table_or_configuration_that_says_something_else_is_refused(shelf: Path) -> None:
    parts = Parts.of(shelf / "repetition.zip")
    table = parts.entries[RESULTS].replace(b"complete", b"pruned", 1)
    forged = Parts({**parts.entries, RESULTS: table}).resealed()
    _refused(forged.write(shelf / "forged.zip"), "gives run 0 another state")
    stored = json.loads(parts.entries[SWEEP])
    stored["canonical"]["seeds"].append(9)
    forged = Parts({**parts.entries, SWEEP: json.dumps(stored).encode()}).resealed()
    _refused(forged.write(shelf / "forged.zip"), "identity")


@pytest.mark.parametrize("broken", [b"[", b"[]", b"{}", b"null", b"[" * 100_000, b'{"canonical": []}', b"\xff"])
def test_what_is_no_configuration_is_one_line(shelf: Path, broken: bytes) -> None:
    parts = Parts.of(shelf / "search.zip")
    _refused(Parts({**parts.entries, SWEEP: broken}).resealed().write(shelf / "forged.zip"))
    _refused(Parts({**parts.entries, MANIFEST: broken}).write(shelf / "forged.zip"))


def _zip(path: Path, entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../events.jsonl",
        "/etc/passwd",
        "code/../../x.py",
        "C:\\x",
        "weights/0000-00000000/state.pt",
        "x\x1b[31m",
        "code/",
    ],
)
def test_names_that_lead_elsewhere_are_refused(shelf: Path, tmp_path: Path, name: str) -> None:
    entries = [*Parts.of(shelf / "search.zip").entries.items(), (name, b"x")]
    _refused(_zip(tmp_path / "b.zip", entries), "no entry of a bundle is called")
    with pytest.raises(ValueError, match="no entry"):
        write_archive(io.BytesIO(), {name: b"x"})
    assert [path.name for path in tmp_path.iterdir()] == ["b.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bombs_and_doubles_are_refused(shelf: Path, tmp_path: Path) -> None:
    entries = list(Parts.of(shelf / "search.zip").entries.items())
    bomb = [(name, bytes(10**7) if name == EVENTS else data) for name, data in entries]
    _refused(_zip(tmp_path / "bomb.zip", bomb, zipfile.ZIP_DEFLATED), "is compressed")
    _refused(_zip(tmp_path / "twice.zip", [*entries, entries[0]]), "stands there twice")
    _refused(_zip(tmp_path / "again.zip", entries), "not as raycon writes it")
    (tmp_path / "text.zip").write_text("no zip at all")
    _refused(tmp_path / "text.zip")
    with pytest.raises(InvalidFile, match="no such file") as error:
        verify_bundle(tmp_path / "absent.zip")
    assert error.value.exit_code == 2


def test_own_code_is_never_run_without_a_word(tmp_path: Path) -> None:
    digest = hashlib.sha256(CODE.encode()).hexdigest()
    folder = repetition(tmp_path, _noisy, listed(code=(digest,)))
    (folder / "code").mkdir()
    (folder / "code" / f"{digest}.py").write_text(CODE)
    write_bundle(folder, tmp_path / "b.zip")
    found = verify_bundle(tmp_path / "b.zip")
    with pytest.raises(Refused, match="--trust-code"):
        plan_replication(found, 1)
    parts = Parts.of(tmp_path / "b.zip")
    forged = Parts({**parts.entries, f"code/{digest}.py": CODE.encode() + b"\n"}).resealed()
    _refused(forged.write(tmp_path / "forged.zip"), "not the own code")
    with pytest.raises(SystemExit, match="was run"):
        plan_replication(found, 1, trust_code=True)
