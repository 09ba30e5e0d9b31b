"""What a region that was killed holds of its databases, certificates and scalable targets."""

from __future__ import annotations

import json
import ssl
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from clients_house import Region
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from test_killed_region import door, kill

pytestmark = pytest.mark.region

MASTER = {"user": "genba", "password": "open-sesame-1", "dbname": "genba"}
QUICKLY = {"Delay": 1, "MaxAttempts": 60}


@pytest.fixture
def own(tmp_path):
    region = Region(tmp_path)
    region.up()
    yield region
    region.down()


def make_database(rds):
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="small", DBParameterGroupFamily="aurora-postgresql17",
        Description="few connections",
    )  # fmt: skip
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="small",
        Parameters=[{"ParameterName": "max_connections", "ParameterValue": "37",
                     "ApplyMethod": "pending-reboot"}],
    )  # fmt: skip
    rds.create_db_cluster(
        DBClusterIdentifier="kept", Engine="aurora-postgresql", MasterUsername=MASTER["user"],
        MasterUserPassword=MASTER["password"], DatabaseName=MASTER["dbname"],
        DBClusterParameterGroupName="small", Tags=[{"Key": "team", "Value": "genba"}],
    )  # fmt: skip
    for name in ("kept-1", "kept-2"):
        rds.create_db_instance(
            DBInstanceIdentifier=name, DBClusterIdentifier="kept", Engine="aurora-postgresql",
            DBInstanceClass="db.t4g.medium",
        )  # fmt: skip
    wait_for_database(rds)


def wait_for_database(rds):
    waiter = rds.get_waiter("db_instance_available")
    filters = [{"Name": "db-cluster-id", "Values": ["kept"]}]
    waiter.wait(Filters=filters, WaiterConfig=QUICKLY)


def database(rds):
    """What has to be as it was: the cluster without its members' turns, and who is the writer."""
    (cluster,) = rds.describe_db_clusters()["DBClusters"]
    members = {m["DBInstanceIdentifier"]: m["IsClusterWriter"] for m in cluster["DBClusterMembers"]}
    names = ("DBClusterArn", "Endpoint", "ReaderEndpoint", "DBClusterParameterGroup", "TagList",
             "ClusterCreateTime", "Status")  # fmt: skip
    return {name: cluster[name] for name in names}, members


def address_of(own, endpoint):
    with urllib.request.urlopen(f"{own.url}/_hikkoshi/doors", timeout=20) as answer:
        return json.load(answer)["databases"][endpoint]


def ask(address, query):
    host, port = address.split(":")
    with psycopg.connect(
        host=host, port=port, autocommit=True, connect_timeout=10, **MASTER
    ) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else None


def make_certificate():
    """(key, certificate) in PEM, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "genba.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("genba.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    return private, made.public_bytes(pem)


def make_https(own, certificate_arn):
    elb, ec2 = own.client("elbv2"), own.client("ec2")
    subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]]
    (balancer,) = elb.create_load_balancer(Name="kept", Subnets=subnets)["LoadBalancers"]
    says = {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "kept"}
    (listener,) = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTPS", Port=443,
        Certificates=[{"CertificateArn": certificate_arn}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": says}],
    )["Listeners"]  # fmt: skip
    return listener["ListenerArn"]


def get_https(address):
    """(body, the certificate in PEM) of what answers there."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(f"https://{address}", context=trusting, timeout=10) as answer:
        body = answer.read().decode()
    host, port = address.split(":")
    return body, ssl.get_server_certificate((host, int(port))).strip()


def make_scaling(own, most):
    ecs, scaling = own.client("ecs"), own.client("application-autoscaling")
    ecs.create_cluster(clusterName="kept")
    own.register("kept")
    ecs.create_service(
        cluster="kept", serviceName="kept", taskDefinition="kept", desiredCount=1,
        launchType="FARGATE", networkConfiguration=own.network,
    )  # fmt: skip
    target = {
        "ServiceNamespace": "ecs", "ResourceId": "service/kept/kept",
        "ScalableDimension": "ecs:service:DesiredCount",
    }  # fmt: skip
    scaling.register_scalable_target(**target, MinCapacity=1, MaxCapacity=most)
    scaling.put_scaling_policy(
        **target, PolicyName="cpu", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 50.0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
            },
        },
    )  # fmt: skip
    scaling.put_scheduled_action(
        **target, ScheduledActionName="night", Schedule="cron(0 22 * * ? *)",
        Timezone="Asia/Tokyo", ScalableTargetAction={"MinCapacity": 1},
    )  # fmt: skip
    return target


def scaling_of(own):
    scaling = own.client("application-autoscaling")
    return (
        scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"],
        scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"],
        scaling.describe_scheduled_actions(ServiceNamespace="ecs")["ScheduledActions"],
    )


@pytest.mark.slow
def test_databases_certificates_and_scalable_targets_return_after_sigkill(own):
    rds = own.client("rds")
    make_database(rds)
    writer = database(rds)[0]["Endpoint"]
    reader = database(rds)[0]["ReaderEndpoint"]
    ask(address_of(own, writer), "CREATE TABLE reports (title text)")
    ask(address_of(own, writer), "INSERT INTO reports VALUES ('kept')")
    key, certificate = make_certificate()
    imported = own.client("acm").import_certificate(Certificate=certificate, PrivateKey=key)
    listener = make_https(own, imported["CertificateArn"])
    target = make_scaling(own, most=3)
    doors = address_of(own, writer), address_of(own, reader), door(own, listener)
    before = database(rds), scaling_of(own), get_https(doors[2])

    kill(own, "init_pid")
    own.up()

    rds = own.client("rds")
    wait_for_database(rds)
    assert (address_of(own, writer), address_of(own, reader), door(own, listener)) == doors
    assert (database(rds), scaling_of(own), get_https(doors[2])) == before
    assert before[2] == ("kept", certificate.decode().strip())
    assert ask(doors[0], "SELECT title FROM reports") == [("kept",)]
    assert ask(doors[0], "SHOW max_connections") == [("37",)]
    ask(doors[0], "INSERT INTO reports VALUES ('after')")
    assert ask(doors[1], "SELECT pg_is_in_recovery(), count(*) FROM reports") == [(True, 2)]
    described = own.client("acm").describe_certificate(CertificateArn=imported["CertificateArn"])
    assert described["Certificate"]["DomainName"] == "genba.test"
    # It goes on scaling, and fails over.
    own.client("application-autoscaling").register_scalable_target(**target, MinCapacity=2)
    rds.failover_db_cluster(DBClusterIdentifier="kept")
    deadline = time.monotonic() + 60
    while database(rds)[1] != {"kept-1": False, "kept-2": True}:
        assert time.monotonic() < deadline, rds.describe_db_clusters()["DBClusters"]
        time.sleep(0.1)
    ask(address_of(own, writer), "INSERT INTO reports VALUES ('failed over')")
    ecs = own.client("ecs")
    named = {"cluster": "kept", "services": ["kept"]}
    while ecs.describe_services(**named)["services"][0]["desiredCount"] < 2:
        assert time.monotonic() < deadline + 60, scaling_of(own)
        time.sleep(0.1)

    own.down()
    left = own.home / "state" / "hikkoshi"
    assert not list((left / "records").glob("*.jsonl.new"))
    assert not (left / "records" / "databases.jsonl").exists()
    assert not (left / "region").exists(), "the data of a region that ended in order are removed"
