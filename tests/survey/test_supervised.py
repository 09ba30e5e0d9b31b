"""Programs of supervisord and pm2 are the applications, not their supervisors."""

from __future__ import annotations

import json

from hikkoshi.survey.applications import installed_elsewhere
from hikkoshi.survey.gathered import Gathered
from hikkoshi.survey.portrait import Seen, _processes
from hikkoshi.survey.supervised import starters, with_supervised
from hikkoshi.survey.systemd import read_units

# As Debian's supervisor 4.2 and `pm2 startup systemd` lay them.
UNITS = {
    "supervisor.service": "[Service]\nExecStart=/usr/bin/supervisord -n\n",
    "pm2-ubuntu.service": "[Service]\nUser=ubuntu\nExecStart=/x/bin/pm2 resurrect\n",
    "shop.service": "[Service]\nExecStart=/opt/another/shop\n",
    "multi-user.target.wants/supervisor.service": "",
    "multi-user.target.wants/pm2-ubuntu.service": "",
}
API = """; a comment
[program:api]
command=/opt/api/venv/bin/uvicorn main:app --name "%(program_name)s one" ; trailing
directory=/opt/api
user=api
environment=TOKEN="a,b=c",MODE=prod
stdout_logfile=/var/log/api.log

[program:off]
command=/opt/off
autostart=false
[eventlistener:x]
command=/opt/listener
"""
DUMP = [
    {
        "name": "shop", "pm_exec_path": "/home/ubuntu/shop/server.js",
        "pm_cwd": "/home/ubuntu/shop", "args": ["--port", "3000"], "exec_interpreter": "node",
        "node_version": "18.19.0",
        "env": {"PORT": 3000, "HOME": "/home/ubuntu", "PATH": "/bin", "SSH_TTY": "/dev/pts/0",
                "pm_id": 0, "NODE_ENV": "production", "unique": {"a": 1}},
    },
    {"name": "tool", "pm_exec_path": "/opt/tool", "exec_interpreter": "none", "args": "a 'b c'"},
    {"name": "../x", "pm_exec_path": "/opt/tool"}, {"name": "nothing"}, 7,
]  # fmt: skip


def gathered(api: str = API, dump: str = json.dumps(DUMP)) -> Gathered:
    files = {f"/etc/systemd/system/{name}": text for name, text in UNITS.items()}
    files |= {"/etc/supervisor/conf.d/api.conf": api, "/home/ubuntu/.pm2/dump.pm2": dump}
    return Gathered({name: text.encode() for name, text in files.items()})


def test_each_program_is_a_unit_and_its_supervisor_none_to_move() -> None:
    found = gathered()
    units = {u.name: u for u in with_supervised(read_units(found), found)}
    api = units["api.service"]
    assert api.commands == (("/opt/api/venv/bin/uvicorn", "main:app", "--name", "api one"),)
    assert api.environment == {"TOKEN": "a,b=c", "MODE": "prod"}
    assert (api.user, api.working_directory, api.output) == (
        "api", "/opt/api", "append:/var/log/api.log")  # fmt: skip
    assert api.is_enabled and not units["off.service"].is_enabled
    # A unit of systemd's has the name already.
    shop = units["shop-supervised.service"]
    assert shop.commands == (("node", "/home/ubuntu/shop/server.js", "--port", "3000"),)
    assert shop.environment == {"PORT": "3000", "NODE_ENV": "production"}
    assert shop.user == "ubuntu" and shop.description == "started by pm2, node 18.19.0"
    assert units["tool.service"].commands == (("/opt/tool", "a", "b c"),)
    assert starters(units.values()) == {"supervisor.service", "pm2-ubuntu.service"}
    assert not any("listener" in name or name == "x" for name in units)


def test_what_cannot_be_read_leaves_the_supervisor_as_it_was() -> None:
    for api, dump in (("[program:\n", "{"), ("\0\xff", "[" * 100_000), ("no section", "3")):
        found = gathered(api, dump)
        units = with_supervised(read_units(found), found)
        assert len(units) == 3 and not starters(units)


def test_a_process_of_a_supervisor_is_its_programs_own() -> None:
    """All of them are in the supervisor's control group."""
    lines = {"stat": [], "cmdline": [], "cgroup": [], "status": []}  # type: ignore[var-annotated]
    for pid, parent, command in (
        (10, 1, "/usr/bin/supervisord\0-n\0"),
        (11, 10, "/opt/api/venv/bin/uvicorn\0main:app\0--name\0api one\0"),
        (12, 11, "python\0worker\0"),
        (13, 10, "/opt/unknown\0"),
    ):
        rest = f"S {parent} 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 100 1000 100 " + "0 " * 30
        lines["stat"].append(f"/proc/{pid}/stat:{pid} (x) {rest}")
        lines["cmdline"].append(f"/proc/{pid}/cmdline:{command}")
        lines["cgroup"].append(f"/proc/{pid}/cgroup:0::/system.slice/supervisor.service")
        lines["status"].append(f"/proc/{pid}/status:Uid:\t0\t0\t0\t0")
    base = gathered()
    answers = {name: ("\n".join(text) + "\n").encode() for name, text in lines.items()}
    seen = Seen("here", 0.0, base.joined(Gathered(answers=answers)))
    seen.units = with_supervised(read_units(base), base)
    assert {p.pid: p.unit for p in _processes(seen)} == {
        10: "supervisor.service", 11: "api.service", 12: "api.service", 13: "supervisor.service",
    }  # fmt: skip


def test_an_editable_install_outside_is_told() -> None:
    place = "/opt/web/venv/lib/python3.11/site-packages"
    files = {
        f"{place}/mylib-1.0.dist-info/direct_url.json":
            '{"url": "file:///home/d/mylib", "dir_info": {"editable": true}}',
        f"{place}/own-1.0.dist-info/direct_url.json":
            '{"url": "file:///opt/web/own", "dir_info": {"editable": true}}',
        f"{place}/wheel-1.0.dist-info/direct_url.json": '{"url": "file:///tmp/w.whl"}',
        f"{place}/bad-1.0.dist-info/direct_url.json": "[]",
    }  # fmt: skip
    found = Gathered({name: text.encode() for name, text in files.items()})
    told = installed_elsewhere("/opt/web", files, found)
    assert list(told) == ["/home/d/mylib"] and "mylib is installed" in told["/home/d/mylib"]
