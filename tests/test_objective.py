"""From names to a plan: who provides what, what is refused, what is gathered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from raycon.config import Data, Trial
from raycon.datasets import describe
from raycon.errors import InvalidFile
from raycon.losses import TERMS
from raycon.networks import NETWORKS
from raycon.networks.auxiliary import Auxiliary, Shapes
from raycon.objective import check_trial, complete_term, explain, resolve, tiny_tensors
from raycon.step import Step
from raycon.transforms import PROVIDES, TRANSFORMS
from raycon.vocabulary import VOCABULARY
from tests.training.trials import small_trial


def _names(trial: Trial) -> list[str]:
    return [part.key for part in resolve(trial, describe(trial.data)).providers]


def test_only_what_is_asked_for_is_built() -> None:
    assert _names(small_trial()) == ["convnet", "decoder", "classifier"]
    assert _names(small_trial(objective={"supcon": {}})) == ["convnet"]
    step = Step(small_trial(objective={"supcon": {}}), describe(small_trial().data))
    assert not list(step.networks.parameters())


def test_bias_labels_are_refused_by_name_until_they_are_revealed() -> None:
    data: dict[str, Any] = {"dataset": "digits", "bias": {"rate": 0.9}}
    with pytest.raises(InvalidFile, match=r"objective\.fairkl.*needs 'bias_labels'.*data\.reveal"):
        small_trial(data=data, objective={"fairkl": {}}, scores={"linear_probe": {}})
    trial = small_trial(data=data | {"reveal": ["bias_labels"]}, objective={"fairkl": {}}, scores={"linear_probe": {}})
    assert resolve(trial, describe(trial.data)).gathered == ("features", "labels", "bias_labels")


def test_a_second_view_is_asked_for_before_training() -> None:
    with pytest.raises(InvalidFile, match=r"objective\.infonce.*cannot run here.*at least 2"):
        small_trial(objective={"infonce": {}}, training__views=1)


def test_a_network_that_nothing_asks_for_is_refused() -> None:
    with pytest.raises(InvalidFile, match=r"networks\.decoder"):
        small_trial(objective={"supcon": {}}, networks={"decoder": {"hidden": 8}})


def test_inputs_rebind_a_parameter_and_refuse_unknown_tensors() -> None:
    data: dict[str, Any] = {"dataset": "digits", "bias": {"rate": 0.9}, "reveal": ["bias_labels"]}
    entry = {"supcon": {"inputs": {"labels": "bias_labels"}}}
    trial = small_trial(data=data, objective=entry, scores={"linear_probe": {}})
    assert resolve(trial, describe(trial.data)).terms[0].inputs == {"features": "features", "labels": "bias_labels"}
    with pytest.raises(InvalidFile, match="did you mean 'bias_labels'"):
        complete_term("supcon", {"inputs": {"labels": "bias_label"}})
    with pytest.raises(InvalidFile, match="takes no 'label'"):
        complete_term("supcon", {"inputs": {"label": "labels"}})


@pytest.mark.parametrize(
    ("entry", "field", "words"),
    [
        ({"temperatur": 0.1}, "temperatur", "did you mean 'temperature'"),
        ({"temperature": 0.0}, "temperature", "greater than 0"),
        ({"temperature": "0.1"}, "temperature", "number"),
        ({"temperature": True}, "temperature", "number"),
        ({"weight": -1}, "weight", "from 0 on"),
        ({"form": "middle"}, "form", "should be out or in, not text"),
        ({"term": 3}, "term", "name of a term"),
    ],
)
def test_wrong_entries_name_their_field(entry: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidFile, match=words) as caught:
        complete_term("supcon", entry)
    assert caught.value.field == field


def test_unknown_terms_are_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidFile, match=r"unknown term 'supcom'.*did you mean 'supcon'"):
        complete_term("supcom", {})


def test_an_entry_is_filled_with_every_default() -> None:
    filled = complete_term("first", {"term": "supcon", "temperature": 1})
    assert filled["temperature"] == 1.0
    assert isinstance(filled["temperature"], float)
    assert filled["weight"] == 1.0
    assert {"form", "denominator", "contrast"} <= set(filled)


def test_every_term_runs_on_the_tiny_tensors() -> None:
    tensors = tiny_tensors()
    assert set(tensors) == set(VOCABULARY)
    for name in TERMS:
        trial_free = complete_term(name, {})
        knobs = {k: v for k, v in trial_free.items() if k not in ("term", "weight")}
        from raycon.signatures import read_signature

        value = TERMS[name](*(tensors[n] for n in read_signature(TERMS[name]).names), **knobs)
        assert torch.isfinite(value)


def test_weight_zero_stays_in_the_graph() -> None:
    trial = small_trial(objective__reconstruction__weight=0.0, objective__cross_entropy__weight=0.0)
    described = describe(trial.data)
    step = Step(trial, described)
    batch = {"views": torch.randn(8, 2, 1, 8, 8), "labels": torch.arange(8) % 2}
    total, parts = step(batch)
    total.backward()
    assert len(parts) == 4
    assert all(parameter.grad is not None for parameter in step.parameters())


class Doubler(Auxiliary):
    """A test network with all four hooks."""

    provides: ClassVar[tuple[str, ...]] = ("logits",)
    followed: ClassVar[list[str]] = []

    def __init__(self, shapes: Shapes):
        super().__init__()
        self.layer = torch.nn.Linear(shapes.embedding, shapes.classes)
        self.own = torch.nn.Parameter(torch.ones(()))

    def forward(self, shaded_views: Tensor, embeddings: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(embeddings) + 0 * shaded_views.mean()}

    def own_loss(self, step: Mapping[str, Tensor]) -> Tensor:
        return (self.own * step["embeddings"].detach().mean() - 3) ** 2

    def after_step(self, encoder: torch.nn.Module, head: torch.nn.Module, step: Mapping[str, Tensor]) -> None:
        self.followed.append("logits" if "logits" in step else "")


def test_transforms_networks_and_their_hooks_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from raycon.vocabulary import Name

    def shade(views: Tensor, *, by: float = 0.5) -> dict[str, Tensor]:
        return {"shaded_views": views * by}

    monkeypatch.setitem(
        VOCABULARY, "shaded_views", Name("shaded_views", ("N", "V", "C", "H", "W"), "per_image", "darker")
    )
    monkeypatch.setitem(TRANSFORMS, "shade", shade)
    monkeypatch.setitem(PROVIDES, "shade", ("shaded_views",))
    monkeypatch.setitem(NETWORKS, "classifier", Doubler)
    trial = small_trial(objective={"cross_entropy": {}}, transforms={"shade": {"by": 0.25}})
    assert _names(trial) == ["shade", "convnet", "classifier"]
    step = Step(trial, describe(trial.data))
    total, parts = step({"views": torch.randn(8, 2, 1, 8, 8), "labels": torch.arange(8) % 2})
    assert step.logged == ("cross_entropy", "classifier") and total.detach() == parts.sum()
    total.backward()
    doubler = step.auxiliaries["classifier"]
    assert isinstance(doubler, Doubler)
    assert doubler.own.grad is not None
    step.after_step()
    assert Doubler.followed == ["logits"]


def test_providers_that_need_one_another_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Circle(Doubler):
        provides: ClassVar[tuple[str, ...]] = ("logits",)

        def forward(self, logits: Tensor) -> dict[str, Tensor]:  # type: ignore[override]  # the signature is the test
            return {"logits": logits}

    monkeypatch.setitem(NETWORKS, "classifier", Circle)
    with pytest.raises(InvalidFile, match="needs itself"):
        small_trial(objective={"cross_entropy": {}})


def test_what_a_function_asks_for_decides_whether_it_is_gathered() -> None:
    trial = small_trial(objective={"supcon": {"inputs": {"features": "embeddings"}}})
    assert resolve(trial, describe(trial.data)).gathered == ("embeddings", "labels")


@pytest.mark.parametrize(
    ("term", "inputs"),
    [
        ("cross_entropy", {"logits": "features"}),
        ("spread", {"features": "labels"}),
        ("supcon", {"labels": "features"}),
        ("reconstruction", {"views": "features"}),
    ],
)
def test_a_tensor_of_another_shape_is_refused(term: str, inputs: dict[str, str]) -> None:
    with pytest.raises(InvalidFile, match="cannot stand for") as caught:
        complete_term(term, {"inputs": inputs})
    assert caught.value.field == "inputs"


@pytest.mark.parametrize(
    ("objective", "networks"),
    [
        ({"cross_entropy": {}}, {"classifier": {"detach": True}}),
        ({"reconstruction": {"inputs": {"reconstruction": "views"}}}, {}),
    ],
)
def test_an_objective_that_cannot_train_the_encoder_is_refused(
    objective: dict[str, Any], networks: dict[str, Any]
) -> None:
    with pytest.raises(InvalidFile, match="no term reaches the encoder"):
        small_trial(objective=objective, networks=networks)


def test_explain_reads_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raycon.datasets.loading.LOADERS", {})
    text = "\n".join(explain(small_trial()))
    assert "supcon(features, labels)" in text
    assert "over all workers" in text
    assert "decoder(embeddings, labels) -> reconstruction" in text


def test_explain_says_how_a_batch_is_normalised_and_encoded() -> None:
    assert "batch statistics over all workers; all images" in "\n".join(explain(small_trial()))
    changed = small_trial(training__batch_statistics="worker", training__chunk=16)
    assert "batch statistics per worker; 16 images at once" in "\n".join(explain(changed))


def test_a_compiled_encoder_takes_no_chunks() -> None:
    with pytest.raises(InvalidFile, match=r"training\.chunk"):
        check_trial(small_trial(training__compile=True, training__chunk=16))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(InvalidFile, match=r"training\.batch_size"):
        check_trial(small_trial(training__batch_size=161))


def test_labels_must_be_an_attribute() -> None:
    with pytest.raises(InvalidFile, match=r"data\.labels"):
        describe(Data(dataset="digits", labels="klass"))
