"""A folder that only one node has is refused before a sweep is started on several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raycon.cluster.shared import elsewhere, judge, refuse_unshared, sees
from raycon.errors import InvalidFile


def node(address: str, **changes: Any) -> dict[str, Any]:
    about = {"NodeID": f"id-{address}", "NodeManagerAddress": address, "NodeManagerHostname": "worker", "Alive": True}
    return {**about, "Resources": {"CPU": 2.0}, **changes}


def test_only_living_nodes_at_other_addresses_that_may_train_are_asked() -> None:
    nodes = [
        node("10.0.0.1"),
        node("10.0.0.2"),
        node("10.0.0.3", Alive=False),
        node("10.0.0.4", Resources={"memory": 1.0}),
        node("10.0.0.5", Resources={"GPU": 1.0}),
    ]
    found = elsewhere(nodes, "10.0.0.1")
    assert found == {"10.0.0.2#1 (worker)": "id-10.0.0.2", "10.0.0.5#4 (worker)": "id-10.0.0.5"}


def test_a_node_that_does_not_see_the_file_is_named_and_one_that_is_silent_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    judge("/home/me/out", {"a": True, "b": True}, {"c": "did not answer within 20 s"})
    assert [record.getMessage() for record in caplog.records] == [
        "c could not be asked whether it sees /home/me/out: did not answer within 20 s"
    ]
    with pytest.raises(InvalidFile, match=r"storage: /home/me/out is not shared: node b cannot .* RAYCON_STORAGE"):
        judge("/home/me/out", {"a": True, "b": False}, {})
    with pytest.raises(InvalidFile, match=r"nodes n0, n1, n2 and 2 more nodes cannot"):
        judge("/home/me/out", {f"n{number}": False for number in range(5)}, {})


def test_a_file_is_looked_for_and_read(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    assert not sees(str(marker), 0.0) and not sees(str(tmp_path / "none" / "marker"), 0.3)
    marker.write_text("another")
    assert not sees(str(marker), 0.0)
    marker.write_text("marker")
    assert sees(str(marker), 0.0)


def test_nobody_is_asked_about_a_bucket() -> None:
    refuse_unshared("s3://bucket/raycon")
