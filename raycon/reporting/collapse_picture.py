"""Whether representations collapse while they are trained: measures of their shape over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from raycon.history import RunRecord
from raycon.metric_names import metric
from raycon.reporting.figures import new_figure, png_bytes
from raycon.reporting.looks import MARKS, colour_and_mark, set_heading

PREFIX = "validation/geometry/"
MEASURES = {
    "effective_rank": ("effective rank of the embeddings, centred", "low: few directions are used"),
    "rank_me": ("RankMe: the same, not centred", "low: few directions are used"),
    "uniformity": ("uniformity of the features", "near 0: all at one point"),
    "alignment": ("alignment of the features", "near 0: a label is one point"),
    "within_class_ratio": ("NC1: variance within labels / between", "near 0: a label is one point"),
    "subclass_separability": ("subclasses in the variance within labels", "low: subclasses cannot be told apart"),
}
"""Name of a metric of the protocol `geometry` -> title of its panel, and how it looks where it has collapsed."""
LINES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)))
STRONG: dict[str, Any] = {"linewidth": 1.5, "markersize": 4.5}
THIN: dict[str, Any] = {"linewidth": 0.7, "markersize": 2.5, "alpha": 0.5}


@dataclass(frozen=True)
class Course:
    """One run over its epochs: measure -> epoch -> value, at epoch 0 with the weights that training began from. Courses
    of one `name` share a colour; of these, the first is drawn strong."""

    name: str
    values: Mapping[str, Mapping[int, float]]


def course_of(
    name: str,
    run: RunRecord,
    untrained: Mapping[str, float] | None = None,
    final: Mapping[str, float] | None = None,
) -> Course:
    """What the log says of a run, epoch by epoch. untrained, final: {full metric name: value} of the weights before and
    after training; a value of the log goes before that of `final`. Values that are not finite are left out."""
    values: dict[str, dict[int, float]] = {}
    for measure in MEASURES:
        found = dict(run.course(PREFIX + measure))
        if untrained and PREFIX + measure in untrained:
            found[0] = untrained[PREFIX + measure]
        if final and PREFIX + measure in final:
            found.setdefault(run.total_epochs, final[PREFIX + measure])
        values[measure] = {epoch: value for epoch, value in found.items() if math.isfinite(value)}
    return Course(name, values)


def shown_measures(courses: Sequence[Course]) -> list[str]:
    """The measures that some course has from after the start of its training."""
    return [measure for measure in MEASURES if any(max(course.values[measure], default=0) for course in courses)]


def collapse_picture(title: str, courses: Sequence[Course]) -> bytes | None:
    """A panel for each of `shown_measures`, a line for each course, as PNG; None where there is no measure."""
    shown = shown_measures(courses)
    if not shown:
        return None
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    names = list(dict.fromkeys(course.name for course in courses))
    height = 2.75 * rows + 0.5 + 0.2 * math.ceil(len(names) / 3)
    figure, axes = new_figure(rows, columns, max(3.5 * columns, 6.4), height)
    for place, axis in enumerate(axes):
        axis.set_visible(place < len(shown))
        if place < len(shown):
            _panel(axis, shown[place], courses, names)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=min(3, len(labels)), frameon=False)
    set_heading(figure, title)
    return png_bytes(figure)


def _panel(axis: Axes, measure: str, courses: Sequence[Course], names: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    seen: set[str] = set()
    for course in courses:
        number, strong = names.index(course.name), course.name not in seen
        seen.add(course.name)
        epochs = sorted(course.values[measure])
        axis.plot(
            epochs,
            [course.values[measure][epoch] for epoch in epochs],
            LINES[number % len(LINES)],
            color=colour_and_mark(number, len(names))[0],
            marker=MARKS[number % len(MARKS)],
            label=course.name if strong else None,
            **(STRONG if strong else THIN),
        )
    _untrained(axis, measure, courses)
    told, collapsed = MEASURES[measure]
    axis.set_title(f"{told}\n({collapsed})", fontsize=8)
    axis.set_xlabel("epoch", fontsize=8)
    axis.set_ylabel(metric(PREFIX + measure).unit, fontsize=7.5)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    last = max(epoch for course in courses for found in course.values.values() for epoch in found)
    axis.set_xlim(-0.04 * last, 1.04 * last)


def _untrained(axis: Axes, measure: str, courses: Sequence[Course]) -> None:
    """The level that training began from, where it is one for all."""
    levels = {round(course.values[measure][0], 9) for course in courses if 0 in course.values[measure]}
    if len(levels) == 1:
        label = "untrained weights (epoch 0)"
        axis.axhline(*levels, color="#777777", linestyle=":", linewidth=1, label=label, zorder=1)
