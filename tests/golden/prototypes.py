"""Adapters of the Siamese prototypical families. Stored rows are stacked [views, N, D], and not of unit length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from raycon.losses import infonce, siamese_metric_loss, siamese_prototypical
from raycon.losses.similarity import unit_rows
from raycon.networks.auxiliary import Auxiliary, Shapes
from raycon.networks.prototype_classifier import PrototypeClassifier
from raycon.networks.siamese_metric import SiameseMetric
from tests.golden.vectors import Vector

FLOAT32_TARGETS = 1e-6
"""The reference's symmetric cross entropy takes the logarithm of a one-hot vector in float32."""


def _shapes(embedding: int) -> Shapes:
    online = nn.Identity()
    return Shapes(1, 1, embedding, embedding, 2, 1, online, online, lambda: (nn.Identity(), nn.Identity()))


def _run(network: Auxiliary, weight: Tensor, bias: Tensor, *inputs: Tensor) -> Tensor:
    """What our network makes of stored weights."""
    found = functional_call(network, {"layer.weight": weight, "layer.bias": bias}, inputs)
    result: Tensor = found[network.provides[0]]
    return result


def _image_and_partner(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Stacked h_i, h_j, v_i, v_j [4, N, D] -> the two views of the image and of its partner, each [N, 2, D]."""
    return rows[:2].transpose(0, 1), rows[2:].transpose(0, 1)


def _spcl_ntxent(vector: Vector) -> Tensor:
    """The step gives every term unit rows; these are stored as the head made them."""
    rows = torch.stack([vector.tensor("z_i"), vector.tensor("z_j")], dim=0).requires_grad_()
    vector.free["grad"] = rows
    return infonce(unit_rows(rows.transpose(0, 1)), temperature=vector.number("temp"))


def _spcl_metric(vector: Vector) -> Tensor:
    image, partner = _image_and_partner(vector.leaf("h"))
    network = SiameseMetric(_shapes(image.shape[2]))
    pair_logits = _run(network, vector.leaf("w"), vector.leaf("b"), image, partner)
    kind: Any = vector.choose("kind", "bce", "l1", "l2")
    return siamese_metric_loss(pair_logits, vector.tensor("sim_label").squeeze(1), kind=kind)


def _spcl_total(vector: Vector) -> Mapping[str, Tensor]:
    image, partner = _image_and_partner(vector.leaf("h"))
    features, partner_features = _image_and_partner(vector.leaf("z"))
    weight, bias = vector.tensor("cls_w"), vector.tensor("cls_b")
    shapes = _shapes(image.shape[2])
    classifier = PrototypeClassifier(shapes, prototypes=len(bias))
    assignments, partner_assignments = vector.tensor("proto").unbind(1)
    prototype_kind: Any = vector.choose("sce", "cross_entropy", "symmetric")
    found = siamese_prototypical(
        features,
        partner_features,
        _run(SiameseMetric(shapes), vector.tensor("w"), vector.tensor("b"), image, partner),
        vector.tensor("sim_label").squeeze(1),
        _run(classifier, weight, bias, image),
        assignments,
        _run(classifier, weight, bias, partner),
        partner_assignments,
        temperature=vector.number("temp"),
        contrast_weight=vector.number("w_contrast"),
        metric_weight=vector.number("w_metric"),
        prototype_weight=vector.number("w_cluster"),
        prototype_kind=prototype_kind,
    )
    return {
        "loss": found.total,
        "part_contrast": found.contrast,
        "part_metric": found.metric,
        "part_cluster": found.prototype,
    }


ADAPTERS: dict[str, Callable[[Vector], Tensor | Mapping[str, Tensor]]] = {
    "spcl_ntxent": _spcl_ntxent,
    "spcl_metric": _spcl_metric,
    "spcl_total": _spcl_total,
}
TOLERANCES = {("spcl_total", name): FLOAT32_TARGETS for name in ("loss", "part_cluster", "grad")}
