"""The embedded engine in a real region: real namespaces, real bwrap, real processes."""

from __future__ import annotations

import os

import pytest

HOST = "localhost/host"


def shell(perform, script, more=None, limits=None, image=HOST, **payload):
    return perform("run_one", image, ["sh", "-c", script], more, limits, **payload)


def test_a_container_is_alone_with_what_it_was_given(perform):
    script = """
    echo pid $$; echo user $(id -u):$(id -g); echo name $(hostname); echo here $(pwd)
    echo processes $(ls -d /proc/[0-9]* | wc -l)
    ls -x /proc/self/fd
    cat /etc/resolv.conf /etc/hosts; echo run:$(ls /run) tmp:$(ls /tmp); echo limit $(ulimit -n)
    env; exit 3"""
    more = {
        "environment": {"A": "b c=d"},
        "working_directory": "/made/for/it",
        "hostname": "ip-10-0-1-1",
        "ulimits": [["nofile", 99, 10**9]],
    }
    seen = shell(perform, script, more)
    assert seen["code"] == 3, seen
    assert seen["err"] == ""
    lines = seen["out"].splitlines()
    for wanted in ("pid 1", "user 0:0", "name ip-10-0-1-1", "here /made/for/it", "A=b c=d"):
        assert wanted in lines
    assert "0  1  2  3" in lines, "nothing but its own three, and what ls has opened"
    assert "nameserver 10.0.0.2" in lines
    assert f"{seen['address']}\tip-10-0-1-1" in lines
    assert "run: tmp:" in lines
    assert "limit 99" in lines
    assert seen["clipped"] == ["nofile"]
    environment = {line.split("=")[0] for line in lines[lines.index("limit 99") + 1 :]}
    assert environment <= {"A", "PATH", "HOME", "HOSTNAME", "PWD", "_", "SHLVL", "OLDPWD"}


@pytest.mark.parametrize(
    ("user", "expected"), [("1234", "1234:0"), ("1234:56", "1234:56"), ("daemon", "1:1")]
)
def test_a_user_by_number_and_by_name(perform, user, expected):
    script = (
        "echo $(id -u):$(id -g); grep CapEff /proc/self/status; : > /tmp/mine; ls -ln /tmp/mine"
    )
    seen = shell(perform, script, {"user": user})
    first, capabilities, file = seen["out"].splitlines()
    assert first == expected
    assert int(capabilities.split()[1], 16) == 0
    assert file.split()[2:4] == expected.split(":")


def test_root_in_a_container_cannot_mount_or_change_the_machine(perform):
    script = """
    mount -t tmpfs none /mnt && echo mounted
    for file in kernel/core_pattern kernel/hostname vm/swappiness net/ipv4/ip_forward; do
      test -e /proc/sys/$file || echo none; cat /proc/sys/$file > /tmp/was
      cat /tmp/was > /proc/sys/$file && echo sysctl
    done
    test -w /proc/sysrq-trigger && echo sysrq
    touch /usr/x && echo wrote; touch /etc/x && echo wrote; mknod /tmp/n b 8 0 && echo node
    for place in /sys/fs/cgroup /sys/fs/cgroup/memory; do mkdir $place/x && echo cgroup; done
    echo end"""
    assert shell(perform, script)["out"] == "end\n"


@pytest.mark.parametrize(
    ("argv", "more", "words"),
    [
        (["nosuch"], {}, 'exec: "nosuch": executable file not found in $PATH'),
        (["/no/such"], {}, 'exec: "/no/such": stat /no/such: no such file or directory'),
        (["/etc/passwd"], {}, 'exec: "/etc/passwd": permission denied'),
        (["true"], {"user": "nobody-here"}, "unable to find user nobody-here: no matching entries"),
        (["true"], {"mounts": [["/no/such", "/x", False]]}, "mount source /no/such does not exist"),
        (["true"], {"ulimits": [["files", 1, 1]]}, "unknown ulimit 'files'"),
        (["true"], {"working_directory": "/etc/passwd"}, "Not a directory"),
    ],
)
def test_what_cannot_be_started_says_why(perform, argv, more, words):
    assert words in perform("run_one", HOST, argv, more)["refused"]


