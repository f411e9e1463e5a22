"""What the catalogue's tests are made from: a term's tensors, knobs and small inputs, all read from its signature."""

from __future__ import annotations

import importlib
import inspect
import itertools
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from raycon.losses import TERMS
from raycon.vocabulary import DRAWS, VOCABULARY

Inputs = dict[str, Any]  # tensors; Any lets them be spread over a term's positional arguments
Knobs = dict[str, Any]

SIZES = {"C": 2, "H": 2, "W": 3, "E": 5, "D": 4, "K": 4, "Q": 6, "P": 3, "G": 2, "S": 6, "R": DRAWS}
LABELS = (0, 0, 1, 1, 2, 0, 1)
BIAS_LABELS = (0, 1, 1, 0, 0, 0, 1)
LABEL_LIKE: dict[str, Sequence[int]] = {"indices": range(9), "mixed_labels": (1, 0, 0, 2, 2, 1, 3)}
SHARES = ("class_frequencies", "group_weights")
UNIFORM = ("draws", "mixed_share", "sample_weights")
VARIED = 0.3  # inside the bounds of every kind of knob


def tensor_names(term: Callable[..., Tensor]) -> list[str]:
    parameters = inspect.signature(term).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]


def knob_defaults(term: Callable[..., Tensor]) -> Knobs:
    parameters = inspect.signature(term).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def settings(term: Callable[..., Tensor], *, varied: bool) -> Iterator[Knobs]:
    """All combinations of the knobs with options; the other knobs at their defaults, or all of them elsewhere."""
    hints = typing.get_type_hints(term)
    ranges = []
    for knob, default in knob_defaults(term).items():
        kind = hints[knob]
        if typing.get_origin(kind) is Literal:
            ranges.append(list(typing.get_args(kind)))
        elif kind is bool:
            ranges.append([False, True])
        elif varied:
            ranges.append([3 if int in (kind, *typing.get_args(kind)) else VARIED])
        else:
            ranges.append([default])
    for values in itertools.product(*ranges):
        yield dict(zip(knob_defaults(term), values, strict=True))


def all_settings() -> list[tuple[str, Knobs]]:
    """(term, knobs) for every term, with defaults and with other values of the numeric knobs."""
    cases: list[tuple[str, Knobs]] = []
    for name, term in TERMS.items():
        for knobs in [*settings(term, varied=False), *settings(term, varied=True)]:
            if (name, knobs) not in cases:
                cases.append((name, knobs))
    return cases


def default_settings() -> list[tuple[str, Knobs]]:
    return [(name, knobs) for name, term in TERMS.items() for knobs in settings(term, varied=False)]


def label(value: Any) -> str:
    """A readable test id of a term's name or of its knobs."""
    if isinstance(value, dict):
        return ",".join(str(part) for part in value.values())
    return str(value)


def inputs(
    name: str,
    *,
    views: int = 2,
    dtype: torch.dtype = torch.float64,
    labels: Sequence[int] = LABELS,
    bias_labels: Sequence[int] = BIAS_LABELS,
) -> Inputs:
    """Random tensors of the shapes in the vocabulary; pairwise ones with unit rows."""
    generator = torch.Generator().manual_seed(20)
    made: Inputs = {}
    for tensor in tensor_names(TERMS[name]):
        entry = VOCABULARY[tensor]
        sizes = {**SIZES, "N": len(labels), "V": views}
        shape = [sizes[letter] for letter in entry.shape]
        if entry.kind == "label":
            made[tensor] = torch.tensor({"labels": labels, **LABEL_LIKE}.get(tensor, bias_labels)[: len(labels)])
            continue
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        if tensor in SHARES:
            values = values.softmax(0)
        elif tensor in UNIFORM:
            values = values.sigmoid()
        made[tensor] = (functional.normalize(values, dim=-1) if entry.unit else values).to(dtype)
    return made


def differentiable(tensors: Inputs) -> Inputs:
    """What a loss has a gradient by: all that is not whole numbers or random ones."""
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and name != "draws"}


def oracle(name: str, tensors: Inputs, knobs: Knobs) -> float:
    """The term's oracle in tests/oracles, called with lists."""
    function = getattr(importlib.import_module(f"tests.oracles.{name}"), name)
    lists = {key: (t.double() if t.is_floating_point() else t).tolist() for key, t in tensors.items()}
    return float(function(**lists, **knobs))


def value_and_gradients(name: str, tensors: Inputs, knobs: Knobs) -> tuple[Tensor, list[Tensor]]:
    """The loss, and its gradient by every input that has one."""
    free = {key: t.clone().requires_grad_() for key, t in differentiable(tensors).items()}
    loss = TERMS[name](**{**tensors, **free}, **knobs)
    return loss.detach(), list(torch.autograd.grad(loss, list(free.values())))
