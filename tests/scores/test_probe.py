"""The probe reaches the optimum that scikit-learn finds, is repeatable, and survives degenerate inputs."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from raycon.scores.probe import Probe, ProbeCache, fit_probe
from tests.scores.blobs import blobs


def objective_of(probe: Probe, embeddings: Tensor, labels: Tensor, l2: float) -> float:
    """The probe's objective from its definition, in float64, with numpy alone."""
    inputs = (embeddings.double() - probe.mean) / probe.scale
    logits = (inputs @ probe.weights.double() + probe.bias.double()).numpy()
    logits = logits - logits.max(axis=1, keepdims=True)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = np.searchsorted(probe.classes.numpy(), labels.numpy())
    losses = [-np.log(shares[row, column]) for row, column in enumerate(columns)]
    return float(np.mean(losses) + l2 / 2 * (probe.weights.double() ** 2).sum().item())


@pytest.mark.parametrize("l2", [1e-4, 1e-2, 1.0])
def test_it_reaches_the_optimum_of_scikit_learn(l2: float) -> None:
    train, judged = blobs(seed=1), blobs(seed=2)
    probe = fit_probe(train.embeddings, train.labels, iterations=300, l2=l2)
    scaler = StandardScaler().fit(train.embeddings.double().numpy())
    oracle = LogisticRegression(C=1 / (len(train) * l2), tol=1e-10, max_iter=10_000)
    oracle.fit(scaler.transform(train.embeddings.double().numpy()), train.labels.numpy())

    reference = Probe(
        probe.mean, probe.scale, torch.from_numpy(oracle.coef_.T.copy()), torch.from_numpy(oracle.intercept_),
        probe.classes, 0.0, 0,
    )  # fmt: skip
    best = objective_of(reference, train.embeddings, train.labels, l2)
    assert probe.objective == pytest.approx(objective_of(probe, train.embeddings, train.labels, l2), abs=1e-6)
    assert probe.objective == pytest.approx(best, abs=2e-6)
    expected = oracle.predict(scaler.transform(judged.embeddings.double().numpy()))
    assert (probe.predict(judged.embeddings).numpy() == expected).mean() > 0.99


def test_the_default_iterations_are_enough_on_data_of_the_usual_size() -> None:
    train = blobs(2000, seed=3, dimensions=32)
    short = fit_probe(train.embeddings, train.labels)
    long = fit_probe(train.embeddings, train.labels, iterations=2000)
    assert short.objective == pytest.approx(long.objective, abs=1e-4)


def test_knobs_act() -> None:
    train = blobs(seed=1)
    loose, tight = (fit_probe(train.embeddings, train.labels, l2=l2) for l2 in (1e-4, 1.0))
    assert tight.weights.norm() < 0.5 * loose.weights.norm()
    assert fit_probe(train.embeddings, train.labels, iterations=2).iterations == 2


def test_two_fits_are_equal_bit_by_bit_and_inputs_stay() -> None:
    train = blobs(seed=1)
    embeddings, labels = train.embeddings.clone(), train.labels.clone()
    first, second = (fit_probe(train.embeddings, train.labels) for _ in range(2))
    assert torch.equal(first.weights, second.weights) and torch.equal(first.bias, second.bias)
    assert torch.equal(train.embeddings, embeddings) and torch.equal(train.labels, labels)


def test_scale_offset_and_constant_columns_do_not_matter() -> None:
    train = blobs(seed=1)
    plain = fit_probe(train.embeddings, train.labels).predict(train.embeddings)
    for moved in (train.embeddings * 1e-6, train.embeddings * 1e4 + 3e3):
        assert (fit_probe(moved, train.labels).predict(moved) == plain).double().mean() > 0.99
    # A column that is constant up to the last bit of float32 must not be blown up to deviation 1.
    jitter = 1 + torch.finfo(torch.float32).eps * (torch.arange(len(train)) % 2)[:, None]
    constant = torch.cat([train.embeddings, jitter, torch.zeros(len(train), 1)], dim=1)
    probe = fit_probe(constant, train.labels)
    assert torch.equal(probe.predict(constant), plain)
    assert probe.weights[-2:].abs().max() < 1e-4


def test_constant_embeddings_predict_the_commonest_label() -> None:
    labels = torch.tensor([0, 2, 2, 2, 1])
    probe = fit_probe(torch.full((5, 3), 0.3), labels)
    assert probe.predict(torch.full((2, 3), 0.3)).tolist() == [2, 2]
    assert np.isfinite(probe.objective)


def test_one_label_one_row_and_absent_labels() -> None:
    one = fit_probe(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.full((4,), 7))
    assert one.predict(torch.zeros(2, 3)).tolist() == [7, 7]
    row = fit_probe(torch.tensor([[1.0, 2.0]]), torch.tensor([3]))
    assert row.predict(torch.tensor([[5.0, -5.0]])).tolist() == [3]
    train = blobs(seed=1)
    kept = train.labels != 2
    assert 2 not in fit_probe(train.embeddings[kept], train.labels[kept]).predict(train.embeddings)


def test_the_cache_fits_equal_requests_once() -> None:
    train, probes = blobs(seed=1), ProbeCache()
    first = probes.fit(train.embeddings, train.labels, iterations=10, l2=1e-4)
    assert probes.fit(train.embeddings, train.labels.clone(), iterations=10, l2=1e-4) is first
    assert probes.fit(train.embeddings, train.attributes["coarse"], iterations=10, l2=1e-4) is not first
    assert probes.fit(train.embeddings, train.labels, iterations=11, l2=1e-4) is not first
    assert probes.fit(train.embeddings, train.labels, iterations=10, l2=1e-3) is not first
    assert probes.fit(train.embeddings.clone(), train.labels, iterations=10, l2=1e-4) is not first


def test_the_cost_at_the_shipped_size_is_below_a_second() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (6000,), generator=random)
    centres = torch.randn(10, 96, generator=random)
    embeddings = (0.35 * centres[labels] + torch.randn(6000, 96, generator=random)).relu()
    start = time.process_time()
    fit_probe(embeddings, labels)
    assert time.process_time() - start < 2.0
