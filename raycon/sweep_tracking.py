"""MLflow beside a sweep: it follows while runs go on, and gets what is made of them afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from raycon.errors import RayconError
from raycon.settings import Settings

if TYPE_CHECKING:
    from raycon.reporting.finalists import Picture
    from raycon.tracking import Figures

logger = logging.getLogger("raycon")


@contextmanager
def followed(folder: Path, settings: Settings) -> Iterator[None]:
    """MLflow follows the log of a folder for as long as this is entered, unless tracking is off."""
    if settings.tracking == "off":
        yield
        return
    from raycon.tracking import Tracker

    tracker = Tracker(folder, settings.tracking, settings.folder, drawn_figures(), settings.require_tracking)
    tracker.start()
    try:
        yield
    finally:
        tracker.close()


def drawn_figures() -> Figures:
    """The pictures that go to MLflow: of a run, and of a sweep."""
    from raycon.reporting.figures import run_figure, sweep_figure
    from raycon.tracking import Figures

    return Figures(run_figure, sweep_figure)


def attach_pictures(pictures: Sequence[Picture], settings: Settings) -> None:
    """Puts pictures beside their runs in MLflow, where these are there. A failure is one warning."""
    from raycon.tracking.artifacts import attach

    for folder in dict.fromkeys(picture.folder for picture in pictures if settings.tracking != "off"):
        files: dict[str, dict[str, bytes]] = {}
        for picture in (found for found in pictures if found.folder == folder):
            files.setdefault(picture.key, {})[picture.name] = picture.path.read_bytes()
        try:
            attach(folder, files, settings.tracking)
        except RayconError as error:
            logger.warning("the pictures are in the report alone: %s", error)
            return


def deliver_test_scores(folders: Sequence[Path], settings: Settings) -> None:
    """Sends what was logged after the trackers of these folders had closed. A failure is one warning.

    A folder of which nothing was ever delivered ran without a tracker, and stays without one unless one is named.
    """
    from raycon.tracking import sync
    from raycon.tracking.server import experiment_of

    tracked = [] if settings.tracking == "off" else [f for f in folders if settings.tracking or experiment_of(f)]
    for number, folder in enumerate(tracked):
        try:
            sync(folder, settings.tracking, folder.parent, drawn_figures(), again=False)
        except RayconError as error:
            hint = " && ".join(f"raycon sync {left.name}" for left in tracked[number:])
            logger.warning("%s; the test scores are in the log, `%s` delivers them", error, hint)
            return
