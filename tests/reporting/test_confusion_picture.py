"""Confusion matrices: scikit-learn's counts, coarse classes together, a picture for few and many classes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, recall_score

from raycon.reporting.confusion_picture import confusion, confusion_counts, confusion_picture
from tests.reporting.images import is_drawn


def _answers(count: int, n: int = 500) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    generator = np.random.default_rng(count)
    true = generator.integers(count, size=n)
    return true, np.where(generator.random(n) < 0.6, true, generator.integers(count, size=n))


@pytest.mark.parametrize("count", [2, 7, 40])
def test_counts_are_scikit_learns(count: int) -> None:
    true, predicted = _answers(count)
    found = confusion("t", true, predicted, [str(number) for number in range(count)])
    np.testing.assert_array_equal(found.counts, confusion_matrix(true, predicted, labels=range(count)))
    wanted = confusion_matrix(true, predicted, labels=range(count), normalize="true")
    np.testing.assert_allclose(found.shares, wanted, atol=1e-12)
    assert found.accuracy == pytest.approx(accuracy_score(true, predicted))
    assert found.balanced_accuracy == pytest.approx(recall_score(true, predicted, average="macro"))


def test_values_that_do_not_occur_have_empty_rows() -> None:
    found = confusion("t", np.array([0, 0, 2]), np.array([0, 1, 2]), ["a", "b", "c"])
    assert found.counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert found.shares[1].tolist() == [0, 0, 0] and found.balanced_accuracy == 0.75
    assert is_drawn(confusion_picture("t", [found]))


def test_fine_classes_of_one_coarse_class_stand_together() -> None:
    true, predicted = _answers(5)
    coarse_of = np.array([1, 0, 1, 0, 2])
    found = confusion("t", true, predicted, list("abcde"), coarse_of)
    assert found.names == tuple("bdace") and found.blocks == (2, 4)
    plain = confusion_counts(true, predicted, 5)
    assert found.counts[0, 2] == plain[1, 0] and found.counts[4, 3] == plain[4, 2]
    assert found.accuracy == confusion("t", true, predicted, list("abcde")).accuracy


def test_answers_that_cannot_be_counted_are_refused() -> None:
    numbers = np.array([0, 1])
    for true, predicted, count in ((numbers, numbers[:1], 2), (numbers[:0], numbers[:0], 2), (numbers, numbers, 1)):
        with pytest.raises(ValueError):
            confusion_counts(true, predicted, count)
    with pytest.raises(ValueError, match="from -1 to 1"):
        confusion_counts(np.array([-1, 1]), numbers, 2)


@pytest.mark.parametrize("counts", [(2, 10), (25,), (120,)])
def test_there_is_a_picture_for_any_number_of_classes(counts: tuple[int, ...]) -> None:
    found = [confusion(f"{c} values", *_answers(c), [f"a class {number}" for number in range(c)]) for c in counts]
    drawn = confusion_picture("a title", found)
    assert is_drawn(drawn) and confusion_picture("a title", found) == drawn
