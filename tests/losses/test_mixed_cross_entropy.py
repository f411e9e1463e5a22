"""Losses of mixed and of weighted images at the ends of their ranges."""

from __future__ import annotations

import torch

from raycon.losses import cross_entropy, mixed_cross_entropy, weighted_cross_entropy
from tests.losses.catalogue import inputs


def test_a_share_of_one_or_none_is_plain_cross_entropy() -> None:
    case = inputs("mixed_cross_entropy")
    logits, labels, mixed_labels = case["mixed_logits"], case["labels"], case["mixed_labels"]
    share = torch.ones(len(labels), dtype=torch.float64)
    torch.testing.assert_close(mixed_cross_entropy(logits, labels, mixed_labels, share), cross_entropy(logits, labels))
    none = mixed_cross_entropy(logits, labels, mixed_labels, 0 * share)
    torch.testing.assert_close(none, cross_entropy(logits, mixed_labels))


def test_weights_are_those_of_images() -> None:
    case = inputs("weighted_cross_entropy")
    logits, labels, ones = case["logits"], case["labels"], torch.ones(7, dtype=torch.float64)
    torch.testing.assert_close(weighted_cross_entropy(logits, labels, ones), cross_entropy(logits, labels))
    only = weighted_cross_entropy(logits, labels, ones * (torch.arange(7) == 2))
    torch.testing.assert_close(only, cross_entropy(logits[2:3], labels[2:3]) / 7)
