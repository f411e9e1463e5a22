"""The content gate: does a translator leave the content alone? Numbers without bias labels, on held-out images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.errors import InvalidFile
from raycon.networks.translation.families import intensity, normalised_intensity

PROBE_STEPS, PROBE_BATCH = 200, 64


@dataclass(frozen=True)
class Content:
    """What a translator does to images that it was not trained on.

    edges: correlation of the edge maps of x and G(x, y'), mean over images, -1 to 1. agreement: share of images to
    which a probe that sees no colour gives the same label before and after; probe: its accuracy on the originals, for
    reading the agreement (a probe that has learned nothing agrees always). cycle: mean |x - G(G(x, y'), y)|, pixels in
    0 to 1; told, not judged, since it counts colours that did not come back as well.
    """

    edges: float
    agreement: float
    probe: float
    cycle: float

    def check(self, threshold: float, family: str) -> None:
        """Raises InvalidFile, with the numbers and what to do, where less than `threshold` of the content is kept."""
        kept = min(self.edges, self.agreement)
        if kept >= threshold:
            return
        free = "" if family == "gain" else "`family: gain` (keeps shapes by construction), more `iterations`, or "
        raise InvalidFile(
            f"the translator `{family}` changes the content of images, not only their bias: edge correlation "
            f"{self.edges:.2f}, agreement of a colour-blind probe {self.agreement:.2f} (its accuracy "
            f"{self.probe:.2f}), cycle error {self.cycle:.3f}; at least {threshold:g} of the first two is asked for. "
            f"Take {free}a lower `content_gate`, if such images are what you want",
            field="networks.translator.content_gate",
        )


@torch.no_grad()
def content_kept(
    generator: nn.Module, fitted: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], classes: int, seed: int
) -> Content:
    """The numbers of `generator` on `held_out`; `fitted` trains the probe. Both (uint8 [n, C, H, W], labels [n])."""
    draw = torch.Generator().manual_seed(seed)
    images, labels = held_out[0].float() / 255, held_out[1]
    # Never the image's own label: there a translator that does nothing would be right.
    shift = torch.randint(1, max(classes, 2), (len(labels),), generator=draw).to(labels.device)
    targets = (labels + shift) % classes
    made = generator(images, targets)
    back = generator(made, labels)
    probe = _train_probe(*fitted, classes, seed)
    before, after = (probe(normalised_intensity(batch)).argmax(dim=1) for batch in (images, made))
    return Content(
        edges=float(edge_correlation(images, made).mean()),
        agreement=float((before == after).double().mean()),
        probe=float((before == labels).double().mean()),
        cycle=float((images - back).abs().mean()),
    )


def edge_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlation over pixels of the two images' edge maps: [n, C, H, W] twice -> [n].

    An edge map is the length of the intensity's gradient. Two images without edges agree (1); one alone does not (0).
    """
    maps = [_edges(images).flatten(1) for images in (first, second)]
    maps = [rows - rows.mean(dim=1, keepdim=True) for rows in maps]
    lengths = [rows.norm(dim=1) for rows in maps]
    flat = [length < 1e-6 for length in lengths]
    correlation = (maps[0] * maps[1]).sum(dim=1) / (lengths[0] * lengths[1]).clamp(min=1e-12)
    return torch.where(flat[0] | flat[1], (flat[0] & flat[1]).to(correlation.dtype), correlation)


def _edges(images: Tensor) -> Tensor:
    """[n, C, H, W] -> [n, 1, H - 1, W - 1]."""
    values = intensity(images)
    across = values[..., :-1, 1:] - values[..., :-1, :-1]
    down = values[..., 1:, :-1] - values[..., :-1, :-1]
    return (across.square() + down.square()).sqrt()


@torch.enable_grad()
def _train_probe(images: Tensor, labels: Tensor, classes: int, seed: int) -> nn.Module:
    """A small classifier of intensities, which it sees as shares of each image's largest."""
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        probe = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * 16, classes)),
        ).to(images.device)
    optimiser = torch.optim.Adam(probe.parameters(), lr=3e-3)
    for _ in range(PROBE_STEPS):
        rows = torch.randint(len(images), (PROBE_BATCH,), generator=draw).to(images.device)
        logits = probe(normalised_intensity(images[rows].float() / 255))
        optimiser.zero_grad(set_to_none=True)
        functional.cross_entropy(logits, labels[rows]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return probe.eval()
