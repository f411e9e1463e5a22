"""Every entry of the catalogue is what a configuration file can rely on: a new term is tested by being listed."""

from __future__ import annotations

import doctest
import importlib
import inspect
import itertools
import sys
import typing

import pytest
import torch

from raycon import losses
from raycon.losses import TERMS
from raycon.vocabulary import VOCABULARY, Kind
from tests.losses.catalogue import (
    Knobs,
    all_settings,
    default_settings,
    differentiable,
    inputs,
    knob_defaults,
    label,
    oracle,
    tensor_names,
    value_and_gradients,
)

every_term = pytest.mark.parametrize("name", TERMS)
every_setting = pytest.mark.parametrize(("name", "knobs"), all_settings(), ids=label)
every_default = pytest.mark.parametrize(("name", "knobs"), default_settings(), ids=label)


def test_vocabulary_is_consistent() -> None:
    for key, entry in VOCABULARY.items():
        assert key == entry.name and entry.meaning
        assert entry.kind in typing.get_args(Kind)
        assert (entry.shape[0] == "N") == (entry.kind != "shared")
        assert len(entry.shape) == 1 or entry.kind not in ("label", "measure")


@every_term
def test_names_come_from_the_vocabulary(name: str) -> None:
    assert tensor_names(TERMS[name])
    assert set(tensor_names(TERMS[name])) <= set(VOCABULARY)
    assert TERMS[name].__name__ == name
    assert getattr(losses, name) is TERMS[name]


@every_term
def test_knobs_are_keyword_only_typed_and_have_defaults(name: str) -> None:
    hints = typing.get_type_hints(TERMS[name], include_extras=True)
    parameters = inspect.signature(TERMS[name]).parameters
    for parameter in parameters.values():
        assert parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        assert parameter.name in hints
        assert (parameter.default is inspect.Parameter.empty) == (parameter.kind is not parameter.KEYWORD_ONLY)
    assert hints["return"] is torch.Tensor


@every_term
def test_documentation(name: str) -> None:
    text = inspect.getdoc(TERMS[name]) or ""
    assert "Source: " in text and "Degenerate" in text
    for knob in knob_defaults(TERMS[name]):
        assert knob in text, f"{knob} is not explained"


@pytest.mark.parametrize("module", sorted(m for m in sys.modules if m.startswith("raycon.losses.")))
def test_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@every_term
def test_oracle_takes_the_same_arguments(name: str) -> None:
    function = getattr(importlib.import_module(f"tests.oracles.{name}"), name)
    assert list(inspect.signature(function).parameters) == list(inspect.signature(TERMS[name]).parameters)


@every_term
def test_nonsense_knobs_are_refused(name: str) -> None:
    hints = typing.get_type_hints(TERMS[name])
    for knob in knob_defaults(TERMS[name]):
        nonsense: list[object] = []
        if typing.get_origin(hints[knob]) is typing.Literal:
            nonsense = ["sideways"]
            words = ", ".join(typing.get_args(hints[knob]))
        elif knob in ("temperature", "base_temperature"):
            nonsense, words = [0.0, -0.1, float("nan")], "above 0"
        for value in nonsense:
            with pytest.raises(ValueError, match=f"^{knob} must be .*{words}, got"):
                TERMS[name](**inputs(name), **{knob: value})


@every_setting
def test_equals_its_oracle(name: str, knobs: Knobs) -> None:
    tensors = inputs(name)
    expected = oracle(name, tensors, knobs)
    assert TERMS[name](**tensors, **knobs).item() == pytest.approx(expected, rel=1e-10, abs=1e-10)
    single = TERMS[name](**inputs(name, dtype=torch.float32), **knobs)
    assert single.dtype == torch.float32 and single.shape == ()
    assert single.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


@every_default
def test_equals_its_oracle_with_three_views(name: str, knobs: Knobs) -> None:
    tensors = inputs(name, views=3)
    assert TERMS[name](**tensors, **knobs).item() == pytest.approx(oracle(name, tensors, knobs), rel=1e-10, abs=1e-10)


@every_setting
def test_gradient_is_the_derivative(name: str, knobs: Knobs) -> None:
    if knobs.get("floor"):
        knobs = {**knobs, "floor": 0.0}  # its shift carries no gradient by definition; see test_epsilon_supinfonce
    if knobs.get("weight_gradient"):
        knobs = {**knobs, "weight_gradient": "flow"}  # the other is not the derivative; see test_decoupled
    tensors = inputs(name, labels=(0, 0, 1, 1, 2))
    free = differentiable(tensors)
    fixed = {key: t for key, t in tensors.items() if key not in free}

    def loss(*values: torch.Tensor) -> torch.Tensor:
        return TERMS[name](**dict(zip(free, values, strict=True)), **fixed, **knobs)

    # The whole Jacobian for a term's defaults; a random projection of it, many times cheaper, for the other settings.
    fast = knobs != knob_defaults(TERMS[name])
    assert torch.autograd.gradcheck(loss, [t.requires_grad_() for t in free.values()], fast_mode=fast)


