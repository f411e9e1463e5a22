"""Contradicting pairs are those of the rule, found by loops; mixing gives the partner's label."""

from __future__ import annotations

import pytest
import torch

from raycon.transforms.selecmix import contradicting_negatives, contradicting_positives, selecmix
from tests.transforms.batches import batch


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_those_of_the_rule(seed: int) -> None:
    tensors = batch(images=9, views=1, seed=seed)
    features, labels = tensors["bias_features"][:, 0], tensors["labels"].tolist()
    labels[3] = 7  # the only one of its class
    similarity = features @ features.T
    positives, negatives = [], []
    for i, label in enumerate(labels):
        same = [j for j, other in enumerate(labels) if other == label and j != i]
        others = [j for j, other in enumerate(labels) if other != label]
        positives.append(min(same, key=lambda j: similarity[i, j]) if same else -1)
        negatives.append(max(others, key=lambda j: similarity[i, j]))
    assert contradicting_positives(similarity, torch.tensor(labels)).tolist() == positives
    assert contradicting_negatives(similarity, torch.tensor(labels)).tolist() == negatives
    assert positives[3] == -1


def test_negative_similarities_never_let_the_same_label_win() -> None:
    similarity = torch.tensor([[1.0, 0.9, -0.5], [0.9, 1.0, -0.2], [-0.5, -0.2, 1.0]])
    assert contradicting_negatives(similarity, torch.tensor([0, 0, 1])).tolist() == [2, 2, 1]
    assert contradicting_negatives(similarity, torch.tensor([0, 0, 0])).tolist() == [-1, -1, -1]


def test_among_equals_the_first_is_taken() -> None:
    similarity = torch.ones(4, 4)
    assert contradicting_positives(similarity, torch.tensor([0, 0, 0, 1])).tolist() == [1, 0, 0, -1]
    assert contradicting_negatives(similarity, torch.tensor([0, 0, 1, 1])).tolist() == [2, 2, 0, 0]


@pytest.mark.parametrize(("coin", "kind"), [(0.3, "positives"), (0.7, "negatives")])
def test_one_coin_decides_for_the_whole_batch(coin: float, kind: str) -> None:
    tensors = batch(images=20)
    tensors["draws"][0, 0] = coin
    made = selecmix(tensors["views"], tensors["labels"], tensors["bias_features"], tensors["draws"], largest_share=0.4)
    centres = tensors["bias_features"].mean(dim=1)
    choose = contradicting_positives if kind == "positives" else contradicting_negatives
    partners = choose(centres @ centres.T, tensors["labels"])
    assert (partners >= 0).all()
    share = (0.4 * tensors["draws"][:, 1]).view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(made["mixed_views"], share * tensors["views"] + (1 - share) * tensors["views"][partners])
    assert torch.equal(made["mixed_labels"], tensors["labels"][partners])
    assert made["mixed_share"].max() < 0.4
    assert (made["mixed_labels"] == tensors["labels"]).all().item() is (kind == "positives")


def test_similarities_are_not_rounded_under_autocast() -> None:
    tensors = {key: t.float() if t.is_floating_point() else t for key, t in batch(images=64).items()}
    inputs = [tensors[name] for name in ("views", "labels", "bias_features", "draws")]
    expected = selecmix(*inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = selecmix(*inputs)
    assert torch.equal(made["mixed_views"], expected["mixed_views"])
