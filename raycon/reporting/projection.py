"""Embeddings in the plane: a seeded sample of the images, and their places by PCA, t-SNE or UMAP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from raycon.errors import RayconError
from raycon.seeding import derive_seed

Method = Literal["pca", "tsne", "umap"]
METHODS: tuple[Method, ...] = get_args(Method)
SHOWN = 3000
"""More dots hide one another, and cost t-SNE and UMAP minutes."""
DIRECTIONS = 50
"""The principal components that t-SNE and UMAP look at: what is beyond is mostly noise, and slow."""

Rows = NDArray[Any]


@dataclass(frozen=True)
class Projection:
    """places: float64 [n, 2]. shares: the shares of the variance along the two axes, where these mean something."""

    places: NDArray[np.float64]
    method: Method
    shares: tuple[float, float] | None = None


def sample_rows(strata: Rows, *, at_most: int = SHOWN, seed: int = 0) -> NDArray[np.int64]:
    """The rows of a picture, rising: all of them, or `at_most` drawn without replacement from every stratum.

    strata: int [n]. Half of the places are dealt out evenly among the strata, so that a rare group stays in sight; the
    others by the images that are left. The same strata and seed give the same rows.
    """
    n = len(strata)
    if n <= at_most:
        return np.arange(n)
    generator = np.random.default_rng(derive_seed(seed, "sample_rows", n))
    names, sizes = np.unique(strata, return_counts=True)
    even = np.minimum(sizes, at_most // (2 * len(names)))
    left = sizes - even
    quotas = even + (at_most - even.sum()) * left // left.sum()
    chosen = [
        generator.choice(np.flatnonzero(strata == name), quota, replace=False)
        for name, quota in zip(names, quotas, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def project(embeddings: Rows, method: Method = "pca", *, seed: int = 0) -> Projection:
    """The rows of `embeddings` [n, E] in the plane by `method`.

    t-SNE (van der Maaten and Hinton 2008, by scikit-learn, begun from the first two principal components) and UMAP
    (McInnes et al. 2018, arXiv 1802.03426, by umap-learn) look at the first 50 principal components; sizes of clusters
    and distances between them mean little there. Fewer than four rows: as PCA. Raises RayconError where umap-learn is
    not installed.
    """
    if method == "pca" or len(embeddings) < 4:
        scores, shares = principal_components(embeddings, 2)
        return Projection(scores, "pca", (float(shares[0]), float(shares[1])))
    scores, _ = principal_components(embeddings, min(DIRECTIONS, embeddings.shape[1]))
    places = _tsne(scores, seed) if method == "tsne" else _umap(scores, seed)
    return Projection(np.asarray(places, dtype=np.float64), method)


def principal_components(embeddings: Rows, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first `count` principal components of the rows, float64 [n, count], and their shares of the variance [count].

    Signs: of every direction the entry of the largest size is positive, so that equal embeddings give equal pictures.
    Directions that the data do not have (E < count, or no variance) are zero.
    """
    values = np.asarray(embeddings, dtype=np.float64)
    values = values - values.mean(axis=0)
    # The covariance matrix is small where there are many images; its eigenvectors are those of the SVD of the rows.
    variances, directions = np.linalg.eigh(values.T @ values)
    kept = min(count, values.shape[1])
    variances, directions = variances[::-1][:kept].clip(min=0), directions[:, ::-1][:, :kept]
    largest = np.abs(directions).argmax(axis=0)
    directions = directions * np.where(directions[largest, np.arange(kept)] < 0, -1.0, 1.0)
    total = float(np.square(values).sum())
    scores, shares = np.zeros((len(values), count)), np.zeros(count)
    scores[:, :kept] = values @ directions
    if total > 0:
        shares[:kept] = variances / total
    return scores, shares


def _tsne(scores: NDArray[np.float64], seed: int) -> Any:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(scores) - 1) / 3)
    return TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(scores)


def _umap(scores: NDArray[np.float64], seed: int) -> Any:
    try:
        from umap import UMAP
    except ImportError:
        raise RayconError("pictures by UMAP need umap-learn: pip install 'raycon[umap]'") from None
    # With a seed it uses one thread; said here, since it warns otherwise.
    return UMAP(n_neighbors=min(15, len(scores) - 1), random_state=seed, n_jobs=1).fit_transform(scores)
