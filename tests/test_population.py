"""The population loss against sums over all multinomial counts, and its optimum against known geometry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch.testing import assert_close

from raycon.population import (
    expected_classes_covered,
    no_collision_probability,
    optimal_gram,
    population_loss,
    simplex_gram,
)

UNIFORM = torch.full((4,), 0.25, dtype=torch.float64)
TAILED = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)


def _enumerated(gram: Sequence[Sequence[float]], prior: Sequence[float], negatives: int, temperature: float) -> float:
    """Every way in which the negatives can fall on the classes, with its probability."""
    classes, total = range(len(prior)), 0.0
    for c in classes:
        for drawn in itertools.product(classes, repeat=negatives):
            probability = prior[c] * math.prod(prior[d] for d in drawn)
            repelled = sum(math.exp(gram[c][d] / temperature) for d in drawn)
            own = gram[c][c] / temperature
            total += probability * (math.log(math.exp(own) + repelled) - own)
    return total


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("negatives", [1, 2, 5])
def test_the_integral_is_the_sum_over_all_counts(negatives: int, temperature: float) -> None:
    vectors = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gram = vectors @ vectors.T / 4  # own products differ from class to class, and need not be the largest
    found = population_loss(gram, TAILED, negatives=negatives, temperature=temperature)
    expected = _enumerated(gram.tolist(), TAILED.tolist(), negatives, temperature)
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_a_simplex_of_many_classes_and_negatives_is_a_binomial_sum() -> None:
    classes, negatives, temperature = 100, 256, 0.5
    own, other = math.exp(2), math.exp(-2 / (classes - 1))
    expected = 0.0
    for met in range(negatives + 1):
        chance = math.comb(negatives, met) * (1 / classes) ** met * (1 - 1 / classes) ** (negatives - met)
        expected += chance * (math.log((1 + met) * own + (negatives - met) * other) - 2)
    prior = torch.full((classes,), 1 / classes, dtype=torch.float64)
    found = population_loss(simplex_gram(classes), prior, negatives=negatives, temperature=temperature)
    assert found.item() == pytest.approx(expected, rel=1e-10)


def test_the_loss_has_a_gradient_by_the_gram_matrix() -> None:
    gram = simplex_gram(4).requires_grad_()
    assert torch.autograd.gradcheck(lambda g: population_loss(g, TAILED, negatives=3, temperature=0.5), gram)


def test_small_temperatures_stay_finite() -> None:
    gram = simplex_gram(4).requires_grad_()
    loss = population_loss(gram, UNIFORM, negatives=7, temperature=0.005)
    (gradient,) = torch.autograd.grad(loss, gram)
    met = sum(math.comb(7, m) * 0.25**m * 0.75 ** (7 - m) * math.log(1 + m) for m in range(8))
    assert loss.item() == pytest.approx(met, rel=1e-9) and gradient.isfinite().all()


def test_closed_forms_of_a_uniform_prior() -> None:
    assert no_collision_probability(UNIFORM, negatives=3).item() == pytest.approx(0.75**3)
    assert expected_classes_covered(UNIFORM, negatives=3).item() == pytest.approx(4 * (1 - 0.75**3))
    covered = [len(set(drawn)) for drawn in itertools.product(range(4), repeat=3)]
    assert expected_classes_covered(UNIFORM, negatives=3).item() == pytest.approx(sum(covered) / len(covered))


@pytest.mark.parametrize("negatives", [1, 16])
def test_a_uniform_prior_wants_the_simplex_however_many_negatives(negatives: int) -> None:
    best = optimal_gram(UNIFORM, negatives=negatives, temperature=0.5, restarts=2)
    assert_close(best.gram, simplex_gram(4), rtol=0, atol=1e-4)
    assert best.margin == pytest.approx(4 / 3, abs=1e-4)


def test_an_uneven_prior_parts_its_closest_classes_further_with_more_negatives() -> None:
    found = [optimal_gram(TAILED, negatives=negatives, temperature=0.5, restarts=2) for negatives in (1, 4, 16)]
    margins = [best.margin for best in found]
    assert margins == sorted(margins) and margins[2] - margins[0] > 0.05
    for best in found:
        assert_close(best.gram.diagonal(), torch.ones(4, dtype=torch.float64))


def test_the_optimum_is_below_its_neighbours_and_does_not_depend_on_the_seed() -> None:
    best = optimal_gram(TAILED, negatives=4, temperature=0.5, restarts=1)
    again = optimal_gram(TAILED, negatives=4, temperature=0.5, restarts=1, seed=5)
    assert_close(best.gram, again.gram, rtol=0, atol=1e-4)
    for other in (simplex_gram(4), torch.eye(4, dtype=torch.float64), torch.ones(4, 4, dtype=torch.float64)):
        for share in (0.01, 1.0):
            mixed = (1 - share) * best.gram + share * other
            assert population_loss(mixed, TAILED, negatives=4, temperature=0.5).item() > best.loss


def test_one_and_two_classes() -> None:
    alone = optimal_gram(torch.ones(1), negatives=3, temperature=0.5, restarts=1)
    assert alone.loss == pytest.approx(math.log(4)) and alone.margin == 0.0
    opposite = optimal_gram(torch.tensor([0.7, 0.3]), negatives=3, temperature=0.5, restarts=1)
    assert opposite.margin == pytest.approx(2.0, abs=1e-6)


def test_nonsense_is_refused() -> None:
    for prior in (torch.tensor([0.5, 0.6]), torch.tensor([1.0, 0.0]), torch.ones(1, 1), torch.ones(0)):
        with pytest.raises(ValueError, match="prior"):
            population_loss(simplex_gram(2), prior, negatives=1, temperature=0.5)
    with pytest.raises(ValueError, match="gram"):
        population_loss(simplex_gram(3), UNIFORM, negatives=1, temperature=0.5)
    with pytest.raises(ValueError, match="negatives"):
        no_collision_probability(UNIFORM, negatives=0)
    with pytest.raises(ValueError, match="temperature"):
        population_loss(simplex_gram(4), UNIFORM, negatives=1, temperature=0.0)
    with pytest.raises(ValueError, match="restarts"):
        optimal_gram(UNIFORM, negatives=1, temperature=0.5, restarts=0)
