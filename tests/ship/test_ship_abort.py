"""A deployment that is aborted through the API, over a real HAProxy, as its tools see it."""

from __future__ import annotations

import pytest
from test_ship_blue_green import Client, Home, asked, until

pytestmark = pytest.mark.region


def test_an_aborted_deployment_leaves_production_alone_and_the_next_one_takes_over(files):
    home = Home(files, "aborted")
    home.write("one")
    assert files.hikkoshi("deploy").code == 0
    ecs = files.region.client("ecs")
    with Client(home.door) as client:
        until("it answers", lambda: "one" in client.answers)
        home.write("never healthy", shell="sleep 600")
        assert files.hikkoshi("deploy", "--no-wait").code == 0
        until("it scales up", lambda: home.stage()["lifecycleStage"] == "SCALE_UP")
        arn = ecs.list_service_deployments(cluster=files.cluster, service="web")[
            "serviceDeployments"
        ][0]["serviceDeploymentArn"]
        ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ABORT")
        with pytest.raises(ecs.exceptions.ConflictException):
            ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ABORT")
        said = files.hikkoshi("wait")
        assert said.code == 1, said.all
        assert "stopped on request" in said.all
        assert files.hikkoshi("diff").code == 0
        assert "deployment failed" in files.hikkoshi("deploy").out
        assert asked(home.door) == "one"

        home.write("two")
        said = files.hikkoshi("deploy")
        assert said.code == 0, said.all
        assert asked(home.door) == "two"
        assert len(files.live()["deployments"]) == 1
    assert client.failed == []
