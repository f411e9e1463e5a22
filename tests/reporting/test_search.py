"""What a report says of the search itself: fewer runs, random runs, and how sure a front is."""

from __future__ import annotations

import html.parser
import itertools
import json
import random
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from raycon import importance
from raycon.history import SweepHistory, read_sweep
from raycon.reporting.report import write_report
from raycon.reporting.search import budget_rows, front_surety, random_block
from tests.reporting.synthetic import ALIGNMENT, FINE, Book, Run, realistic_sweep, write_sweep


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "RESAMPLES", 2)


def _searched(history: SweepHistory, sampler: str, given: int = 0, startup: int = 0) -> SweepHistory:
    """The same history, as if its file had said this."""
    history.canonical = {"sweep": {"sampler": sampler, "first": [{}] * given, "startup": startup}}
    return history


def _scores(folder: Path, *scores: float | str) -> SweepHistory:
    runs: list[Run] = [
        ({"a.x": n}, score, {}) if isinstance(score, str) else ({"a.x": n}, "complete", {FINE: score})
        for n, score in enumerate(scores)
    ]
    return write_sweep(folder, runs)


@pytest.mark.parametrize(
    ("sampler", "given", "startup", "block"),
    [("random", 2, 3, range(2, 6)), ("tpe", 2, 4, range(2, 4)), ("nsga2", 0, 2, range(4)), ("qmc", 0, 4, range(0))],
)
def test_which_runs_were_drawn_at_random(tmp_path: Path, sampler: str, given: int, startup: int, block: range) -> None:
    history = _searched(_scores(tmp_path / "s", *(0.1 * n for n in range(6))), sampler, given, startup)
    assert [run.number for run in random_block(history)] == list(block)
    assert random_block(_scores(tmp_path / "t", 0.1, 0.2)) == []


def test_the_rows_are_prefixes_and_means_over_all_sets(tmp_path: Path) -> None:
    history = _searched(_scores(tmp_path / "s", 0.3, "diverged", 0.1, 0.5, "failed", 0.2), "random")
    rows = budget_rows(history, FINE, random_block(history))
    assert [row["best so far"] for row in rows] == [0.3, 0.3, 0.3, 0.5, 0.5, 0.5]
    assert [row["best run"] for row in rows] == [0, 0, 0, 3, 3, 3]
    assert [row["epochs"] for row in rows] == [6, 7, 13, 19, 20, 26]
    # The diverged run counts as the worst, the one that the infrastructure ended not at all.
    for n in range(1, 6):
        sets = itertools.combinations([0.3, 0.1, 0.1, 0.5, 0.2], n)
        assert rows[n - 1]["expected best of random"] == pytest.approx(fmean(max(one) for one in sets))
    assert rows[5]["expected best of random"] is None


def test_less_is_better_in_a_search_that_minimises(tmp_path: Path) -> None:
    runs: list[Run] = [({"a.x": n}, "complete", {ALIGNMENT: value}) for n, value in enumerate((0.5, 0.3, 0.4))]
    history = _searched(write_sweep(tmp_path / "s", runs, maximize=(), minimize=(ALIGNMENT,)), "random")
    rows = budget_rows(history, ALIGNMENT, random_block(history))
    assert [row["best so far"] for row in rows] == [0.5, 0.3, 0.3]
    assert rows[1]["expected best of random"] == pytest.approx(fmean([0.3, 0.4, 0.3]))


def test_a_band_takes_twenty_runs_and_holds_the_curve(tmp_path: Path) -> None:
    draw = random.Random(0)
    history = _searched(_scores(tmp_path / "s", *(draw.random() for _ in range(24))), "random")
    rows = budget_rows(history, FINE, random_block(history))
    assert all(row["low"] <= row["expected best of random"] <= row["high"] for row in rows[:12])
    assert all(row["low"] is None for row in rows[12:])
    few = _searched(_scores(tmp_path / "t", *(draw.random() for _ in range(19))), "random")
    assert all(row["low"] is None for row in budget_rows(few, FINE, random_block(few)))


def _repetition(folder: Path, seeds: int) -> SweepHistory:
    draw, book = random.Random(1), Book(folder, trials=2 * seeds)
    for name, seed in itertools.product(("winner", "plain"), range(101, 101 + seeds)):
        metrics = {FINE: 0.7 + draw.gauss(0, 0.01), ALIGNMENT: 0.6 + draw.gauss(0, 0.03)}
        own = {"split": seed, "init": seed, "order": seed}
        book.run({"configuration": name, "seed": seed}, "complete", metrics, seeds=own)
    return book.close()


def test_a_front_is_as_sure_as_the_seeds_let_it_be(tmp_path: Path) -> None:
    history = realistic_sweep(tmp_path / "s", minimize=(ALIGNMENT,))
    surety = front_surety(history, [_repetition(tmp_path / "s-repeat-1", 5)])
    assert surety is not None and surety.freedom == 8 and surety.configurations == 2
    assert set(surety.chances) == {run.number for run in history.complete(FINE, ALIGNMENT)}
    front = {run.number for run in history.pareto_front()}
    assert max(surety.chances, key=lambda number: surety.chances[number]) in front
    assert sum(surety.chances.values()) >= 1.0 and min(surety.chances.values()) < 0.05
    assert front_surety(history, []) is None
    assert front_surety(history, [_repetition(tmp_path / "s-repeat-2", 2)]) is None


class _Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_and_the_numbers_hold_it_all(tmp_path: Path) -> None:
    realistic_sweep(tmp_path / "s", minimize=(ALIGNMENT,))
    _repetition(tmp_path / "s-repeat-1", 5)
    folder = write_report(tmp_path / "s", [tmp_path / "s-repeat-1"]).parent
    page = _Page()
    page.feed((folder / "report.html").read_text())
    assert page.tags.count("img") == 4 and "script" not in page.tags
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "probability" in (folder / "front.csv").read_text().splitlines()[0]
    told: dict[str, Any] = json.loads((folder / "report.json").read_text())
    titles = [part["title"] for part in told["sections"]]
    assert "Pareto front" in titles and "Importance of the knobs (exploratory)" in titles
    assert read_sweep(tmp_path / "s").identity == told["identity"]


def test_a_small_search_says_why_it_says_nothing(tmp_path: Path) -> None:
    _scores(tmp_path / "s", 0.1, 0.2, 0.3)
    text = write_report(tmp_path / "s").read_text()
    assert "Not said: 3 complete runs, and it takes 10" in text
    assert "no two runs of this search were drawn at random" in text
