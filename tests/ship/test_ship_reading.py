"""Files into a home: hikkoshi's own and ecspresso's, with templates; nothing of AWS is asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hikkoshi.base.errors import BadInput
from hikkoshi.ship import tfstate
from hikkoshi.ship.reading import no_access, read_home
from hikkoshi.ship.templates import own_functions, render

GENBA = Path(__file__).parents[2] / "examples" / "genba" / "after"

TASK = {
    "family": "web",
    "cpu": "256",
    "memory": "512",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "containerDefinitions": [{"name": "web", "image": "web:{{ must_env `TAG` }}"}],
}
SERVICE = {"desiredCount": 1, "launchType": "FARGATE"}


def ecspresso(directory: Path, task=TASK, service=SERVICE, **more) -> Path:
    config = {
        "region": "ap-northeast-1", "cluster": "here", "service": "web", "timeout": "5m",
        "service_definition": "sv.json", "task_definition": "td.json", **more,
    }  # fmt: skip
    (directory / "ecspresso.yml").write_text(json.dumps(config))
    (directory / "td.json").write_text(json.dumps(task))
    (directory / "sv.json").write_text(json.dumps(service))
    return directory


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{ env `TAG` `latest` }}", "1.2"),
        ("{{ env `NONE` `latest` }}", "latest"),
        ("{{env `NONE` `TAG` `latest`}}", "1.2"),
        ('{{ must_env "TAG" }}', "1.2"),
        ("a {{- must_env `TAG` -}} b", "a1.2 b"),
        ("{{ must_env `QUOTED` | json_escape }}", r"say \"hi\""),
        ("{{/* a remark */}}x", "x"),
    ],
)
def test_templates(text, made):
    environment = {"TAG": "1.2", "QUOTED": 'say "hi"'}
    assert render(text, own_functions(environment), Path("f")) == made


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n{{ must_env `NONE` }}", "f:2: {{ must_env `NONE` }}: the environment variable NONE"),
        ("{{ if true }}", "of Go's templates is not implemented"),
        ("{{ envv `A` }}", "the template function 'envv' is not known here"),
        ("{{ }}", "cannot be read"),
    ],
)
def test_a_template_that_cannot_be_is_refused_by_line(text, says):
    with pytest.raises(BadInput) as caught:
        render(text, own_functions({}), Path("f"))
    assert says in str(caught.value)


STATE = {
    "outputs": {"groups": {"value": ["sg-1", "sg-2"]}},
    "resources": [
        {"mode": "managed", "type": "aws_subnet", "name": "a",
         "instances": [{"attributes": {"id": "subnet-1", "tags": {"Name": "x"}}}]},
        {"mode": "managed", "type": "aws_subnet", "name": "each",
         "instances": [{"index_key": "c", "attributes": {"id": "subnet-c"}},
                       {"index_key": "d", "attributes": {"id": "subnet-d"}}]},
        {"mode": "data", "type": "aws_vpc", "name": "v",
         "instances": [{"attributes": {"id": "vpc-1"}}]},
        {"module": "module.lb", "mode": "managed", "type": "aws_lb", "name": "l",
         "instances": [{"index_key": 0, "attributes": {"arn": "arn:0"}}]},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("aws_subnet.a.id", "subnet-1"),
        ("aws_subnet.a.tags.Name", "x"),
        ("aws_subnet.each['d'].id", "subnet-d"),
        ('aws_subnet.each["c"].id', "subnet-c"),
        ("data.aws_vpc.v.id", "vpc-1"),
        ("module.lb.aws_lb.l[0].arn", "arn:0"),
        ("output.groups", '["sg-1","sg-2"]'),
        ("output.groups[1]", "sg-2"),
    ],
)
def test_terraforms_state(address, value):
    assert tfstate.find(STATE, address) == value


@pytest.mark.parametrize("address", ["aws_subnet.b.id", "output.none", "aws_subnet.a.none", "x"])
def test_what_the_state_has_not_is_said(address):
    with pytest.raises(ValueError, match=r"state has|no address"):
        tfstate.find(STATE, address)


def test_ecspressos_files_are_read_as_they_are(tmp_path):
    (tmp_path / "terraform.tfstate").write_text(json.dumps(STATE))
    service = {
        "service": {
            **SERVICE,
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": ["{{ tfstate `aws_subnet.a.id` }}"],
                }
            },
            # what describe-services shows beside the definition
            "serviceArn": "arn:x", "runningCount": 1, "pendingCount": 0, "events": [],
        }
    }  # fmt: skip
    plugins = [{"name": "tfstate", "config": {"path": "terraform.tfstate"}}]
    task = {"taskDefinition": {**TASK, "revision": 3, "status": "ACTIVE", "compatibilities": []}}
    home = read_home(ecspresso(tmp_path, task, service, plugins=plugins), {"TAG": "7"}, no_access)
    assert (home.cluster, home.service, home.region) == ("here", "web", "ap-northeast-1")
    assert home.timeout_s == 300
    assert home.containers[0]["image"] == "web:7"
    assert home.task_definition.keys() == TASK.keys()
    vpc = home.service_definition["networkConfiguration"]["awsvpcConfiguration"]
    assert vpc["subnets"] == ["subnet-1"]
    assert "runningCount" not in home.service_definition


def test_hikkoshis_own_files_are_read():
    home = read_home(GENBA, {}, no_access)
    assert home.region == "ap-northeast-1"
    assert (home.cluster, home.service, home.main_container) == ("genba", "genba", "genba")
    assert home.service_definition["desiredCount"] == 2


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: (d / "ecspresso.yml").unlink(), "has neither hikkoshi.yaml nor ecspresso.yml"),
        (lambda d: (d / "ecspresso.yml").rename(d / "ecspresso.jsonnet"), "Jsonnet is not"),
        (lambda d: (d / "td.json").unlink(), "there is no file"),
        (lambda d: ecspresso(d, {**TASK, "cpu": "300"}), "td.json:1"),
        (lambda d: ecspresso(d, {**TASK, "familly": "x"}), "did you mean 'family'?"),
        (
            lambda d: ecspresso(d, codedeploy={"aplication_name": "x"}),
            "did you mean 'application_name'?",
        ),
        (lambda d: ecspresso(d, appspec={"Hooks": {"BeforeInstall": "x"}}), "must be a list"),
        (lambda d: ecspresso(d, plugins=[{"name": "cfn"}]), "the plugin 'cfn' is not implemented"),
        (
            lambda d: ecspresso(
                d, service={**SERVICE, "deploymentController": {"type": "EXTERNAL"}}
            ),
            "a deploy by EXTERNAL is not implemented",
        ),
        (
            lambda d: ecspresso(
                d, service={**SERVICE, "deploymentConfiguration": {"strategy": "BLUE_GREEN"}}
            ),
            "BLUE_GREEN needs bakeTimeInMinutes",
        ),
        (
            lambda d: ecspresso(
                d,
                service={
                    **SERVICE,
                    "deploymentConfiguration": {"strategy": "CANARY"},
                    "loadBalancers": [
                        {
                            "targetGroupArn": "arn:blue",
                            "containerName": "web",
                            "containerPort": 80,
                            "advancedConfiguration": {"roleArn": "arn:role"},
                        }
                    ],
                },
            ),
            "CANARY needs advancedConfiguration with alternateTargetGroupArn, "
            "productionListenerRule here",
        ),
        (lambda d: ecspresso(d, timeout="soon"), "'soon' is not a duration"),
        (lambda d: ecspresso(d, clutser="x"), "did you mean 'cluster'?"),
    ],
)
def test_what_cannot_be_is_refused_before_aws_is_asked(tmp_path, spoil, says):
    spoil(ecspresso(tmp_path))
    with pytest.raises(BadInput) as caught:
        read_home(tmp_path, {"TAG": "7"}, no_access)
    assert says in str(caught.value)


def test_a_region_that_the_file_does_not_name_is_left_to_the_environment(tmp_path):
    """A default would send a deploy to the wrong region of the right account."""
    copied = shutil.copytree(GENBA, tmp_path / "after", ignore=shutil.ignore_patterns(".hikkoshi"))
    file = copied / "hikkoshi.yaml"
    file.write_text(file.read_text().replace("region: ap-northeast-1\n", ""))
    assert read_home(copied, {}, no_access).region == ""