def test_mounts_and_a_read_only_root(perform, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "in").write_text("from outside")
    script = """
    cat /etc/of/app/in /data/in; echo changed > /data/out
    for p in / /tmp /etc /etc/of/app /run /var/tmp; do touch $p/x && echo wrote $p; done
    touch /dev/shm/x && echo shm"""
    more = {
        "mounts": [
            [str(tmp_path / "shared"), "/etc/of/app", True],
            [str(tmp_path / "shared"), "/data", False],
        ],
        "has_read_only_root": True,
    }
    seen = shell(perform, script, more)
    assert seen["out"] == "from outsidefrom outsideshm\n"
    assert (tmp_path / "shared" / "out").read_text() == "changed\n"
    assert not os.path.exists("/etc/of")


def test_signals_reach_the_command_as_in_docker(perform):
    seen = perform("signals")
    assert seen["bye"]["out"] == "bye\n"
    assert seen["bye"]["code"] == 9
    assert seen["is_deaf"], "PID 1 without a handler must ignore SIGTERM"
    assert seen["code"] == 137


@pytest.mark.parametrize("user", [None, "1000:1000"])
def test_execute_runs_inside(perform, user):
    seen = perform("execute", user)
    uid = "0" if user is None else "1000"
    assert seen["plain"] == [4, f"mine\n{uid}\n/tmp\nc1\n12\nsh\n", False]
    assert seen["missing"][0] == 127
    assert seen["slow"] == [137, "a\n", True]
    assert seen["background"] == [0, "b\n", False]
    assert seen["ended"] == 137


def test_the_network_of_tasks(perform):
    seen = perform("network")
    one, two = seen["addresses"]
    assert seen["near"]["out"] == f"127.0.0.1\n{one}\n"
    assert seen["far"]["out"] == f"{two}\n"
    assert seen["home"] == "10.0.0.1"
    assert "00000000\t0100000A" in seen["routes"]
    assert seen["again"] not in (one, two), "an address must rest before it is used again"


def test_the_gateway_is_reached_while_other_tasks_leave(perform):
    seen = perform("gateway")
    assert seen["err"] == ""
    assert set(seen["steps"]) == {"ok\n"}


@pytest.mark.parametrize("without_cgroups", [False, True])
def test_usage(perform, without_cgroups):
    seen = perform("usage", without_cgroups=without_cgroups)
    assert 0.3 <= seen["cpu"] <= seen["after"]
    assert 32 << 20 <= seen["memory"] <= 200 << 20
    assert seen["processes"] == 1
    assert (seen["files"], seen["sockets"], seen["limit"]) == (30, 7, 321)
    assert seen["gone"]
    if without_cgroups:
        assert seen["periods"] is None


def test_memory_is_limited_where_it_can_be(perform):
    hungry = "import time; kept = [bytearray(b'x' * (1 << 20)) for _ in range(400)]; print('all')"
    argv = ["python3", "-c", hungry]
    limited = perform("run_one", "localhost/python", argv, {}, {"memory_mib": 64})
    if limited["enforced"][1]:
        assert (limited["code"], limited["oom"], limited["out"]) == (137, True, "")
        own = perform("run_one", "localhost/python", argv, {"memory_mib": 64}, {"memory_mib": 2048})
        assert (own["code"], own["oom"]) == (137, True)
    else:
        assert (limited["code"], limited["oom"], limited["out"]) == (0, False, "all\n")


def test_nothing_is_left_of_two_hundred_tasks(perform):
    seen = perform("leak", 200)
    assert seen["groups"] == []
    assert seen["scratch"] == []


def test_what_was_made_ready_runs_only_when_it_is_started(perform):
    seen = perform("ready")
    assert seen == {"before": [], "after": ["ran"], "codes": [0, 7, 5]}


def test_three_containers_of_a_task_start(perform):
    """The figure itself belongs to bench/; here only that it is not off by an order."""
    assert perform("speed")["median"] < 2.0


def test_an_image_from_scratch_has_nothing_of_the_machine_beneath(perform):
    image = {
        "name": "alone:1",
        "from_image": "scratch",
        "include": ["/bin/ls"],
        "entry_point": ["/bin/ls"],
    }
    seen = perform("run_one", "alone:1", ["/bin/ls", "/", "/home"], images=[image])
    assert seen["code"] == 0, seen
    out = seen["out"].split()
    assert {"/:", "bin", "etc", "tmp", "usr"} <= set(out)
    assert not {"root", "srv", "opt", "boot", "media"} & set(out)
