"""Queues are rings: read before the batch enters, oldest rows first out, the same for any batch size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from raycon.networks.auxiliary import Shapes
from raycon.networks.queue import Queue, enqueue
from raycon.networks.support_queue import SupportQueue


def _shapes(projection: int = 3) -> Shapes:
    nothing = torch.nn.Identity()
    return Shapes(1, 8, 6, projection, 2, 1, nothing, nothing, lambda: (nothing, nothing))


def _rows(*shape: int) -> Tensor:
    values = torch.randn(*shape, 3, generator=torch.Generator().manual_seed(sum(shape)))
    return functional.normalize(values, dim=-1)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 12, 23])
def test_enqueue_writes_key_after_key(count: int) -> None:
    queue, pointer = torch.arange(5.0)[:, None].clone(), torch.tensor(3)
    expected, place = queue[:, 0].tolist(), 3
    keys = 10.0 + torch.arange(count)
    for key in keys.tolist():
        expected[place] = key
        place = (place + 1) % 5
    after, moved = enqueue(queue, pointer, keys[:, None])
    assert after[:, 0].tolist() == expected
    assert moved == place
    assert queue[:, 0].tolist() == [0, 1, 2, 3, 4] and pointer == 3


def test_batches_of_any_size_leave_the_same_queue() -> None:
    queue, keys = _rows(7), _rows(20)
    results = []
    for size in (1, 3, 4, 20):
        ring, pointer = queue, torch.tensor(0)
        for part in torch.split(keys, size):
            ring, pointer = enqueue(ring, pointer, part)
        results.append((ring, pointer))
    assert all(torch.equal(ring, results[0][0]) and pointer == 20 % 7 for ring, pointer in results)


def test_the_queue_starts_with_random_unit_rows_of_the_init_seed() -> None:
    rows = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        rows.append(Queue(_shapes(), size=100).ring.rows)
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
    torch.testing.assert_close(rows[0].norm(dim=1), torch.ones(100))
    assert rows[0].mean(dim=0).abs().max() < 0.25


@pytest.mark.parametrize(("views", "written"), [(0, 8), (1, 4), (2, 8)])
def test_the_queue_is_read_before_it_takes_the_batch_in(views: int, written: int) -> None:
    network = Queue(_shapes(), size=10, views=views)
    start, keys = network.ring.rows.clone(), _rows(4, 2)
    read = network(keys)["queue"]
    assert torch.equal(read, start)
    network.after_step(torch.nn.Identity(), torch.nn.Identity(), {"momentum_features": keys})
    after = network(keys)["queue"]
    assert torch.equal(after[:4], keys[:, 0])
    if written == 8:
        assert torch.equal(after[4:8], keys[:, 1])
    assert torch.equal(after[written:], start[written:])
    assert torch.equal(read, start)


def test_state_holds_rows_and_place() -> None:
    network = Queue(_shapes(), size=10)
    network.after_step(torch.nn.Identity(), torch.nn.Identity(), {"momentum_features": _rows(6, 1)})
    other = Queue(_shapes(), size=10)
    other.load_state_dict(network.state_dict())
    for queue in (network, other):
        queue.after_step(torch.nn.Identity(), torch.nn.Identity(), {"momentum_features": _rows(7, 1)})
    assert torch.equal(network.ring.rows, other.ring.rows)
    assert network.ring.pointer == other.ring.pointer == 3


def test_neighbours_are_the_nearest_rows_and_carry_no_gradient() -> None:
    network = SupportQueue(_shapes(), size=9)
    features = _rows(5, 2)
    found = network(features.clone().requires_grad_())["neighbour_features"]
    assert found.shape == (5, 2, 3) and not found.requires_grad
    for image in range(5):
        for view in range(2):
            products = [float(row @ features[image, view]) for row in network.ring.rows]
            nearest = network.ring.rows[max(range(9), key=products.__getitem__)]
            assert torch.equal(found[image, view], nearest)


def test_the_support_queue_takes_in_the_first_view() -> None:
    network = SupportQueue(_shapes(), size=5)
    features = _rows(3, 2)
    network.after_step(torch.nn.Identity(), torch.nn.Identity(), {"features": features})
    assert torch.equal(network.ring.rows[:3], features[:, 0])
    assert torch.equal(network(features)["neighbour_features"][:, 0], features[:, 0])
