"""`verify`: the whole tree, from the files' own sense to what AWS has of all that they name."""

from __future__ import annotations

from hikkoshi.aws.access import Access
from hikkoshi.ship.checks import Check, branch, not_checked, ok
from hikkoshi.ship.home import Home
from hikkoshi.ship.verify_alarms import check_alarms
from hikkoshi.ship.verify_codedeploy import check_codedeploy
from hikkoshi.ship.verify_service import Network, check_cluster, check_quota, check_size
from hikkoshi.ship.verify_task import ReadRouter, check_container, check_roles
from hikkoshi.ship.verify_traffic import check_traffic


def verify(access: Access, home: Home, read_router: ReadRouter) -> Check:
    """Reading the files has refused already what AWS would refuse in them."""
    task = branch(
        f"task definition {home.family}",
        ok("what AWS would refuse", "nothing found"),
        check_size(home),
        check_roles(access, home),
        *(check_container(access, home, c, read_router) for c in home.containers),
    )
    if home.service_definition is None:
        service = not_checked("service", f"{home.configuration.name} names no service definition")
    else:
        network = Network(access, home)
        service = branch(
            f"service {home.service}",
            check_cluster(access, home),
            network.check(),
            *(network.check_balancer(b) for b in network.balancers),
            *check_traffic(access, network, home.service_definition),
            *check_alarms(access, home.service_definition),
            *check_codedeploy(access, home),
            network.check_database(),
            check_quota(access, home),
        )
    return branch(str(home.configuration), task, service)
