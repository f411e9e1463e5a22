"""Pictures of runs, sweeps and repetitions, as PNG bytes. See also `study_figures`."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raycon.errors import InvalidFile
from raycon.history import RunRecord, SweepHistory
from raycon.metric_names import metric
from raycon.repeats import Difference, by_configuration
from raycon.reporting.tables import short_names, shown

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from raycon.reporting.search import Surety

BLUE, ORANGE, GREY = "#1f5f99", "#c8641e", "#9a9a9a"
SHOWN_KNOBS = 11
SHOWN_SCORES = 8


def run_figure(run: RunRecord) -> bytes:
    """Terms of the loss and validation scores of one run over its epochs."""
    terms = _names(run, "train/objective/", drop=("gradient_norm", "learning_rate"))
    figure, axes = new_figure(1, 2, 10, 4.2)
    _lines(axes[0], run, terms, "train/objective/", "value of the term")
    _lines(axes[1], run, _shares(run), "validation/", "validation score")
    figure.suptitle(f"run {run.number} ({run.state.replace('_', ' ')})", fontsize=10)
    return png_bytes(figure)


def sweep_figure(history: SweepHistory) -> bytes:
    """The first objective by run number, with the best so far, and against every knob that varies (at most eleven).

    Dots are complete runs, crosses are runs that ended early. All parts share the vertical axis.
    """
    objective = (*history.maximize, *history.minimize)[0]
    done = [run for run in history.runs if math.isfinite(run.metrics.get(objective, math.nan))]
    knobs = _varied_knobs(done)
    columns = min(4, 1 + len(knobs))
    rows = math.ceil((1 + len(knobs)) / columns)
    figure, axes = new_figure(rows, columns, max(3.3 * columns, 6.0), 2.9 * rows, share=True)
    _progress(axes[0], done, objective, higher=bool(history.maximize))
    names, logarithmic = short_names(knobs), history.logarithmic_paths()
    for axis, knob in zip(axes[1:], knobs, strict=False):
        _scatter(axis, done, knob, objective, names[knob], logarithmic=knob in logarithmic)
    for place, axis in enumerate(axes):
        axis.set_visible(place <= len(knobs))
        if place % columns == 0:
            axis.set_ylabel(objective.split("/", 1)[-1], fontsize=8)
    figure.suptitle(f"{history.name}: {objective}, n = {len(done)} of {len(history.runs)} runs have one", fontsize=10)
    return png_bytes(figure)


def front_figure(history: SweepHistory, surety: Surety | None = None) -> bytes:
    """The first two objectives of all complete runs, the Pareto front marked; with `surety` the probability of runs to
    be on it, and what is attained with which probability."""
    first, second = (*history.maximize, *history.minimize)[:2]
    done, front = history.complete(first, second), history.pareto_front()
    figure, axes = new_figure(1, 1, 5.6, 4.6)
    for runs, colour, style, label in ((done, GREY, "o", "complete runs"), (front, ORANGE, "o-", "Pareto front")):
        points = sorted((run.metrics[first], run.metrics[second]) for run in runs)
        across, up = [point[0] for point in points], [point[1] for point in points]
        axes[0].plot(across, up, style, color=colour, label=label, markersize=5, linewidth=1.2)
    if surety is not None:
        _attainment(axes[0], surety)
    labelled = front if surety is None else [run for run in done if run in front or surety.chances[run.number] >= 0.05]
    for run in labelled:
        place = (run.metrics[first], run.metrics[second])
        told = f"{run.number}" if surety is None else f"{run.number}: {surety.chances[run.number]:.0%}"
        axes[0].annotate(told, place, fontsize=7, xytext=(4, 4), textcoords="offset points")
    axes[0].margins(0.08)
    axes[0].set_xlabel(_with_direction(first), fontsize=8)
    axes[0].set_ylabel(_with_direction(second), fontsize=8)
    _legend_below(axes[0], 2)
    told = "" if surety is None else "\nnumbers: run, probability to be on the front of the true scores"
    axes[0].set_title(f"{history.name}: n = {len(done)} complete runs{told}", fontsize=9)
    return png_bytes(figure)


def _attainment(axis: Axes, surety: Surety) -> None:
    limits = axis.get_xlim(), axis.get_ylim()
    for (share, curve), style in zip(surety.curves.items(), (":", "--"), strict=True):
        known = [(x, y) for x, y in zip(surety.across.tolist(), curve.tolist(), strict=True) if math.isfinite(y)]
        if known:
            axis.plot(*zip(*known, strict=True), style, color=BLUE, linewidth=0.9, label=f"attained with {share:.0%}")
    axis.set_xlim(limits[0])
    axis.set_ylim(limits[1])


def repeat_figure(history: SweepHistory, score: str, differences: Sequence[Difference]) -> bytes:
    """Left: each seed as a line across the configurations. Right: paired differences with their 95 % intervals."""
    figure, axes = new_figure(1, 2, 10, max(3.8, 1.6 + 0.7 * len(differences)))
    _seed_lines(axes[0], history, score)
    labels = []
    for place, difference in enumerate(differences):
        values = difference.differences
        axes[1].plot(values, [place + 0.17] * len(values), "o", color=GREY, markersize=4)
        if difference.interval is not None:
            interval = difference.interval
            error = [[interval.mean - interval.low], [interval.high - interval.mean]]
            axes[1].errorbar([interval.mean], [place], xerr=error, fmt="D", color=ORANGE, capsize=4)
        whole = len(difference.seeds) + len(difference.lost)
        labels.append(wrapped(f"{difference.name} - {difference.rival}") + f"\nn = {len(values)} of {whole}")
    axes[1].axvline(0.0, color="black", linewidth=0.8)
    axes[1].set_yticks(range(len(differences)), labels, fontsize=8)
    # The first difference stands on top, as in the text.
    axes[1].set_ylim(max(len(differences) - 0.4, 0.6), -0.6)
    axes[1].set_xlabel(f"difference of {score}", fontsize=8)
    axes[1].set_title("paired differences (dots: seeds), 95 % t interval", fontsize=9)
    return png_bytes(figure)


def contact_sheet(title: str, labels: Sequence[str], rows: Sequence[np.ndarray[Any, Any]]) -> bytes:
    """Images in rows: `rows` are uint8 [n, C, H, W] with C 1 or 3, `labels` what stands beside each."""
    columns = max(len(row) for row in rows)
    figure, axes = new_figure(len(rows), columns, max(0.8 * columns + 1.2, 4.0), 0.8 * len(rows) + 0.5)
    for place, axis in enumerate(axes):
        row, column = divmod(place, columns)
        axis.set_axis_off()
        if column < len(rows[row]):
            image = rows[row][column]
            shown_image = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
            axis.imshow(shown_image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        if column == 0:
            place_of_text: dict[str, Any] = {"transform": axis.transAxes, "ha": "right", "va": "center"}
            axis.text(-0.1, 0.5, wrapped(labels[row], 16), fontsize=7, **place_of_text)
    figure.suptitle(title, fontsize=9)
    return png_bytes(figure)


def _seed_lines(axis: Axes, history: SweepHistory, score: str) -> None:
    runs = by_configuration(history)
    names = list(runs)
    seeds = sorted({seed for found in runs.values() for seed in found})
    for seed in seeds:
        found = [runs[name].get(seed) for name in names]
        values = [math.nan if run is None else run.metrics.get(score, math.nan) for run in found]
        axis.plot(range(len(names)), values, "o-", color=BLUE, alpha=0.5, linewidth=1, markersize=5)
    axis.set_xticks(range(len(names)), [wrapped(name, 14) for name in names], fontsize=8)
    axis.set_xlim(-0.3, max(len(names) - 0.7, 0.3))
    axis.set_ylabel(score, fontsize=8)
    axis.set_title(f"one line a seed, n = {len(seeds)}", fontsize=9)


def _names(run: RunRecord, prefix: str, drop: tuple[str, ...] = ()) -> list[str]:
    found = dict.fromkeys(name for metrics in run.epochs.values() for name in metrics if name.startswith(prefix))
    return [name for name in found if not name.endswith(drop)] if drop else list(found)


def _shares(run: RunRecord) -> list[str]:
    """The validation scores between 0 and 1, which fit on one axis: an effective rank of 20 would flatten the rest."""
    return [name for name in _names(run, "validation/") if _unit(name) == "fraction"][:SHOWN_SCORES]


def _unit(name: str) -> str:
    try:
        return metric(name).unit
    except InvalidFile:  # of a log that another version has written
        return ""


def _lines(axis: Axes, run: RunRecord, names: Sequence[str], prefix: str, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for name in names:
        course = run.course(name)
        told = name.removeprefix(prefix)
        axis.plot(list(course), list(course.values()), "o-", markersize=3, linewidth=1.2, label=told)
    axis.set_xlabel("epoch", fontsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    # The whole budget, also where scores are taken at its end alone or the run was stopped early.
    axis.set_xlim(0.5, run.total_epochs + 0.5)
    axis.set_ylabel(label, fontsize=8)
    if names:
        _legend_below(axis, 3)


def _legend_below(axis: Axes, columns: int) -> None:
    """Below the axis, where it can cover no line."""
    axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=columns, frameon=False)


def _varied_knobs(runs: Sequence[RunRecord]) -> list[str]:
    """Knobs with at least two different values among the runs that have them."""
    names = dict.fromkeys(name for run in runs for name in run.values)
    varied = [name for name in names if len({str(run.values[name]) for run in runs if name in run.values}) > 1]
    return varied[:SHOWN_KNOBS]


def _progress(axis: Axes, runs: Sequence[RunRecord], objective: str, *, higher: bool) -> None:
    complete = [run for run in runs if run.state == "complete"]
    _points(axis, runs, {run.number: run.number for run in runs}, objective)
    best: list[float] = []
    for run in complete:
        value = run.metrics[objective]
        best.append(value if not best else (max if higher else min)(best[-1], value))
    axis.step([run.number for run in complete], best, where="post", color=ORANGE, linewidth=1.2)
    early = "; x: ended early" if len(complete) < len(runs) else ""
    axis.set_xlabel(f"run (line: best so far{early})", fontsize=8)


def _scatter(
    axis: Axes, runs: Sequence[RunRecord], knob: str, objective: str, label: str, *, logarithmic: bool
) -> None:
    having = [run for run in runs if knob in run.values]
    values = [run.values[knob] for run in having]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        places = {run.number: run.values[knob] for run in having}
        if logarithmic and min(values) > 0:
            _make_logarithmic(axis)
    else:
        options = sorted({shown(value) for value in values})
        # Side by side by their numbers, so that equal scores of one option do not hide each other.
        places = {
            run.number: options.index(shown(run.values[knob])) + (index / max(len(having) - 1, 1) - 0.5) * 0.3
            for index, run in enumerate(having)
        }
        axis.set_xticks(range(len(options)), [wrapped(option, 12) for option in options])
        axis.set_xlim(-0.6, len(options) - 0.4)
    _points(axis, having, places, objective)
    axis.set_xlabel(wrapped(label), fontsize=8)


def _make_logarithmic(axis: Axes) -> None:
    """With ticks at 1, 2 and 5: by default a span of about one decade has a single number, or many over each other."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


