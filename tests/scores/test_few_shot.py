"""Few images a class: draws, means and intervals against loops and scipy."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from sklearn.neighbors import NearestCentroid

from raycon.scores.few_shot import episode_rows, few_shot, half_width
from raycon.scores.probe import fit_probe
from tests.scores.blobs import blobs

TRAIN, JUDGED = blobs(seed=1), blobs(150, seed=2)


def found(train: torch.Tensor = TRAIN.labels, **knobs: object) -> dict[str, float]:
    return few_shot(TRAIN.embeddings[: len(train)], train, JUDGED.embeddings, JUDGED.labels, **knobs)  # type: ignore[arg-type]


def test_an_episode_has_as_many_rows_of_every_label_and_none_twice() -> None:
    labels = torch.tensor([7, 2, 2, 7, 5, 5, 5, 7, 2, 2])
    for episode in range(20):
        rows = episode_rows(labels, 2, episode)
        assert labels[rows].tolist() == [2, 2, 5, 5, 7, 7]
        assert len(set(rows.tolist())) == 6
    drawn = {tuple(sorted(episode_rows(labels, 2, episode)[:2].tolist())) for episode in range(200)}
    assert len(drawn) == 6  # every pair of the four rows of label 2 comes up
    assert torch.equal(episode_rows(labels, 2, 3), episode_rows(labels, 2, 3))


@pytest.mark.filterwarnings("ignore:invalid value")  # scikit-learn divides by the 0 degrees of freedom of one shot
def test_class_means_equal_scikit_learn_episode_by_episode() -> None:
    unit = torch.nn.functional.normalize
    for count in (1, 5, 10):
        scores = []
        for episode in range(4):
            rows = episode_rows(TRAIN.labels, count, episode)
            # Cosines to the mean direction: centroids of unit rows, made unit again.
            oracle = NearestCentroid().fit(unit(TRAIN.embeddings[rows]).numpy(), TRAIN.labels[rows].numpy())
            oracle.centroids_ = unit(torch.from_numpy(oracle.centroids_)).numpy()
            scores.append(oracle.score(unit(JUDGED.embeddings).numpy(), JUDGED.labels.numpy()))
        result = found(episodes=4)
        assert result[f"accuracy_{count}"] == pytest.approx(sum(scores) / 4, abs=1e-12)
        low, high = stats.t.interval(0.95, 3, loc=0, scale=stats.sem(scores))
        assert result[f"half_width_{count}"] == pytest.approx((high - low) / 2)


def test_the_probe_is_fitted_to_the_episode() -> None:
    rows = episode_rows(TRAIN.labels, 5, 0)
    probe = fit_probe(TRAIN.embeddings[rows], TRAIN.labels[rows], iterations=50, l2=0.01)
    expected = (probe.predict(JUDGED.embeddings) == JUDGED.labels).double().mean()
    result = found(classifier="probe", episodes=1)
    assert result["accuracy_5"] == pytest.approx(float(expected))
    assert not any(name.startswith("half_width") for name in result)


def test_more_images_are_better_and_separate_classes_need_one() -> None:
    result = found(episodes=50)
    assert result["accuracy_1"] < result["accuracy_5"] < result["accuracy_10"]
    points = 10 * torch.eye(4)
    assert few_shot(points[TRAIN.labels], TRAIN.labels, points[JUDGED.labels], JUDGED.labels, episodes=2) == {
        **{f"accuracy_{count}": 1.0 for count in (1, 5, 10)},
        **{f"half_width_{count}": 0.0 for count in (1, 5, 10)},
    }


def test_a_class_with_too_few_images_leaves_a_value_out() -> None:
    labels = torch.tensor([0] * 12 + [1] * 5)
    assert set(found(labels)) == {"accuracy_1", "half_width_1", "accuracy_5", "half_width_5"}
    single = torch.tensor([0] * 12 + [1])
    assert set(found(single)) == {"accuracy_1", "half_width_1"}


def test_half_width_equals_scipy() -> None:
    values = [0.5, 0.7, 0.65, 0.9]
    low, high = stats.t.interval(0.95, 3, loc=0, scale=stats.sem(values))
    assert half_width(values) == pytest.approx((high - low) / 2)
