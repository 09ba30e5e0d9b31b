"""The generated router configuration, against expectations written by hand from ecs-agent's goldens
(agent/taskresource/firelens) and facts C14."""

from __future__ import annotations

import pytest

from hikkoshi.region.task.definition import Condition, Dependency, read_definition
from hikkoshi.region.task.firelens import (
    FirelensError,
    Identity,
    fluent_bit_config,
    fluentd_config,
    router_configuration,
)

IDENTITY = Identity("C", "ARN", "fam:7")

INPUTS = """
[INPUT]
    Name forward
    Mem_Buf_Limit {limit}
    unix_path /var/run/fluent.sock

[INPUT]
    Name forward
    Listen 127.0.0.1
    Port 24224

[INPUT]
    Name tcp
    Tag firelens-healthcheck
    Listen 127.0.0.1
    Port 8877
"""

METADATA = """
[FILTER]
    Name record_modifier
    Match *
    Record ecs_cluster C
    Record ecs_task_arn ARN
    Record ecs_task_definition fam:7
"""

HEALTH_OUTPUT = """
[OUTPUT]
    Name null
    Match firelens-healthcheck
"""


def task(*containers, kind="fluentbit", options=None, **router):
    return read_definition(
        {
            "family": "fam",
            "revision": 7,
            "containerDefinitions": [
                {
                    "name": "router",
                    "image": "r",
                    "firelensConfiguration": {"type": kind, "options": options or {}},
                    **router,
                },
                *containers,
            ],
        }
    )


def sender(name="app", options=None, **log):
    return {
        "name": name,
        "image": "a",
        "logConfiguration": {"logDriver": "awsfirelens", "options": options or {}, **log},
    }


def test_the_whole_of_it():
    definition = task(
        sender(
            options={
                "Name": "cloudwatch_logs",
                "region": "us-east-1",
                "log_group_name": "g",
                "include-pattern": "[Ee]rror",
                "log-driver-buffer-limit": "1048576",
            }
        ),
        options={"config-file-type": "file", "config-file-value": "/extra.conf"},
    )
    assert fluent_bit_config(definition, IDENTITY) == (
        INPUTS.format(limit="25MB")
        + """
[FILTER]
    Name   grep
    Match app-firelens*
    Regex  log [Ee]rror
"""
        + METADATA
        + """
@INCLUDE /extra.conf
"""
        + HEALTH_OUTPUT
        + """
[OUTPUT]
    Name cloudwatch_logs
    Match app-firelens*
    log_group_name g
    region us-east-1
"""
    )


def test_exclude_pattern_and_no_metadata():
    definition = task(
        sender("container", {"Name": "kinesis_firehose", "exclude-pattern": "*success*"}),
        options={"enable-ecs-log-metadata": "false"},
    )
    assert fluent_bit_config(definition, IDENTITY) == (
        INPUTS.format(limit="25MB")
        + """
[FILTER]
    Name   grep
    Match container-firelens*
    Exclude log *success*
"""
        + HEALTH_OUTPUT
        + """
[OUTPUT]
    Name kinesis_firehose
    Match container-firelens*
"""
    )


def test_no_options_is_no_output_section():
    assert fluent_bit_config(task(sender()), IDENTITY) == (
        INPUTS.format(limit="25MB") + METADATA + HEALTH_OUTPUT
    )


@pytest.mark.parametrize(
    ("router", "limit"),
    [
        ({"memory": 200}, "100MB"),
        ({"memory": 200, "memoryReservation": 50}, "25MB"),
        ({"memoryReservation": 128}, "64MB"),
    ],
)
def test_the_memory_buffer_is_half_of_the_routers_memory(router, limit):
    assert INPUTS.format(limit=limit) in fluent_bit_config(task(sender(), **router), IDENTITY)


def test_keys_are_sorted_by_bytes_and_secrets_are_variables():
    definition = task(
        sender("first", {"Name": "stdout"}),
        sender(
            "app",
            {"Name": "datadog", "Host": "h", "dd_service": "s", "TLS": "on"},
            secretOptions=[{"name": "apikey", "valueFrom": "arn:x"}],
        ),
    )
    assert fluent_bit_config(definition, IDENTITY).endswith(
        """
[OUTPUT]
    Name datadog
    Match app-firelens*
    Host h
    TLS on
    apikey ${apikey_2}
    dd_service s
"""
    )


def test_fluentd_has_its_own_syntax():
    definition = task(
        sender(
            "container",
            {
                "@type": "kinesis_firehose",
                "region": "us-west-2",
                "deliver_stream_name": "my-stream",
                "include-pattern": "*failure*",
                "exclude-pattern": "*success*",
            },
            secretOptions=[{"name": "token", "valueFrom": "arn:x"}],
        ),
        kind="fluentd",
        options={"config-file-type": "file", "config-file-value": "/extra.conf"},
    )
    expected = """
<source>
    @type unix
    path /var/run/fluent.sock
</source>

<source>
    @type forward
    bind 127.0.0.1
    port 24224
</source>

<filter container-firelens*>
    @type  grep
    <regexp>
        key log
        pattern *failure*
    </regexp>
</filter>

<filter container-firelens*>
    @type  grep
    <exclude>
        key log
        pattern *success*
    </exclude>
</filter>

<filter *>
    @type record_transformer
    <record>
        ecs_cluster C
        ecs_task_arn ARN
        ecs_task_definition fam:7
    </record>
</filter>

@include /extra.conf

<match container-firelens*>
    @type kinesis_firehose
    deliver_stream_name my-stream
    region us-west-2
    token "#{ENV['token_1']}"
</match>
"""
    assert fluentd_config(definition, IDENTITY) == expected
    assert router_configuration(definition, IDENTITY) == expected


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        (task(sender(options={"region": "r"})), "missing output key Name which is required"),
        (
            task(sender(options={"Name": "stdout"}), kind="fluentd"),
            "missing output key @type which is required",
        ),
        (task(sender(), kind="vector"), "must be fluentbit or fluentd, not vector"),
        (
            task(options={"config-file-type": "s3", "config-file-value": "arn:aws:s3:::b/f"}),
            "config-file-type must be file on Fargate",
        ),
        (
            task(options={"config-file-type": "file", "config-file-value": "/x.YAML"}),
            "a YAML file is not implemented",
        ),
        (task(options={"config-file-type": "file"}), "config-file-value is missing"),
        (
            task(logConfiguration={"logDriver": "awsfirelens"}),
            "router is the log router, so it cannot use the log driver awsfirelens itself",
        ),
        (
            read_definition({"family": "f", "containerDefinitions": [sender()]}),
            "app uses the log driver awsfirelens, but no container has a firelensConfiguration",
        ),
    ],
)
def test_what_cannot_be_generated_is_refused(definition, words):
    with pytest.raises(FirelensError, match="(?s).*" + words):
        router_configuration(definition, IDENTITY)


def test_senders_depend_on_the_router_unless_it_depends_on_something():
    implied = Dependency("router", Condition.START)
    assert task(sender()).container("app").depends_on == (implied,)
    own = {"dependsOn": [{"containerName": "router", "condition": "HEALTHY"}]}
    assert task(sender() | own).container("app").depends_on == (
        Dependency("router", Condition.HEALTHY),
    )
    waits = task(
        sender(),
        {"name": "init", "image": "i"},
        dependsOn=[{"containerName": "init", "condition": "COMPLETE"}],
    )
    assert waits.container("app").depends_on == ()