def _points(axis: Axes, runs: Sequence[RunRecord], places: Mapping[int, float], objective: str) -> None:
    for complete, style, colour in ((True, "o", BLUE), (False, "x", GREY)):
        found = [run for run in runs if (run.state == "complete") is complete]
        heights = [run.metrics[objective] for run in found]
        axis.plot([places[run.number] for run in found], heights, style, color=colour, markersize=4)


def _with_direction(name: str) -> str:
    return f"{name} ({metric(name).direction} is better)"


def wrapped(text: str, width: int = 38) -> str:
    """A label in lines of at most `width` characters, broken behind dots and underscores too."""
    spaced = text.replace(".", ". ").replace("_", "_ ")
    lines = textwrap.wrap(spaced, width, break_long_words=False)
    return "\n".join(line.replace(". ", ".").replace("_ ", "_") for line in lines)


def new_figure(
    rows: int, columns: int, width: float, height: float, *, share: bool = False
) -> tuple[Figure, list[Axes]]:
    # The object interface with its own canvas: pyplot keeps global state, and these are drawn from several threads.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share).flat)
    for axis in axes:
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.5)
    return figure, axes


def png_bytes(figure: Figure) -> bytes:
    """The picture as a PNG file."""
    stream = io.BytesIO()
    # Without the software's name and version the same log gives the same bytes.
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
