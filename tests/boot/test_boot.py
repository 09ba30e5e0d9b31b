"""Starting and ending a region, with real processes; nothing may be left, whoever is killed."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hikkoshi.base.errors import BadInput, CannotRun, DeadlinePassed
from hikkoshi.region.boot import LaunchSettings, clean_up, find_regions, index_directory, launch
from hikkoshi.region.boot.cgroups import places
from hikkoshi.region.boot.network import AddressPool
from hikkoshi.region.boot.refusal import NamespaceFacts, explain_refusal
from hikkoshi.region.boot.settings import read_record

ROOT = str(Path(__file__).parents[2])


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ROOT)

    def make(**more):
        values = {
            "state": tmp_path / "state",
            "record_directory": tmp_path / "records",
            "entry_point": "tests.boot.small_region:main",
            "index": tmp_path / "index",
            "stop_deadline_s": 10.0,
        }
        return LaunchSettings(**{**values, **more})

    yield make
    clean_up(tmp_path / "state")


def ask(handle):
    port = int(handle.api_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"hello\n")
        return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))


def tree(pid):
    """The process and all below it, as pidfds, so that a pid used again deceives nobody."""
    found, waiting = {}, [pid]
    while waiting:
        one = waiting.pop()
        try:
            found[one] = os.pidfd_open(one)
            for thread in Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (thread / "children").read_text().split()]
        except OSError:
            continue
    return found


def have_ended(processes, deadline_s=15.0):
    for fd in processes.values():
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(deadline_s * 1000):
            return False
        os.close(fd)
    return True


def named(processes, name):
    for pid in processes:
        if Path(f"/proc/{pid}/comm").read_text().strip() == name:
            return pid
    raise AssertionError(f"no {name} among {list(processes)}")


def assert_nothing_is_left(settings, record):
    assert not settings.state.exists()
    assert list(settings.index.iterdir()) == []
    assert [name for name in record.cgroups if Path(name).exists()] == []


def test_a_region_starts_answers_and_ends(settings, tmp_path, monkeypatch):
    # A user's own queue.py beside hikkoshi.yaml is not the one that Python means.
    (tmp_path / "queue.py").write_text("raise SystemExit('the wrong queue')")
    monkeypatch.chdir(tmp_path)
    wanted = settings(payload={"of": "mine"})
    handle = launch(wanted)
    handle.wait_ready(30)
    seen = ask(handle)
    assert seen["payload"] == {"of": "mine"}
    assert seen["address"] == "10.0.1.1"
    assert seen["uid"] == "1000"
    assert "10.0.0.2" in seen["networks"]
    with socket.create_connection(("127.0.0.1", seen["door_port"]), 5):
        pass
    ((record, is_alive),) = find_regions(wanted.index)
    assert is_alive
    assert record.is_ready
    assert record.door_pid == handle.pid
    processes = tree(handle.pid)
    assert len(processes) == 4, "door, init, region, and the sleeper of the small region"
    handle.stop()
    handle.stop()
    assert have_ended(processes)
    assert (wanted.record_directory / "stopped").read_text() == "in order"
    assert_nothing_is_left(wanted, record)


@pytest.mark.parametrize("victim", ["hikkoshi-door", "hikkoshi-init", "hikkoshi-region"])
def test_nothing_is_left_when_one_is_killed(settings, victim):
    wanted = settings()
    handle = launch(wanted)
    handle.wait_ready(30)
    record = read_record(wanted.state)
    processes = tree(handle.pid)
    os.kill(named(processes, victim), signal.SIGKILL)
    assert handle.wait_ended(15)
    assert have_ended(processes)
    clean_up(wanted.state)
    assert_nothing_is_left(wanted, record)


@pytest.mark.parametrize("moment_s", [0.0, 0.03, 0.06, 0.09, 0.12, 0.15, 0.2])
def test_nothing_is_left_when_the_door_is_killed_while_it_starts(settings, moment_s):
    wanted = settings()
    handle = launch(wanted)
    assert not handle.wait_ended(moment_s)
    record, processes = read_record(wanted.state), tree(handle.pid)
    os.kill(handle.pid, signal.SIGKILL)
    assert have_ended(processes)
    assert handle.wait_ended(5)
    clean_up(wanted.state)
    launch(wanted).stop()
    if record is not None:
        assert_nothing_is_left(wanted, record)


LAUNCHER = """
import sys, json
from pathlib import Path
from hikkoshi.region.boot import LaunchSettings, launch
base = Path(sys.argv[1])
handle = launch(LaunchSettings(base / "state", base / "records", "tests.boot.small_region:main",
    base / "index", is_detached=sys.argv[2] == "detached"))
