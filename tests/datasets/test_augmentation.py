from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from raycon.config import Augmentation
from raycon.datasets.augmentation import DRAWS, augment, check_augmentation, epoch_draws, normalise
from raycon.errors import InvalidFile

ALL = Augmentation(scale=(0.7, 1.0), flip=0.5, shift=0.1, contrast=(0.6, 1.4), brightness=0.1)
MEAN, STD = (0.3, 0.4, 0.5), (0.2, 0.25, 0.3)
CENTRE = 0.5


def pictures(count: int, *, channels: int = 3, height: int = 8, width: int = 8) -> Tensor:
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def chosen(**values: float) -> Tensor:
    """Draws of one view of one image: CENTRE but where a part is named."""
    order = ("scale", "place_x", "place_y", "flip", "shift_x", "shift_y", "contrast", "brightness")
    return torch.tensor([[[values.get(name, CENTRE) for name in order]]])


def plain(images: Tensor, draws: Tensor, augmentation: Augmentation) -> Tensor:
    """Views in units of [0, 1], float64."""
    channels = images.shape[1]
    return augment(images, draws, augmentation, (0.0,) * channels, (1.0,) * channels, dtype=torch.float64)


def test_draws_depend_on_seed_and_position_alone() -> None:
    first = epoch_draws(1000, 2, seed=5)
    assert first.shape == (1000, 2, DRAWS)
    assert first.dtype == torch.float32
    assert torch.equal(first[:37], epoch_draws(37, 2, seed=5))
    assert torch.equal(first[:1], epoch_draws(1, 2, seed=5))
    assert not torch.equal(first, epoch_draws(1000, 2, seed=6))
    assert 0 <= float(first.min()) <= float(first.max()) < 1
    assert len(set(first.flatten().tolist())) > 15_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_part_off_gives_the_normalised_image(dtype: torch.dtype) -> None:
    images = pictures(5)
    views = augment(images, epoch_draws(5, 3, seed=0), Augmentation(), MEAN, STD, dtype=dtype)
    assert views.shape == (5, 3, 3, 8, 8)
    assert views.dtype == dtype
    assert views.is_contiguous()
    for view in views.unbind(1):
        assert torch.equal(view, normalise(images, MEAN, STD, dtype))


def test_normalise_is_the_formula_per_channel() -> None:
    images = pictures(2)
    for channel in range(3):
        expected = (images[:, channel].double() / 255 - MEAN[channel]) / STD[channel]
        assert torch.allclose(normalise(images, MEAN, STD, torch.float64)[:, channel], expected, rtol=1e-14, atol=0)
    one = normalise(images[:, :1], (0.3,), (0.2,), torch.float64)
    assert torch.allclose(one, (images[:, :1].double() / 255 - 0.3) / 0.2, rtol=1e-14, atol=0)


@pytest.mark.parametrize("augmentation", [ALL, Augmentation(flip=0.5, brightness=0.2), Augmentation(scale=(0.5, 2.0))])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_alone_equals_the_row_in_its_batch(augmentation: Augmentation, channels: int) -> None:
    """Bit for bit on the CPU."""
    images, draws = pictures(19, channels=channels, height=12, width=10), epoch_draws(19, 2, seed=3)
    mean, std = MEAN[:channels], STD[:channels]
    order = torch.randperm(19, generator=torch.Generator().manual_seed(1))
    for dtype in (torch.float32, torch.float64):
        together = augment(images, draws, augmentation, mean, std, dtype=dtype)
        shuffled = augment(images[order], draws[order], augmentation, mean, std, dtype=dtype)
        assert torch.equal(shuffled, together[order])
        for row in range(19):
            alone = augment(images[row : row + 1], draws[row : row + 1], augmentation, mean, std, dtype=dtype)
            assert torch.equal(alone[0], together[row])


def test_a_large_image_alone_equals_itself_in_a_batch_with_several_threads() -> None:
    images, draws = pictures(3, height=224, width=224), epoch_draws(3, 2, seed=3)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = augment(images, draws, ALL, MEAN, STD)
        alone = [augment(images[row : row + 1], draws[row : row + 1], ALL, MEAN, STD)[0] for row in range(3)]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.stack(alone), together)


def test_float32_is_near_float64() -> None:
    images, draws = pictures(16), epoch_draws(16, 2, seed=3)
    single = augment(images, draws, ALL, MEAN, STD)
    double = augment(images, draws, ALL, MEAN, STD, dtype=torch.float64)
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    assert float((single - double).abs().max()) < 2e-4


