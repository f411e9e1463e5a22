"""Corruptions: what each does to known images, that strength grows, and that draws belong to places in the table."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from raycon.datasets import ImageTable
from raycon.datasets import corruptions as made
from raycon.datasets.corruptions import FAMILIES, SEVERITIES, corrupted
from raycon.datasets.jpeg import jpeg_coarsened
from raycon.metric_names import CORRUPTION_FAMILIES


def table(count: int = 40, channels: int = 1, size: int = 28) -> ImageTable:
    """Smooth shapes with edges: discs of random places and radii on a slope."""
    random = torch.Generator().manual_seed(count + channels)
    place, grid = torch.rand(count, 2, 1, 1, generator=random) * size, torch.arange(size)
    distance = torch.hypot(grid[:, None] - place[:, 0], grid - place[:, 1])
    shapes = torch.where(distance < size / 3, 0.85, 0.25) + 0.1 * (grid / size)
    colours = 0.5 + 0.5 * torch.rand(count, channels, 1, 1, generator=random)
    images = (shapes[:, None] * colours * 255).to(torch.uint8)
    return ImageTable(
        images, {"class": torch.arange(count) % 3}, {"class": 3}, {}, (0.5,) * channels, (0.5,) * channels
    )


def drawn() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_names_are_those_of_the_metrics() -> None:
    assert tuple(FAMILIES) == CORRUPTION_FAMILIES and len(FAMILIES) == 15
    assert all(len(strengths) == 5 for _, strengths in FAMILIES.values())


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_a_pure_function_that_grows_in_strength(family: str, channels: int, size: int) -> None:
    clean = table(channels=channels, size=size)
    before = clean.images[:].clone()
    copies = [corrupted(clean, family, severity, seed=3) for severity in SEVERITIES]
    again = corrupted(clean, family, 3, seed=3)
    assert torch.equal(clean.images[:], before) and torch.equal(copies[2].images[:], again.images[:])
    distances = []
    for copy in copies:
        assert copy.images.dtype == torch.uint8 and copy.images.shape == clean.images.shape
        assert copy.attributes is clean.attributes
        distances.append(float((copy.images[:].double() - before).square().mean().sqrt()))
    assert distances[0] > 1 and distances[-1] > 1.3 * distances[0]
    assert all(later > 0.97 * earlier for earlier, later in pairwise(distances))


@pytest.mark.parametrize("family", ["gaussian_noise", "fog", "glass_blur"])
def test_draws_belong_to_the_place_in_the_table_and_to_the_seed(family: str) -> None:
    clean = table(600)
    whole = corrupted(clean, family, 2, seed=3).images[:]
    part = corrupted(clean.rows(torch.arange(500)), family, 2, seed=3).images[:]
    assert torch.equal(whole[:500], part)
    assert not torch.equal(whole, corrupted(clean, family, 2, seed=4).images[:])


def test_unknown_names_and_severities_are_refused() -> None:
    for family, severity in (("gaussian", 1), ("fog", 0), ("fog", 6)):
        with pytest.raises(ValueError, match="no corruption"):
            corrupted(table(2), family, severity, seed=0)


def floats(channels: int = 1) -> Tensor:
    return table(12, channels).images[:].float() / 255


def test_noise_has_the_moments_that_its_strength_says() -> None:
    grey = torch.full((200, 1, 28, 28), 0.4)
    assert float((made.gaussian_noise(grey, 0.1, drawn()) - grey).std()) == pytest.approx(0.1, rel=0.02)
    shots = made.shot_noise(grey, 50.0, drawn())
    assert float(shots.mean()) == pytest.approx(0.4, rel=0.01)
    assert float(shots.var()) == pytest.approx(0.4 / 50, rel=0.03)
    impulses = made.impulse_noise(grey, 0.1, drawn())
    assert float((impulses == 0).double().mean()) == pytest.approx(0.05, rel=0.05)
    assert float((impulses == 1).double().mean()) == pytest.approx(0.05, rel=0.05)
    assert bool(((impulses == 0) | (impulses == 1) | (impulses == grey)).all())


def test_blurs_equal_scipy_and_keep_constant_images() -> None:
    images = floats(3)
    disc = np.array([[0.0, 0.1, 0.0], [0.1, 0.6, 0.1], [0.0, 0.1, 0.0]])
    expected = np.stack([[ndimage.correlate(c, disc, mode="nearest") for c in image] for image in images.numpy()])
    found = made._filter(images, torch.from_numpy(disc).float().expand(len(images), -1, -1))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    soft = made._gaussian_blur(images, 1.5).numpy()
    oracle = [
        [ndimage.gaussian_filter(c, 1.5, mode="nearest", truncate=10 / 3) for c in image] for image in images.numpy()
    ]
    np.testing.assert_allclose(soft, np.array(oracle), atol=1e-4)
    flat = torch.full((4, 1, 28, 28), 0.3)
    still = "defocus_blur glass_blur motion_blur zoom_blur elastic_transform pixelate contrast"
    for family in still.split():
        function, strengths = FAMILIES[family]
        torch.testing.assert_close(function(flat, *strengths[4], drawn()), flat, atol=1e-5, rtol=0)


def test_a_line_at_angle_zero_is_a_mean_over_the_row() -> None:
    kernel = made._lines(3.0, torch.zeros(1))[0]
    assert kernel[2].tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 0]) and float(kernel.sum()) == pytest.approx(1)
    upright = made._lines(3.0, torch.tensor([np.pi / 2]))[0]
    torch.testing.assert_close(upright, kernel.T, atol=1e-6, rtol=0)


def test_brightness_contrast_and_pixelate_are_what_they_say() -> None:
    images = floats()
    torch.testing.assert_close(made.brightness(images, 0.2, drawn()), images + 0.2)
    darker = made.contrast(images, 0.4, drawn())
    assert float(darker[0].std()) == pytest.approx(0.4 * float(images[0].std()), rel=1e-4)
    assert float(darker[0].mean()) == pytest.approx(float(images[0].mean()), rel=1e-4)
    blocks = made.pixelate(images, 0.25, drawn())
    expected = images.unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-1, -2)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(blocks, expected)


def test_fog_and_landscapes_stay_between_zero_and_one() -> None:
    images = floats(3)
    land = made._landscape(images, 0.5, drawn())
    assert torch.equal(land.amin(dim=(1, 2, 3)), torch.zeros(12))
    assert torch.equal(land.amax(dim=(1, 2, 3)), torch.ones(12))
    foggy = made.fog(images, 1.5, 0.5, drawn())
    assert float(foggy.min()) >= 0 and bool((foggy.amax(dim=(1, 2, 3)) <= images.amax(dim=(1, 2, 3)) + 1e-6).all())


@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 32), (3, 28)])
@pytest.mark.parametrize("quality", [10, 30, 50, 90])
def test_jpeg_equals_pillow_but_for_a_few_coefficients(quality: int, channels: int, size: int) -> None:
    """libjpeg computes in whole numbers, so a coefficient half-way between two steps may go the other way."""
    images = table(12, channels, size).images[:]
    found = (jpeg_coarsened(images.float() / 255, quality) * 255).round().numpy()
    oracle = []
    for image in images:
        file = io.BytesIO()
        pixels = image[0].numpy() if channels == 1 else image.movedim(0, 2).numpy()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
        oracle.append(np.asarray(Image.open(file)).astype(float).reshape(size, size, channels).transpose(2, 0, 1))
    differences = np.abs(np.stack(oracle) - found)
    assert (differences <= 2).mean() > 0.95 and differences.mean() < 0.5
    assert np.abs(found - images.numpy()).mean() > 2 * differences.mean()
