from __future__ import annotations

import pytest
import torch

from raycon.datasets.coarse import coarse
from tests.datasets.fakes import fake_table


def test_coarse_classes_are_added_and_nothing_else_changes() -> None:
    table = fake_table([0, 1, 2, 2], [1])
    mapped = coarse(table, (1, 0, 1))
    assert mapped.attributes["coarse"].tolist() == [1, 0, 1, 1, 0]
    assert mapped.attributes["coarse"].dtype == torch.int64
    assert mapped.sizes == {"class": 3, "coarse": 2}
    assert torch.equal(mapped.attributes["class"], table.attributes["class"])
    assert mapped.images is table.images


def test_a_map_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="holds 2 classes"):
        coarse(fake_table([0, 1, 2], [1]), (0, 1))
