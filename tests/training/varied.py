"""Trials that among them run everything in the catalogue: shipped files, and small trials for the rest, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from raycon.config import Trial
from tests.shipped import FILES, fullest_trial
from tests.training.translated import COLOURED, scored_trial, translated_trial
from tests.training.trials import small_trial

BATCH = 24
"""Images of a step, which two and three workers can share."""
STEPS = 5


def varied_trial(name: str) -> Trial:
    """One epoch of five steps. Of a shipped file: the first configuration that uses all terms."""
    if name in SPECIAL:
        trial = SPECIAL[name]()
        trial = replace(trial, data=replace(trial.data, train_size=STEPS * BATCH))
    else:
        trial = fullest_trial(name, images=STEPS * BATCH, learning_rate=1e-3)
    scores = trial.scores if name in SCORED else {"nearest_neighbours": {}}
    training = replace(trial.training, epochs=1, batch_size=BATCH, precision="float64")
    return replace(trial, training=training, scores=scores)


def _small(objective: dict[str, Any], **changes: Any) -> Trial:
    return small_trial(**{"objective": objective, "training__learning_rate": 1e-3, **changes})


def _classifier_alone() -> Trial:
    """A trial whose terms do not look at features: nothing may be left without a gradient."""
    return _small({"cross_entropy": {}}, training__optimiser="sgd", training__learning_rate=1e-2)


def _rebound() -> Trial:
    """A pairwise term that is given a tensor of another kind: what it asks for decides."""
    return _small({"supcon": {"inputs": {"features": "embeddings"}, "temperature": 5.0}})


def _classes() -> Trial:
    """Terms on prototypes, and those of metric learning, over the whole batch."""
    return _small({name: {} for name in ("esupcon", "tightness", "triplet", "margin", "n_pair")})


def _negatives() -> Trial:
    """Terms on negatives, two of them with draws of their own."""
    names = ("debiased", "debiased_supervised", "decoupled", "decoupled_weighted")
    drawn = {"term": "sampled_infonce", "negatives": 20}
    views = {**drawn, "positives": "augmentation", "sampling": "other_classes", "denominator": "decoupled"}
    return _small({**{name: {} for name in names}, "drawn": drawn, "drawn_views": views})


def _variants() -> Trial:
    """Forms of terms that no shipped file chooses, and contrast on the second backbone's own head."""
    names = ("infonce", "epsilon_infonce", "epsilon_supcon", "generalised_supcon", "generalised_cross_entropy")
    twin = {"term": "supcon", "inputs": {"features": "twin_features"}}
    return _small({**{name: {} for name in (*names, "supcon_google", "spread_reference")}, "twin": twin})


def _translated() -> Trial:
    """Views of a translator that whichever worker comes first trains, while the other waits."""
    return translated_trial(training__learning_rate=1e-3)


def _scored() -> Trial:
    """A network that captures the bias, trained by a loss of its own."""
    return scored_trial(training__learning_rate=1e-3)


def _mixed() -> Trial:
    """Contrastive terms on images that were mixed with partners from the whole batch: pasted boxes, sought pairs."""
    mixed = {"term": "supcon", "inputs": {"features": "mixed_features", "labels": "mixed_labels"}}
    transforms = {"universum": {"mix": "cutmix"}, "selecmix": {}}
    return _small({"unicon_append": {}, "mixed": mixed}, transforms=transforms)


def _pasted() -> Trial:
    """A classifier on images with boxes of others."""
    return _small({"mixed_cross_entropy": {}}, transforms={"cutmix": {}})


def _oracle() -> Trial:
    """Images mixed by the bias that is known."""
    data = {**COLOURED, "reveal": ["bias_labels"]}
    objective = {"mixed": {"term": "cross_entropy", "inputs": {"logits": "mixed_logits", "labels": "mixed_labels"}}}
    return _small(objective, data=data, transforms={"oracle_mix": {}}, scores={"linear_probe": {}})


def _encoder(**encoder: Any) -> Callable[[], Trial]:
    """A contrastive term on another encoder. Its many parameters are moved by SGD: what a gradient of nothing but
    rounding errors would do to a parameter under Adam is no matter of workers."""
    changes = {f"encoder__{name}": value for name, value in encoder.items()}
    return lambda: _small({"supcon": {}}, training__optimiser="sgd", training__learning_rate=1e-2, **changes)


ENCODER_TRIALS: dict[str, Callable[[], Trial]] = {
    "resnet18": _encoder(name="resnet18"),
    "resnet50": _encoder(name="resnet50"),
    "vit_small": _encoder(name="vit_small"),
    "group_norm": _encoder(norm="group"),
}
"""One of each kind of block; the other ResNets are made of the same."""

SPECIAL: dict[str, Callable[[], Trial]] = {
    "mixed": _mixed,
    "cross_entropy": _classifier_alone,
    "rebound": _rebound,
    "classes": _classes,
    "negatives": _negatives,
    "variants": _variants,
    "translated": _translated,
    "scored": _scored,
    "pasted": _pasted,
    "oracle": _oracle,
    **ENCODER_TRIALS,
}

SCORED = ("digits_demo.yaml", "thanos_two_backbones.yaml", "scored")
"""Trials that keep their scores: the others are judged by the cheapest."""

NAMES = (*FILES, *SPECIAL)
