"""Pictures of what a search says: importance of knobs with bands, and what fewer runs would have found. PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raycon.history import SweepHistory
from raycon.importance import Importance
from raycon.reporting.figures import BLUE, GREY, ORANGE, new_figure, png_bytes, wrapped
from raycon.reporting.tables import Row


def importance_figure(title: str, found: Mapping[str, Sequence[Importance]], names: Mapping[str, str]) -> bytes:
    """A bar for every knob and objective, with its band."""
    order = list(dict.fromkeys(one.knob for judged in found.values() for one in judged))
    figure, axes = new_figure(1, len(found), 3.2 + 3.4 * len(found), 1.5 + 0.32 * len(order), share=True)
    for axis, (objective, judged) in zip(axes, found.items(), strict=True):
        by_knob = {one.knob: one for one in judged}
        for place, knob in enumerate(order):
            one = by_knob.get(knob)
            if one is not None:
                axis.barh([place], [one.median], color=BLUE, alpha=0.75, height=0.6)
                axis.errorbar(
                    [one.median],
                    [place],
                    xerr=[[one.median - one.low], [one.high - one.median]],
                    fmt="none",
                    ecolor="#222222",
                    elinewidth=1,
                    capsize=3,
                )
                axis.text(1.02, place, f"n = {one.n}", fontsize=7, va="center", color="#555555")
        axis.set_yticks(range(len(order)), [wrapped(names[knob], 34) for knob in order], fontsize=8)
        axis.set_ylim(len(order) - 0.4, -0.6)
        axis.set_xlim(0.0, 1.0)
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(wrapped(f"share of the variance of {objective}", 44), fontsize=8)
    resamples = max(one.resamples for judged in found.values() for one in judged)
    figure.suptitle(f"{title}: importance (fANOVA), bands 5 % to 95 % over {resamples} resamples of runs", fontsize=9.5)
    return png_bytes(figure)


def budget_figure(history: SweepHistory, objective: str, rows: Sequence[Row], random_runs: int) -> bytes:
    """The best so far by runs and epochs, and the expected best of as many random runs."""
    figure, axes = new_figure(1, 1, 6.4, 4.0)
    axis = axes[0]
    done = [row for row in rows if row["best so far"] is not None]
    axis.step(
        [row["runs"] for row in done],
        [row["best so far"] for row in done],
        where="post",
        color=BLUE,
        label="best so far: a search of n runs",
    )
    told = [row for row in rows if row["expected best of random"] is not None]
    if told:
        across = [row["runs"] for row in told]
        label = f"expected best of n random runs (from {random_runs})"
        axis.plot(across, [row["expected best of random"] for row in told], "o-", color=ORANGE, ms=3, lw=1, label=label)
        banded = [row for row in told if row["low"] is not None]
        ends = ([row["low"] for row in banded], [row["high"] for row in banded])
        axis.fill_between([row["runs"] for row in banded], *ends, color=ORANGE, alpha=0.2, lw=0)
    axis.set_xlabel("n, runs", fontsize=8)
    axis.set_xlim(0.5, len(rows) + 0.5)
    axis.set_ylabel(objective.split("/", 1)[-1], fontsize=8)
    axis.legend(fontsize=7, loc="lower right", frameon=False)
    _epochs_above(axis, rows)
    axis.set_title(f"{history.name}: what fewer runs would have found, n = {len(rows)}", fontsize=9, pad=24)
    return png_bytes(figure)


def _epochs_above(axis: object, rows: Sequence[Row]) -> None:
    """A second scale on top: the epochs that the first n runs took, early stopping included."""
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    step = max(1, len(rows) // 6)
    shown = [row for row in rows if row["runs"] % step == 0 or row["runs"] == 1]
    above = axis.secondary_xaxis("top")
    above.set_xticks([row["runs"] for row in shown], [str(row["epochs"]) for row in shown])
    above.tick_params(labelsize=7, colors=GREY)
    above.set_xlabel("epochs in all", fontsize=7, color=GREY)
