"""Intervals, tests and effect sizes for a handful of paired seeds. numpy and scipy only, no torch.

The unit of resampling is the training run: one difference per seed, both arms trained with that seed.
"""

from __future__ import annotations

from raycon.statistics.aggregate import cluster_bootstrap, interquartile_mean, probability_of_improvement
from raycon.statistics.budget import expected_best
from raycon.statistics.effects import add_one_in, factorial_effect, interaction, leave_one_out, shapley
from raycon.statistics.equivalence import Judgement, Sign, Verdict, equivalence_p, judge, paired_t_p
from raycon.statistics.front import attained, drawn_means, noise_covariance, on_front
from raycon.statistics.intervals import (
    Interval,
    clopper_pearson,
    mean_share_interval,
    paired_interval,
    prediction_interval,
)
from raycon.statistics.multiplicity import benjamini_hochberg, holm
from raycon.statistics.negatives import NegativesVerdict, negatives_verdict
from raycon.statistics.power import detectable_effect, paired_t_power, required_seeds, sign_flip_seeds
from raycon.statistics.sign_flip import max_t_p, sign_flip_floor, sign_flip_p
from raycon.statistics.worst_group import WorstGroup, worst_group

__all__ = [
    "Interval",
    "Judgement",
    "NegativesVerdict",
    "Sign",
    "Verdict",
    "WorstGroup",
    "add_one_in",
    "attained",
    "benjamini_hochberg",
    "clopper_pearson",
    "cluster_bootstrap",
    "detectable_effect",
    "drawn_means",
    "equivalence_p",
    "expected_best",
    "factorial_effect",
    "holm",
    "interaction",
    "interquartile_mean",
    "judge",
    "leave_one_out",
    "max_t_p",
    "mean_share_interval",
    "negatives_verdict",
    "noise_covariance",
    "on_front",
    "paired_interval",
    "paired_t_p",
    "paired_t_power",
    "prediction_interval",
    "probability_of_improvement",
    "required_seeds",
    "shapley",
    "sign_flip_floor",
    "sign_flip_p",
    "sign_flip_seeds",
    "worst_group",
]
