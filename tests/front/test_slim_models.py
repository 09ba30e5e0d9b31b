"""Service models without prose, and moto's EC2 with one region's offerings."""

from __future__ import annotations

import subprocess
import sys

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
        "shapes": {
            "Plan": {
                "type": "structure",
                "required": ["documentation"],
                "members": {"documentation": {"shape": "Text"}},
            }
        }
    }


def test_a_slim_model_says_the_same_but_for_its_prose() -> None:
    whole = Loader().load_service_model("ecs", "service-2")
    slim = Loader(file_loader=SlimFileLoader()).load_service_model("ecs", "service-2")
    assert slim == without_documentation(whole)
    assert slim["operations"].keys() == whole["operations"].keys()
    assert "documentation" not in slim["operations"]["RunTask"]


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
