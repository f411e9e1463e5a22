"""One training step as one module: encoder, head, networks and objective. It alone is what workers wrap and average."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.collectives import gather_rows
from raycon.config import Trial
from raycon.datasets import Described
from raycon.losses import TERMS
from raycon.networks import NETWORKS
from raycon.networks.auxiliary import Auxiliary, Shapes
from raycon.networks.encoders import build_encoder
from raycon.networks.heads import build_projection
from raycon.objective import Part, Plan, resolve
from raycon.transforms import TRANSFORMS


def _projection(trial: Trial, plan: Plan) -> tuple[int, ...]:
    """The widths of the head. Where no term looks at features it would stay as it was drawn, and workers would wait for
    its gradient: then there is none, and features are the normalised embeddings."""
    asked = {name for part in (*plan.providers, *plan.terms) for name in part.inputs.values()}
    return trial.encoder.projection if any(name.endswith("features") for name in asked) else ()


class Step(nn.Module):
    """views and labels in, the weighted sum of all terms out."""

    def __init__(self, trial: Trial, described: Described):
        super().__init__()
        self.plan: Plan = resolve(trial, described)
        self.precision = trial.training.precision
        self.full = torch.float64 if self.precision == "float64" else torch.float32
        self.layout = torch.channels_last if trial.training.channels_last else torch.contiguous_format
        self.encoder = build_encoder(trial.encoder, channels=described.channels, size=described.size)
        self.head, projection = build_projection(self.encoder.width, _projection(trial, self.plan))
        classes = described.attributes[trial.data.labels]
        shapes = Shapes(described.channels, described.size, self.encoder.width, projection, classes)
        networks = {
            part.key: NETWORKS[part.function](shapes, **part.knobs)
            for part in self.plan.providers
            if part.kind == "network"
        }
        self.networks = nn.ModuleDict(networks)
        self.last: Mapping[str, Tensor] = {}

    @property
    def auxiliaries(self) -> list[Auxiliary]:
        """The networks beside the encoder, in the order in which they run."""
        return [network for network in self.networks.values() if isinstance(network, Auxiliary)]

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images [n, C, H, W] -> embeddings [n, E] and unit features [n, D], both in full precision.

        Training may run in bfloat16; evaluation never does, so that scores do not depend on the training's precision.
        """
        with self._autocast(images.device):
            embeddings = self.encoder(images.contiguous(memory_format=self.layout))
            projected = self.head(embeddings)
        return embeddings.to(self.full), functional.normalize(projected.to(self.full), dim=1)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The total, and the value of every term without its weight [T], detached, in the order of the plan.

        A term of weight zero is computed and stays in the graph: every parameter has a gradient on every worker.
        """
        step = dict(batch)
        for part in self.plan.providers:
            step.update(self._provide(part, step))
        gathered = {name: gather_rows(step[name]) for name in self.plan.gathered}
        values = []
        for term in self.plan.terms:
            source = gathered if term.pairwise else step
            inputs = [source[name] for name in term.inputs.values()]
            values.append(TERMS[term.function](*inputs, **term.knobs))
        total = torch.stack([term.weight * value for term, value in zip(self.plan.terms, values, strict=True)]).sum()
        for network in self.auxiliaries:
            own = network.own_loss(step)
            total = total if own is None else total + own
        self.last = {name: value.detach() for name, value in step.items()}
        return total, torch.stack(values).detach()

    @torch.no_grad()
    def after_step(self) -> None:
        """Lets every network follow the encoder that the optimiser has just moved."""
        for network in self.auxiliaries:
            network.after_step(self.encoder, self.last)
        self.last = {}

    def _provide(self, part: Part, step: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs = [step[name] for name in part.inputs.values()]
        if part.kind == "encoder":
            return self._encode(part, inputs[0])
        run = self.networks[part.key] if part.kind == "network" else partial(TRANSFORMS[part.function], **part.knobs)
        with self._autocast(inputs[0].device):
            made: dict[str, Tensor] = run(*inputs)
        return {name: value.to(self.full) if value.is_floating_point() else value for name, value in made.items()}

    def _encode(self, part: Part, views: Tensor) -> dict[str, Tensor]:
        """All views of all images go through the encoder together, so that batch statistics are shared by the views."""
        images, count = views.shape[:2]
        embeddings, features = self.embed(views.flatten(0, 1))
        pairs = zip(part.provides, (embeddings, features), strict=True)
        return {name: rows.view(images, count, -1) for name, rows in pairs}

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        if self.precision != "bfloat16" or not self.training:
            return nullcontext()
        return torch.autocast(device.type, dtype=torch.bfloat16)
