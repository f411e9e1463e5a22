"""Embeddings in the plane: scikit-learn's components, samples that keep rare groups, the same places each time."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.decomposition import PCA

from raycon.errors import RayconError
from raycon.reporting.projection import principal_components, project, sample_rows


def _rows(n: int, width: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Of unequal spread in every direction, so that components are distinct."""
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(n, width)) * np.linspace(3, 0.5, width) + 5).astype(np.float32)


@pytest.mark.parametrize(("n", "width", "count"), [(200, 12, 2), (200, 12, 12), (9, 12, 5), (50, 2, 2)])
def test_components_are_scikit_learns_up_to_their_signs(n: int, width: int, count: int) -> None:
    rows = _rows(n, width)
    found, shares = principal_components(rows, count)
    oracle = PCA(count, svd_solver="full").fit(rows.astype(np.float64))
    wanted = oracle.transform(rows.astype(np.float64))
    signs = np.sign((found * wanted).sum(axis=0))
    assert np.abs(signs).min() == 1
    np.testing.assert_allclose(found * signs, wanted, atol=1e-9)
    np.testing.assert_allclose(shares, oracle.explained_variance_ratio_, atol=1e-12)


def test_signs_do_not_depend_on_chance() -> None:
    """The mirrored cloud has the same directions, and so mirrored places: the sign is of the direction."""
    rows = _rows(80, 6)
    found, _ = principal_components(rows, 3)
    np.testing.assert_allclose(principal_components(-rows.astype(np.float64), 3)[0], -found, atol=1e-4)
    np.testing.assert_allclose(principal_components(rows[::-1], 3)[0], found[::-1], atol=1e-4)


def test_directions_that_are_not_there_are_zero() -> None:
    constant, shares = principal_components(np.full((5, 3), 2.0), 2)
    assert not constant.any() and not shares.any()
    line, shares = principal_components(np.arange(6.0)[:, None], 2)
    assert line[:, 0].std() > 1 and not line[:, 1].any() and shares.tolist() == [1.0, 0.0]
    assert principal_components(np.ones((1, 4)), 2)[0].tolist() == [[0.0, 0.0]]


def test_few_images_are_all_shown() -> None:
    assert sample_rows(np.zeros(7, dtype=int), at_most=7).tolist() == list(range(7))


@pytest.mark.parametrize("sizes", [(5000, 3, 900), (1000, 1000, 1000), (10_000, 40), (30,) * 100])
def test_a_sample_keeps_rare_strata_and_otherwise_their_shares(sizes: tuple[int, ...]) -> None:
    strata = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = sample_rows(strata, at_most=600)
    assert 600 - len(sizes) <= len(rows) <= 600 and np.array_equal(rows, np.unique(rows))
    counts = np.bincount(strata[rows], minlength=len(sizes))
    even = 600 // (2 * len(sizes))
    for count, size in zip(counts, sizes, strict=True):
        assert min(even, size) <= count <= size
    left = [count - min(even, size) for count, size in zip(counts, sizes, strict=True)]
    rest = [size - min(even, size) for size in sizes]
    places = 600 - sum(min(even, size) for size in sizes)
    for got, images in zip(left, rest, strict=True):
        assert abs(got - places * images / sum(rest)) < 1
    assert np.array_equal(sample_rows(strata, at_most=600), rows)
    assert not np.array_equal(sample_rows(strata, at_most=600, seed=1), rows)


def _clusters() -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), 40)
    return 8 * np.eye(3)[labels] @ generator.normal(size=(3, 60)) + generator.normal(size=(120, 60)), labels


def test_tsne_keeps_clusters_apart_and_repeats_itself() -> None:
    rows, labels = _clusters()
    found = project(rows, "tsne")
    assert found.method == "tsne" and found.shares is None and np.isfinite(found.places).all()
    centres = np.array([found.places[labels == label].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(found.places[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == labels).all()
    assert np.array_equal(project(rows, "tsne").places, found.places)


def test_too_few_rows_for_neighbours_are_projected_by_components() -> None:
    found = project(_rows(3, 4), "tsne")
    assert found.method == "pca" and found.shares is not None


def test_umap_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(RayconError, match=r"raycon\[umap\]"):
        project(_rows(20, 4), "umap")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_umap_keeps_clusters_apart_and_repeats_itself() -> None:
    pytest.importorskip("umap")
    rows, labels = _clusters()
    found = project(rows, "umap")
    centres = np.array([found.places[labels == label].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(found.places[:, None] - centres, axis=2).argmin(axis=1)
    assert found.method == "umap" and (nearest == labels).all()
    assert np.array_equal(project(rows, "umap").places, found.places)
