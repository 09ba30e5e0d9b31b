"""C1 to C14: a task's life, the same on every engine."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from contract_house import STAY, shell, sidecar, wait_for

pytestmark = pytest.mark.region
ROUTER = "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable"
GET = "import os, urllib.request as u; print(u.urlopen(%s).read().decode())"


def exits(task: dict) -> dict:
    return {one["name"]: one.get("exitCode") for one in task["containers"]}


def test_c01_a_size_that_fargate_does_not_have(region):
    with pytest.raises(ClientError) as refused:
        region.register(shell("app"), cpu="256", memory="8192")
    assert "No Fargate configuration exists for given values" in str(refused.value)


def test_c02_the_states_of_a_task(region):
    after = region.ask("events")["last"]
    arn = region.run(shell("app"))
    region.running(arn)
    stopped = region.stop(arn)
    assert stopped["desiredStatus"] == "STOPPED"
    told = region.ask(f"events?after={after}")["events"]
    seen = [e["detail"]["lastStatus"] for e in told if e["detail"].get("taskArn") == arn]
    order = ["PROVISIONING", "PENDING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING",
             "STOPPED"]  # fmt: skip
    assert list(dict.fromkeys(seen)) == order


def test_c03_why_a_task_stopped(region):
    ended = region.stopped(region.run(shell("app", "exit 3")))
    assert (ended["stopCode"], ended["stoppedReason"], exits(ended)) == (
        "EssentialContainerExited", "Essential container in task exited", {"app": 3},
    )  # fmt: skip
    arn = region.run(shell("app"))
    region.running(arn)
    ended = region.stop(arn)
    assert (ended["stopCode"], ended["stoppedReason"]) == ("UserInitiated", "over")


def test_c04_what_a_dependency_decides(region):
    ended = region.stopped(
        region.run(
            shell("app", dependsOn=[{"containerName": "setup", "condition": "SUCCESS"}]),
            sidecar("setup", "exit 1"),
        )
    )
    app = next(one for one in ended["containers"] if one["name"] == "app")
    assert app["exitCode"] == 143
    assert app["reason"].startswith("CannotStartContainerError")
    ended = region.stopped(
        region.run(
            shell("app", "exit 0", dependsOn=[{"containerName": "setup", "condition": "COMPLETE"}]),
            sidecar("setup", "exit 1"),
        )
    )
    assert exits(ended) == {"app": 0, "setup": 1}


def test_c05_a_dependency_that_takes_too_long(region):
    ended = region.stopped(
        region.run(
            shell("app", dependsOn=[{"containerName": "setup", "condition": "COMPLETE"}]),
            sidecar("setup", startTimeout=2),
        )
    )
    assert ended["stopCode"] == "TaskFailedToStart"


def test_c06_dependents_stop_first_and_sigkill_ends_who_stays(region):
    arn = region.run(
        shell("app", "trap '' TERM; while :; do sleep 0.05; done", stopTimeout=2,
              dependsOn=[{"containerName": "side", "condition": "START"}]),
        sidecar("side", "trap 'exit 9' TERM; while :; do sleep 0.05; done"),
    )  # fmt: skip
    region.running(arn)
    region.ecs.stop_task(task=arn)
    half = region.until(arn, lambda t: exits(t)["app"] is not None, "app killed")
    assert exits(half)["app"] == 137
    assert exits(region.stopped(arn)) == {"app": 137, "side": 9}


def test_c07_a_sidecar_that_ends_leaves_the_task(region):
    arn = region.run(shell("app"), sidecar("side", "exit 1"))
    seen = region.until(arn, lambda t: exits(t)["side"] == 1, "sidecar ended")
    assert seen["desiredStatus"] == "RUNNING"
    region.running(arn)
    region.leave(arn)


def test_c08_health_is_told_and_a_standalone_task_goes_on(region):
    check = {"command": ["CMD-SHELL", "test -f /tmp/up"], "retries": 1, "interval": 5}
    arn = region.run(shell("app", healthCheck=check))
    region.until(arn, lambda t: t["healthStatus"] == "UNHEALTHY", "unhealthy")
    region.execute(arn, "app", "touch", "/tmp/up")
    seen = region.until(arn, lambda t: t["healthStatus"] == "HEALTHY", "healthy")
    assert seen["lastStatus"] == "RUNNING"
    region.leave(arn)


def test_c09_limits_are_caps(region):
    low = [{"name": "nofile", "softLimit": 123, "hardLimit": 456}]
    # Its own, not those of a command that is executed in it: runc up to 1.1.12, built by Go 1.19,
    # gives such a command the hard limit for both now and then.
    said = f"echo $(ulimit -Sn) $(ulimit -Hn) > /tmp/l; mv /tmp/l /tmp/limits; {STAY}"
    arn = region.run(shell("app", said, ulimits=low), shell("hungry", essential=False))
    region.running(arn)
    wait_for(lambda: region.execute(arn, "app", "bash", "-c", "cat /tmp/limits || true"),
             lambda answer: answer.split() == ["123", "456"], "limited")  # fmt: skip
    region.leave(arn)
    if any("memory" in one for one in region.ask("status")["not_enforced"]):
        pytest.skip("memory limits cannot be enforced here")
    ended = region.stopped(region.run(shell("app", "head -c 300m /dev/zero | tail", memory=32)))
    (app,) = ended["containers"]
    assert app["exitCode"] == 137
    assert app["reason"].startswith("OutOfMemoryError")


def test_c09_linux_parameters_and_controls(region):
    memory = {"containerPath": "/scratch/memory", "size": 2, "mountOptions": ["mode=0750"]}
    controls = [{"namespace": "net.core.somaxconn", "value": "77"}]
    bound = {"capabilities": {"add": ["SYS_PTRACE"], "drop": ["CHOWN"]}, "tmpfs": [memory]}
    script = (
        "head -c 3m /dev/zero > /scratch/memory/x; chown 1 /scratch/memory/x 2> /dev/null; "
        "echo $(stat -c '%a %s %u' /scratch/memory /scratch/memory/x) "
        "$(cat /proc/sys/net/core/somaxconn) "
        "$(( 0x$(sed -n 's/^CapEff:.//p' /proc/self/status) >> 19 & 1 )) > /tmp/said.new; "
        f"mv /tmp/said.new /tmp/said; {STAY}"
    )
    arn = region.run(shell("app", script, readonlyRootFilesystem=False, linuxParameters=bound,
                           systemControls=controls))  # fmt: skip
    region.running(arn)
    said = wait_for(lambda: region.execute(arn, "app", "bash", "-c", "cat /tmp/said || true"),
                    lambda answer: len(answer.split()) == 8, "told")  # fmt: skip
    mode, _, owner, _, size, of_file, backlog, traces = said.split()
    assert (mode, owner, size, of_file, backlog, traces) == (
        "750", "0", str(2 << 20), "0", "77", "1",
    )  # fmt: skip
    region.leave(arn)


def test_c09_a_file_system_is_shared_by_tasks(region):
    volumes = [{"name": "data", "efsVolumeConfiguration": {"fileSystemId": "fs-12345678",
                                                           "rootDirectory": "/app"}}]  # fmt: skip
    mounted = [{"sourceVolume": "data", "containerPath": "/data"}]
    codes = []
    for script in ("echo hello > /data/x", 'test "$(cat /data/x)" = hello'):
        arn = region.run(shell("app", script, mountPoints=mounted), volumes=volumes)
        codes.append(exits(region.stopped(arn))["app"])
    assert codes == [0, 0]
    assert any("EFS fs-12345678" in one for one in region.ask("status")["not_enforced"])


def test_c10_one_network_a_task(region):
    arn = region.run(
        shell("app", "exec 3<>/dev/tcp/127.0.0.1/7000; cat <&3; exec sleep 600",
              dependsOn=[{"containerName": "side", "condition": "HEALTHY"}]),
        {
            "name": "side", "image": "localhost/python", "essential": False,
            "command": ["python3", "-m", "http.server", "7000"],
            "healthCheck": {"command": ["CMD", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7000"]},
        },
    )  # fmt: skip
    task = region.running(arn)
    (address,) = {i["privateIpv4Address"] for c in task["containers"]
                  for i in c["networkInterfaces"]}  # fmt: skip
    assert address.startswith("10.0.")
    assert exits(task)["app"] is None
    region.leave(arn)


def test_c11_secrets(region):
    missing = {"name": "A", "valueFrom": "arn:aws:secretsmanager:ap-northeast-1:123456789012:"
               "secret:nowhere"}  # fmt: skip
    ended = region.stopped(region.run(shell("app", secrets=[missing])))
    assert ended["stopCode"] == "TaskFailedToStart"
    assert ended["stoppedReason"].startswith(
        "ResourceInitializationError: unable to pull secrets or registry auth"
    )
    region.client("ssm").put_parameter(Name="key", Value="s3cret", Type="SecureString",
                                       Overwrite=True)  # fmt: skip
    arn = region.run(shell("app", secrets=[{"name": "A", "valueFrom": "key"}]))
    region.running(arn)
    assert region.execute(arn, "app", "bash", "-c", "echo $A") == "s3cret\n"
    region.leave(arn)


def test_c11_environment_files(region):
    s3 = region.client("s3")
    s3.create_bucket(
        Bucket="files", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    s3.put_object(Bucket="files", Key="a/one.env", Body=b"# x\nA=1 2\nB=file\nC=one\n")
    s3.put_object(Bucket="files", Key="two.env", Body=b"C=two\nD=two\n")
    files = [
        {"type": "s3", "value": f"arn:aws:s3:::files/{key}"} for key in ("a/one.env", "two.env")
    ]
    own = [{"name": "B", "value": "own"}]
    arn = region.run(shell("app", environmentFiles=files, environment=own))
    region.running(arn)
    said = region.execute(arn, "app", "bash", "-c", 'echo "$A,$B,$C,$D"')
    assert said == "1 2,own,one,two\n"
    region.leave(arn)
    files[0]["value"] += ".missing.env"
    ended = region.stopped(region.run(shell("app", environmentFiles=files)))
    assert ended["stopCode"] == "TaskFailedToStart"
    assert ended["stoppedReason"].startswith(
        "ResourceInitializationError: failed to download env files: "
    )


def test_c12_one_image_that_is_not_there(region):
    ended = region.stopped(
        region.run(shell("app"), {**sidecar("side"), "image": "localhost/nowhere:1"})
    )
    assert ended["stopCode"] == "TaskFailedToStart"
    assert ended["stoppedReason"].startswith("CannotPullContainerError: ")


def test_c13_metadata_and_credentials(region):
    arn = region.run(
        {"name": "app", "image": "localhost/python", "command": ["sleep", "600"]},
        taskRoleArn="arn:aws:iam::123456789012:role/r",
    )
    region.running(arn)
    where = "os.environ['ECS_CONTAINER_METADATA_URI_V4']+'/task'"
    told = json.loads(region.execute(arn, "app", "python3", "-c", GET % where))
    assert told["TaskARN"] == arn
    assert isinstance(told["Revision"], str)
    assert isinstance(told["Limits"]["CPU"], float)
    where = "'http://169.254.170.2'+os.environ['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']"
    told = json.loads(region.execute(arn, "app", "python3", "-c", GET % where))
    assert {"AccessKeyId", "SecretAccessKey", "Token", "Expiration"} <= set(told)
    region.leave(arn)


def test_c14_firelens(region):
    logs = region.client("logs")
    logs.create_log_group(logGroupName="routed")
    awslogs = {"logDriver": "awslogs", "options": {
        "awslogs-group": "routed", "awslogs-region": "ap-northeast-1",
        "awslogs-stream-prefix": "x"}}  # fmt: skip
    arn = region.run(
        {"name": "router", "image": ROUTER, "essential": False, "logConfiguration": awslogs,
         "firelensConfiguration": {"type": "fluentbit", "options": {
             "config-file-type": "file",
             "config-file-value": "/fluent-bit/configs/parse-json.conf"}}},
        shell("app", """echo first; echo second; echo '{"level": "warn"}'; exec sleep 600""",
              logConfiguration={
                  "logDriver": "awsfirelens",
                  "options": {"Name": "stdout", "exclude-pattern": "second"}}),
    )  # fmt: skip
    region.running(arn)

    def read() -> str:
        found = logs.filter_log_events(logGroupName="routed")["events"]
        return "\n".join(one["message"] for one in found)

    text = wait_for(read, lambda t: "first" in t and "warn" in t, "routed")
    assert "second" not in text
    assert '"level"=>"warn"' in text
    assert arn in text
    region.leave(arn)
