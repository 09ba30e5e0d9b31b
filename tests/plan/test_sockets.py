"""Where a program listens if not on a port, and what it is told in a task."""

from __future__ import annotations

import pytest

from hikkoshi.model.survey import Configuration, Host, System, Unit
from hikkoshi.plan.front_server import share
from hikkoshi.plan.sockets import Bound, find_bound, rebind
from hikkoshi.survey.gathered import Gathered
from hikkoshi.survey.systemd import read_units

SYSTEM = System("here", "debian", "12", "Debian 12", "6.1", "x86_64", 2, 1024, False)


def unit(command: str, name: str = "app.service", **more: object) -> Unit:
    return Unit(name, ("/etc/x",), commands=(tuple(command.split()),), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("gunicorn --bind unix:/run/a.sock a:app", ("/run/a.sock", None, "http")),
        ("/v/bin/python -m gunicorn -b unix:/run/a/b.sock a", ("/run/a/b.sock", None, "http")),
        ("gunicorn --bind=unix:/var/run/a.sock a:app", ("/run/a.sock", None, "http")),
        ("gunicorn --bind 0.0.0.0:8000 a:app", None),
        ("gunicorn -c gunicorn.conf.py a:app", ("/run/conf.sock", None, "http")),
        ("uvicorn --uds /run/u.sock a:app", ("/run/u.sock", None, "http")),
        ("bundle exec puma -b unix:///srv/a/p.sock", ("/srv/a/p.sock", None, "http")),
        ("uwsgi --socket /run/w.sock --module a", ("/run/w.sock", None, "uwsgi")),
        ("uwsgi --socket 127.0.0.1:3031", ("", 3031, "uwsgi")),
        ("uwsgi --http-socket 127.0.0.1:3031", None),
        ("uwsgi --ini /etc/uwsgi/a.ini", ("/run/ini.sock", None, "uwsgi")),
        ("/opt/a/server -c /etc/passwd", None),
        ("/usr/sbin/haproxy -f /etc/haproxy.cfg", None),
    ],
)
def test_where_it_listens(command: str, expected: tuple[str, int | None, str] | None) -> None:
    configurations = (
        Configuration("/opt/a/gunicorn.conf.py", "program", 'bind = "unix:/run/conf.sock"\n'),
        Configuration("/etc/uwsgi/a.ini", "uwsgi", "[uwsgi]\nmodule = a\nsocket = /run/ini.sock\n"),
    )  # fmt: skip
    one = unit(command)
    found = find_bound(Host(SYSTEM, (one,), configurations=configurations), one, one.commands[0])
    assert (found and (found.path, found.port, found.speaks)) == expected


@pytest.mark.parametrize(
    ("path", "text", "name", "expected"),
    [
        ("/etc/php/8.2/fpm/pool.d/www.conf", "[www]\nlisten = /run/php/php8.2-fpm.sock\n",
         "php8.2-fpm.service", ("/run/php/php8.2-fpm.sock", None)),
        ("/etc/php-fpm.d/www.conf", ";listen = /x\nlisten = 127.0.0.1:9001\n", "php-fpm.service",
         ("", 9001)),
        ("/etc/php/7.4/fpm/pool.d/www.conf", "listen = /x.sock\n", "php8.2-fpm.service",
         ("", 9000)),
    ],
)  # fmt: skip
def test_a_pool_of_php_fpm(
    path: str, text: str, name: str, expected: tuple[str, int | None]
) -> None:
    one = unit("/usr/sbin/php-fpm8.2 --nodaemonize", name)
    host = Host(SYSTEM, (one,), configurations=(Configuration(path, "php-fpm", text),))
    found = find_bound(host, one, one.commands[0])
    assert found is not None and (found.path, found.port) == expected
    assert found.speaks == "fastcgi"