handle.wait_ready(30)
print(handle.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["attached", "detached"])
def test_a_region_follows_its_launcher_unless_detached(settings, tmp_path, kind):
    wanted = settings()
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    processes = tree(int(launcher.stdout.readline()))
    record = read_record(wanted.state)
    launcher.kill()
    launcher.communicate()
    if kind == "detached":
        assert find_regions(wanted.index)[0][1], "it must go on"
        with pytest.raises(BadInput, match="already runs"):
            launch(wanted)
        done = clean_up(wanted.state)
        assert (done.was_running, done.was_killed) == (True, False)
    assert have_ended(processes)
    assert (wanted.record_directory / "stopped").exists()
    assert_nothing_is_left(wanted, record)


def test_what_a_killed_region_left_is_removed_by_the_next(settings):
    wanted = settings()
    first = launch(wanted)
    first.wait_ready(30)
    record = read_record(wanted.state)
    processes = tree(first.pid)
    for pid in processes:
        os.kill(pid, signal.SIGKILL) if pid == first.pid else None
    assert have_ended(processes)
    assert wanted.state.exists()
    assert find_regions(wanted.index)[0][1] is False
    second = launch(wanted)
    second.wait_ready(30)
    assert read_record(wanted.state).region_id != record.region_id
    second.stop()
    assert_nothing_is_left(wanted, record)


def test_a_pid_of_somebody_else_is_not_killed(settings):
    wanted = settings()
    handle = launch(wanted)
    handle.wait_ready(30)
    text = (wanted.state / "region.json").read_text()
    handle.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        wanted.state.mkdir()
        forged = {**json.loads(text), "door_pid": stranger.pid, "init_pid": stranger.pid}
        (wanted.state / "region.json").write_text(json.dumps(forged))
        (wanted.state / "of the user").write_text("keep")
        assert clean_up(wanted.state).was_running is False
        assert stranger.poll() is None
        stranger.kill()
    assert [path.name for path in wanted.state.iterdir()] == ["of the user"]


def test_a_region_that_does_not_stop_is_killed(settings):
    wanted = settings(payload={"is_stubborn": True}, stop_deadline_s=0.5)
    handle = launch(wanted)
    handle.wait_ready(30)
    record, processes = read_record(wanted.state), tree(handle.pid)
    handle.stop()
    assert have_ended(processes)
    assert_nothing_is_left(wanted, record)


def test_a_thread_that_is_stuck_does_not_keep_a_region_from_ending(settings):
    wanted = settings(payload={"has_a_stuck_thread": True}, stop_deadline_s=100.0)
    handle = launch(wanted)
    handle.wait_ready()
    started = time.monotonic()
    handle.stop()
    assert time.monotonic() - started < 50, "it was killed at its deadline"
    assert (wanted.record_directory / "stopped").read_text() == "in order"


