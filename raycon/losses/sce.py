"""Similarity contrastive estimation: an image's relations in a momentum network are the target for the online one."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from raycon.knobs import Fraction, Positive
from raycon.losses.similarity import one_of, positive
from raycon.losses.view_pairs import pairs_of_views

SelfLogit = Literal["mask", "zero"]
Candidates = Literal["queue", "keys_and_queue"]


def sce(
    features: Tensor,
    momentum_features: Tensor,
    queue: Tensor,
    *,
    temperature: Positive = 0.1,
    momentum_temperature: Positive = 0.05,
    mixing: Fraction = 0.5,
    self_logit: SelfLogit = "mask",
    candidates: Candidates = "queue",
    symmetric: bool = True,
) -> Tensor:
    """Cross-entropy between a target of similarities, made by the momentum network, and the online similarities.

    q_i, k_i: an image's online and momentum features in two different views. c_0 = k_i and c_1, c_2, ... are the
    candidates, l = mixing, t = temperature, t_m = momentum_temperature:
    s_ij = softmax over j >= 1 of <k_i, c_j> / t_m;   w_ij = l [j = 0] + (1 - l) s_ij;
    loss = - mean over i of  sum_j w_ij log softmax_j( <q_i, c_j> / t ), averaged over pairs of views.
    Source: Denize et al. 2023 (SCE, arXiv 2111.14585), as in the docstring of the authors' code (CEA-LIST/SCE).

    Args:
        features: [N, V, D], V >= 2, rows of unit length; a predictor's output with `inputs: {features: predictions}`.
        momentum_features: [N, M, D], the first M <= V views; the network gives them without gradient.
        queue: [Q, D], earlier momentum features, Q >= 0.
        temperature: of the online similarities; about 0.1 to 0.2.
        momentum_temperature: of the target, below `temperature`, so that the target is sharper; about 0.03 to 0.1.
        mixing: l. 1 is InfoNCE against the queue (MoCo), 0 keeps the relations alone (as in ReSSL). Authors: 0.5.
        self_logit: what the own key has in the target's softmax. `mask` leaves it out, the formula above. `zero` puts
            the logit 0 there, as the authors' code does: the own key then gets a further share
            (1 - l) / (1 + sum_j e^{<k_i, c_j> / t_m}), which is small unless the queue is.
        candidates: `queue` compares with the own key and the queue, as the authors' code; `keys_and_queue` with the
            keys of the whole batch as well (the formula of the authors' docstring when the queue is empty).
        symmetric: every momentum view in turn against all other online views. False: momentum view 0 alone against the
            later online views (the weakly augmented view teaches the others).

    Degenerate: without any candidate but the own key the loss is 0. Identical rows: log of the number of candidates.
    Raises ValueError for a single view, and for momentum features or a queue of other shapes.

    >>> import torch
    >>> same = torch.ones(1, 2, 1)
    >>> round(sce(same, same, torch.ones(3, 1)).item(), 4)  # log 4
    1.3863
    """
    pairs = pairs_of_views(features, momentum_features, "momentum_features")
    losses = [
        sce_of_pairs(
            features[:, online],
            momentum_features[:, target],
            queue,
            temperature=temperature,
            momentum_temperature=momentum_temperature,
            mixing=mixing,
            self_logit=self_logit,
            candidates=candidates,
        )
        for online, target in pairs
        if symmetric or target == 0
    ]
    return torch.stack(losses).mean()


def sce_of_pairs(
    queries: Tensor,
    keys: Tensor,
    queue: Tensor,
    *,
    temperature: Positive = 0.1,
    momentum_temperature: Positive = 0.05,
    mixing: Fraction = 0.5,
    self_logit: SelfLogit = "mask",
    candidates: Candidates = "queue",
) -> Tensor:
    """`sce` of one pair of views: `queries` and `keys` [N, D], `queue` [Q, D]. Not a catalogue term.

    Source: Denize et al. 2023 (arXiv 2111.14585).
    """
    target = sce_target(
        keys,
        queue,
        momentum_temperature=momentum_temperature,
        mixing=mixing,
        self_logit=self_logit,
        candidates=candidates,
    )
    own = (queries * keys).sum(dim=1, keepdim=True) if candidates == "queue" else queries @ keys.T
    logits = torch.cat([own, queries @ queue.T], dim=1) / positive(temperature)
    return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()


def sce_target(
    keys: Tensor,
    queue: Tensor,
    *,
    momentum_temperature: Positive = 0.05,
    mixing: Fraction = 0.5,
    self_logit: SelfLogit = "mask",
    candidates: Candidates = "queue",
) -> Tensor:
    """The target distribution w of `sce` from `keys` [N, D] and `queue` [Q, D].

    `queue`: [N, 1 + Q], the own key first. `keys_and_queue`: [N, N + Q], the own key on the diagonal.
    """
    one_of(self_logit, SelfLogit, "self_logit")
    one_of(candidates, Candidates, "candidates")
    if queue.ndim != 2 or queue.shape[1] != keys.shape[1]:
        raise ValueError(f"queue must be [any number, {keys.shape[1]}], got {list(queue.shape)}")
    count = len(keys)
    if candidates == "queue":
        relations, own = keys.new_zeros(count, 1), torch.ones(count, 1, dtype=torch.bool, device=keys.device)
    else:
        relations, own = keys @ keys.T, torch.eye(count, dtype=torch.bool, device=keys.device)
    is_own = torch.cat([own, own.new_zeros(count, len(queue))], dim=1)
    logits = torch.cat([relations, keys @ queue.T], dim=1) / positive(momentum_temperature, "momentum_temperature")
    # With no other candidate the softmax of the masked logit is 1: all of the target is then on the own key.
    hidden = 0.0 if self_logit == "zero" else torch.finfo(logits.dtype).min
    shares = logits.masked_fill(is_own, hidden).softmax(dim=1)
    return mixing * is_own.to(shares.dtype) + (1 - mixing) * shares
