"""One training step as one module: encoder, head, networks and objective. It alone is what workers wrap and average."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from raycon.collectives import gather_alike, gather_rows, rank, world_size
from raycon.config import Trial
from raycon.datasets import Described, normalise
from raycon.errors import InvalidFile
from raycon.losses import MEASURES, TERMS
from raycon.networks import NETWORKS
from raycon.networks.auxiliary import Auxiliary, Shapes
from raycon.networks.batch_norm import GlobalBatchNorm
from raycon.networks.chunked import InChunks
from raycon.networks.encoders import ImageEncoder, build_encoder
from raycon.networks.heads import build_projection
from raycon.objective import Part, Plan, resolve, select_views
from raycon.signatures import read_signature
from raycon.transforms import TRANSFORMS
from raycon.vocabulary import VOCABULARY


def _projection(trial: Trial, plan: Plan, *, own: bool = False) -> tuple[int, ...]:
    """The widths of a head. Where nothing looks at features it would stay as it was drawn, and workers would wait for
    its gradient: then there is none, and features are the normalised embeddings. `own`: of the head that the features
    of a second backbone do not pass."""
    asked = {name for part in (*plan.providers, *plan.terms) for name in part.inputs.values()}
    if own:
        asked &= {name for part in plan.providers if part.kind == "encoder" for name in part.provides}
    networks = [part for part in plan.providers if part.kind == "network"]
    asked -= {name for part in networks if NETWORKS[part.function].has_own_head for name in part.provides}
    return trial.encoder.projection if any(name.endswith("features") for name in asked) else ()


class Step(nn.Module):
    """views and labels in, the weighted sum of all terms out."""

    def __init__(self, trial: Trial, described: Described):
        super().__init__()
        self.plan: Plan = resolve(trial, described)
        self.precision = trial.training.precision
        self.full = torch.float64 if self.precision == "float64" else torch.float32
        self.layout = torch.channels_last if trial.training.channels_last else torch.contiguous_format
        widths = _projection(trial, self.plan)
        self.encoder, self.head, projection = _backbone(trial, described, _projection(trial, self.plan, own=True))
        shapes = Shapes(
            channels=described.channels,
            size=described.size,
            embedding=self.encoder.width,
            projection=projection,
            classes=described.attributes[trial.data.labels],
            groups=math.prod(described.attributes[name] for name in trial.data.groups),
            encoder=self.encoder,
            head=self.head,
            fresh=lambda: _backbone(trial, described, widths)[:2],
        )
        self.networks = nn.ModuleDict()
        for part in self.plan.providers:
            if part.kind == "network" and part.key not in self.networks:
                self.networks[part.key] = NETWORKS[part.function](shapes, **part.knobs)
        _configure(self, trial)
        self.compared = False
        self.last: Mapping[str, Tensor] = {}

    @property
    def auxiliaries(self) -> dict[str, Auxiliary]:
        """The networks beside the encoder by name, in the order in which they run."""
        return {key: network for key, network in self.networks.items() if isinstance(network, Auxiliary)}

    @property
    def logged(self) -> tuple[str, ...]:
        """What `forward` tells, in order: terms, networks' own losses, measures of terms, measures of images."""
        of_terms = [f"{term.key}_{name}" for term in self.plan.terms for name in MEASURES.get(term.function, {})]
        own = [key for key, network in self.auxiliaries.items() if network.trains_itself]
        return (*(term.key for term in self.plan.terms), *own, *of_terms, *self.plan.measures)

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """images [n, C, H, W] -> embeddings [n, E] and unit features [n, D], both in full precision.

        Training may run in bfloat16; evaluation never does, so that scores do not depend on the training's precision.
        """
        with self._autocast(images.device):
            embeddings = self.encoder(images.contiguous(memory_format=self.layout))
            projected = self.head(embeddings)
        return embeddings.to(self.full), functional.normalize(projected.to(self.full), dim=1)

    def prepare(self, images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """uint8 images [n, C, H, W] as `represent` takes them. mean, std: of the data."""
        return normalise(images, mean, std, self.full)

    def represent(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """As `embed`, with the numbers that networks put beside the embeddings (a second backbone): what is judged."""
        embeddings, features = self.embed(images)
        further = [network.further_embeddings(images) for network in self.auxiliaries.values()]
        return torch.cat([embeddings, *(rows for rows in further if rows is not None)], dim=1), features

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The total, and the values that `logged` names [L], detached; those of terms are without their weights.

        A term of weight zero is computed and stays in the graph: every parameter has a gradient on every worker.
        """
        step = dict(batch)
        for part in self.plan.providers:
            step.update(self._provide(part, step))
        names = self.plan.gathered
        gathered = dict(zip(names, gather_alike([step[name] for name in names]), strict=True))
        values, measured = [], []
        for term in self.plan.terms:
            inputs = self._inputs(term, step | gathered if term.pairwise else step)
            values.append(TERMS[term.function](*inputs, **term.knobs))
            measured += _measure(term, inputs)
        if not self.compared:
            _refuse_unlike(self.plan.terms, values)
            self.compared = True
        total = torch.stack([term.weight * value for term, value in zip(self.plan.terms, values, strict=True)]).sum()
        for network in self.auxiliaries.values():
            if network.trains_itself:
                values.append(network.own_loss(step))
                total = total + values[-1]
        self.last = {name: value.detach() for name, value in step.items()}
        measured += [self.last[name].to(total.dtype).mean() for name in self.plan.measures]
        return total, torch.stack([*values, *measured]).detach()

    @torch.no_grad()
    def after_step(self) -> None:
        """Lets every network follow the encoder that the optimiser has just moved."""
        for network in self.auxiliaries.values():
            network.after_step(self.encoder, self.head, self.last)
        self.last = {}

    def _inputs(self, part: Part, source: Mapping[str, Tensor]) -> list[Tensor]:
        """What a part asks for, in its order: the views that it looks at, the random numbers that are its own."""
        found = {name: select_views(name, source[name], part.views) for name in part.inputs.values()}
        if "draws" in found:
            found["draws"] = found["draws"][:, self.plan.drawing.index(part.key)]
        return [found[name] for name in part.inputs.values()]

    def _provide(self, part: Part, step: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if part.kind == "encoder":
            return self._encode(part, step[part.inputs["images"]])
        inputs = self._inputs(part, step)
        if part.pairwise:
            inputs = [
                rows if VOCABULARY[name].kind == "shared" else gather_rows(rows)
                for name, rows in zip(part.inputs.values(), inputs, strict=True)
            ]
        run = self.networks[part.key] if part.kind == "network" else partial(TRANSFORMS[part.function], **part.knobs)
        with self._autocast(step["views"].device):
            made: dict[str, Tensor] = run(*inputs)
        named = NETWORKS[part.function].provides if part.kind == "network" else part.provides
        found = {name: made[own] for name, own in zip(part.provides, named, strict=True)}
        if part.pairwise:
            found = {name: value.chunk(world_size())[rank()] for name, value in found.items()}
        return {name: value.to(self.full) if value.is_floating_point() else value for name, value in found.items()}

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


def _backbone(trial: Trial, described: Described, widths: tuple[int, ...]) -> tuple[ImageEncoder, nn.Module, int]:
    """An encoder and its head, newly drawn, and the head's width."""
    encoder = build_encoder(trial.encoder, channels=described.channels, size=described.size)
    return encoder, *build_projection(encoder.width, widths)


def _configure(step: Step, trial: Trial) -> None:
    """Tells every layer and network of the step how its images come."""
    for module in step.modules():
        if isinstance(module, GlobalBatchNorm):
            module.scope = trial.training.batch_statistics
        elif isinstance(module, InChunks):
            module.chunk = trial.training.chunk


@torch.no_grad()
def _refuse_unlike(terms: Sequence[Part], values: Sequence[Tensor]) -> None:
    """Raises InvalidFile, on all workers, for a pairwise term whose value is not the same on all of them.

    `gather_alike` is right for what every worker computes alike, and would give a wrong gradient, silently, for the
    rest: above all a term with random numbers of its own. Machines of different kinds may round differently. That the
    gradient is the same where the value is, is not looked at.
    """
    gathered = [(term, value) for term, value in zip(terms, values, strict=True) if term.pairwise]
    if world_size() == 1 or not gathered:
        return
    found = gather_rows(torch.stack([value for _, value in gathered])[None])
    alike = torch.isclose(found, found[:1], rtol=1e-3, atol=1e-6, equal_nan=True).all(0)
    for place, (term, _) in enumerate(gathered):
        if not alike[place]:
            told = ", ".join(f"{value:.6g}" for value in found[:, place].tolist())
            reason = (
                f"{term.function} was given the same images on every worker and made {told} of them: a term that "
                "compares images must have the same value everywhere. Random numbers come from its parameter `draws`, "
                "never from torch.rand, NumPy or random; a network's buffers must be the same on every worker"
            )
            raise InvalidFile(reason, field=f"objective.{term.key}")


@torch.no_grad()
def _measure(term: Part, inputs: list[Tensor]) -> list[Tensor]:
    """What is logged of a term beside its value. A measure is given the term's tensors, and those knobs that it has."""
    return [
        measure(*inputs, **{knob: term.knobs[knob] for knob in read_signature(measure).knobs})
        for measure in MEASURES.get(term.function, {}).values()
    ]