def test_views_differ_and_images_differ() -> None:
    images = pictures(1).expand(4, -1, -1, -1)
    views = augment(images, epoch_draws(4, 2, seed=0), ALL, MEAN, STD).flatten(0, 1)
    assert len({tuple(view.flatten().tolist()) for view in views}) == 8


def test_flip_mirrors_exactly_with_its_probability() -> None:
    images, draws = pictures(2000, channels=1, height=2, width=5), epoch_draws(2000, 1, seed=0)
    views = plain(images, draws, Augmentation(flip=0.3))[:, 0]
    mirrored = (views == images.flip(-1).double() / 255).flatten(1).all(1)
    same = (views == images.double() / 255).flatten(1).all(1)
    assert bool((mirrored | same).all())
    assert abs(float(mirrored.double().mean()) - 0.3) < 0.03


def test_a_flip_inside_the_resampling_mirrors_too() -> None:
    images = pictures(1)
    augmentation = Augmentation(flip=0.5, shift=0.25)
    straight, mirrored = (plain(images, chosen(flip=value), augmentation)[0, 0] for value in (0.9, 0.1))
    assert torch.allclose(straight, images[0].double() / 255, atol=1e-12)
    assert torch.allclose(mirrored, images[0].flip(-1).double() / 255, atol=1e-12)


def test_shift_moves_the_content_and_continues_by_reflection() -> None:
    images = pictures(1)
    source = images[0].double() / 255
    right = plain(images, chosen(shift_x=1.0), Augmentation(shift=0.25))[0, 0]
    assert torch.allclose(right[..., 2:], source[..., :-2], atol=1e-12)
    assert torch.allclose(right[..., :2], source[..., :2].flip(-1), atol=1e-12)
    up = plain(images, chosen(shift_y=0.0), Augmentation(shift=0.25))[0, 0]
    assert torch.allclose(up[:, :-2], source[:, 2:], atol=1e-12)
    assert torch.allclose(up[:, -2:], source[:, -2:].flip(-2), atol=1e-12)


def test_a_crop_of_a_quarter_of_the_area_shows_half_the_width_where_it_was_placed() -> None:
    """On a ramp, bilinear resampling is exact away from the edges."""
    ramp = torch.arange(0, 240, 15, dtype=torch.uint8).expand(1, 1, 16, 16).contiguous()
    augmentation = Augmentation(scale=(0.25, 0.25))
    step = 15 / 255
    for place, first in ((0.5, 3.75), (1.0, 7.75)):
        view = plain(ramp, chosen(place_x=place), augmentation)[0, 0, 0, 0]
        expected = step * (first + 0.5 * torch.arange(16, dtype=torch.float64))
        inside = expected <= 15 * step
        assert torch.allclose(view[inside], expected[inside], atol=1e-12)
        down = plain(ramp.transpose(2, 3), chosen(place_y=place), augmentation)[0, 0, 0, :, 0]
        assert torch.allclose(down[inside], expected[inside], atol=1e-12)


def test_crops_keep_inside_the_image_and_their_area_is_uniform() -> None:
    ramp = torch.arange(0, 256, 4, dtype=torch.uint8).expand(2000, 1, 64, 64).contiguous()
    views = plain(ramp, epoch_draws(2000, 1, seed=0), Augmentation(scale=(0.4, 1.0)))[:, 0, 0, 0]
    assert 0 <= float(views.min()) <= float(views.max()) <= 252 / 255 + 1e-12
    side = (views[:, 40] - views[:, 20]) / (20 * 4 / 255)
    area = side.square()
    assert 0.399 < float(area.min()) < 0.42 < 0.98 < float(area.max()) < 1.001
    assert abs(float(area.mean()) - 0.7) < 0.015


def test_contrast_scales_distances_to_the_mean_of_the_view() -> None:
    images = pictures(1)
    source = images[0].double() / 255
    for draw, factor in ((0.0, 0.6), (0.25, 0.8), (0.75, 1.2)):
        view = plain(images, chosen(contrast=draw), Augmentation(contrast=(0.6, 1.4)))[0, 0]
        assert torch.allclose(view, source.mean() + factor * (source - source.mean()), atol=1e-7)


