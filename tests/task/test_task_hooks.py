"""What the hooks prepare: volumes, the router's files, log drivers; and what is merged into a
container's specification."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from task_stage import container, order, play, sidecar

from hikkoshi.region.engine.command import KEPT_CAPABILITIES, capabilities_of
from hikkoshi.region.engine.port import CannotStartContainer, Image, Mount, TmpfsMount, Ulimit
from hikkoshi.region.task.definition import DefinitionError, read_definition
from hikkoshi.region.task.hooks.environment_files import parse_environment_file
from hikkoshi.region.task.hooks.volumes import mounts
from hikkoshi.region.task.setup import StartFailedError
from hikkoshi.region.task.specification import argv, environment, runtime_id, specification


def one(**container):
    return read_definition(
        {"family": "f", "containerDefinitions": [{"name": "c", "image": "i", **container}]}
    ).containers[0]


IMAGE = Image("i", "sha256:1", entry_point=("/entry",), command=("serve", "--fast"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({}, ("/entry", "serve", "--fast")),
        ({"command": ["work"]}, ("/entry", "work")),
        # As Docker: an entryPoint clears the image's command.
        ({"entryPoint": ["/mine"]}, ("/mine",)),
        ({"entryPoint": ["/mine"], "command": ["work"]}, ("/mine", "work")),
        ({"entryPoint": [], "command": []}, ("/entry", "serve", "--fast")),
    ],
)
def test_entry_point_and_command_merge_as_docker_merges_them(override, expected):
    assert argv(one(**override), IMAGE) == expected


def test_nothing_to_run_cannot_start():
    with pytest.raises(CannotStartContainer, match="no command specified"):
        argv(one(), Image("i", "sha256:1"))


def test_the_definition_overrides_the_image():
    image = Image(
        "i", "d", command=("x",), environment={"A": "image", "B": "image"}, user="app",
        working_directory="/srv",
    )  # fmt: skip
    definition = one(
        environment=[{"name": "B", "value": "definition"}, {"name": "C", "value": "definition"}],
        memory=128,
        cpu=64,
        readonlyRootFilesystem=True,
    )
    merged = environment(
        definition, image, order(container("c")),
        extra={"AWS_ENDPOINT_URL": "http://r", "C": "region", "D": "region"},
        files={"B": "file", "D": "file", "S": "file"}, secrets={"S": "secret"},
        from_aws={"AWS_EXECUTION_ENV": "AWS_ECS_FARGATE"},
    )  # fmt: skip
    assert merged["A"] == "image"
    assert merged["B"] == merged["C"] == "definition"
    assert (merged["D"], merged["S"]) == ("file", "secret")
    assert merged["AWS_ENDPOINT_URL"] == "http://r"
    # The engine's to add, since it knows the image's passwd file.
    assert not {"PATH", "HOME", "HOSTNAME"} & merged.keys()
    spec = specification(
        definition, image, container_id="id", host="h", environment=merged, mounts=()
    )
    assert (spec.user, spec.working_directory) == ("app", "/srv")
    assert (spec.memory_mib, spec.cpu_units, spec.has_read_only_root) == (128, 64, True)
    assert spec.ulimits == (Ulimit("nofile", 65535, 65535),)


def test_ulimits_add_to_fargates_default():
    own = one(ulimits=[{"name": "nproc", "softLimit": 10, "hardLimit": 20}])
    assert set(own.ulimits) == {Ulimit("nproc", 10, 20), Ulimit("nofile", 65535, 65535)}
    own = one(ulimits=[{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}])
    assert own.ulimits == (Ulimit("nofile", 1024, 4096),)


def test_a_runtime_id_has_fargates_form():
    identity = runtime_id(order(container("c")), "c")
    task_id, _, number = identity.rpartition("-")
    assert task_id == "0123456789abcdef"
    assert len(number) == 10
    assert number.isdecimal()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"systemControls": [{"namespace": "kernel.shmmax", "value": "1"}]},
            r"container c: systemControls kernel.shmmax \(of IPC\) is not implemented",
        ),
        (
            {"credentialSpecs": ["credentialspec:arn"]},
            "container c: credentialSpecs is not implemented",
        ),
        ({"healthCheck": {"command": ["CMD"]}}, "must start with CMD or CMD-SHELL"),
    ],
)
def test_definitions_that_cannot_run_are_refused(change, words):
    with pytest.raises(DefinitionError, match=words):
        one(**change)


def test_an_environment_file_is_read_as_docker_reads_it():
    text = '\ufeffA=b c # d\n\n # no\n  B="q"\r\nC\nD=\nE=x=y\nA=last\n'
    read = parse_environment_file(text.encode())
    assert read == {"A": "last", "B": '"q"', "D": "", "E": "x=y"}
    for wrong, words in (
        (b"=x", "no variable name on line '=x'"), (b"A B=1", "variable 'A B' contains whitespaces"),
        (b"\xff\xfe", "contains invalid utf8 bytes"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            parse_environment_file(wrong)


def test_a_check_of_no_kind_is_never_made():
    """As AWS's own examples for the OpenTelemetry collector have it."""
    assert one(healthCheck={"command": ["/healthcheck"]}).health_check is None


