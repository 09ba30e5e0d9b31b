"""Commands that start something else: a container, a shell; and what OpenTelemetry is told."""

from __future__ import annotations

import pytest

from hikkoshi.model.survey import Application, Unit
from hikkoshi.plan.application import without_shell
from hikkoshi.plan.docker_run import DockerRun, read_docker_run
from hikkoshi.plan.tracing import capture


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/bin/docker run --rm -p 80:8080 -e A=1 -e B --env=C=x=y img:1 serve --all",
         DockerRun("img:1", 8080, {"A": "1", "B": "b", "C": "x=y"}, (), ("serve", "--all"))),
        ("docker container run -d --name x -v /a:/b --mount type=bind,src=/c r.io/x@sha256:ab",
         DockerRun("r.io/x@sha256:ab", None, {}, ("/a:/b", "type=bind,src=/c"), ())),
        ("podman run --replace -it -p 127.0.0.1:53:53/udp -p 8443:443/tcp img",
         DockerRun("img", 443, {}, (), ())),
        ("docker run --no-such-option img", DockerRun("", None, {}, (), ())),
        ("docker run", DockerRun("", None, {}, (), ())),
        ("docker start -a cache", None),
        ("docker-compose up", None),
        ("/opt/docker/run", None),
    ],
)  # fmt: skip
def test_a_container_that_the_host_runs(command: str, expected: DockerRun | None) -> None:
    assert read_docker_run(command.split(), {"B": "b"}) == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("/bin/bash", "-lc", "bundle exec puma -C config/puma.rb"),
         ("bundle", "exec", "puma", "-C", "config/puma.rb")),
        (("/bin/sh", "-c", "exec /opt/a --port 1"), ("/opt/a", "--port", "1")),
        (("/bin/sh", "-c", "cd /opt && ./a"), None),
        (("/bin/sh", "-c", "A=1 ./a"), None),
        (("/bin/sh", "-c", "./a $PORT"), None),
        (("/bin/sh", "/opt/start.sh"), None),
        (("/opt/a", "-c", "b"), None),
    ],
)  # fmt: skip
def test_a_shell_that_only_starts_something(
    command: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    assert without_shell(command) == (expected or command)


PYTHON = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST"
JAVA = "OTEL_INSTRUMENTATION_HTTP_SERVER_CAPTURE_REQUEST_HEADERS"


@pytest.mark.parametrize(
    ("runtime", "environment", "command", "imports", "expected"),
    [
        ("python", {"OTEL_SERVICE_NAME": "a"}, "python3 a.py", (), {PYTHON: "X-Amzn-Trace-Id"}),
        ("python", {}, "opentelemetry-instrument gunicorn a", (), {PYTHON: "X-Amzn-Trace-Id"}),
        ("python", {}, "python3 a.py", ("opentelemetry",), {PYTHON: "X-Amzn-Trace-Id"}),
        ("java", {}, "java -javaagent:/o/opentelemetry-javaagent.jar -jar a", (),
         {JAVA: "X-Amzn-Trace-Id"}),
        ("python", {PYTHON: "Accept"}, "a", (), {PYTHON: "Accept,X-Amzn-Trace-Id"}),
        ("python", {PYTHON: "x-amzn-trace-id"}, "a", (), {}),
        ("python", {"PORT": "1"}, "python3 a.py", ("flask",), {}),
        ("static", {"OTEL_SERVICE_NAME": "a"}, "/a", (), {}),
    ],
)  # fmt: skip
def test_the_load_balancers_header_is_captured(
    runtime: str,
    environment: dict[str, str],
    command: str,
    imports: tuple[str, ...],
    expected: dict[str, str],
) -> None:
    unit = Unit("a.service", (), environment=environment)
    files = Application("a.service", "/opt/a", imports=imports)
    found, why = capture(runtime, unit, tuple(command.split()), files)
    assert found == expected and bool(why) == bool(expected)
