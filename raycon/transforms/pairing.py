"""What transforms that mix images share: finding partners, and mixing with them."""

from __future__ import annotations

import torch
from torch import Tensor


def check_batch(views: Tensor, *others: Tensor) -> None:
    """Raises ValueError unless `views` is [N, V, C, H, W] and every other tensor has N rows."""
    if views.ndim != 5 or views.numel() == 0:
        raise ValueError(f"views must be [N, V, C, H, W] and not empty, got {list(views.shape)}")
    for rows in others:
        if len(rows) != len(views):
            raise ValueError(f"a batch of {len(views)} images must come with as many rows, got {list(rows.shape)}")


def choose_partners(allowed: Tensor, draws: Tensor) -> Tensor:
    """For each row a partner [A], uniformly among the columns that `allowed` [A, N] has; -1 where there is none.

    draws: [A] uniform in [0, 1); a row's draw decides alone, and 0 gives its first partner.
    """
    rank = allowed.cumsum(dim=1)
    count = rank[:, -1]
    # Rounding may bring draw * count up to count itself.
    chosen = torch.minimum((draws * count).floor().long(), count - 1)
    return torch.where(count > 0, (rank <= chosen[:, None]).sum(dim=1), -1)


def or_self(partners: Tensor) -> Tensor:
    """`partners` [N] with every -1 replaced by the row's own number."""
    return torch.where(partners < 0, torch.arange(len(partners), device=partners.device), partners)


def mix_pairs(images: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
    """share * image + (1 - share) * partner's image; an image without partner (-1) comes back as it is.

    images: [N, ...]. partners: [N] row numbers. shares: [N], the weight of the image itself.
    """
    others = images[or_self(partners)]
    return others + shares.view(-1, *[1] * (images.ndim - 1)).to(images.dtype) * (images - others)


def mix_with_partners(views: Tensor, labels: Tensor, partners: Tensor, shares: Tensor) -> dict[str, Tensor]:
    """What a mixing transform provides: `mixed_views`, the partners' labels, own shares, and who was `paired`.

    An image without partner keeps its views, its own label, and a share of 1.
    """
    paired = partners >= 0
    return {
        "mixed_views": mix_pairs(views, partners, shares),
        "mixed_labels": labels[or_self(partners)],
        "mixed_share": torch.where(paired, shares, 1.0),
        "paired": paired.to(views.dtype),
    }
