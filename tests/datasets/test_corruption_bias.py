from __future__ import annotations

import pytest
import torch

from raycon.config import Bias, Data
from raycon.datasets import describe, load_tables
from raycon.datasets.biased import bias_counts
from raycon.datasets.card import data_card, value_names
from raycon.datasets.corruption_bias import corruption_biased
from raycon.datasets.corruption_names import CUES
from raycon.datasets.corruptions import FAMILIES, corrupted
from raycon.datasets.table import ImageTable
from raycon.errors import InvalidFile
from raycon.metric_names import CORRUPTION_FAMILIES

THREE = ("pixelate", "none", "contrast")


def coloured(labels: list[int], *, size: int = 16) -> ImageTable:
    """Smooth images of three channels."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(len(labels), 3, 3, 3, generator=generator)
    images = torch.nn.functional.interpolate(corners, (size, size), mode="bilinear")
    values = torch.tensor(labels)
    return ImageTable(
        (images * 255).to(torch.uint8), {"class": values}, {"class": 3}, {}, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2)
    )


def test_names_are_those_of_the_families() -> None:
    assert set(CUES) == set(FAMILIES) == set(CORRUPTION_FAMILIES) and len(CUES) == len(FAMILIES)


@pytest.mark.parametrize("rate", [0.0, 0.8, 0.95, 1.0])
def test_each_label_has_its_own_corruption_at_the_rate(rate: float) -> None:
    table = coloured([0] * 40 + [1] * 25 + [2] * 11)
    bias = Bias(place="corruption", rate=rate, families=THREE)
    made = corruption_biased(table, bias, labels="class", seed=3, bound=True)
    for label, images in enumerate((40, 25, 11)):
        own = table.attributes["class"] == label
        aligned, conflicting = bias_counts(images, rate, 2)
        found = torch.bincount(made.attributes["corruption"][own], minlength=3).tolist()
        assert found.pop(label) == aligned and sorted(found) == sorted(conflicting)
    expected = (made.attributes["corruption"] == made.attributes["class"]).long()
    assert torch.equal(made.attributes["aligned"], expected)
    assert made.sizes == {"class": 3, "corruption": 3, "aligned": 2}
    assert (made.mean, made.images.shape, made.images.dtype) == (table.mean, table.images.shape, torch.uint8)


def test_images_have_the_damage_that_the_attribute_says() -> None:
    table = coloured([0, 1, 2] * 20)
    bias = Bias(place="corruption", rate=0.5, families=THREE, severity=5)
    made = corruption_biased(table, bias, labels="class", seed=1, bound=True)
    cues = made.attributes["corruption"]
    for cue, family in enumerate(THREE):
        rows = (cues == cue).nonzero().flatten()
        whole = table.images[rows]
        # Neither pixelate nor contrast draws anything, so an image's damage does not depend on its neighbours.
        wanted = whole if family == "none" else corrupted(table.rows(rows), family, 5, seed=0).images[:]
        assert len(rows) and torch.equal(made.images[rows], wanted)
        assert (family == "none") == torch.equal(wanted, whole)
    assert torch.equal(table.images[:], coloured([0, 1, 2] * 20).images[:]), "the table itself is not written to"


def test_draws_follow_the_seed_and_judged_images_are_unbiased() -> None:
    table = coloured([0] * 30 + [1] * 31 + [2] * 29)
    bias = Bias(place="corruption", families=("gaussian_noise", "snow", "fog"))
    first, again, other = (corruption_biased(table, bias, labels="class", seed=seed, bound=False) for seed in (1, 1, 2))
    assert torch.equal(first.images[:], again.images[:]) and not torch.equal(first.images[:], other.images[:])
    for label in range(3):
        counts = torch.bincount(first.attributes["corruption"][table.attributes["class"] == label], minlength=3)
        assert int(counts.max() - counts.min()) <= 1


def test_it_is_configured_as_colours_are() -> None:
    data = Data(
        coarse="low_high",
        labels="coarse",
        bias=Bias(place="corruption", rate=0.9),
        reveal=("bias_labels",),
        groups=("coarse", "corruption"),
    )
    described = describe(data)
    assert (described.channels, described.attributes["corruption"], described.revealed) == (1, 2, ("bias_labels",))
    tables = load_tables(data, split_seed=0, splits=("train", "test"))
    aligned = tables["train"].attributes["aligned"].double().mean()
    assert abs(float(aligned) - 0.9) < 0.01
    assert abs(float(tables["test"].attributes["aligned"].double().mean()) - 0.5) < 0.01
    assert value_names(data)["corruption"] == ("snow", "frost")
    assert next(iter(data_card(data, split_seed=0).counts["train"]["coarse x corruption"])) == "below five + snow"


@pytest.mark.parametrize(
    ("bias", "field", "words"),
    [
        (Bias(place="corruption", families=("snow", "forg")), "data.bias.families", "did you mean"),
        (Bias(place="corruption", families=("snow", "snow")), "data.bias.families", "twice"),
        (Bias(place="corruption", families=("snow", "fog")), "data.bias", "10 values, but there are only 2"),
        (Bias(place="corruption", binary=True), "data.bias.binary", "belongs to colours"),
        (Bias(place="corruption", noise=0.1), "data.bias.noise", "belongs to colours"),
        (Bias(families=("snow",)), "data.bias.families", "place: corruption"),
    ],
)
def test_what_does_not_go_together_is_said(bias: Bias, field: str, words: str) -> None:
    with pytest.raises(InvalidFile, match=words) as caught:
        describe(Data(bias=bias))
    assert caught.value.field == field


def test_a_set_with_a_cue_of_that_name_is_refused() -> None:
    data = Data(dataset="corrupted_cifar10_1pct", bias=Bias(place="corruption"))
    with pytest.raises(InvalidFile, match="has an attribute 'corruption' of its own"):
        describe(data)
