"""Where a cutover of a project takes place, and the tests that watch it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import BadInput
from hikkoshi.cli.where import LOCAL_REGION, place
from hikkoshi.cutover.place import Place, find_group, find_place
from hikkoshi.model.project import Project
from hikkoshi.project.documents import read_document
from hikkoshi.project.load import load_project
from hikkoshi.synthetic.reading import load_tests
from hikkoshi.synthetic.run import State, run


@dataclass(frozen=True, slots=True)
class Where:
    """cluster: ARN of the new side's ECS cluster; synthetic: the file that the project names."""

    place: Place
    service: str | None
    cluster: str | None
    synthetic: Path | None


def reach(is_local: bool, profile: str | None, region: str | None, directory: Path) -> Access:
    """As `place`; an AWS_ENDPOINT_URL on this machine is a local region, which is looked at more
    often than an account."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    if (
        not is_local
        and profile is None
        and urlsplit(endpoint).hostname in ("127.0.0.1", "localhost")
    ):
        return Access(endpoint.rstrip("/"), region or LOCAL_REGION)
    return place(is_local, profile, region or _written_region(directory), directory)


def _written_region(directory: Path) -> str | None:
    """The region that hikkoshi.yaml names. Going back must not fail because that file is broken."""
    file = directory / "hikkoshi.yaml"
    if not file.exists():
        return None
    try:
        data = read_document(file).data
    except BadInput:
        return None
    return str(data["region"]) if isinstance(data, dict) and data.get("region") else None


def aim(
    access: Access,
    directory: Path,
    *,
    new: str | None = None,
    old: str | None = None,
    listener: str | None = None,
    rule: str | None = None,
    known: Place | None = None,
) -> Where:
    """known: the place, if it is no longer in question. BadInput says what is to be named."""
    project = load_project(directory) if (directory / "hikkoshi.yaml").exists() else None
    found = known
    if found is None:
        group = _new_group(access, project, new)
        former = find_group(access, old) if old else None
        found = find_place(access, group, former, listener=listener, rule=rule)
    if project is None:
        return Where(found, None, None, None)
    settings = project.settings
    tests = directory / settings.synthetic if settings.synthetic else None
    return Where(found, project.service, _cluster(access, settings.cluster), tests)


def _new_group(access: Access, project: Project | None, named: str | None) -> str:
    if named is not None:
        return find_group(access, named)
    if project is None:
        raise BadInput(
            "there is no hikkoshi.yaml here to say which target group is the new side",
            fix="name it: --to GROUP, or name the project's directory",
        )
    balancers = project.service_definition.get("loadBalancers") or []
    # In a local region the group was made by name, with an ARN of the region's own.
    if access.is_local and project.settings.load_balancer is not None:
        return find_group(access, project.settings.load_balancer.target_group)
    if not balancers or "targetGroupArn" not in balancers[0]:
        raise BadInput("the service definition names no target group", fix="give --to GROUP")
    return str(balancers[0]["targetGroupArn"])


def _cluster(access: Access, name: str) -> str | None:
    ecs = access.client("ecs")
    found = calling("ecs:DescribeClusters", ecs.describe_clusters, clusters=[name])["clusters"]
    return str(found[0]["clusterArn"]) if found else None


def synthetic_run(
    access: Access, where: Where, file: Path | None, base_url: str | None
) -> Callable[[], tuple[str, ...]] | None:
    """One round of the tests, through the load balancer as users come; None if there are none."""
    chosen = file or where.synthetic
    if chosen is None:
        return None
    tests = load_tests(chosen)
    base = base_url or listener_url(access, where.place)

    def one_round() -> tuple[str, ...]:
        results = run(tests, base, env=dict(os.environ))
        return tuple(f"{r.name}: {r.reason}" for r in results if r.state is State.FAILED)

    return one_round


def listener_url(access: Access, place: Place) -> str:
    """How the listener is reached from here."""
    elb = access.client("elbv2")
    found = calling(
        "elbv2:DescribeListeners", elb.describe_listeners, ListenerArns=[place.listener]
    )["Listeners"][0]
    scheme = str(found["Protocol"]).lower()
    if access.is_local:
        return f"{scheme}://{access.ask('doors')['listeners'][place.listener]}"
    balancer = calling(
        "elbv2:DescribeLoadBalancers",
        elb.describe_load_balancers,
        LoadBalancerArns=[place.load_balancer],
    )["LoadBalancers"][0]
    return f"{scheme}://{balancer['DNSName']}:{found['Port']}"
