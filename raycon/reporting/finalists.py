"""Pictures of the runs that a report is about: the best of a sweep, its rivals, and those of its repetitions."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raycon.disk import RealDisk, write_durably
from raycon.errors import InvalidFile, nearest
from raycon.history import RunRecord, SweepHistory, read_sweep
from raycon.repeats import by_configuration

if TYPE_CHECKING:
    from raycon.reporting.collapse_picture import Course
    from raycon.reporting.encoded_finalist import EncodedFinalist

logger = logging.getLogger("raycon")

OF_A_SWEEP, OF_A_REPETITION = 3, 5
"""At most so many runs of a sweep, and configurations of a repetition, have pictures."""
PREFIX = "finalist-"
EMBEDDINGS = ("pca", "tsne", "umap", "none")
"""How embeddings are brought into the plane; `none`: no pictures that need weights."""


@dataclass(frozen=True)
class Finalist:
    """A run with pictures. slug: its part of the names of their files. folder: that of its log."""

    name: str
    slug: str
    run: RunRecord
    folder: Path


@dataclass(frozen=True)
class Picture:
    """A PNG file that was written to `path`, and its `name` beside the run `key` of the log in `folder`; an empty key
    stands for a picture of several runs."""

    title: str
    path: Path
    folder: Path
    key: str
    name: str


def finalist_pictures(folder: Path, repeats: Sequence[Path] = (), *, embedding: str = "pca") -> list[Picture]:
    """Draws the finalists of the sweep in `folder` and of its `repeats`, from the logs and the weights that were kept.

    Into `<folder>/report/`: for each finalist its embeddings in the plane (by `embedding`, one of EMBEDDINGS), the
    confusions of a linear probe and the accuracies of the groups; for each log the measures of collapse by epoch.
    On the validation split; on the test split for the runs whose test scores are in the log. Pictures of an earlier
    report are removed. What cannot be drawn, such as a run whose weights are gone, is left out with a warning.

    Raises InvalidFile for an unknown `embedding`, RayconError where a folder holds no sweep.
    """
    if embedding not in EMBEDDINGS:
        raise InvalidFile(
            f"no picture {embedding!r}{nearest(embedding, EMBEDDINGS)}; there are {', '.join(EMBEDDINGS)}",
            field="--embedding",
        )
    target = folder / "report"
    for old in target.glob(f"{PREFIX}*.png"):
        old.unlink()
    pictures: list[Picture] = []
    for place in (folder, *repeats):
        history = read_sweep(place)
        part = "" if place == folder else f"{place.name.removeprefix(folder.name).strip('-')}-"
        found = _repeat_finalists(history, place, part) if place != folder else _sweep_finalists(history, place)
        pictures += _pictures(history, found, target, embedding, f"{PREFIX}{part}")
    return pictures


def _sweep_finalists(history: SweepHistory, folder: Path) -> list[Finalist]:
    """The winner, then the configurations that the file gave to start with, then the next best; of several objectives
    the Pareto front, from one end to the other."""
    objectives = (*history.maximize, *history.minimize)
    chosen: dict[int, str] = {}
    if len(objectives) > 1:
        front = sorted(history.pareto_front(), key=lambda run: (run.metrics[objectives[0]], run.number))
        last, places = len(front) - 1, min(OF_A_REPETITION, len(front))
        steps = [round(place * last / max(places - 1, 1)) for place in range(places)]
        chosen = {front[step].number: f"run {front[step].number} (Pareto front)" for step in steps}
    elif objectives:
        # History knows how to choose the best: of all, of all but that one, ...
        given = len(history.canonical.get("sweep", {}).get("first", []))
        left = history.complete(*objectives)
        sign = -1.0 if history.maximize else 1.0
        ranked = sorted(left, key=lambda run: (sign * run.metrics[objectives[0]], run.number))
        for run in (*ranked[:1], *(run for run in left if run.number < given), *ranked[1:]):
            what = "best" if run is ranked[0] else "sweep.first" if run.number < given else "next best"
            if len(chosen) < OF_A_SWEEP:
                chosen.setdefault(run.number, f"run {run.number} ({what})")
    return [Finalist(name, f"run-{number}", history.runs[number], folder) for number, name in chosen.items()]


def _repeat_finalists(history: SweepHistory, folder: Path, part: str) -> list[Finalist]:
    """Every configuration with its run on one seed: the first that all of them completed, else its own first."""
    runs = by_configuration(history)
    complete = {
        name: {seed: run for seed, run in found.items() if run.state == "complete"} for name, found in runs.items()
    }
    having = {name: found for name, found in complete.items() if found}
    common = [seed for seed in next(iter(having.values()), {}) if all(seed in found for found in having.values())]
    finalists = []
    for name, found in list(having.items())[:OF_A_REPETITION]:
        seed = common[0] if common else next(iter(found))
        slug = f"{part}{re.sub(r'[^A-Za-z0-9_]+', '-', name)}-seed-{seed}"
        finalists.append(Finalist(f"{name}, seed {seed}", slug, found[seed], folder))
    return finalists


def _pictures(
    history: SweepHistory, finalists: Sequence[Finalist], target: Path, embedding: str, prefix: str
) -> list[Picture]:
    """Those of one log."""
    drawn: list[Picture] = []
    encoded: dict[str, EncodedFinalist] = {}
    levels: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    for finalist in finalists if embedding != "none" else ():
        try:
            encoded[finalist.run.key], contents = _draw(history, finalist, embedding, levels)
        except Exception as error:  # a report without a picture is better than none
            left_out[finalist.name] = str(error) or type(error).__name__
            continue
        for name, (title, content) in contents.items():
            path = target / f"{PREFIX}{finalist.slug}-{name}.png"
            told = f"{title} of {'fresh seeds, ' if 'configuration' in finalist.run.values else ''}{finalist.name}"
            drawn.append(_written(Picture(told, path, finalist.folder, finalist.run.key, f"{name}.png"), content))
    if left_out:
        # The reasons differ in the run that they name; one of them says what is wrong.
        logger.warning("no pictures of %s: %s", "; ".join(left_out), next(iter(left_out.values())))
    return drawn + _collapse(history, finalists, encoded, target / f"{prefix}collapse.png")


def _draw(
    history: SweepHistory, finalist: Finalist, embedding: str, levels: dict[str, dict[str, float]]
) -> tuple[EncodedFinalist, dict[str, tuple[str, bytes]]]:
    """What was encoded, and the pictures of it by name. Loads torch, once it is certain that the weights are there."""
    from raycon.sealed import final_checkpoint

    final_checkpoint(finalist.run, finalist.folder)
    from raycon.reporting.encoded_finalist import encode_finalist
    from raycon.reporting.run_pictures import run_pictures

    found = encode_finalist(finalist.run, finalist.folder, levels)
    return found, run_pictures(f"{history.name}, {finalist.name}", found, embedding)


def _collapse(
    history: SweepHistory, finalists: Sequence[Finalist], encoded: dict[str, EncodedFinalist], path: Path
) -> list[Picture]:
    """The finalists over their epochs; of a repetition, the other seeds of their configurations too."""
    from raycon.reporting.collapse_picture import collapse_picture

    if not finalists:
        return []
    folder = finalists[0].folder
    courses = [course for finalist in finalists for course in _courses(history, finalist, encoded)]
    seeds = "; thin: the other seeds" if len(courses) > len(finalists) else ""
    heading = f"{history.name}: shape of the representation by epoch, validation split (marks: measured{seeds})"
    picture = Picture(f"Collapse over epochs: {folder.name}", path, folder, "", "collapse.png")
    content = collapse_picture(heading, courses)
    return [] if content is None else [_written(picture, content)]


def _courses(history: SweepHistory, finalist: Finalist, encoded: dict[str, EncodedFinalist]) -> list[Course]:
    from raycon.reporting.collapse_picture import course_of

    name = finalist.run.values.get("configuration")
    others = by_configuration(history)[name].values() if name is not None else ()
    found = encoded.get(finalist.run.key)
    levels = (found.untrained, found.final) if found else ()
    courses = [course_of(finalist.name, finalist.run, *levels)]
    courses += [course_of(finalist.name, run) for run in others if run is not finalist.run]
    return courses


def _written(picture: Picture, content: bytes) -> Picture:
    disk = RealDisk()
    disk.makedirs(picture.path.parent)
    write_durably(disk, picture.path, content)
    return picture
