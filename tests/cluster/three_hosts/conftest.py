"""One cluster of three hosts for all tests of this folder: bringing it up takes longer than most of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts import unavailable
from tests.hosts.clusters import RayCluster, skip_unless, three_hosts
from tests.hosts.nodes import OneMachine, three_nodes

MAKE_STORE = "import sys; from mlflow import MlflowClient; MlflowClient(sys.argv[1]).search_experiments()"


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A head that drives and two hosts that train, with an empty tracking store."""
    skip_unless(unavailable())
    with three_hosts(tmp_path_factory.mktemp("hosts")) as made:
        # The tables of an empty store take longer to make than a run here.
        made.hosts.run(["python", "-c", MAKE_STORE, made.store], timeout=600)
        yield made


@pytest.fixture(scope="package")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneMachine]:
    """Three raylets on this machine, where hosts cannot be made."""
    if not unavailable():
        pytest.skip("three hosts are there; three raylets on one are for machines without namespaces")
    with three_nodes(tmp_path_factory.mktemp("nodes")) as made:
        yield made
