"""How resources that moto can make, and not remove, are removed: by the calls that AWS has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Remove = Callable[[Any, str, dict[str, Any]], object]
"""(client, physical id, properties)."""


def _route(client: Any, identity: str, properties: dict[str, Any]) -> object:
    keys = ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
    destination = {key: properties[key] for key in keys if key in properties}
    return client.delete_route(RouteTableId=properties["RouteTableId"], **destination)


def _attachment(client: Any, identity: str, properties: dict[str, Any]) -> object:
    return client.detach_internet_gateway(
        VpcId=properties["VpcId"], InternetGatewayId=properties["InternetGatewayId"]
    )


def _association(client: Any, identity: str, properties: dict[str, Any]) -> None:
    tables = client.describe_route_tables(RouteTableIds=[properties["RouteTableId"]])["RouteTables"]
    for each in tables[0]["Associations"]:
        if each.get("SubnetId") == properties["SubnetId"]:
            client.disassociate_route_table(AssociationId=each["RouteTableAssociationId"])


LEAVING: Mapping[str, tuple[str, Remove]] = {
    "AWS::EC2::RouteTable": ("ec2", lambda c, i, p: c.delete_route_table(RouteTableId=i)),
    "AWS::EC2::Route": ("ec2", _route),
    "AWS::EC2::VPCEndpoint": ("ec2", lambda c, i, p: c.delete_vpc_endpoints(VpcEndpointIds=[i])),
    "AWS::EC2::NatGateway": ("ec2", lambda c, i, p: c.delete_nat_gateway(NatGatewayId=i)),
    "AWS::EC2::VPCGatewayAttachment": ("ec2", _attachment),
    "AWS::EC2::InternetGateway": (
        "ec2",
        lambda c, i, p: c.delete_internet_gateway(InternetGatewayId=i),
    ),
    "AWS::EC2::SubnetRouteTableAssociation": ("ec2", _association),
    "AWS::EC2::EIP": ("ec2", lambda c, i, p: c.release_address(PublicIp=i)),
    "AWS::EC2::FlowLog": ("ec2", lambda c, i, p: c.delete_flow_logs(FlowLogIds=[i])),
}
