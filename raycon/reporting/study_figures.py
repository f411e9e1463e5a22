"""Pictures of an ablation study, as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from raycon.ablation.contrasts import Answer
from raycon.ablation.study import Answers, Study
from raycon.reporting.figures import BLUE, GREY, ORANGE, new_figure, png_bytes, wrapped


def effects_figure(part: Answers, title: str, score: str) -> bytes:
    """Every contrast with its interval, claims on top; dots are seeds. Filled: in the corrected family and shown."""
    figure, axes = new_figure(1, 1, 8.5, 1.4 + 0.55 * len(part.answers))
    axis = axes[0]
    for place, found in enumerate(part.answers):
        interval = found.interval
        colour = ORANGE if found.question.claim is not None else BLUE
        axis.plot(found.differences, [place + 0.2] * len(found.differences), "o", color=GREY, markersize=3)
        error = [[interval.mean - interval.low], [interval.high - interval.mean]]
        filled = colour if found.verdict.startswith("shown") else "white"
        axis.errorbar(
            [interval.mean], [place], xerr=error, fmt="D", color=colour, markerfacecolor=filled, capsize=4, markersize=6
        )
    axis.axvline(0.0, color="black", linewidth=0.8)
    labels = [wrapped(found.question.label, 44) for found in part.answers]
    axis.set_yticks(range(len(part.answers)), labels, fontsize=8)
    axis.set_ylim(len(part.answers) - 0.4, -0.6)
    axis.set_xlabel(f"effect on {score} (dots: seeds; filled: shown; orange: stated claims)", fontsize=8)
    axis.set_title(wrapped(f"{title}, n = {len(part.seeds)}", 90), fontsize=9)
    return png_bytes(figure)


def arms_figure(part: Answers, score: str) -> bytes:
    """Each seed as a line across the arms; the black bars are means."""
    arms = list(part.scores)
    figure, axes = new_figure(1, 1, max(6.0, 1.0 + 0.9 * len(arms)), 4.2)
    axis = axes[0]
    for index in range(len(part.seeds)):
        axis.plot(range(len(arms)), [part.scores[arm][index] for arm in arms], "o-", color=GREY, markersize=3, lw=0.7)
    for place, arm in enumerate(arms):
        if part.scores[arm]:
            mean = sum(part.scores[arm]) / len(part.scores[arm])
            axis.plot([place - 0.25, place + 0.25], [mean, mean], color="black", linewidth=2)
    axis.set_xticks(range(len(arms)), [wrapped(arm.replace("+", " + "), 16) for arm in arms], fontsize=7)
    axis.set_ylabel(score, fontsize=8)
    axis.set_title(f"arms (lines: {len(part.seeds)} seeds; bars: means)", fontsize=9)
    return png_bytes(figure)


def interaction_figure(part: Answers, study: Study) -> bytes | None:
    """The two-way interactions over all arms as a heat map, main effects on the diagonal; None without a factorial."""
    if study.arms is None:
        return None
    effects = {frozenset(a.question.of): a for a in part.answers if a.question.effect == "factorial"}
    names = study.arms.components
    if not any(frozenset(pair) in effects for pair in combinations(names, 2)):
        return None
    size = len(names)
    figure, axes = new_figure(1, 1, 1.6 + 1.1 * size, 1.4 + 1.0 * size)
    axis = axes[0]
    values = [[_mean(effects, {row, column}) for column in names] for row in names]
    largest = max((abs(v) for line in values for v in line if v is not None), default=1.0) or 1.0
    grid = [[float("nan") if v is None else v for v in line] for line in values]
    axis.imshow(grid, cmap="RdBu", vmin=-largest, vmax=largest)
    for y, line in enumerate(values):
        for x, value in enumerate(line):
            text = "not asked" if value is None else f"{value:+.3g}"
            colour = "white" if value is not None and abs(value) > 0.6 * largest else "black"
            axis.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(size), [wrapped(name, 14) for name in names], fontsize=8)
    axis.set_yticks(range(size), [wrapped(name, 14) for name in names], fontsize=8)
    axis.set_title("two-way effects; diagonal: main effects", fontsize=9)
    return png_bytes(figure)


def _mean(effects: Mapping[frozenset[str], Answer], of: set[str]) -> float | None:
    found = effects.get(frozenset(of))
    return None if found is None else found.interval.mean
