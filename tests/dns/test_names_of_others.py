"""Route 53's hosted zones in the region's DNS: records made by boto3 through moto's own API, asked
for over a socket."""

from __future__ import annotations

import asyncio
import socket

import boto3
import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from moto import mock_aws

from hikkoshi.region.dns import DnsServer
from hikkoshi.region.dns.hosted import HostedZones

ACCOUNT = "123456789012"
BALANCER = "web-1.ap-northeast-1.elb.amazonaws.com"


def record(name, kind, *values, **more):
    rows = [{"Value": value} for value in values]
    return {"Name": name, "Type": kind, "TTL": 30, "ResourceRecords": rows, **more}


@pytest.fixture
def route53(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with mock_aws():
        yield boto3.client("route53", region_name="ap-northeast-1")


def make_zone(route53, name, *records):
    zone = route53.create_hosted_zone(
        Name=name, CallerReference=name, HostedZoneConfig={"PrivateZone": True},
        VPC={"VPCRegion": "ap-northeast-1", "VPCId": "vpc-1"},
    )["HostedZone"]["Id"]  # fmt: skip
    changes = [{"Action": "UPSERT", "ResourceRecordSet": each} for each in records]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return zone


def ask(name, kind="A", choose=None):
    """(rcode, [(kind, data)]) from a server that knows the balancer itself."""

    def exchange(port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(DNSRecord.question(name, kind).pack(), ("127.0.0.1", port))
            return DNSRecord.parse(client.recv(4096))

    async def scenario():
        server = DnsServer()
        server.set(BALANCER, ["10.0.0.16"])
        server.zone.add_source(HostedZones(ACCOUNT, choose))
        await server.start("127.0.0.1", 0)
        try:
            return await asyncio.to_thread(exchange, server.port)
        finally:
            await server.close()

    answer = asyncio.run(scenario())
    rows = [(QTYPE[row.rtype], str(row.rdata).rstrip(".")) for row in answer.rr]
    return RCODE[answer.header.rcode], rows


def test_what_a_private_zone_answers(route53):
    alias = {"HostedZoneId": "Z14GRHDCWA56QT", "EvaluateTargetHealth": False}
    make_zone(
        route53,
        "genba.internal",
        record("db.genba.internal", "A", "10.1.0.4", "10.1.0.5"),
        record("old.genba.internal", "CNAME", "DB.genba.internal"),
        record("*.apps.genba.internal", "A", "10.1.0.9"),
        record("_grpc.genba.internal", "SRV", "1 1 8080 db.genba.internal"),
        record("note.genba.internal", "TXT", '"two words"'),
        {"Name": "genba.internal", "Type": "A",
         "AliasTarget": {**alias, "DNSName": f"dualstack.{BALANCER}"}},
    )  # fmt: skip
    code, rows = ask("DB.Genba.internal")
    assert (code, sorted(rows)) == ("NOERROR", [("A", "10.1.0.4"), ("A", "10.1.0.5")])
    _, rows = ask("old.genba.internal")
    assert rows[0] == ("CNAME", "db.genba.internal")
    assert len(rows) == 3
    assert ask("genba.internal") == ("NOERROR", [("A", "10.0.0.16")]), "no CNAME for an alias"
    assert ask("a.b.apps.genba.internal")[1] == [("A", "10.1.0.9")]
    assert ask("_grpc.genba.internal", "SRV")[1] == [("SRV", "1 1 8080 db.genba.internal")]
    assert ask("note.genba.internal", "TXT")[1] == [("TXT", '"two words"')]


def test_what_a_zone_has_not(route53):
    make_zone(route53, "genba.internal", record("a.b.genba.internal", "A", "10.1.0.1"))
    assert ask("a.b.genba.internal", "TXT") == ("NOERROR", [])
    assert ask("b.genba.internal") == ("NOERROR", []), "names lie below it"
    assert ask("c.genba.internal") == ("NXDOMAIN", [])
    assert ask("agenba.internal") == ("NXDOMAIN", [])


def test_a_changed_record_is_answered_at_once_and_a_deleted_zone_no_more(route53):
    zone = make_zone(route53, "genba.internal", record("a.genba.internal", "A", "10.1.0.1"))
    assert ask("a.genba.internal")[1] == [("A", "10.1.0.1")]
    change = {"Action": "UPSERT", "ResourceRecordSet": record("a.genba.internal", "A", "10.1.0.2")}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    assert ask("a.genba.internal")[1] == [("A", "10.1.0.2")]
    change["Action"] = "DELETE"
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    route53.delete_hosted_zone(Id=zone)
    assert ask("a.genba.internal") == ("NXDOMAIN", [])


def test_the_longest_zone_answers(route53):
    make_zone(route53, "internal", record("a.genba.internal", "A", "10.1.0.1"))
    make_zone(route53, "genba.internal", record("a.genba.internal", "A", "10.1.0.2"))
    assert ask("a.genba.internal")[1] == [("A", "10.1.0.2")]


def test_weights_choose(route53):
    make_zone(
        route53,
        "genba.internal",
        record("a.genba.internal", "A", "10.1.0.1", SetIdentifier="old", Weight=90),
        record("a.genba.internal", "A", "10.1.0.2", SetIdentifier="new", Weight=10),
    )
    seen = []

    def choose(weights):
        seen.append(list(weights))
        return weights.index(10)

    assert ask("a.genba.internal", choose=choose)[1] == [("A", "10.1.0.2")]
    assert seen == [[90, 10]]