@every_default
def test_order_of_the_batch_does_not_matter(name: str, knobs: Knobs) -> None:
    tensors = inputs(name)
    order = torch.tensor([4, 2, 6, 0, 5, 1, 3])
    shuffled = {key: t if VOCABULARY[key].kind == "shared" else t[order] for key, t in tensors.items()}
    torch.testing.assert_close(TERMS[name](**shuffled, **knobs), TERMS[name](**tensors, **knobs))


@every_default
def test_rotation_of_feature_space_does_not_matter(name: str, knobs: Knobs) -> None:
    tensors = inputs(name)
    unit = [key for key in tensors if VOCABULARY[key].unit]
    if not unit:
        assert not any(VOCABULARY[key].kind == "pairwise" for key in tensors)
        return
    size = tensors[unit[0]].shape[-1]
    rotation = torch.linalg.qr(torch.randn(size, size, generator=torch.Generator().manual_seed(1)).double())[0]
    rotated = {key: tensor @ rotation if key in unit else tensor for key, tensor in tensors.items()}
    torch.testing.assert_close(TERMS[name](**rotated, **knobs), TERMS[name](**tensors, **knobs))


def _one_sided(name: str, knobs: Knobs) -> bool:
    """Does the setting treat the views differently on purpose?"""
    one_sided = knobs.get("contrast") in ("first_view", "cross_view_one_way") or knobs.get("symmetric") is False
    return one_sided or name == "spread_reference" or knobs.get("variant") == "reference"


@every_default
def test_swapping_the_views(name: str, knobs: Knobs) -> None:
    tensors = inputs(name)
    swapped = {key: t.flip(1) if "V" in VOCABULARY[key].shape else t for key, t in tensors.items()}
    same = torch.isclose(TERMS[name](**swapped, **knobs), TERMS[name](**tensors, **knobs), rtol=1e-10, atol=1e-12)
    assert bool(same) is not _one_sided(name, knobs)


POOR = {
    "one image of a class": (0, 0, 0, 1),
    "one class": (0, 0, 0, 0),
    "all classes of one image": (0, 1, 2, 3),
    "batch of one": (2,),
}


@every_default
@pytest.mark.parametrize("views", [1, 2])
def test_poor_batches(name: str, knobs: Knobs, views: int) -> None:
    """Finite, with finite gradients and the oracle's value; or a term that needs two views says so."""
    conflicts = [(0, 0, 0, 0), (0, 1, 0, 1)] if "bias_labels" in tensor_names(TERMS[name]) else [(0, 0, 0, 0)]
    for (case, labels), bias_labels in itertools.product(POOR.items(), conflicts):
        tensors = inputs(name, views=views, labels=labels, bias_labels=bias_labels)
        try:
            loss, gradients = value_and_gradients(name, tensors, knobs)
        except ValueError as error:
            assert views == 1 and "at least 2" in str(error), case
            continue
        assert loss.isfinite() and all(gradient.isfinite().all() for gradient in gradients), case
        assert loss.item() == pytest.approx(oracle(name, tensors, knobs), rel=1e-10, abs=1e-10), case


@every_default
def test_small_temperature_in_float32(name: str, knobs: Knobs) -> None:
    """Rows rounded to bfloat16, as under autocast, are not quite of unit length: logits may exceed 1 / temperature."""
    sharp = {**knobs, "temperature": 0.01} if "temperature" in knobs else knobs
    tensors = inputs(name, dtype=torch.float32)
    random = {key: t.bfloat16().float() for key, t in tensors.items() if VOCABULARY[key].kind == "pairwise"}
    alike = {key: t[:1, :1].expand_as(t) for key, t in random.items()}
    for rows in (random, alike):
        loss, gradients = value_and_gradients(name, {**tensors, **rows}, sharp)
        assert loss.isfinite() and all(gradient.isfinite().all() for gradient in gradients)


@every_default
def test_never_waits_for_the_device(name: str, knobs: Knobs) -> None:
    """Tensors on the meta device have no values, so whatever reads one (`.item()`, `if tensor`) raises."""
    tensors = {key: tensor.to("meta") for key, tensor in inputs(name).items()}
    loss = TERMS[name](**tensors, **knobs)
    assert loss.device.type == "meta" and loss.shape == ()


@every_term
def test_wrong_shapes_are_refused(name: str) -> None:
    for tensor in inputs(name):
        length = VOCABULARY[tensor].shape[0]
        broken = inputs(name)
        broken[tensor] = broken[tensor][:-1]
        others = [key for key in broken if key != tensor]
        if any(length in VOCABULARY[key].shape for key in others):  # else any length will do, as for a queue
            with pytest.raises(ValueError, match=r"must be|is not of"):
                TERMS[name](**broken)
    empty = {key: t if VOCABULARY[key].kind == "shared" else t[:0] for key, t in inputs(name).items()}
    with pytest.raises(ValueError, match=r"empty|must be|is not of"):
        TERMS[name](**empty)
