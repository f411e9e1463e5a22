"""The population loss of the latent-class model: what the number of negatives does where nothing is sampled or trained.

In the model of Awasthi, Dikkala and Kamath 2022 (arXiv 2205.01789) a class c is drawn with probability prior_c, anchor
and positive are of class c, and each of k negatives is of a class drawn anew, which may be c again (a collision). Here
every class is one unit vector, so that a representation is the Gram matrix of its classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

STEP = 0.25
"""Distance of the points of the quadrature, on the log scale. Its error falls as exp(-pi^2 / STEP)."""

NOTHING = 37.0
"""e^-37 is nothing beside 1 in float64."""


@dataclass(frozen=True)
class Optimum:
    """The best class vectors that were found: their Gram matrix [C, C], the loss there, and the margin: 1 less the
    largest inner product of two classes."""

    gram: Tensor
    loss: float
    margin: float


def population_loss(gram: Tensor, prior: Tensor, *, negatives: int, temperature: float) -> Tensor:
    """Expected InfoNCE loss of classes that are single vectors, exact for any number of classes and negatives.

    Sum over c of prior_c E[ log( e^{G_cc / t} + sum_c' m_c' e^{G_cc' / t} ) - G_cc / t ], m ~ multinomial(negatives,
    prior), t the temperature. The expectation over all multinomial counts is one integral, since
    log X = int_0^inf (e^{-s} - e^{-s X}) ds / s  and, with x_c' = e^{G_cc' / t},
    E e^{-s X} = e^{-s x_c} (sum_c' prior_c' e^{-s x_c'})^k;
    the trapezoidal rule in log s has it to a relative error of about 1e-12.
    Source: Awasthi et al. 2022 (arXiv 2205.01789) for the model; the integral is ours.

    Args:
        gram: [C, C], inner products of the classes' vectors; it may carry a gradient.
        prior: [C], above 0, sum 1.
        negatives: k, from 1 on.
        temperature: divides the inner products.

    Degenerate: one class: log(1 + k). Raises ValueError for wrong shapes, for what is no prior, for k below 1.
    """
    prior = _checked(prior, negatives)
    if gram.shape != (len(prior), len(prior)):
        raise ValueError(f"gram must be [{len(prior)}, {len(prior)}], got {list(gram.shape)}")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    logits = gram.double() / temperature
    largest = logits.amax(dim=1, keepdim=True)
    scaled = (logits - largest).exp()
    own = scaled.diagonal()
    points = _points(float(own.detach().min()), negatives).to(gram.device)
    log_mean = (prior.log() - points[:, None, None] * scaled).logsumexp(dim=2)
    gone = (-points[:, None] * own + negatives * log_mean).exp()
    expected_log = STEP * ((-points).exp()[:, None] - gone).sum(dim=0)
    return (prior * (expected_log + largest[:, 0] - logits.diagonal())).sum()


def no_collision_probability(prior: Tensor, *, negatives: int) -> Tensor:
    """The probability that no negative is of the anchor's class: sum over c of prior_c (1 - prior_c)^k. Uniform over C
    classes: (1 - 1/C)^k."""
    prior = _checked(prior, negatives)
    return (prior * (1 - prior) ** negatives).sum()


def expected_classes_covered(prior: Tensor, *, negatives: int) -> Tensor:
    """How many classes are expected among the negatives: sum over c of 1 - (1 - prior_c)^k. Uniform over C classes:
    C (1 - (1 - 1/C)^k)."""
    prior = _checked(prior, negatives)
    return (1 - (1 - prior) ** negatives).sum()


def simplex_gram(classes: int) -> Tensor:
    """[C, C]: 1 on the diagonal, -1 / (C - 1) elsewhere, float64. One class: [[1]]."""
    equal = torch.eye(classes, dtype=torch.float64)
    return equal - (1 - equal) / max(classes - 1, 1)


def optimal_gram(prior: Tensor, *, negatives: int, temperature: float, restarts: int = 4, seed: int = 0) -> Optimum:
    """The Gram matrix of unit vectors with the least population loss.

    The loss is convex in the Gram matrix (a log of a sum of exponentials, less a linear part), and so is the set of
    Gram matrices of unit vectors in C dimensions. L-BFGS runs on C vectors of C numbers that are made of unit length,
    from `restarts` random starts of `seed`; the best is kept.

    Args:
        prior: [C], above 0, sum 1.
        negatives, temperature: as in `population_loss`.

    Degenerate: two classes end opposite each other; one class has margin 0. Raises ValueError as `population_loss`,
    and for restarts below 1.
    """
    if restarts < 1:
        raise ValueError(f"restarts must be at least 1, got {restarts}")
    prior = _checked(prior, negatives)
    generator = torch.Generator().manual_seed(seed)
    starts = [torch.randn(len(prior), len(prior), dtype=torch.float64, generator=generator) for _ in range(restarts)]
    found = [_descend(start, prior, negatives, temperature) for start in starts]
    loss, gram = min(found, key=lambda pair: pair[0])
    apart = gram - 2 * torch.eye(len(prior), dtype=gram.dtype)  # a class is no neighbour of its own
    return Optimum(gram, loss, float(1 - apart.max()) if len(prior) > 1 else 0.0)


def _descend(start: Tensor, prior: Tensor, negatives: int, temperature: float) -> tuple[float, Tensor]:
    """The loss and the Gram matrix at which L-BFGS ends."""
    vectors = start.requires_grad_()
    optimiser = torch.optim.LBFGS(
        [vectors],
        max_iter=500,
        history_size=30,
        tolerance_grad=1e-10,
        tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )

    def gram() -> Tensor:
        unit = functional.normalize(vectors, dim=1)
        return unit @ unit.T

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = population_loss(gram(), prior, negatives=negatives, temperature=temperature)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        best = gram()
        return float(population_loss(best, prior, negatives=negatives, temperature=temperature)), best


def _checked(prior: Tensor, negatives: int) -> Tensor:
    """The prior in float64, of sum 1. Raises ValueError for what is no prior, or for a number of negatives below 1."""
    prior = prior.double()
    if prior.ndim != 1 or len(prior) == 0 or not bool((prior > 0).all()) or abs(float(prior.sum()) - 1) > 1e-6:
        raise ValueError(f"prior must be positive numbers of sum 1, got {prior.tolist()}")
    if negatives < 1:
        raise ValueError(f"negatives must be at least 1, got {negatives}")
    return prior / prior.sum()


def _points(smallest: float, negatives: int) -> Tensor:
    """The points of the quadrature: below the first and above the last the integrand is nothing. X lies between
    `smallest` and 1 + negatives."""
    low = -NOTHING - math.log(1 + negatives)
    high = math.log(NOTHING) - math.log(smallest)
    return torch.arange(math.floor(low / STEP), math.ceil(high / STEP) + 1, dtype=torch.float64).mul(STEP).exp()
