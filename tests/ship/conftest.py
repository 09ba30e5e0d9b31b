from __future__ import annotations

import pytest
from ship_house import Files, RunningRegion


@pytest.fixture(scope="session")
def ship_region(tmp_path_factory):
    region = RunningRegion(tmp_path_factory.mktemp("ship") / "home")
    try:
        region.start()
        yield region
    finally:
        region.stop()


@pytest.fixture
def files(ship_region, tmp_path, request):
    """A project whose cluster is the test's own; its service is deleted afterwards."""
    cluster = request.node.originalname.replace("_", "-")[:60]
    ecs = ship_region.client("ecs")
    ecs.create_cluster(clusterName=cluster)
    made = Files(ship_region, tmp_path / "project", cluster)
    made.write()
    yield made
    for service in ecs.list_services(cluster=cluster)["serviceArns"]:
        ecs.delete_service(cluster=cluster, service=service, force=True)
