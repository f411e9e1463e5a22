"""Writes the report of a sweep or a study, after opening the test set where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from raycon.errors import Refused
from raycon.history import RunRecord, read_sweep
from raycon.settings import Settings
from raycon.sweep_folders import find_sweep, repeats_of
from raycon.sweep_tracking import attach_pictures, deliver_test_scores


def report(
    name: str,
    *,
    settings: Settings = Settings(),
    test: bool = False,
    embedding: str = "pca",
    on_run: Callable[[RunRecord], None] = lambda run: None,
) -> Path:
    """Writes the report of a sweep and its repetitions, or of an ablation study, and returns the page's path.

    embedding: `pca`, `tsne` or `umap` for the pictures of a sweep's finalists, which go to MLflow too (see
    `raycon.reporting.finalists`); `none` leaves out those that need weights.
    test: opens the test set for the finished repetitions, or the study, first, which is counted in their logs and
    delivered to MLflow where a repetition is there already. Raises Refused if there is no repetition to test.
    """
    from raycon.reporting.finalists import finalist_pictures
    from raycon.reporting.report import write_report
    from raycon.reporting.study_report import write_study_report

    folder = find_sweep(name, settings)
    if "ablation" in read_sweep(folder).canonical:
        if test:
            from raycon.sealed import open_test_set

            open_test_set(folder, on_run)
            deliver_test_scores([folder], replace(settings, out=folder.parent))
        return write_study_report(folder)
    repeats = repeats_of(read_sweep(folder).name, replace(settings, out=folder.parent))
    if test:
        from raycon.sealed import open_test_set

        if not repeats:
            raise Refused(f"{folder.name} has no repetition; `raycon repeat` makes one, on seeds that chose nothing")
        for repetition in repeats:
            open_test_set(repetition, on_run)
        deliver_test_scores(repeats, settings)
    pictures = finalist_pictures(folder, repeats, embedding=embedding)
    attach_pictures(pictures, settings)
    return write_report(folder, repeats, [(picture.title, picture.path) for picture in pictures])
