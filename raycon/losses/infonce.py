"""InfoNCE, the loss of SimCLR: two views of an image attract each other, all other images repel."""

from __future__ import annotations

from torch import Tensor

from raycon.knobs import Positive
from raycon.losses.similarity import same_image, view_rows
from raycon.losses.supcon import Contrast, supcon_of_pairs


def infonce(
    features: Tensor,
    *,
    temperature: Positive = 0.1,
    contrast: Contrast = "all",
    base_temperature: Positive | None = None,
) -> Tensor:
    """InfoNCE over views (NT-Xent): `supcon` in which every image is a class of its own.

    With s_ab = <z_a, z_b> / temperature, mean over anchors a and the other views p of a's image of
    -s_ap + log sum_{b != a} e^{s_ab}. With more than two views the other positives stay in the denominator.
    Source: Chen et al. 2020 (SimCLR, arXiv 2002.05709), eq. 1; van den Oord et al. 2018 (arXiv 1807.03748), eq. 4.

    Args:
        features: [N, V, D], V >= 2, rows of unit length.
        temperature: divides the inner products; about 0.05 to 0.5.
        contrast: `all` (SimCLR), `first_view`, `cross_view` (candidates only in the other view, both directions, as
            image-text models have it) or `cross_view_one_way`: see `supcon`.
        base_temperature: multiplies the loss by temperature / base_temperature; None (default) does not.

    Degenerate: one image has no negatives and gives log(V - 1), which is 0 for two views. Identical rows: log(VN - 1).
    Raises ValueError for a single view: there would be nothing to attract.

    >>> import torch
    >>> rows = torch.eye(2).reshape(2, 1, 2).expand(2, 2, 2)
    >>> round(infonce(rows, temperature=1.0).item(), 4)  # log(1 + 2 / e)
    0.5514
    """
    view_rows(features, views=2)
    return supcon_of_pairs(
        features,
        same_image(features),
        temperature=temperature,
        contrast=contrast,
        base_temperature=base_temperature,
    )
