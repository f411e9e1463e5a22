"""The network that offers translated views: images whose bias was changed to that of other labels."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from raycon.config import Augmentation
from raycon.datasets import augment
from raycon.datasets.augmentation import DRAWS as VIEW_DRAWS
from raycon.errors import InvalidFile
from raycon.knobs import Count, Fraction, NonNegative, Positive
from raycon.networks.auxiliary import Auxiliary, Preparation, Shapes
from raycon.networks.translation.cache import translations
from raycon.networks.translation.families import Family
from raycon.networks.translation.training import Recipe
from raycon.vocabulary import DRAWS

MOST_TARGETS = 8
MOST_VIEWS = (DRAWS - MOST_TARGETS) // VIEW_DRAWS
"""An image's random numbers are dealt out: `VIEW_DRAWS` a view, and one a target."""


class Translator(Auxiliary):
    """indices [N], draws [N, R] -> translated_views [N, V, C, H, W]: V translations of each image, to different labels,
    augmented as the views are.

    Before the first epoch a generator G(x, label) is trained on the training images with the label as its domain, by
    StarGAN's losses; every image is translated to `targets` labels, and what came out is kept in a cache (see
    `raycon.networks.translation.cache`), so that all runs on the same images share it. Each step draws V of them.
    V is `training.views`, at most 3. The network has no parameters when the encoder is trained.
    Source of the idea: Jung et al. 2023 (CDvG, arXiv 2112.01021), without public code; the rest is our definition.

    Args:
        family: `gain` changes the colour of the image as a whole and keeps shapes by construction; `pixel` maps every
            pixel by itself; `conv` is a small StarGAN generator, for biases that are no colour, and needs many times
            the iterations and a GPU. All of them change what is easiest to tie to the label: with a weak bias that is
            the content, which the gate is there to notice.
        iterations: of the generator; 200 to 500 for `gain` on small images, 10,000 and more for `conv`.
        batch_size: images an iteration. learning_rate: Adam's. critic_steps: updates of the critic before each
            of the generator. width: channels of generator and critic.
        intensity_weight: of `pixel`'s penalty on changed intensities (absolute differences, each image's largest 1).
        targets: labels that each image is translated to; at most 8, and at most the number of labels.
        keep_original: the last of the V views is the image itself.
        content_gate: share of the content that must be kept, 0 to 1, see `Content.check`; 0 lets everything pass.

    Raises InvalidFile where the gate refuses, or where there are fewer targets than views to be drawn from them.
    """

    provides = ("translated_views",)

    def __init__(
        self,
        shapes: Shapes,
        *,
        family: Family = "gain",
        iterations: Count = 300,
        batch_size: Annotated[int, Ge(2)] = 32,
        learning_rate: Positive = 5e-4,
        critic_steps: Count = 2,
        width: Count = 24,
        intensity_weight: NonNegative = 10.0,
        targets: Count = 4,
        keep_original: bool = False,
        content_gate: Fraction = 0.7,
    ):
        super().__init__()
        self.recipe = Recipe(family, iterations, batch_size, learning_rate, critic_steps, width, intensity_weight)
        self.classes = shapes.classes
        self.targets = min(targets, MOST_TARGETS, shapes.classes)
        self.keep_original, self.content_gate = keep_original, content_gate
        self.augmentation, self.views = Augmentation(), min(2, self.targets)
        self.mean = self.std = (0.5,) * shapes.channels
        # Filled by `prepare`, and made again rather than saved; one black image stands in before.
        blank = torch.zeros(1, self.targets, shapes.channels, shapes.size, shapes.size, dtype=torch.uint8)
        self.register_buffer("translated", blank, persistent=False)
        self.register_buffer("originals", blank[:, 0], persistent=False)
        self.translated: Tensor
        self.originals: Tensor
        self.prepared = False

    def prepare(self, preparation: Preparation) -> None:
        """Trains the generator or reads what it made, once a run."""
        if self.prepared:
            return
        trial, table, device = preparation.trial, preparation.table, self.translated.device
        self._take_views(trial.training.views)
        found = translations(
            table.images[:],
            table.attributes[trial.data.labels],
            self.classes,
            self.recipe,
            targets=self.targets,
            split_seed=trial.seeds.split,
            device=device,
        )
        found.content.check(self.content_gate, self.recipe.family)
        self.translated = found.images.to(device)
        if self.keep_original:
            self.originals = table.images[:].to(device)
        self.augmentation, self.mean, self.std = trial.augmentation, table.mean, table.std
        self.prepared = True

    def _take_views(self, views: int) -> None:
        if views > MOST_VIEWS:
            reason = f"translated views are at most {MOST_VIEWS} an image, and training.views is {views}"
            raise InvalidFile(reason, field="networks.translator")
        if views - self.keep_original > self.targets:
            reason = f"{views} different views cannot be drawn from {self.targets} translations"
            raise InvalidFile(f"{reason} ({self.classes} labels)", field="networks.translator.targets")
        self.views = views

    def forward(self, indices: Tensor, draws: Tensor) -> dict[str, Tensor]:
        # An order of the targets drawn for each image: its first V are V different ones, each as likely as another.
        chosen = draws[:, -MOST_TARGETS:][:, : self.targets].argsort(dim=1)[:, : self.views]
        images = self.translated[indices[:, None], chosen[:, : self.views - self.keep_original]]
        if self.keep_original:
            images = torch.cat([images, self.originals[indices][:, None]], dim=1)
        own = draws[:, : images.shape[1] * VIEW_DRAWS].reshape(-1, 1, VIEW_DRAWS)
        with torch.autocast(images.device.type, enabled=False):
            made = augment(images.flatten(0, 1), own, self.augmentation, self.mean, self.std, dtype=draws.dtype)
        return {"translated_views": made.view(images.shape)}
