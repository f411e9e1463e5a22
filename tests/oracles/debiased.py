"""The debiased loss by loops: Chuang et al. 2020, samples of the anchor's class being its other views."""

from __future__ import annotations

from tests.oracles.debiased_supervised import debiased_supervised
from tests.oracles.rows import Features


def debiased(features: Features, *, temperature: float, class_prior: float) -> float:
    return debiased_supervised(features, range(len(features)), temperature=temperature, class_prior=class_prior)
