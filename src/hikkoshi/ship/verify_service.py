"""Verifying a service definition: cluster, network, target groups, what may reach what, quotas."""

from __future__ import annotations

import ipaddress
from typing import Any

from hikkoshi.aws.access import Access, calling
from hikkoshi.fargate import sizes
from hikkoshi.ship.checks import Check, asking, branch, not_checked, ok, wrong
from hikkoshi.ship.home import Home

Document = dict[str, Any]
_VCPU_QUOTA = "L-3032A538"
"""Service Quotas: "Fargate On-Demand vCPU resource count"."""
_GONE = ("NotFound", "InvalidSubnetID", "InvalidGroup", "InvalidGroupId")


def check_cluster(access: Access, home: Home) -> Check:
    def ask() -> Check:
        ecs = access.client("ecs")
        found = calling("ecs:DescribeClusters", ecs.describe_clusters, clusters=[home.cluster])
        active = [c for c in found["clusters"] if c["status"] == "ACTIVE"]
        if not active:
            return wrong(name, "there is none",
                         f"aws ecs create-cluster --cluster-name {home.cluster}")  # fmt: skip
        return ok(name, "is ACTIVE")

    name = f"cluster {home.cluster}"
    return asking(name, ask)


class Network:
    """What is looked up once for several checks."""

    def __init__(self, access: Access, home: Home) -> None:
        self.access = access
        self.home = home
        service = home.service_definition or {}
        vpc = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
        self.subnet_ids: list[str] = vpc.get("subnets") or []
        self.group_ids: list[str] = vpc.get("securityGroups") or []
        self.is_public = vpc.get("assignPublicIp") == "ENABLED"
        self.balancers: list[Document] = service.get("loadBalancers") or []
        self.desired = int(service.get("desiredCount") or 1)
        self.vpc_id: str | None = None

    def check(self) -> Check:
        checks = [
            asking("subnets", self._subnets, _GONE),
            asking("security groups", self._groups, _GONE),
            asking("a way out, for images and secrets", self._way_out),
        ]
        return branch("network", *checks)

    def _subnets(self) -> Check:
        ec2 = self.access.client("ec2")
        found = calling("ec2:DescribeSubnets", ec2.describe_subnets, SubnetIds=self.subnet_ids)
        subnets = found["Subnets"]
        vpcs = {s["VpcId"] for s in subnets}
        if len(vpcs) != 1:
            return wrong("subnets", f"they are in {len(vpcs)} VPCs: {', '.join(sorted(vpcs))}")
        self.vpc_id = vpcs.pop()
        free = sum(s.get("AvailableIpAddressCount", 0) for s in subnets)
        if free < 2 * self.desired:
            return wrong("subnets", f"{free} addresses are free; a deploy needs "
                         f"{2 * self.desired}")  # fmt: skip
        zones = {s["AvailabilityZone"] for s in subnets}
        words = f"{len(subnets)} in {len(zones)} zones of {self.vpc_id}, {free} addresses free"
        return ok("subnets", words)

    def _groups(self) -> Check:
        if not self.group_ids:
            return ok("security groups", "none named: the VPC's default one")
        groups = self.describe_groups(self.group_ids)
        strangers = [g["GroupId"] for g in groups if self.vpc_id not in (None, g.get("VpcId"))]
        if strangers:
            return wrong("security groups", f"{', '.join(strangers)} are not in {self.vpc_id}")
        return ok("security groups", ", ".join(self.group_ids))

    def describe_groups(self, ids: list[str]) -> list[Document]:
        ec2 = self.access.client("ec2")
        answer = calling("ec2:DescribeSecurityGroups", ec2.describe_security_groups, GroupIds=ids)
        return list(answer["SecurityGroups"])

    def _way_out(self) -> Check:
        name = "a way out, for images and secrets"
        if self.access.is_local:
            return not_checked(name, "the local region's network leads nowhere, and needs not")
        ec2 = self.access.client("ec2")
        tables = calling("ec2:DescribeRouteTables", ec2.describe_route_tables,
                         Filters=[{"Name": "vpc-id", "Values": [self.vpc_id or ""]}])  # fmt: skip
        ends = calling("ec2:DescribeVpcEndpoints", ec2.describe_vpc_endpoints,
                       Filters=[{"Name": "vpc-id", "Values": [self.vpc_id or ""]}])  # fmt: skip
        endpoints = [e["ServiceName"] for e in ends["VpcEndpoints"]]
        bad = []
        for subnet in self.subnet_ids:
            way = way_out(subnet, tables["RouteTables"])
            if way == "internet gateway" and not self.is_public:
                bad.append(f"{subnet} leads to an internet gateway, which needs a public address")
            elif way is None and not any(".ecr.dkr" in e for e in endpoints):
                bad.append(f"{subnet} leads nowhere, and the VPC has no endpoint for ECR")
        if bad:
            return wrong(name, "; ".join(bad), "assignPublicIp ENABLED, a NAT gateway, or VPC "
                         "endpoints for ecr.api, ecr.dkr, s3, logs and secretsmanager")  # fmt: skip
        return ok(name, "each subnet has one")

    def check_balancer(self, balancer: Document) -> Check:
        arn = balancer.get("targetGroupArn", "")
        name = f"target group {arn.rpartition(':targetgroup/')[2] or arn}"
        return asking(name, lambda: self._group(name, arn, balancer), ("TargetGroupNotFound",))

    def _group(self, name: str, arn: str, balancer: Document) -> Check:
        elb = self.access.client("elbv2")
        group = calling(
            "elasticloadbalancing:DescribeTargetGroups", elb.describe_target_groups,
            TargetGroupArns=[arn],
        )["TargetGroups"][0]  # fmt: skip
        if group.get("TargetType") != "ip":
            kind = group.get("TargetType")
            return wrong(name, f"its targets are of type {kind}; awsvpc needs ip",
                         "make a new one: the type cannot be changed")  # fmt: skip
        if self.vpc_id is not None and group.get("VpcId") not in (None, self.vpc_id):
            return wrong(name, f"it is in {group['VpcId']}, and the subnets are in {self.vpc_id}")
        arns = group.get("LoadBalancerArns") or []
        if not arns:
            return wrong(name, "no load balancer uses it, and ECS refuses the service then",
                         "add it to a listener or a rule")  # fmt: skip
        path = group.get("HealthCheckPath", "")
        return branch(
            name,
            ok("the group", f"targets by address; health check {path}"),
            asking("load balancer → tasks", lambda: self._from_balancer(arns[0], balancer)),
        )

    def _from_balancer(self, arn: str, balancer: Document) -> Check:
        name, port = "load balancer → tasks", int(balancer.get("containerPort", 0))
        elb = self.access.client("elbv2")
        found = calling(
            "elasticloadbalancing:DescribeLoadBalancers", elb.describe_load_balancers,
            LoadBalancerArns=[arn],
        )["LoadBalancers"][0]  # fmt: skip
        sources = found.get("SecurityGroups") or []
        if not sources or not self.group_ids:
            return not_checked(name, "no security groups to compare")
        if any(lets_in(g, sources, port) for g in self.describe_groups(self.group_ids)):
            return ok(name, f"{', '.join(sources)} may reach port {port}")
        return wrong(
            name, f"no security group of the tasks lets {', '.join(sources)} reach port {port}",
            f"aws ec2 authorize-security-group-ingress --group-id {self.group_ids[0]} --protocol "
            f"tcp --port {port} --source-group {sources[0]}",
        )  # fmt: skip

    def check_database(self) -> Check:
        name = "tasks → database"
        identifier = self.home.database
        if identifier is None:
            return not_checked(name, "no database is named (hikkoshi.yaml's `database:`)")

        def ask() -> Check:
            rds = self.access.client("rds")
            cluster = calling("rds:DescribeDBClusters", rds.describe_db_clusters,
                              DBClusterIdentifier=identifier)["DBClusters"][0]  # fmt: skip
            groups = [g["VpcSecurityGroupId"] for g in cluster.get("VpcSecurityGroups", [])]
            port = int(cluster.get("Port") or 5432)
            if not groups or not self.group_ids:
                return not_checked(name, f"{identifier} is {cluster['Status']}; no security groups "
                                   "to compare")  # fmt: skip
            if any(lets_in(g, self.group_ids, port) for g in self.describe_groups(groups)):
                return ok(name, f"{identifier} is {cluster['Status']}; port {port} is open to them")
            return wrong(
                name, f"no security group of {identifier} lets the tasks reach port {port}",
                f"aws ec2 authorize-security-group-ingress --group-id {groups[0]} --protocol tcp "
                f"--port {port} --source-group {self.group_ids[0]}",
            )  # fmt: skip

        return asking(name, ask, ("DBClusterNotFound",))