def test_linux_parameters_reach_the_engine():
    definition = one(
        linuxParameters={
            "capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]},
            "tmpfs": [{"containerPath": "/x", "size": 8, "mountOptions": ["ro"]}],
        }
    )
    spec = specification(definition, IMAGE, container_id="id", host="h", environment={}, mounts=())
    assert spec.tmpfs == (TmpfsMount("/x", 8, ("ro",)),)
    assert capabilities_of(spec.added_capabilities, spec.dropped_capabilities) == (
        "CAP_SYS_PTRACE",
    )
    assert capabilities_of((), ("CHOWN", "NET_RAW")) == tuple(
        c for c in KEPT_CAPABILITIES if c not in ("CAP_CHOWN", "CAP_NET_RAW")
    )


def of_efs(**configuration):
    return read_definition(
        {
            "family": "f",
            "containerDefinitions": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "data", "efsVolumeConfiguration": configuration}],
        }
    )


@pytest.mark.parametrize(
    ("configuration", "place"),
    [
        ({"fileSystemId": "fs-1"}, "fs-1"),
        ({"fileSystemId": "fs-1", "rootDirectory": "/"}, "fs-1"),
        ({"fileSystemId": "fs-1", "rootDirectory": "a/./b/"}, "fs-1/a/b"),
        ({"fileSystemId": "fs-1", "rootDirectory": "/../../etc"}, "fs-1/etc"),
        ({"fileSystemId": "fs-1", "authorizationConfig": {"accessPointId": "fsap-2"}},
         "fs-1-fsap-2"),
    ],
)  # fmt: skip
def test_a_file_system_has_one_place_for_all_tasks(configuration, place):
    assert of_efs(**configuration).file_systems == (("data", place),)


@pytest.mark.parametrize("name", ["", "..", "a/b"])
def test_what_is_no_file_system_is_refused(name):
    with pytest.raises(DefinitionError, match="is no file system or access point of EFS"):
        of_efs(fileSystemId=name)


def test_sizes_are_read_in_units_and_in_words():
    def size(**more):
        read = read_definition(
            {"family": "f", "containerDefinitions": [{"name": "c", "image": "i"}], **more}
        )
        return read.cpu_vcpu, read.memory_mib

    assert size(cpu="512", memory="1024") == (0.5, 1024)
    assert size(cpu="1 vCPU", memory="2 GB") == (1.0, 2048)
    with pytest.raises(DefinitionError, match="memory: 'lots'"):
        size(memory="lots")


def test_volumes_are_mounted_and_inherited():
    definition = read_definition(
        {
            "family": "f",
            "volumes": [{"name": "shared"}, {"name": "own", "host": {}}],
            "containerDefinitions": [
                {
                    "name": "app",
                    "image": "i",
                    "mountPoints": [
                        {"sourceVolume": "shared", "containerPath": "/data"},
                        {"sourceVolume": "own", "containerPath": "/own", "readOnly": True},
                    ],
                },
                {
                    "name": "side",
                    "image": "i",
                    "mountPoints": [{"sourceVolume": "own", "containerPath": "/data"}],
                    "volumesFrom": [{"sourceContainer": "app", "readOnly": True}],
                },
            ],
        }
    )
    places = {"shared": Path("/t/0"), "own": Path("/t/1")}
    assert mounts(definition, places) == {
        "app": (Mount(Path("/t/0"), "/data"), Mount(Path("/t/1"), "/own", True)),
        "side": (Mount(Path("/t/1"), "/data"), Mount(Path("/t/1"), "/own", True)),
    }
    with pytest.raises(StartFailedError, match="mounts volume shared, which the task definition"):
        mounts(definition, {"own": Path("/t/1")})