def test_brightness_is_a_normal_offset_of_the_whole_view() -> None:
    images, draws = pictures(4000, height=2, width=2), epoch_draws(4000, 1, seed=0)
    offsets = plain(images, draws, Augmentation(brightness=0.1))[:, 0] - images.double() / 255
    offsets = offsets.flatten(1)
    assert float((offsets - offsets[:, :1]).abs().max()) < 1e-12
    assert abs(float(offsets.mean())) < 0.006
    assert abs(float(offsets[:, 0].std()) - 0.1) < 0.005
    one = plain(images[:1], chosen(brightness=0.8413447), Augmentation(brightness=0.1))[0, 0] - images[0].double() / 255
    assert math.isclose(float(one.mean()), 0.1, abs_tol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_the_draws_are_finite(dtype: torch.dtype) -> None:
    images = pictures(2)
    draws = torch.stack([torch.zeros(1, DRAWS), torch.full((1, DRAWS), 1 - 2.0**-24)])
    assert bool(augment(images, draws, ALL, MEAN, STD, dtype=dtype).isfinite().all())


def test_switching_a_part_off_leaves_the_draws_of_the_others() -> None:
    images, draws = pictures(6), epoch_draws(6, 2, seed=2)
    both = plain(images, draws, Augmentation(shift=0.2, brightness=0.1))
    moved = plain(images, draws, Augmentation(shift=0.2))
    difference = (both - moved).flatten(2)
    offsets = plain(images, draws, Augmentation(brightness=0.1)) - images.double().unsqueeze(1) / 255
    assert torch.allclose(difference, offsets.flatten(2), atol=1e-12)


def test_misfits_and_empty_ranges_are_refused() -> None:
    images = pictures(3)
    with pytest.raises(ValueError, match="do not fit"):
        augment(images, epoch_draws(4, 2, seed=0), ALL, MEAN, STD)
    for name, value in (("scale", Augmentation(scale=(1.0, 0.5))), ("contrast", Augmentation(contrast=(1.0, 0.5)))):
        with pytest.raises(InvalidFile) as caught:
            check_augmentation(value)
        assert caught.value.field == f"augmentation.{name}"


def test_nothing_waits_for_the_device() -> None:
    """Fake tensors carry no values: whatever would copy one back to the host raises here."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        images = torch.empty(4, 3, 8, 8, dtype=torch.uint8, device="cuda")
        draws = torch.empty(4, 2, DRAWS, device="cuda")
        for augmentation in (ALL, Augmentation(), Augmentation(flip=0.5)):
            views = augment(images, draws, augmentation, MEAN, STD)
            assert views.shape == (4, 2, 3, 8, 8)
            assert views.device.type == "cuda"


def test_the_last_views_are_local_crops_and_the_others_stay_as_they_were() -> None:
    images, draws = pictures(6), epoch_draws(6, 4, seed=2)
    for rest in ({}, {"scale": (0.7, 1.0), "flip": 0.5, "contrast": (0.6, 1.4)}):
        whole = Augmentation(**rest)  # type: ignore[arg-type]
        local = Augmentation(**rest, local_views=2, local_scale=(0.1, 0.3))  # type: ignore[arg-type]
        small = Augmentation(**(rest | {"scale": (0.1, 0.3)}))  # type: ignore[arg-type]
        views = plain(images, draws, local)
        assert torch.allclose(views[:, :2], plain(images, draws, whole)[:, :2], rtol=0, atol=1e-12)
        assert torch.equal(views[:, 2:], plain(images, draws, small)[:, 2:])


def test_weak_views_keep_their_grey_values_and_are_cropped_all_the_same() -> None:
    images, draws = pictures(6), epoch_draws(6, 3, seed=2)
    geometry = {"scale": (0.5, 1.0), "flip": 0.5, "shift": 0.1}
    strong = Augmentation(**geometry, contrast=(0.5, 1.5), brightness=0.2)  # type: ignore[arg-type]
    weak = Augmentation(**geometry, contrast=(0.5, 1.5), brightness=0.2, weak_views=(0, 2))  # type: ignore[arg-type]
    views = plain(images, draws, weak)
    assert torch.equal(views[:, [0, 2]], plain(images, draws, Augmentation(**geometry))[:, [0, 2]])  # type: ignore[arg-type]
    assert torch.equal(views[:, 1], plain(images, draws, strong)[:, 1])
    lone = plain(images, draws, Augmentation(contrast=(0.5, 1.5), weak_views=(0,)))
    assert torch.equal(lone[:, 0], images.double() / 255)
    assert not torch.allclose(lone[:, 1], images.double() / 255)


@pytest.mark.parametrize(
    ("augmentation", "field"),
    [
        (Augmentation(local_views=2), "local_views"),
        (Augmentation(local_views=1, local_scale=(0.5, 0.2)), "local_scale"),
        (Augmentation(weak_views=(2,)), "weak_views"),
    ],
)
def test_local_and_weak_views_must_be_among_the_views(augmentation: Augmentation, field: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        check_augmentation(augmentation, 2)
    assert caught.value.field == f"augmentation.{field}"
    check_augmentation(Augmentation(local_views=1, weak_views=(1,)), 2)
