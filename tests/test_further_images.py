"""What evaluation encodes beside the splits: which images, from which split, at which size, and nothing unasked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from raycon.config import Trial
from raycon.datasets import ImageTable, describe, load_tables
from raycon.datasets.corruptions import FAMILIES, corrupted
from raycon.evaluation import score_encoder
from raycon.further_images import embed_further
from raycon.own_loop import score
from raycon.scores import Corrupted, NotFinite
from raycon.space import trial_from
from raycon.step import Step

SEEN: list[ImageTable] = []


def flat(table: ImageTable) -> Tensor:
    """An 'encoder' that gives the pixels, and remembers what it was shown."""
    SEEN.append(table)
    return table.images[:].flatten(1).float()


def trial(**scores: dict[str, Any]) -> Trial:
    return trial_from(
        {
            "objective": {"supcon": {}},
            "data": {"dataset": "digits", "train_size": 300, "validation_size": 120},
            "encoder": {"width": 4},
            "scores": scores or {"linear_probe": {}},
        }
    )


def tables(trial: Trial) -> dict[str, ImageTable]:
    return load_tables(trial.data, split_seed=trial.seeds.split)


def test_nothing_is_encoded_that_nobody_asks_for() -> None:
    SEEN.clear()
    plain = trial(linear_probe={}, geometry={})
    assert embed_further(plain, tables(plain), "validation", flat) == {} and not SEEN


def test_corrupted_copies_belong_to_their_images() -> None:
    SEEN.clear()
    wanted = trial(corruptions={"images": 40})
    found = embed_further(wanted, tables(wanted), "validation", flat)["corrupted"]
    assert isinstance(found, Corrupted) and len(SEEN) == len(FAMILIES)
    assert len(found.rows) == 40 and len(found.embeddings) == len(found.pixels) == 75
    chosen = tables(wanted)["validation"].rows(found.rows)
    assert torch.equal(found.clean_pixels, chosen.images[:].flatten(1))
    for family, severity in (("fog", 2), ("jpeg_compression", 5)):
        copies = corrupted(chosen, family, severity, seed=0).images[:].flatten(1)
        assert torch.equal(found.embeddings[family, severity], copies.float())
        assert torch.equal(found.pixels[family, severity], copies)
    shown = tables(wanted)["train"].rows(found.train_rows)
    assert torch.equal(found.train_pixels, shown.images[:].flatten(1))


def test_corrupted_images_lower_the_accuracy_of_an_encoder_that_stays_as_it_is() -> None:
    wanted = trial(corruptions={"images": 60}, linear_probe={})
    step = Step(wanted, describe(wanted.data))
    before = {name: value.clone() for name, value in step.state_dict().items()}
    found = score_encoder(step, wanted, tables(wanted), "validation")
    assert found == score_encoder(step, wanted, tables(wanted), "validation")
    assert found["validation/corruptions/accuracy"] < found["validation/corruptions/clean_accuracy"]
    assert all(torch.equal(value, before[name]) for name, value in step.state_dict().items())
    with torch.no_grad():
        for parameter in step.encoder.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(NotFinite):
        score_encoder(step, wanted, tables(wanted), "validation")


@pytest.fixture
def coloured(monkeypatch: pytest.MonkeyPatch) -> ImageTable:
    """Another data set, in colour and of another size, in the place of Fashion-MNIST; what was asked of it is kept."""
    table = ImageTable(
        torch.randint(0, 256, (90, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
        {"class": torch.arange(90) % 5}, {"class": 5}, {}, (0.1,) * 3, (0.9,) * 3,
    )  # fmt: skip

    def given(data: Any, *, split_seed: int, splits: tuple[str, ...]) -> dict[str, ImageTable]:
        assert (data.dataset, data.size) == ("fashion_mnist", 8)
        start = {"train": 0, "validation": 50, "test": 70}[splits[0]]
        return {splits[0]: table.rows(torch.arange(start, start + 20))}

    from raycon import further_images

    monkeypatch.setattr(further_images, "load_tables", given)
    further_images._loaded.cache_clear()
    return table


@pytest.mark.parametrize("split", ["validation", "test"])
def test_other_sets_come_from_the_split_that_is_judged(coloured: ImageTable, split: str) -> None:
    SEEN.clear()
    knobs = {"dataset": "fashion_mnist", "images": 15}
    wanted = trial(out_of_distribution=knobs, transfer={**knobs, "train_images": 10})
    own = tables(wanted)
    found = embed_further(wanted, {"train": own["train"], split: own["validation"]}, split, flat)
    assert set(found) == {"outsiders", "transferred"}
    grey = coloured.images[:].float().mean(dim=1).round().flatten(1)
    start = {"validation": 50, "test": 70}[split]
    assert isinstance(found["outsiders"], Tensor) and found["outsiders"].shape == (15, 64)
    pool = {tuple(row) for row in grey[start : start + 20].tolist()}
    assert all(tuple(row) in pool for row in found["outsiders"].tolist())
    transferred: Any = found["transferred"]
    classes = coloured.attributes["class"].tolist()
    training = {tuple(row): label for row, label in zip(grey[:20].tolist(), classes[:20], strict=True)}
    assert len(transferred.train_labels) == 10
    for row, label in zip(transferred.train_embeddings.tolist(), transferred.train_labels.tolist(), strict=True):
        assert training[tuple(row)] == label
    assert all((table.mean, table.std) == (own["train"].mean, own["train"].std) for table in SEEN)


def test_an_encoder_of_ones_own_has_all_of_it(coloured: ImageTable) -> None:
    wanted = trial(
        transfer={"dataset": "fashion_mnist"}, out_of_distribution={"dataset": "fashion_mnist"},
        corruptions={"images": 20},
    )  # fmt: skip
    found = score(wanted, lambda images: images.flatten(1))
    assert {name.split("/")[1] for name in found} == {"transfer", "out_of_distribution", "corruptions"}
