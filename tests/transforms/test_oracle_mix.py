"""Pairs that contradict known bias labels."""

from __future__ import annotations

import pytest
import torch

from raycon.transforms.oracle_mix import contradicting, oracle_mix
from tests.transforms.batches import batch


@pytest.mark.parametrize("positive", [True, False])
def test_partners_contradict_the_bias(positive: bool) -> None:
    tensors = batch(images=40, views=1, size=1)
    labels, bias_labels = tensors["labels"], tensors["bias_labels"]
    tensors["draws"][0, 0] = 0.0 if positive else 0.99
    views = torch.arange(40.0).view(-1, 1, 1, 1, 1)
    made = oracle_mix(views, labels, bias_labels, tensors["draws"].float(), largest_share=0.0)
    partners = made["mixed_views"].flatten().round().long()
    assert made["paired"].all()
    assert ((labels[partners] == labels) == positive).all()
    assert ((bias_labels[partners] == bias_labels) != positive).all()
    assert len(set(partners.tolist())) > 8


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        contradicting(torch.zeros(2), torch.zeros(2), "neutral")  # type: ignore[arg-type]
