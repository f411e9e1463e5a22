"""Translated images are made once: by the first of several processes, for equal images and knobs, and never half."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from raycon.lock import FolderLock
from raycon.networks.translation import cache, gate
from raycon.networks.translation.cache import Translations, cache_folder, translations
from tests.networks.translation.pictures import CLASSES, pictures, recipe


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYCON_CACHE", str(tmp_path))
    monkeypatch.setattr("raycon.networks.translation.gate.PROBE_STEPS", 2)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for every time that translations are made."""
    calls: list[int] = []
    original = cache.make_translations

    def count(*arguments: Any) -> Translations:
        calls.append(1)
        return original(*arguments)

    monkeypatch.setattr(cache, "make_translations", count)
    return calls


def _get(images: int = 40, *, targets: int = 2, split_seed: int = 0, **changes: Any) -> Translations:
    pixels, labels, _ = pictures(images)
    chosen = recipe(**{"iterations": 2, **changes})
    device = torch.device("cpu")
    return translations(pixels, labels, CLASSES, chosen, targets=targets, split_seed=split_seed, device=device)


def test_made_once_and_read_again(made: list[int]) -> None:
    first, second = _get(), _get()
    assert len(made) == 1
    assert torch.equal(first.images, second.images) and torch.equal(first.targets, second.targets)
    assert first.content == second.content
    assert first.images.shape == (40, 2, 3, 16, 16) and first.images.dtype == torch.uint8
    assert all(len(set(row)) == 2 for row in first.targets.tolist())


@pytest.mark.parametrize(
    "change", [{"images": 39}, {"targets": 3}, {"split_seed": 1}, {"family": "pixel"}, {"iterations": 3}]
)
def test_whatever_matters_makes_another_entry(made: list[int], change: dict[str, Any]) -> None:
    _get()
    _get(**change)
    assert len(made) == 2


def test_another_version_of_the_code_makes_another_entry(
    made: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _get()
    elsewhere = tmp_path / "source" / "cache.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text("# changed")
    monkeypatch.setattr(cache, "__file__", str(elsewhere))
    _get()
    assert len(made) == 2


def test_a_lost_cache_is_made_again_equally(made: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = _get()
    monkeypatch.setenv("RAYCON_CACHE", str(tmp_path / "elsewhere"))
    again = _get()
    assert len(made) == 2
    assert torch.equal(first.images, again.images) and first.content == again.content


def test_a_damaged_entry_and_a_dead_process_draft_are_replaced(made: list[int], tmp_path: Path) -> None:
    first = _get()
    (entry,) = (tmp_path / "translations").glob("*/views")
    draft = entry.with_name(".views-0123abcd")
    draft.mkdir()
    with (entry / "state.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(bytes([255 - file.read(1)[0]]))
    again = _get()
    assert len(made) == 2 and not draft.exists()
    assert torch.equal(first.images, again.images)


def test_who_waits_for_the_lock_says_so_and_reads_what_the_other_made(
    made: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    expected = _get()
    (entry,) = (tmp_path / "translations").glob("*/views")
    hidden = entry.with_name("hidden")
    entry.rename(hidden)
    monkeypatch.setattr(cache, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(cache, "PATIENCE", 0.05)
    lock = FolderLock(entry.parent).acquire()

    def finish() -> None:
        hidden.rename(entry)
        lock.release()

    timer = threading.Timer(0.5, finish)
    timer.start()
    with caplog.at_level("WARNING", logger="raycon"):
        found = _get()
    timer.join()
    assert len(made) == 1 and torch.equal(found.images, expected.images)
    assert "waits for the views" in caplog.text and f"pid {os.getpid()}" in caplog.text


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux's list of mapped files")
def test_images_are_mapped_from_the_file_and_not_copied(tmp_path: Path) -> None:
    found = _get()
    (entry,) = (tmp_path / "translations").glob("*/views")
    assert str(entry / "state.safetensors") in Path("/proc/self/maps").read_text()
    assert found.images.device.type == "cpu"


def _in_a_process(queue: Any) -> None:
    torch.set_num_threads(1)
    gate.PROBE_STEPS = 2
    calls: list[int] = []
    original = cache.make_translations

    def count(*arguments: Any) -> Translations:
        calls.append(1)
        return original(*arguments)

    cache.make_translations = count  # type: ignore[assignment]  # counted, and passed through
    queue.put((len(calls), _get(iterations=8).images.long().sum().item(), len(calls)))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_concurrent_processes_make_it_once() -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_in_a_process, args=(queue,)) for _ in range(3)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert sum(calls for _, _, calls in results) == 1
    assert len({total for _, total, _ in results}) == 1


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path
    monkeypatch.delenv("RAYCON_CACHE")
    monkeypatch.setenv("RAYCON_OUT", str(tmp_path / "results"))
    assert cache_folder() == tmp_path / "results" / "cache"
    monkeypatch.delenv("RAYCON_OUT")
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == tmp_path / "raycon_out" / "cache"
