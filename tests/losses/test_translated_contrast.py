"""The contrast of translated views against the losses that it must equal."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from raycon.losses import infonce, supcon, translated_contrast
from tests.losses.catalogue import inputs


def _case(views: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    case = inputs("translated_contrast", views=views)
    return case["translated_features"], case["labels"]


def test_on_unit_rows_it_is_infonce_or_supcon() -> None:
    features, labels = _case()
    assert_close(translated_contrast(features, labels), infonce(features, temperature=0.5))
    assert_close(translated_contrast(features, labels, positives="label"), supcon(features, labels, temperature=0.5))


def test_one_positive_at_a_time_differs_from_three_views_on() -> None:
    features, labels = _case(views=2)
    single = translated_contrast(features, labels, positives="instance_single")
    assert_close(single, translated_contrast(features, labels))
    features, labels = _case(views=3)
    assert translated_contrast(features, labels, positives="instance_single") < translated_contrast(features, labels)


@pytest.mark.parametrize("positives", ["instance", "instance_single", "label"])
def test_lengths_of_rows_do_not_matter(positives: Any) -> None:
    features, labels = _case()
    scale = torch.linspace(0.1, 9.0, features.shape[0] * features.shape[1]).view(*features.shape[:2], 1).double()
    long = translated_contrast(scale * features, labels, positives=positives)
    assert_close(long, translated_contrast(features, labels, positives=positives))


def test_only_label_positives_look_at_the_labels() -> None:
    features, labels = _case()
    other = torch.zeros_like(labels)
    assert_close(translated_contrast(features, other), translated_contrast(features, labels))
    assert translated_contrast(features, other, positives="label") != translated_contrast(
        features, labels, positives="label"
    )


def test_identical_rows() -> None:
    features, labels = torch.ones(5, 3, 4).double(), torch.arange(5)
    assert_close(translated_contrast(features, labels), torch.tensor(14.0).double().log())
    single = translated_contrast(features, labels, positives="instance_single")
    assert_close(single, torch.tensor(13.0).double().log())
