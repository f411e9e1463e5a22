"""The bias-capturing classifier: it sees patches alone, learns colours, and no gradient leaves it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from raycon.networks.auxiliary import Shapes
from raycon.networks.bias_capture import BiasCapture

SIZE = 8


def _shapes() -> Shapes:
    def fresh() -> tuple[nn.Module, nn.Module]:
        return nn.Identity(), nn.Identity()

    sizes: dict[str, Any] = {"channels": 3, "size": SIZE, "embedding": 4, "projection": 4, "classes": 2, "groups": 1}
    return Shapes(**sizes, encoder=nn.Identity(), head=nn.Identity(), fresh=fresh)


def _network(spatial: int) -> BiasCapture:
    torch.manual_seed(0)
    return BiasCapture(_shapes(), width=4, spatial=spatial).double()


def _views(images: int = 6) -> Tensor:
    return torch.rand(images, 2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_single_pixels_have_no_order() -> None:
    views = _views()
    order = torch.randperm(SIZE * SIZE, generator=torch.Generator().manual_seed(2))
    shuffled = views.flatten(3)[..., order].view(views.shape)
    for spatial, same in ((0, True), (1, False)):
        network = _network(spatial)
        found = [network(rows)["bias_features"] for rows in (views, shuffled)]
        assert torch.allclose(found[0], found[1], atol=1e-9) is same


def test_patches_have_the_size_that_the_docstring_says() -> None:
    for spatial in range(4):
        body = _network(spatial).body[:-3].eval()
        image = torch.rand(1, 3, 15, 15, dtype=torch.float64).requires_grad_()
        (gradient,) = torch.autograd.grad(body(image)[0, :, 7, 7].sum(), image)
        reached = (gradient.abs().sum(dim=(0, 1)) > 0).any(dim=0).sum()
        assert reached <= 1 + 2 * spatial
        assert spatial == 0 or reached > 1


def test_every_parameter_gets_a_gradient_from_its_own_loss_and_none_leaves_it() -> None:
    network, labels = _network(1), torch.tensor([0, 1, 0, 1, 0, 1])
    views = _views().requires_grad_()
    features = network(views)["bias_features"]
    assert features.shape == (6, 2, 8) and not features.requires_grad
    assert torch.allclose(features.norm(dim=2), torch.ones(6, 2).double())
    loss = network.own_loss({"labels": labels})
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert BiasCapture.stops_gradient({})


def test_it_learns_a_colour_and_its_cosines_tell_colours_apart() -> None:
    network = _network(1)
    labels = torch.arange(32) % 2
    views = 0.2 * torch.rand(32, 1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3)).double()
    views[labels == 0, :, 0] += 0.5
    views[labels == 1, :, 1] += 0.5
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(30):
        network(views)
        loss = network.own_loss({"labels": labels})
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    rows = network(views)["bias_features"][:, 0]
    cosines = rows @ rows.T
    alike = labels[:, None] == labels[None, :]
    assert cosines[alike].mean() > 0.9 > 0.5 > cosines[~alike].mean()