def test_a_port_in_use_is_bad_input(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wanted = settings(port=port)
        with pytest.raises(BadInput) as caught:
            launch(wanted).wait_ready(30)
    assert f"port {port} is in use" in str(caught.value)
    assert "--port" in str(caught.value)
    assert not wanted.state.joinpath("ground").exists()


@pytest.mark.parametrize("port", [70000, -1])
def test_no_port_at_all_is_bad_input(settings, port):
    with pytest.raises(BadInput, match="is not a port"):
        launch(settings(port=port)).wait_ready(30)


@pytest.mark.parametrize(
    ("payload", "words"),
    [({"refuses": True}, "fix: tell it otherwise"), ({"breaks": True}, "ZeroDivisionError")],
)
def test_a_failure_inside_comes_back(settings, payload, words):
    wanted = settings(payload=payload)
    with pytest.raises(CannotRun) as caught:
        launch(wanted).wait_ready(30)
    assert words in str(caught.value)
    assert not wanted.state.exists()


def test_an_entry_point_that_is_not_there(settings):
    with pytest.raises(BadInput, match="no entry point"):
        launch(settings(entry_point="tests.boot.small_region:nosuch")).wait_ready(30)


def test_a_region_that_is_not_ready_in_time(settings):
    wanted = settings(payload={"is_slow": True})
    with pytest.raises(DeadlinePassed, match="did not become ready"):
        launch(wanted).wait_ready(1.0)
    assert not wanted.state.exists()


def test_a_taken_door_is_replaced_by_a_free_one(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        handle = launch(settings(payload={"wanted_port": port}))
        handle.wait_ready(30)
        assert ask(handle)["door_port"] not in (port, 0)
        handle.stop()


FACTS = NamespaceFacts(None, 1000, 1000, None, False, False)


@pytest.mark.parametrize(
    ("number", "facts", "setting"),
    [
        (errno.EPERM, NamespaceFacts(0, 1000, 1000), "kernel.unprivileged_userns_clone = 0"),
        (errno.ENOSPC, NamespaceFacts(None, 0, 1000), "user.max_user_namespaces = 0"),
        (errno.ENOSPC, NamespaceFacts(1, 900, 5), "user.max_net_namespaces = 5"),
        (
            errno.EACCES,
            NamespaceFacts(1, 9, 9, 1),
            "kernel.apparmor_restrict_unprivileged_userns = 1",
        ),
        (errno.EPERM, NamespaceFacts(None, 9, 9, None, True), "seccomp"),
        (errno.EPERM, FACTS, "unshare failed (EPERM)"),
    ],
)
def test_a_machine_without_namespaces_names_the_setting(number, facts, setting):
    error = explain_refusal("unshare", number, facts)
    assert setting in error.what
    assert "--engine docker" in (error.fix or "")


NO_NAMESPACES = """
import sys
import time
from pathlib import Path
from hikkoshi.base.errors import CannotRun
from hikkoshi.region.boot import LaunchSettings, launch
base = Path(sys.argv[1])
try:
    launch(LaunchSettings(base / "state", base / "records", "tests.boot.small_region:main",
        base / "index")).wait_ready(30)
except CannotRun as error:
    print(error)
"""


def test_a_machine_that_really_forbids_them(settings, tmp_path):
    """A user namespace in which no further one may be made, and no right to make others."""
    settings()
    script = (
        'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -sys_admin "$@"'
    )
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "-"]
    done = subprocess.run(
        [*command, sys.executable, "-c", NO_NAMESPACES, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "user.max_user_namespaces = 0" in done.stdout, done.stderr
    assert "--engine docker" in done.stdout
    assert not (tmp_path / "state").exists()


def test_the_index_falls_back_where_home_cannot_be_written(tmp_path):
    home = tmp_path / "home"
    home.write_text("a file")
    uid = os.getuid()
    assert index_directory({"HOME": str(home)}, uid, tmp_path) == tmp_path / f"hikkoshi-{uid}"
    state = tmp_path / "xdg"
    assert index_directory({"XDG_STATE_HOME": str(state)}, uid, tmp_path) == state / "hikkoshi"


def test_addresses_are_used_again_last():
    pool = AddressPool("10.0.1.1", "10.0.1.4")
    first = [pool.take(), pool.take()]
    pool.give_back(first[0])
    assert [pool.take(), pool.take(), pool.take()] == ["10.0.1.3", "10.0.1.4", "10.0.1.1"]
    with pytest.raises(CannotRun, match="addresses"):
        pool.take()


def test_places_of_control_groups():
    mounts = """\
30 25 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 25 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids"""
    member = "4:memory:/docker/abc\n3:cpu,cpuacct:/a\n0::/user.slice/app.scope\n"
    found = [(kind, [str(path) for path in paths]) for kind, paths in places(mounts, member)]
    unified = "/sys/fs/cgroup/unified"
    assert found == [
        ("", [f"{unified}/user.slice/app.scope", f"{unified}/user.slice", unified]),
        ("cpu", ["/sys/fs/cgroup/cpu,cpuacct/a"]),
        ("cpuacct", ["/sys/fs/cgroup/cpu,cpuacct/a"]),
        ("memory", ["/sys/fs/cgroup/memory"]),
    ]


def test_what_is_compiled_is_kept_apart_where_sources_are_to_stay_clean(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    before = list(Path(ROOT, "tests", "boot").rglob("*.pyc"))
    handle = launch(settings())
    handle.wait_ready()
    handle.stop()
    kept = {path.name.partition(".")[0] for path in (tmp_path / "index").rglob("*.pyc")}
    assert {"small_region", "inner"} <= kept
    assert list(Path(ROOT, "tests", "boot").rglob("*.pyc")) == before
