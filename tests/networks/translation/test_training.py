"""A trained translator moves the bias, does the same again, and leaves the process's random numbers alone."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.nn import functional

from raycon.config import Bias, Data
from raycon.datasets import load_tables
from raycon.datasets.biased import FOREGROUND_COLOURS
from raycon.networks.translation.cache import make_translations
from raycon.networks.translation.families import intensity, normalised_intensity
from raycon.networks.translation.training import Recipe, Trainer
from tests.networks.translation.pictures import CLASSES, colour_of, pictures, recipe


def test_gain_moves_the_colour_to_that_of_the_target() -> None:
    images, labels, colours = pictures()
    generator = Trainer(images, labels, CLASSES, recipe(iterations=80, learning_rate=4e-3), seed=0).train()
    targets = (labels + 1) % CLASSES
    made = generator(images.float() / 255, targets)
    assert torch.equal(colour_of(images.float() / 255), colours)
    moved = (colour_of(made) == targets).float().mean()
    assert moved > 0.6
    assert not any(parameter.requires_grad for parameter in generator.parameters())


@pytest.mark.parametrize("family", ["gain", "pixel", "conv"])
def test_the_same_seed_gives_the_same_translator(family: str) -> None:
    images, labels, _ = pictures(40)
    short = recipe(family=family, iterations=2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = Trainer(images, labels, CLASSES, short, seed=5).train()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = Trainer(images, labels, CLASSES, short, seed=5).train()
    other = Trainer(images, labels, CLASSES, short, seed=6).train()
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize(("family", "penalised"), [("gain", False), ("pixel", True), ("conv", False)])
def test_changed_intensities_cost_under_pixel_alone(family: str, penalised: bool) -> None:
    images, labels, _ = pictures(16)
    pixels, targets = images.float() / 255, (labels + 1) % CLASSES
    recipes = [recipe(family=family, intensity_weight=weight) for weight in (0.0, 8.0)]
    free, bound = (Trainer(images, labels, CLASSES, chosen, seed=0) for chosen in recipes)
    made = free.generator(pixels, targets)
    moved = functional.l1_loss(normalised_intensity(made), normalised_intensity(pixels))
    assert moved > (0.005 if penalised else -1)
    costs = [trainer._generator_loss(pixels, labels, targets) for trainer in (free, bound)]
    torch.testing.assert_close(costs[1] - costs[0], 8.0 * moved if penalised else torch.tensor(0.0))


def test_an_untrained_pixel_translator_leaves_images_about_as_they_are() -> None:
    images, labels, _ = pictures(16)
    untrained = Trainer(images, labels, CLASSES, recipe(family="pixel"), seed=0).generator
    made = untrained(images.float() / 255, labels)
    assert (made - images.float() / 255).abs().mean() < 0.1


def test_long_work_tells_how_far_it_is(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raycon.networks.translation.training.SECONDS_BETWEEN_LINES", 0.0)
    images, labels, _ = pictures(20)
    with caplog.at_level(logging.WARNING, logger="raycon"):
        Trainer(images, labels, CLASSES, recipe(iterations=2), seed=0).train()
    assert "iteration 2 of 2" in caplog.text and "s left" in caplog.text


def test_tiny_images_are_refused() -> None:
    images, labels, _ = pictures(20)
    with pytest.raises(ValueError, match="at least 8 pixels"):
        Trainer(images[..., :4, :4], labels, CLASSES, recipe(), seed=0)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_gain_moves_colours_of_fashion_mnist_and_keeps_the_content() -> None:
    """Bias labels serve here to read what was moved; the translator never sees them."""
    bias = Bias(rate=0.98, place="foreground", noise=0.02)
    table = load_tables(
        Data(dataset="fashion_mnist", labels="class", bias=bias, train_size=4000, validation_size=100), split_seed=0
    )["train"]
    labels = table.attributes["class"]
    assert isinstance(table.images, torch.Tensor)
    chosen = Recipe("gain", 220, 32, 1e-3, 2, 12, 10.0)
    found = make_translations(table.images, labels, 10, chosen, 2, 0)
    other = found.targets[:, 0] != labels
    made = found.images[:, 0][other].float() / 255
    read = made.sum(dim=(2, 3)) / intensity(made).sum(dim=(1, 2, 3))[:, None].clamp(min=1e-6)
    means = torch.tensor(FOREGROUND_COLOURS)
    nearest = torch.cdist(read, means / means.amax(dim=1, keepdim=True)).argmin(dim=1)
    moved = (nearest == found.targets[:, 0][other]).float().mean()
    stayed = (nearest == table.attributes["colour"][other]).float().mean()
    assert moved >= 0.4 and stayed <= 0.3
    assert found.content.edges > 0.95 and found.content.agreement > 0.95 and found.content.probe > 0.6
