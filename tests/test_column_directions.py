"""Directions told from the names of columns."""

from __future__ import annotations

import pytest

from raycon.column_directions import usual_direction
from raycon.metric_names import METRICS, known_names, metric


def test_own_names_have_the_direction_of_their_table() -> None:
    names = known_names()
    assert [usual_direction(name) for name in names] == [metric(name).direction for name in names]


def test_no_word_contradicts_the_table() -> None:
    """A name that another tool has changed says the same, or nothing."""
    for name, known in METRICS.items():
        assert usual_direction(f"our_{name.replace('/', '_')}") in (None, known.direction), name


@pytest.mark.parametrize(
    ("name", "better"),
    [
        *((name, "higher") for name in ("accuracy", "val_acc", "acc@1", "topAcc1", "AUROC", "mIoU", "f1_score", "R2")),
        *((name, "lower") for name in ("val_loss", "valLoss", "test/ece", "FPR95", "err_top5", "brier_score", "Error")),
        *((name, "lower") for name in ("accuracy_gap", "calibrationError", "negative_log_likelihood", "NLL")),
        *((name, "higher") for name in ("neg_mean_squared_error", "log_likelihood", "worst_group_accuracy")),
        *((name, None) for name in ("quality", "score", "top1", "accuracy_std", "loss_accuracy", "lr", "", "1", "%")),
    ],
)
def test_the_word_that_says_what_is_measured_decides(name: str, better: str | None) -> None:
    assert usual_direction(name) == better