def lets_in(group: Document, sources: list[str], port: int) -> bool:
    """Whether a rule lets TCP to that port in from one of the groups, or from anywhere. Pure."""
    for rule in group.get("IpPermissions", []):
        if rule.get("IpProtocol") not in ("-1", "tcp", "6"):
            continue
        low, high = rule.get("FromPort", 0), rule.get("ToPort", 65535)
        if rule.get("IpProtocol") != "-1" and not low <= port <= high:
            continue
        if any(p.get("GroupId") in sources for p in rule.get("UserIdGroupPairs", [])):
            return True
        if any(_is_wide(r.get("CidrIp", "")) for r in rule.get("IpRanges", [])):
            return True
    return False


def _is_wide(cidr: str) -> bool:
    """A whole private network or more; a narrower range may or may not hold the source."""
    try:
        return ipaddress.ip_network(cidr, strict=False).prefixlen <= 16
    except ValueError:
        return False


def way_out(subnet: str, tables: list[Document]) -> str | None:
    """Where the subnet's default route leads: `internet gateway`, `NAT`, another, or None. Pure."""
    own = [t for t in tables if any(a.get("SubnetId") == subnet for a in t.get("Associations", []))]
    main = [t for t in tables if any(a.get("Main") for a in t.get("Associations", []))]
    for table in (own or main)[:1]:
        for route in table.get("Routes", []):
            if route.get("DestinationCidrBlock") != "0.0.0.0/0":
                continue
            if str(route.get("GatewayId", "")).startswith("igw-"):
                return "internet gateway"
            return "NAT" if route.get("NatGatewayId") else "another way"
    return None


def check_size(home: Home) -> Check:
    task = home.task_definition
    cpu, memory = sizes.parse_cpu(task["cpu"]), sizes.parse_memory(task["memory"])
    return ok("Fargate size", f"cpu {cpu}, memory {memory} MiB is one that Fargate has")


def check_quota(access: Access, home: Home) -> Check:
    name = "quota of Fargate vCPUs"
    service = home.service_definition or {}
    configuration = service.get("deploymentConfiguration") or {}
    most = int(service.get("desiredCount") or 1) * configuration.get("maximumPercent", 200) / 100
    needed = most * sizes.parse_cpu(home.task_definition["cpu"]) / 1024

    def ask() -> Check:
        if access.is_local:
            return not_checked(name, "the local region has none")
        quotas = access.client("service-quotas")
        quota = calling(
            "servicequotas:GetServiceQuota", quotas.get_service_quota, ServiceCode="fargate",
            QuotaCode=_VCPU_QUOTA,
        )["Quota"]["Value"]  # fmt: skip
        words = f"a deploy needs {needed:g} vCPUs; the account has {quota:g} in all"
        if needed > quota:
            return wrong(name, words, "ask for more in Service Quotas (L-3032A538)")
        return ok(name, words)

    return asking(name, ask)
