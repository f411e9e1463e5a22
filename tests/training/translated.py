"""Small trials on coloured digits whose bias is translated, or scored by a network that captures it."""

from __future__ import annotations

from typing import Any

from raycon.config import Trial
from tests.training.trials import small_trial

COLOURED = {
    "dataset": "digits",
    "labels": "class",
    "bias": {"rate": 0.9, "place": "foreground", "noise": 0.02},
    "train_size": 160,
    "validation_size": 100,
}


def translated_trial(**changes: Any) -> Trial:
    """Cross-entropy and contrast on views of a translator that is trained for three iterations and never refused."""
    plain: dict[str, Any] = {
        "data": COLOURED,
        "objective": {
            "cross_entropy": {"inputs": {"logits": "translated_logits"}},
            "translated_contrast": {"weight": 0.5},
        },
        "networks": {"translator": {"iterations": 3, "batch_size": 8, "width": 4, "targets": 3, "content_gate": 0.0}},
        "scores": {"linear_probe": {}},
    }
    return small_trial(**{**plain, **changes})


def scored_trial(**changes: Any) -> Trial:
    """A contrastive term, and FairKL by the scores of a network that sees patches alone."""
    plain: dict[str, Any] = {
        "data": COLOURED,
        "objective": {"supcon": {}, "fairkl_scores": {"variant": "moments", "weight": 3.0}},
        "networks": {"bias_capture": {"width": 4}},
        "scores": {"linear_probe": {}},
    }
    return small_trial(**{**plain, **changes})
