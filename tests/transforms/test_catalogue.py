"""What every transform keeps to: its names, its randomness, the whole batch, and refusals."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from raycon.signatures import read_signature
from raycon.transforms import PROVIDES, TRANSFORMS
from raycon.vocabulary import VOCABULARY
from raycon.whole_batch import is_whole_batch
from tests.transforms.batches import batch

mixing = pytest.mark.parametrize("name", ["universum", "mixup", "cutmix", "selecmix", "oracle_mix"])


def _run(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return TRANSFORMS[name](*[tensors[asked] for asked in read_signature(TRANSFORMS[name]).names])


def test_catalogue_says_what_is_provided() -> None:
    assert set(TRANSFORMS) == set(PROVIDES)
    for name, function in TRANSFORMS.items():
        assert set(PROVIDES[name]) <= set(VOCABULARY)
        assert "Source: " in (inspect.getdoc(function) or "")


@mixing
def test_results_are_those_that_are_announced_and_keep_the_batch(name: str) -> None:
    tensors = batch()
    made = _run(name, tensors)
    assert set(made) == set(PROVIDES[name])
    assert is_whole_batch(TRANSFORMS[name])
    for key, values in made.items():
        assert values.isfinite().all()
        assert values.shape == (tensors["views"].shape if key.endswith("views") else tensors["labels"].shape)
        assert values.is_floating_point() is not key.endswith("labels")


@mixing
def test_only_the_draws_are_random(name: str) -> None:
    tensors = batch()
    first = _run(name, tensors)
    torch.manual_seed(7)
    again = _run(name, tensors)
    assert all(torch.equal(first[key], again[key]) for key in first)
    other = _run(name, {**tensors, "draws": batch(seed=1)["draws"]})
    assert any(not torch.equal(first[key], other[key]) for key in first if key.endswith("views"))


@mixing
@pytest.mark.parametrize("images", [1, 5])
def test_a_batch_without_partners_is_left_as_it_is(name: str, images: int) -> None:
    """One class for all that look for another; one image for those that take any other."""
    tensors = {key: values[:images] for key, values in batch().items()}
    tensors["labels"] = torch.ones(images, dtype=torch.int64)
    tensors["bias_labels"] = torch.zeros(images, dtype=torch.int64)
    if name in ("mixup", "cutmix") and images > 1:
        return
    if name == "selecmix":
        tensors["draws"][0, 0] = 0.9  # negatives, of which one class has none
    made = _run(name, tensors)
    mixed = next(values for key, values in made.items() if key.endswith("views"))
    torch.testing.assert_close(mixed, tensors["views"])
    if "paired" in made:
        assert made["paired"].sum() == 0
    if "mixed_labels" in made:
        assert torch.equal(made["mixed_labels"], tensors["labels"])
    if name in ("selecmix", "oracle_mix"):
        assert torch.equal(made["mixed_share"], torch.ones_like(made["mixed_share"]))


@mixing
def test_wrong_shapes_are_refused(name: str) -> None:
    tensors = batch()
    with pytest.raises(ValueError, match="must be"):
        _run(name, {**tensors, "views": tensors["views"][:, 0]})
    with pytest.raises(ValueError, match="as many rows"):
        _run(name, {**tensors, "labels": tensors["labels"][:-1]})


@mixing
def test_no_value_is_waited_for(name: str) -> None:
    made = _run(name, {key: values.to("meta") for key, values in batch().items()})
    assert all(values.device.type == "meta" for values in made.values())
