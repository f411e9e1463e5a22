"""Multinomial logistic regression on frozen embeddings, fitted by L-BFGS: deterministic, no learning rate to tune."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CONSTANT = 1e-6
"""A column whose deviation is below this share of its largest value is constant up to float32 rounding."""


@dataclass(frozen=True)
class Probe:
    """A fitted linear classifier: `weights` [E, K] and `bias` [K] act on (embeddings - mean) / scale. `classes` [K] are
    the labels that training had, in rising order. `objective` is the value that was reached, in `iterations` steps."""

    mean: Tensor
    scale: Tensor
    weights: Tensor
    bias: Tensor
    classes: Tensor
    objective: float
    iterations: int

    def predict(self, embeddings: Tensor) -> Tensor:
        """The most likely label of each row, int64 [n]; equal scores go to the smaller label."""
        return self.classes[self.logits(embeddings).argmax(dim=1)]

    def log_shares(self, embeddings: Tensor) -> Tensor:
        """The logarithm of the probability of each of `classes`, float64 [n, K]."""
        return torch.log_softmax(self.logits(embeddings).double(), dim=1)

    def logits(self, embeddings: Tensor) -> Tensor:
        """The score of each of `classes`, float32 [n, K]."""
        return _standardise(embeddings, self.mean, self.scale) @ self.weights + self.bias


def fit_probe(embeddings: Tensor, labels: Tensor, *, iterations: int = 80, l2: float = 1e-4) -> Probe:
    """Minimises mean cross-entropy + l2 / 2 * |weights|^2 over weights and bias, from zero.

    embeddings: float [n, E], standardised here with their own mean and deviation (constant columns become zero).
    labels: int64 [n]; values that do not occur are never predicted. The bias is not penalised. L-BFGS with ten
    corrections and a strong-Wolfe line search, at most `iterations` steps: Byrd, Lu, Nocedal and Zhu, SIAM J. Sci.
    Comput. 16 (1995). scikit-learn's C is 1 / (n * l2).

    Products are float32, sums over images float64; the same inputs give the same bits on one machine with one number of
    threads. One label only: it is always predicted. Neither argument is modified.
    """
    # Loading it takes a second of the processor, in every process that trains.
    from scipy.optimize import minimize

    mean, scale, inputs = standardised(embeddings)
    classes, targets = torch.unique(labels, return_inverse=True)
    shape = (inputs.shape[1] + 1, len(classes))
    loss = _Objective(inputs, targets, shape, l2)
    found = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": iterations, "maxcor": 10, "maxfun": 10 * iterations + 10, "ftol": 1e-9, "gtol": 1e-6},
    )  # fmt: skip
    parameters = torch.from_numpy(found.x.reshape(shape)).to(inputs)
    return Probe(mean, scale, parameters[:-1], parameters[-1], classes, float(found.fun), int(found.nit))


class _Objective:
    """The loss and its gradient as L-BFGS asks for them: one float64 vector in, a float and a float64 vector out."""

    def __init__(self, inputs: Tensor, targets: Tensor, shape: tuple[int, int], l2: float):
        self.inputs, self.targets, self.shape, self.l2 = inputs, targets[:, None], shape, l2

    def __call__(self, vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = vector.reshape(self.shape)
        parameters = torch.from_numpy(weights).to(self.inputs)
        logits = torch.addmm(parameters[-1], self.inputs, parameters[:-1])
        log_shares = torch.log_softmax(logits, dim=1)
        n = len(logits)
        loss = -float(log_shares.gather(1, self.targets).sum(dtype=torch.float64)) / n
        residuals = log_shares.exp_().scatter_add_(
            1, self.targets, torch.full_like(self.targets, -1, dtype=logits.dtype)
        )
        gradient = np.empty(self.shape)
        gradient[:-1] = (self.inputs.T @ residuals).double().cpu().numpy() / n + self.l2 * weights[:-1]
        gradient[-1] = residuals.sum(dim=0, dtype=torch.float64).cpu().numpy() / n
        return loss + self.l2 / 2 * float(np.square(weights[:-1]).sum()), gradient.ravel()


@dataclass
class ProbeCache:
    """Probes fitted so far in one evaluation, so that protocols that ask for the same one share it."""

    fitted: list[tuple[Tensor, Tensor, int, float, Probe]] = field(default_factory=list)

    def fit(self, embeddings: Tensor, labels: Tensor, *, iterations: int, l2: float) -> Probe:
        """As `fit_probe`. The same embeddings (the same tensor), equal labels and equal knobs are fitted once."""
        for known_embeddings, known_labels, known_iterations, known_l2, probe in self.fitted:
            same_knobs = (known_iterations, known_l2) == (iterations, l2)
            if same_knobs and known_embeddings is embeddings and torch.equal(known_labels, labels):
                return probe
        probe = fit_probe(embeddings, labels, iterations=iterations, l2=l2)
        self.fitted.append((embeddings, labels, iterations, l2, probe))
        return probe


def standardised(embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and deviation of every column, float64 [E], and the float32 rows less the mean over the deviation."""
    mean, scale = _moments(embeddings)
    return mean, scale, _standardise(embeddings, mean, scale)


def _moments(embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every column, float64 [E]; the deviation of a constant column is given as 1."""
    mean = embeddings.mean(dim=0, dtype=torch.float64)
    scale = (embeddings - mean).square_().mean(dim=0).sqrt_()
    constant = scale <= CONSTANT * embeddings.abs().amax(dim=0)
    return mean, torch.where(constant, torch.ones_like(scale), scale)


def _standardise(embeddings: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return (embeddings - mean).div_(scale).float()
