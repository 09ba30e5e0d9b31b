"""Service models without prose, and moto's EC2 with one region's offerings."""

from __future__ import annotations

import subprocess
import sys

import botocore.session
from botocore.loaders import Loader

from hikkoshi.region.front.slim_models import SlimFileLoader, without_documentation


def test_only_text_goes() -> None:
    model = {
        "documentation": "<p>prose</p>",
        "shapes": {
            "Plan": {
                "type": "structure",
                "required": ["documentation"],
                "members": {"documentation": {"shape": "Text", "documentation": "more"}},
            }
        },
    }
    assert without_documentation(model) == {
        "documentation": "",
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
    assert slim == without_documentation(whole)
    assert slim["operations"].keys() == whole["operations"].keys()
    assert slim["operations"]["RunTask"]["documentation"] == ""


def test_clients_of_every_kind_can_be_made_of_slim_models() -> None:
    """botocore's own handlers alter some models, S3's among them, as a client is made."""
    session = botocore.session.Session()
    session.register_component("data_loader", Loader(file_loader=SlimFileLoader()))
    for service in ("s3", "ec2", "ecs", "elbv2", "rds", "logs", "cloudformation", "iam"):
        client = session.create_client(
            service, "eu-west-1", aws_access_key_id="any", aws_secret_access_key="any"
        )
        assert client.meta.service_model.operation_names


def test_ec2_knows_what_its_own_region_offers() -> None:
    """In a process of its own, since what is imported once stays."""
    program = (
        "from hikkoshi.region.front.fallback import MotoFallback\n"
        "MotoFallback('123456789012', region='eu-west-1')._load()\n"
        "from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS as offered\n"
        "from moto.utilities.utils import load_resource\n"
        "zones = offered['availability-zone']\n"
        "print(bool(zones['eu-west-1']), bool(zones['us-east-1']), load_resource.__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == ["True", "False", "moto.utilities.utils"]
