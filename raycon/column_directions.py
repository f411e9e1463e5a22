"""Which direction of a score is better, told from the name of its column in anybody's table of runs."""

from __future__ import annotations

import re

from raycon.errors import InvalidFile
from raycon.metric_names import METRICS, Direction, metric

LESS = frozenset(
    (
        *("loss", "error", "err", "errors", "ece", "ace", "mce", "nll", "bpd", "brier", "perplexity", "ppl", "entropy"),
        *("mse", "rmse", "mae", "mape", "gap", "drop", "disparity", "regret", "fpr", "fnr", "eer", "fid", "wer", "cer"),
        *("false_alarms", "misclassified"),
    )
)
"""Words of which less is better."""

MORE = frozenset(
    (
        *("accuracy", "acc", "wga", "auc", "auroc", "roc", "auprc", "aupr", "ap", "map", "f1", "precision", "recall"),
        *("iou", "miou", "dice", "r2", "correlation", "likelihood", "tpr", "tnr", "sensitivity", "specificity"),
        *("ndcg", "mrr", "bleu", "rouge", "psnr", "ssim", "kappa", "mcc", "ari", "nmi", "gain", "improvement"),
    )
)
"""Words of which more is better."""

QUALIFIERS = frozenset(
    (
        *("train", "training", "val", "valid", "validation", "dev", "test", "eval", "holdout", "best", "last", "final"),
        *("mean", "average", "avg", "median", "total", "max", "min", "worst", "group", "class", "micro", "macro"),
        *("weighted", "balanced", "score", "rate", "epoch", "top", "at", "percent", "pct", "k"),
    )
)
"""Words that may follow the one that says what is measured."""

NEGATED = frozenset(("neg", "negative"))


def usual_direction(column: str) -> Direction | None:
    """The better direction of a score by its name; `none` for a number that describes; None where the name says
    nothing.

    A name of raycon's own metrics, whole or its last parts, has the direction of their table. Of any other the word
    that says what is measured decides: the last one but for qualifiers such as `test`, `mean` or `top5`. So
    `accuracy_gap` is one of which less is better, and nothing is said of `accuracy_std`, nor of `loss_accuracy`, which
    names both. `neg_` before it turns it round. The words are our own list.

    >>> [usual_direction(name) for name in ("val_loss", "validation/calibration/expected_error", "acc@1", "quality")]
    ['lower', 'lower', 'higher', None]
    """
    name = column.strip()
    return _of_table(name) or _of_words(_words(name))


def _of_table(name: str) -> Direction | None:
    """By raycon's own names; where several metrics end alike, only if all agree."""
    try:
        return metric(name).direction
    except InvalidFile:
        ends = {known.direction for full, known in METRICS.items() if name in (full, full.rsplit("/", 1)[1])}
        return ends.pop() if len(ends) == 1 else None


def _words(name: str) -> list[str]:
    """The words in small letters: parts between signs, those of camelCase where the part as a whole is not known."""
    found: list[str] = []
    for part in re.findall(r"[A-Za-z0-9]+", name):
        whole = part.lower()
        known = next((word for word in (whole, whole.rstrip("0123456789")) if word in LESS | MORE | QUALIFIERS), None)
        split = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", part)
        found += [known] if known is not None else [word.lower() for word in split]
    return found


def _of_words(words: list[str]) -> Direction | None:
    while words and words[-1] in QUALIFIERS:
        words = words[:-1]
    if not words or words[-1] not in LESS | MORE:
        return None
    head, before = words[-1], set(words[:-1])
    if head in MORE and before & LESS:
        return None
    turned = bool(before & NEGATED)
    return "lower" if (head in LESS) != turned else "higher"