ROUTER = {
    "name": "router",
    "image": "sh",
    "command": ["/bin/sh", "-c", 'echo "key $apikey_1"; exec sleep 60'],
    "essential": False,
    "firelensConfiguration": {"type": "fluentbit"},
}


def test_a_router_gets_its_configuration_socket_and_secrets(tmp_path):
    async def scenario(stage):
        app = container(
            "app",
            'echo "$FLUENT_HOST:$FLUENT_PORT"; exec sleep 60',
            logConfiguration={
                "logDriver": "awsfirelens",
                "options": {"Name": "datadog"},
                "secretOptions": [{"name": "apikey", "valueFrom": "dd"}],
            },
        )
        seen = stage.run(ROUTER, app)
        await seen.status("RUNNING")
        assert stage.engine.started == ["router", "app"]
        router = stage.engine.sandboxes[0].containers[0].spec
        by_target = {mount.target: mount for mount in router.mounts}
        config = by_target["/fluent-bit/etc/fluent-bit.conf"]
        assert config.is_read_only
        assert "    apikey ${apikey_1}\n" in config.source.read_text()
        target = stage.logs.targets["app"]
        assert target.driver == "awsfirelens"
        assert target.tag == "app-firelens-0123456789abcdef"
        assert Path(target.fluentd_socket).parent == by_target["/var/run"].source
        assert target.options == {"Name": "datadog"}
        assert stage.logs.targets["router"].driver == "none"
        await stage.said("router", "key k3y")
        await stage.said("app", "127.0.0.1:24224")
        stage.stop()
        await seen.status("STOPPED")
        assert stage.logs.closed == ["app", "router"]

    play(scenario, tmp_path, secrets={"dd": "k3y"})


def test_secret_options_of_other_drivers_are_their_options(tmp_path):
    async def scenario(stage):
        log = {
            "logDriver": "splunk",
            "options": {"splunk-url": "u"},
            "secretOptions": [{"name": "splunk-token", "valueFrom": "t"}],
        }
        seen = stage.run(container("app", logConfiguration=log))
        await seen.status("RUNNING")
        assert stage.logs.targets["app"].options == {"splunk-url": "u", "splunk-token": "tt"}

    play(scenario, tmp_path, secrets={"t": "tt"})


@pytest.mark.parametrize(
    ("containers", "words"),
    [
        (
            [container("app", logConfiguration={"logDriver": "awsfirelens"})],
            "ResourceInitializationError: failed to create firelens config",
        ),
        (
            [container("app", logConfiguration={"logDriver": "journald"})],
            "failed to initialize logging driver: journald is not a log driver of Fargate",
        ),
        (
            [
                container(
                    "app",
                    logConfiguration={
                        "logDriver": "awslogs",
                        "options": {"awslogs-group": "gone"},
                    },
                )
            ],
            "ResourceInitializationError: failed to validate logger args",
        ),
        (
            [container("app"), sidecar("s", volumesFrom=[{"sourceContainer": "ghost"}])],
            "takes volumesFrom ghost, which is not in the task",
        ),
    ],
)
def test_a_task_that_cannot_be_prepared_says_why(tmp_path, containers, words):
    async def scenario(stage):
        stopped = await stage.run(*containers).status("STOPPED")
        assert stopped.stop_code == "TaskFailedToStart"
        assert words in stopped.stopped_reason
        assert stage.engine.started == []

    play(scenario, tmp_path)


def test_a_socket_path_that_is_too_long_is_refused(tmp_path):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()

    async def scenario(stage):
        app = container("app", logConfiguration={"logDriver": "awsfirelens"})
        stopped = await stage.run(ROUTER, app).status("STOPPED")
        assert "is too long for a unix socket" in stopped.stopped_reason

    play(scenario, deep)


def test_what_is_played_differently_is_told(tmp_path):
    async def scenario(stage):
        seen = stage.run(
            container("app", linuxParameters={"initProcessEnabled": True}),
            ephemeralStorage={"sizeInGiB": 30},
        )
        await seen.status("RUNNING")
        told = stage.runtime.not_imitated()
        assert told[0].startswith("container app: initProcessEnabled is not played")
        assert told[1:] == ["ephemeralStorage is not limited"]

    play(scenario, tmp_path)
