"""Beta quantiles against SciPy's."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import beta

from raycon.transforms.beta import beta_quantile


@pytest.mark.parametrize(
    ("alpha", "error"), [(0.05, 1e-5), (0.2, 1e-6), (0.5, 1e-6), (1.0, 0.0), (1.3, 1e-3), (2.0, 1e-3), (8.0, 1e-3)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quantiles_are_scipys(alpha: float, error: float, dtype: torch.dtype) -> None:
    uniform = torch.linspace(0.001, 0.999, 333, dtype=dtype)
    expected = torch.from_numpy(beta.ppf(uniform.double().numpy(), alpha, alpha))
    found = beta_quantile(uniform, alpha)
    assert found.dtype == dtype
    assert (found.double() - expected).abs().max() <= error


@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0, 5.0, 100.0])
def test_ends_are_finite_and_in_order(alpha: float) -> None:
    ends = torch.tensor([0.0, 1e-7, 0.5, 1 - 6e-8])
    found = beta_quantile(ends, alpha)
    assert found.isfinite().all() and (found >= 0).all() and (found <= 1).all()
    assert (found.diff() >= 0).all() and found[2].item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_alpha_must_be_above_zero(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must be above 0"):
        beta_quantile(torch.rand(3), alpha)
