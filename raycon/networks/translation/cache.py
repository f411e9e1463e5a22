"""Translated training images on disk: made once for a set of images, read by every run that has the same.

The key is a digest of the images, their labels, the split seed, the translator's knobs and this package's source, so
that a change of any of them makes another entry, and nothing stale is ever read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from raycon.checkpoints import is_sound, read_checkpoint, write_checkpoint
from raycon.errors import Refused
from raycon.lock import FolderLock
from raycon.networks.translation.gate import Content, content_kept
from raycon.networks.translation.training import Recipe, Trainer
from raycon.seeding import derive_seed

logger = logging.getLogger("raycon")

HELD_OUT_SHARE, HELD_OUT_MOST = 0.1, 1000
ROWS_AT_ONCE = 500
PATIENCE = 0.25
"""Seconds between two tries for the lock."""
SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class Translations:
    """images: uint8 [n, T, C, H, W], image i with the bias of the labels `targets` [n, T], which differ in each row.
    On the CPU the images are mapped from the file, so that all processes of a machine share one copy."""

    images: Tensor
    targets: Tensor
    content: Content


def cache_folder() -> Path:
    """`RAYCON_CACHE`, else `cache` in the output folder (`RAYCON_OUT`, else ./raycon_out)."""
    named = os.environ.get("RAYCON_CACHE")
    out = Path(os.environ.get("RAYCON_OUT") or "raycon_out")
    return (Path(named).expanduser() if named else out / "cache").resolve()


def translations(
    images: Tensor, labels: Tensor, classes: int, recipe: Recipe, *, targets: int, split_seed: int, device: torch.device
) -> Translations:
    """The translations of `images` (uint8 [n, C, H, W]) to `targets` labels each, from the cache or made now.

    Whoever comes first makes them, under a lock that ends with the process; all others, the other workers of the run
    among them, wait for it and read what it wrote.
    """
    key = _key(images, labels, recipe, targets, split_seed)
    folder = cache_folder() / "translations" / key
    stored = folder / "views"

    def build() -> None:
        logger.warning(f"translator: no views of these {len(images)} images in {folder.parent}; makes them, once")
        seed = derive_seed(split_seed, "translator")
        made = make_translations(images.to(device), labels.to(device), classes, recipe, targets, seed)
        for draft in folder.glob(f".{stored.name}-*"):  # of a process that was killed
            shutil.rmtree(draft, ignore_errors=True)
        tensors = {"images": made.images, "targets": made.targets}
        write_checkpoint(stored, tensors, {"content": asdict(made.content), "recipe": asdict(recipe)})

    if not is_sound(stored):
        _once(folder, lambda: is_sound(stored), build)
    tensors, facts = read_checkpoint(stored)
    return Translations(tensors["images"], tensors["targets"], Content(**facts["content"]))


def make_translations(
    images: Tensor, labels: Tensor, classes: int, recipe: Recipe, targets: int, seed: int
) -> Translations:
    """Trains a translator on all but the held-out images, and translates all. The result lies on the CPU."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).to(images.device)
    held = order[: max(1, min(HELD_OUT_MOST, int(HELD_OUT_SHARE * len(images))))]
    rest = order[len(held) :] if len(order) > 1 else order
    generator = Trainer(images[rest], labels[rest], classes, recipe, seed).train()
    content = content_kept(generator, (images[rest], labels[rest]), (images[held], labels[held]), classes, seed)
    logger.warning(
        f"translator: edge correlation {content.edges:.2f}, agreement of a colour-blind probe {content.agreement:.2f} "
        f"(its accuracy {content.probe:.2f}), cycle error {content.cycle:.3f}"
    )
    draw = torch.Generator().manual_seed(derive_seed(seed, "targets"))
    chosen = torch.rand(len(images), classes, generator=draw).argsort(dim=1)[:, :targets]
    made = torch.empty((*chosen.shape, *images.shape[1:]), dtype=torch.uint8)
    with torch.no_grad():
        for rows in torch.split(torch.arange(len(images)), ROWS_AT_ONCE):
            pixels = images[rows.to(images.device)].float() / 255
            for turn in range(chosen.shape[1]):
                views = generator(pixels, chosen[rows, turn].to(images.device))
                made[rows, turn] = (views * 255).round().to(torch.uint8).cpu()
    return Translations(made, chosen, content)


def _once(folder: Path, done: Callable[[], bool], build: Callable[[], None]) -> None:
    """Calls `build` unless it is `done`, in one process at a time; the others wait, and say so every few seconds."""
    lock, told = FolderLock(folder), time.monotonic()
    while True:
        try:
            lock.acquire()
            break
        except Refused as error:
            if time.monotonic() - told > SECONDS_BETWEEN_LINES:
                told = time.monotonic()
                logger.warning(f"translator: waits for the views that another process makes: {error}")
            time.sleep(PATIENCE)
    try:
        if not done():
            build()
    finally:
        lock.release()


def _key(images: Tensor, labels: Tensor, recipe: Recipe, targets: int, split_seed: int) -> str:
    digest = hashlib.sha256()
    for tensor in (images, labels):
        digest.update(json.dumps([str(tensor.dtype), list(tensor.shape)]).encode())
        for rows in torch.split(tensor.cpu(), ROWS_AT_ONCE):
            digest.update(rows.numpy().tobytes())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    digest.update(json.dumps([asdict(recipe), targets, split_seed], sort_keys=True).encode())
    return digest.hexdigest()[:24]
