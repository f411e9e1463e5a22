"""How many seeds a question needs."""

from __future__ import annotations

from math import ceil, log2, sqrt

from scipy import special

from raycon.statistics.checks import check_rate

MOST_SEEDS = 10_000


def paired_t_power(effect: float, sd: float, n: int, alpha: float = 0.05) -> float:
    """The probability that a two-sided paired t test at level alpha finds a true mean difference `effect`, where the
    differences have standard deviation `sd`.

    Through the noncentral t distribution with n - 1 degrees and noncentrality |effect| sqrt(n) / sd; rejections in the
    wrong direction are left out. Source: Cohen, Statistical Power Analysis (1988), chapter 2. No effect: alpha / 2.
    Raises ValueError for n < 2, sd that is not above 0, or alpha outside (0, 1).
    """
    check_rate(alpha)
    if n < 2:
        raise ValueError(f"at least 2 seeds are needed, got {n}")
    if not sd > 0:
        raise ValueError(f"the standard deviation of the differences must be above 0, got {sd}")
    critical = float(special.stdtrit(n - 1, 1 - alpha / 2))
    return float(1 - special.nctdtr(n - 1, abs(effect) * sqrt(n) / sd, critical))


def required_seeds(effect: float, sd: float, *, alpha: float = 0.05, power: float = 0.8, contrasts: int = 1) -> int:
    """The fewest seeds with which the t test finds `effect` with probability `power`, when each of `contrasts`
    questions is tested at alpha / contrasts (the first step of Holm).

    Raises ValueError for an effect of 0, rates outside (0, 1), contrasts < 1, or if not even 10,000 seeds are enough.
    """
    check_rate(power)
    if effect == 0 or contrasts < 1:
        raise ValueError(f"needs an effect other than 0 and at least 1 contrast, got {effect} and {contrasts}")
    low, high = 2, 2
    while paired_t_power(effect, sd, high, alpha / contrasts) < power:
        low, high = high, high * 2
        if high > MOST_SEEDS:
            raise ValueError(f"more than {MOST_SEEDS} seeds would be needed for an effect of {effect} at sd {sd}")
    while low < high:
        middle = (low + high) // 2
        if paired_t_power(effect, sd, middle, alpha / contrasts) < power:
            low = middle + 1
        else:
            high = middle
    return high


def detectable_effect(sd: float, n: int, *, alpha: float = 0.05, power: float = 0.8, contrasts: int = 1) -> float:
    """The smallest true difference that n seeds find with probability `power`, in the unit of `sd`. Raises ValueError
    as `required_seeds`."""
    check_rate(power)
    low, high = 0.0, sd
    while paired_t_power(high, sd, n, alpha / contrasts) < power:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if paired_t_power(middle, sd, n, alpha / contrasts) < power else (low, middle)
    return high


def sign_flip_seeds(contrasts: int = 1, alpha: float = 0.05) -> int:
    """The fewest seeds with which the exact sign-flip test can reject at all when Holm corrects over `contrasts`:
    the smallest n with 2^(1 - n) <= alpha / contrasts. Raises ValueError for contrasts < 1 or alpha outside (0, 1)."""
    check_rate(alpha)
    if contrasts < 1:
        raise ValueError(f"at least 1 contrast is needed, got {contrasts}")
    return max(2, ceil(1 + log2(contrasts / alpha) - 1e-12))
