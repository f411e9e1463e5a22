"""Geometry against brute force over pairs, closed cases, and degenerate inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from raycon.scores.geometry import (
    alignment,
    effective_rank,
    geometry,
    rank_me,
    subclass_separability,
    tolerance,
    uniformity,
    within_class_ratio,
    within_class_spread,
)
from tests.scores.blobs import blobs


def pairs_of(features: Tensor) -> list[tuple[int, int, float]]:
    rows = features.double().tolist()
    return [
        (i, j, sum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True)))
        for i in range(len(rows))
        for j in range(i)
    ]


@pytest.mark.parametrize("rows", [3, 60])
def test_alignment_and_uniformity_equal_loops_over_pairs(rows: int) -> None:
    split = blobs(rows, seed=4)
    labels = split.labels.tolist()
    labels[0] = labels[1]
    pairs = pairs_of(split.features)
    same = [distance for i, j, distance in pairs if labels[i] == labels[j]]
    assert alignment(split.features, torch.tensor(labels)) == pytest.approx(np.mean(same), rel=1e-6)
    potentials = [math.exp(-2 * distance) for _, _, distance in pairs]
    assert uniformity(split.features) == pytest.approx(math.log(np.mean(potentials)), rel=1e-5)


def test_uniformity_over_several_blocks_equals_pdist() -> None:
    features = blobs(2600, seed=4).features
    expected = torch.pdist(features.double()).square().mul(-2).exp().mean().log()
    assert uniformity(features) == pytest.approx(float(expected), rel=1e-5)


def test_uniformity_of_many_rows_uses_a_fixed_subset() -> None:
    features = blobs(2000, seed=4).features
    whole, part = uniformity(features), uniformity(features, rows=500)
    assert part == uniformity(features, rows=500)
    assert part != whole and part == pytest.approx(whole, abs=0.2)


def test_known_values() -> None:
    poles = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert alignment(poles, torch.tensor([5, 5])) == pytest.approx(4.0)
    assert uniformity(poles) == pytest.approx(-8.0, rel=1e-6)
    sphere = normalize(torch.randn(2000, 256, generator=torch.Generator().manual_seed(0)), dim=1)
    assert uniformity(sphere) == pytest.approx(-4.0, abs=0.05)


def test_effective_rank_equals_its_definition() -> None:
    for rows, columns in ((50, 6), (5, 9)):
        values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows)) + 10
        sigma = np.linalg.svd((values - values.mean(dim=0)).double().numpy(), compute_uv=False)
        sigma = sigma[sigma > 1e-4]
        shares = sigma / sigma.sum()
        assert effective_rank(values) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-5)


def test_effective_rank_counts_equal_directions_and_ignores_an_offset() -> None:
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    wide = torch.cat([axes, torch.zeros(6, 5)], dim=1)
    assert effective_rank(wide) == pytest.approx(3.0, rel=1e-6)
    assert effective_rank(1000 + wide) == pytest.approx(3.0, rel=1e-4)
    line = torch.linspace(-1, 1, 9)[:, None] * torch.tensor([[1.0, 2.0, 3.0]])
    assert effective_rank(line) == pytest.approx(1.0, rel=1e-5)


def test_within_class_spread_equals_a_loop() -> None:
    split = blobs(80, seed=6)
    rows, labels = split.embeddings.double().numpy(), split.labels.numpy()
    total = sum(float(((row - rows.mean(axis=0)) ** 2).sum()) for row in rows)
    within = sum(
        float(((row - rows[labels == label].mean(axis=0)) ** 2).sum()) for row, label in zip(rows, labels, strict=True)
    )
    assert within_class_spread(split.embeddings, split.labels) == pytest.approx(within / total, rel=1e-9)


def test_within_class_spread_falls_when_classes_collapse() -> None:
    spreads = [within_class_spread(s.embeddings, s.labels) for s in (blobs(noise=n) for n in (2.0, 0.5, 0.05))]
    assert spreads == sorted(spreads, reverse=True)
    centres = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    assert within_class_spread(centres[labels], labels) == pytest.approx(0.0, abs=1e-12)
    assert within_class_spread(torch.eye(4), torch.zeros(4).long()) == pytest.approx(1.0)


def test_tolerance_equals_a_loop_over_pairs() -> None:
    split = blobs(60, seed=4)
    rows, labels = split.features.double().tolist(), split.labels.tolist()
    cosines = [
        sum(a * b for a, b in zip(rows[i], rows[j], strict=True))
        for i in range(60)
        for j in range(60)
        if i != j and labels[i] == labels[j]
    ]
    assert tolerance(split.features, split.labels) == pytest.approx(np.mean(cosines), rel=1e-5)
    assert tolerance(torch.eye(3), torch.arange(3)) is None


def test_rank_me_equals_its_definition_without_centring() -> None:
    for rows, columns in ((50, 6), (5, 9)):
        values = torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows)) + 2
        sigma = np.linalg.svd(values.double().numpy(), compute_uv=False)
        shares = sigma / sigma.sum()
        assert rank_me(values) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-5)
    assert rank_me(torch.eye(5)) == pytest.approx(5.0)
    assert rank_me(torch.full((8, 3), 2.0)) == pytest.approx(1.0)
    assert rank_me(torch.zeros(8, 3)) == 0.0


def test_within_class_ratio_equals_its_definition() -> None:
    split = blobs(80, seed=6)
    rows, labels = split.embeddings.double().numpy(), split.labels.numpy()
    means = np.stack([rows[labels == label].mean(axis=0) for label in range(4)])
    within = sum(np.outer(row - means[label], row - means[label]) for row, label in zip(rows, labels, strict=True))
    offsets = means - means.mean(axis=0)
    between = sum(np.outer(offset, offset) for offset in offsets) / 4
    expected = np.trace(within / len(rows) @ np.linalg.pinv(between, rcond=1e-10)) / 4
    assert within_class_ratio(split.embeddings, split.labels) == pytest.approx(expected, rel=1e-6)


def test_within_class_ratio_of_collapsed_and_of_undivided_labels() -> None:
    centres = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    assert within_class_ratio(centres[labels], labels) == pytest.approx(0.0, abs=1e-12)
    assert within_class_ratio(torch.eye(4), torch.zeros(4).long()) is None
    assert within_class_ratio(torch.full((6, 2), 0.1), labels) is None


def test_subclass_separability_equals_a_loop() -> None:
    split = blobs(80, seed=6)
    rows, classes = split.embeddings.double().numpy(), split.labels.numpy()
    coarse = np.array([0, 0, 0, 1])[classes]  # label 1 has one class alone, and does not count
    parts = {
        of: sum(
            float(((rows[i] - rows[(kinds == kinds[i]) & (coarse == 0)].mean(axis=0)) ** 2).sum())
            for i in range(80)
            if coarse[i] == 0
        )
        for of, kinds in (("label", coarse), ("class", classes))
    }
    found = subclass_separability(split.embeddings, torch.from_numpy(coarse), split.labels)
    assert found == pytest.approx(1 - parts["class"] / parts["label"], rel=1e-9)


def test_subclass_separability_rises_and_is_absent_where_there_are_no_subclasses() -> None:
    found = [
        subclass_separability(s.embeddings, s.attributes["coarse"], s.labels)
        for s in (blobs(400, noise=noise) for noise in (3.0, 1.0, 0.01))
    ]
    assert found == sorted(found, key=lambda value: value or 0) and found[-1] == pytest.approx(1.0, abs=1e-3)
    split = blobs(40)
    assert subclass_separability(split.embeddings, split.labels, split.labels) is None
    assert subclass_separability(torch.ones(4, 2), torch.zeros(4).long(), torch.tensor([0, 1, 0, 1])) is None
    assert "subclass_separability" not in geometry(split.embeddings, split.features, split.labels, split.labels)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e4, 1e-20])
@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_constant_rows_have_no_rank_and_no_spread(value: float, rows: int) -> None:
    embeddings = torch.full((rows, 7), value)
    labels = torch.arange(rows) % 2
    found = geometry(embeddings, normalize(torch.ones(rows, 3), dim=1), labels)
    assert found["effective_rank"] == 0.0
    assert found["within_class_spread"] == 0.0
    assert found["alignment"] == pytest.approx(0.0, abs=1e-12)
    assert found["uniformity"] == pytest.approx(0.0, abs=1e-6)


def test_rows_that_differ_in_the_last_bit_count_as_constant() -> None:
    bits = torch.randint(0, 2, (400, 7), generator=torch.Generator().manual_seed(0))
    embeddings = 1 + torch.finfo(torch.float32).eps * bits
    assert len(set(embeddings.flatten().tolist())) == 2
    assert effective_rank(embeddings) == 0.0
    assert within_class_spread(embeddings, torch.arange(400) % 2) == 0.0


def test_no_pair_with_one_label() -> None:
    assert alignment(torch.eye(3), torch.arange(3)) == 0.0


def test_inputs_stay_as_they_are() -> None:
    split = blobs(1500, seed=1)
    before = split.embeddings.clone(), split.features.clone(), split.labels.clone()
    geometry(split.embeddings, split.features, split.labels)
    assert all(torch.equal(a, b) for a, b in zip(before, (split.embeddings, split.features, split.labels), strict=True))
