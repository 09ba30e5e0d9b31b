"""Secrets from Secrets Manager and SSM as moto answers for them, over HTTP."""

from __future__ import annotations

import asyncio

import pytest
from moto.server import ThreadedMotoServer

from hikkoshi.region.ports import SecretNotFound
from hikkoshi.region.task.secrets import (
    AsmReference,
    BotoSecretStore,
    SsmReference,
    parse_reference,
    region_clients,
)

REGION = "ap-northeast-1"
ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:db-AbCdEf"


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def stored(endpoint):
    """The ARN of a secret with JSON in it; and two parameters."""
    make = region_clients(endpoint)
    asm, ssm = make("secretsmanager", REGION), make("ssm", REGION)
    arn = asm.create_secret(Name="db", SecretString='{"user": "u", "port": 5432}')["ARN"]
    asm.put_secret_value(SecretId="db", SecretString='{"user": "v"}', VersionStages=["NEXT"])
    ssm.put_parameter(Name="/app/key", Value="k", Type="SecureString")
    ssm.put_parameter(Name="plain", Value="p", Type="String")
    return arn


def resolve(endpoint, value_from):
    return asyncio.run(BotoSecretStore(region_clients(endpoint)).resolve(value_from, REGION))


@pytest.mark.parametrize(
    ("suffix", "value"),
    [
        ("", '{"user": "u", "port": 5432}'),
        (":user::", "u"),
        (":port::", "5432"),
        (":user:NEXT:", "v"),
    ],
)
def test_secrets_manager(endpoint, stored, suffix, value):
    assert resolve(endpoint, stored + suffix) == value


@pytest.mark.parametrize(
    ("value_from", "value"),
    [
        ("/app/key", "k"),
        ("plain", "p"),
        (f"arn:aws:ssm:{REGION}:123456789012:parameter/app/key", "k"),
        (f"arn:aws:ssm:{REGION}:123456789012:parameter/plain", "p"),
    ],
)
def test_parameters(endpoint, stored, value_from, value):
    assert resolve(endpoint, value_from) == value


PREFIX = "execution resource retrieval failed: unable to retrieve secret"


@pytest.mark.parametrize(
    ("value_from", "words"),
    [
        (ARN, f"^{PREFIX} from asm: .*{ARN}.*ResourceNotFoundException"),
        ("/gone", f"^{PREFIX}s from ssm: .*invalid ssm parameters: /gone"),
        (ARN + ":half", f"^{PREFIX} from asm: .*unexpected ARN format"),
        ("arn:aws:s3:::bucket", "invalid ARN in valueFrom"),
    ],
)
def test_what_is_not_there_is_told_in_awss_words(endpoint, stored, value_from, words):
    with pytest.raises(SecretNotFound, match=words):
        resolve(endpoint, value_from)


def test_a_key_that_the_secret_lacks(endpoint, stored):
    with pytest.raises(SecretNotFound, match="did not contain json key password"):
        resolve(endpoint, stored + ":password::")


def test_an_endpoint_that_is_away_is_a_missing_secret():
    with pytest.raises(SecretNotFound, match=f"^{PREFIX}s from ssm: .*Could not connect"):
        resolve("http://127.0.0.1:9", "/app/key")


def test_references():
    assert parse_reference(ARN + ":k:s:v", "r") == AsmReference(ARN, REGION, "k", "s", "v")
    assert parse_reference(ARN, "r") == AsmReference(ARN, REGION)
    assert parse_reference("/a/b", "r") == SsmReference(("/a/b",), "r")
    assert parse_reference("arn:aws:ssm:x:1:parameter/a", "r") == SsmReference(("a", "/a"), "x")
