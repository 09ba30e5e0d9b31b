"""Where a cutover of a project takes place, and the tests that watch it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hikkoshi.aws.access import Access, calling
from hikkoshi.aws.marks import Marks
from hikkoshi.base.errors import BadInput
from hikkoshi.cli.where import LOCAL_REGION, place
from hikkoshi.cutover.beside import need_unmarked
from hikkoshi.cutover.place import Place, find_group, find_place, serving_group
from hikkoshi.model.project import Project
from hikkoshi.project.documents import read_document
from hikkoshi.project.load import load_project
from hikkoshi.ship.home import Home
from hikkoshi.ship.reading import ECSPRESSO, read_home
from hikkoshi.synthetic.reading import load_tests
from hikkoshi.synthetic.run import State, run
from hikkoshi.trials.alternate import find_alternate, has_alternate


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
    home = _foreign_home(access, directory) if project is None else None
    found = known
    if found is None:
        group = _new_group(access, project, home, new)
        former = find_group(access, old) if old else None
        try:
            found = find_place(access, group, former, listener=listener, rule=rule)
        except BadInput:
            # The rule may be shared because another cutover shares it just now.
            need_unmarked(Marks(access, [group, *([former] if former else [])]))
            raise
    if home is not None:
        return Where(found, home.service or None, _cluster(access, home.cluster), None)
    if project is None:
        return Where(found, None, None, None)
    settings = project.settings
    tests = directory / settings.synthetic if settings.synthetic else None
    return Where(found, project.service, _cluster(access, settings.cluster), tests)


def _foreign_home(access: Access, directory: Path) -> Home | None:
    """Of a project in ecspresso's files; None if there are none."""
    if not any((directory / name).exists() for name in ECSPRESSO):
        return None
    return read_home(directory, os.environ, lambda: access)


def _new_group(
    access: Access, project: Project | None, home: Home | None, named: str | None
) -> str:
    if named is not None:
        return find_group(access, named)
    if home is not None:
        return _named_by(access, home.service_definition or {})
    if project is None:
        raise BadInput(
            "there is no hikkoshi.yaml here to say which target group is the new side",
            fix="name it: --to GROUP, or name the project's directory",
        )
    settings = project.settings.load_balancer
    if access.is_local and settings is not None:
        # In a local region the groups were made by name, with ARNs of the region's own.
        balancer = {"targetGroupArn": find_group(access, settings.target_group)}
        alternate = find_alternate(access, settings)
        if alternate is not None and has_alternate(project.service_definition):
            advanced = {"alternateTargetGroupArn": alternate.target_group}
            return serving_group(access, {**balancer, "advancedConfiguration": advanced})
        return balancer["targetGroupArn"]
    return _named_by(access, project.service_definition)


def _named_by(access: Access, service: Mapping[str, Any]) -> str:
    balancers = service.get("loadBalancers") or []
    if not balancers or "targetGroupArn" not in balancers[0]:
        raise BadInput("the service definition names no target group", fix="give --to GROUP")
    return serving_group(access, balancers[0])


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