def test_a_socket_that_systemd_hands_over_enables_its_service() -> None:
    """As gunicorn's own documentation has it: only the socket is enabled."""
    files = {
        "gunicorn.socket": "[Socket]\nListenStream=/run/gunicorn.sock\n",
        "gunicorn.service": "[Service]\nExecStart=/v/bin/gunicorn a.wsgi\n",
        "each.socket": "[Socket]\nListenStream=7\nAccept=yes\n",
        "each.service": "[Service]\nExecStart=/bin/cat\n",
        "sockets.target.wants/gunicorn.socket": "",
        "sockets.target.wants/each.socket": "",
    }
    gathered = Gathered({f"/etc/systemd/system/{n}": t.encode() for n, t in files.items()})
    units = read_units(gathered)
    by_name = {u.name: u for u in units}
    assert by_name["gunicorn.service"].is_enabled and not by_name["each.service"].is_enabled
    one = by_name["gunicorn.service"]
    found = find_bound(Host(SYSTEM, units), one, one.commands[0])
    assert found is not None and found.is_handed and found.path == "/run/gunicorn.sock"


@pytest.mark.parametrize(
    ("command", "path", "speaks", "by_port", "by_volume"),
    [
        ("gunicorn --bind unix:/run/a.sock a:app", "/run/a.sock", "http",
         "gunicorn a:app --bind 0.0.0.0:8000", "gunicorn a:app --bind unix:/run/a/a.sock"),
        ("gunicorn -b unix:/run/x/a.sock -b 127.0.0.1:1 a", "/run/x/a.sock", "http",
         "gunicorn -b 127.0.0.1:1 a --bind 0.0.0.0:8000",
         "gunicorn -b unix:/run/x/a.sock -b 127.0.0.1:1 a"),
        ("uvicorn --uds /run/a.sock a", "/run/a.sock", "http",
         "uvicorn a --host 0.0.0.0 --port 8000", "uvicorn a --uds /run/a/a.sock"),
        ("puma -b unix:///run/a.sock", "/run/a.sock", "http",
         "puma --bind tcp://0.0.0.0:8000", "puma --bind unix:///run/a/a.sock"),
        ("uwsgi --socket /run/a.sock", "/run/a.sock", "uwsgi",
         "uwsgi --socket /run/a.sock --http-socket 0.0.0.0:8000", "uwsgi --socket /run/a/a.sock"),
        ("/opt/a --sock /run/a.sock", "/run/a.sock", "http", None, "/opt/a --sock /run/a/a.sock"),
        ("/opt/a", "/run/a.sock", "http", None, None),
        ("/opt/a", "/run/b/a.sock", "http", None, "/opt/a"),
    ],
)  # fmt: skip
def test_what_it_is_told(
    command: str, path: str, speaks: str, by_port: str | None, by_volume: str | None
) -> None:
    bound = Bound(path, None, speaks, "the unit says so")
    for shared, expected in ((None, by_port), (share(path), by_volume)):
        made = rebind(command.split(), {}, bound, 8000, shared)
        assert bool(made.undone) == (expected is None), made
        assert " ".join(made.command) == (expected or command)


def test_a_variable_that_names_the_socket_moves_with_it() -> None:
    bound = Bound("/run/a.sock", None, "http", "SOCK of its environment")
    environment = {"SOCK": "unix:/run/a.sock", "OTHER": "x"}
    made = rebind(["/opt/a"], environment, bound, 80, share("/run/a.sock"))
    assert made.environment == {"SOCK": "unix:/run/a/a.sock"} and not made.undone


def test_nobody_hands_a_socket_to_an_unknown_program() -> None:
    bound = Bound("/run/x/a.sock", None, "http", "a.socket listens", is_handed=True)
    made = rebind(["/opt/a"], {}, bound, 80, share("/run/x/a.sock"))
    assert "nobody does so in a task" in made.undone[0]
    made = rebind(["gunicorn", "a"], {}, bound, 80, share("/run/x/a.sock"))
    assert made.command == ["gunicorn", "a", "--bind", "unix:/run/x/a.sock"] and not made.undone
