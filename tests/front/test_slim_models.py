"""Service models without prose, and moto's EC2 with one region's offerings."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import botocore.session
from botocore.loaders import Loader

from hikkoshi.region.front.fallback import _shared
from hikkoshi.region.front.slim_models import (
    SlimFileLoader,
    available_regions,
    without_documentation,
)


def test_only_text_goes() -> None:
    model = {
        "documentation": '<p>prose, {"documentation": "quoted"} \\\\</p>',
        "title": '"documentation": "of nothing"',
        "shapes": {
            "Plan": {
                "type": "structure",
                "required": ["documentation"],
                "members": {"documentation": {"shape": "Text", "documentation": "more"}},
            }
        },
    }
    assert json.loads(without_documentation(json.dumps(model).encode())) == {
        "documentation": "",
        "title": '"documentation": "of nothing"',
        "shapes": {
            "Plan": {
                "type": "structure",
                "required": ["documentation"],
                "members": {"documentation": {"shape": "Text", "documentation": ""}},
            }
        },
    }


def test_a_slim_model_says_the_same_but_for_its_prose() -> None:
    whole = Loader().load_service_model("ecs", "service-2")
    slim = Loader(file_loader=SlimFileLoader()).load_service_model("ecs", "service-2")
    assert slim == json.loads(without_documentation(json.dumps(whole).encode()))
    assert slim["operations"].keys() == whole["operations"].keys()
    assert slim["operations"]["RunTask"]["documentation"] == ""


def test_regions_are_those_that_botocore_names() -> None:
    session = botocore.session.Session()
    for service in ("ec2", "elbv2", "iam", "nobody", "s3"):
        for partition in ("aws", "aws-cn"):
            known = session.get_available_regions(service, partition)
            assert available_regions(session, service, partition) == known
            assert known or service not in ("ec2", "elbv2", "s3")


def test_clients_of_every_kind_can_be_made_of_slim_models() -> None:
    """botocore's own handlers alter some models, S3's among them, as a client is made."""
    session = botocore.session.Session()
    session.register_component("data_loader", Loader(file_loader=SlimFileLoader()))
    for service in ("s3", "ec2", "ecs", "elbv2", "rds", "logs", "cloudformation", "iam"):
        client = session.create_client(
            service, "eu-west-1", aws_access_key_id="any", aws_secret_access_key="any"
        )
        assert client.meta.service_model.operation_names


def printed_by(program: str) -> list[str]:
    """The words that it prints in a process of its own, since what is imported once stays."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.split()


def test_ec2_knows_what_its_own_region_offers() -> None:
    program = (
        "from hikkoshi.region.front.fallback import MotoFallback\n"
        "MotoFallback('123456789012', region='eu-west-1')._load()\n"
        "from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS as offered\n"
        "from moto.utilities.utils import load_resource\n"
        "zones = offered['availability-zone']\n"
        "print(bool(zones['eu-west-1']), bool(zones['us-east-1']), load_resource.__module__)"
    )
    assert printed_by(program) == ["True", "False", "moto.utilities.utils"]


def test_policies_that_aws_manages_are_there_when_they_are_asked_for() -> None:
    program = (
        "from hikkoshi.region.front.fallback import MotoFallback\n"
        "MotoFallback('123456789012')._load()\n"
        "laid = []\n"
        "MotoFallback('123456789012', [lambda: laid.append(1)])._load()\n"
        "import moto.iam.aws_managed_policies as policies, moto.iam.models as iam\n"
        "names = ({**vars(iam)}, {**vars(policies)})\n"
        "held = any('aws_managed_policies_data' in each for each in names)\n"
        "import moto.ssoadmin.models as sso\n"
        "print(len(laid), held, 'AdministratorAccess' in sso.aws_managed_policies_data)"
    )
    assert printed_by(program) == ["1", "False", "True"]


def test_instance_types_say_what_moto_says_of_them() -> None:
    from moto.utilities.utils import load_resource, load_resource_as_bytes

    path = "ec2/resources/instance_types.json"
    shared = _shared(gzip.decompress(load_resource_as_bytes(f"{path}.gz")))
    assert shared == load_resource(path)
    assert shared["m5.large"]["ProcessorInfo"] is shared["m5.xlarge"]["ProcessorInfo"]
