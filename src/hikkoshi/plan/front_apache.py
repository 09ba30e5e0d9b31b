"""Apache httpd: what of its configuration hands requests to the application, and what a task
changes. As Debian and Amazon Linux lay it. Source of the directives: mod_proxy, mod_proxy_balancer,
mod_proxy_fcgi, mod_proxy_uwsgi, mod_rewrite and core in httpd's own documentation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from hikkoshi.plan.front_server import Served, Server, normal

_DEBIAN, _REDHAT = "/etc/apache2/apache2.conf", "/etc/httpd/conf/httpd.conf"
_OPEN = re.compile(r"^<(VirtualHost|Proxy)\s+\"?([^\">]+)\"?\s*>", re.IGNORECASE)
_CLOSE = re.compile(r"^</(VirtualHost|Proxy)>", re.IGNORECASE)
_PASS = re.compile(
    r"^(?:ProxyPass(?:Match)?\s+(?:\S+\s+)?\"?(?P<url>(?:unix:|\w+://)[^\s\"]+)"
    r"|RewriteRule\s+\S+\s+\"?(?P<rule>(?:unix:|\w+://)[^\s\"]+)\"?\s+\[[^\]]*\bP\b"
    r"|SetHandler\s+\"?proxy:(?P<handler>[^\s\"]+))",
    re.IGNORECASE,
)
_MEMBER = re.compile(r"^BalancerMember\s+(?:\S+\s+)?\"?((?:unix:|\w+://)[^\s\"]+)", re.IGNORECASE)
_LISTEN = re.compile(r"^Listen\s+(?:\S*:)?(\d{1,5})\b", re.IGNORECASE)
_EXPORT = re.compile(r"^\s*export\s+(APACHE_\w+|LANG)=(\S+)", re.MULTILINE)
# Of Debian's /etc/apache2/envvars.
_ENVIRONMENT = {
    "APACHE_RUN_USER": "www-data", "APACHE_RUN_GROUP": "www-data",
    "APACHE_PID_FILE": "/run/apache2/apache2.pid", "APACHE_RUN_DIR": "/run/apache2",
    "APACHE_LOCK_DIR": "/run/lock/apache2", "APACHE_LOG_DIR": "/var/log/apache2",
}  # fmt: skip


def serves(texts: Mapping[str, str], names: frozenset[str]) -> Served | None:
    lines = list(_lines(texts))
    balancers: dict[str, set[str]] = {}
    for _, _, proxy, line in lines:
        member = _MEMBER.match(line)
        if member and proxy.startswith("balancer://"):
            balancers.setdefault(proxy.rstrip("/"), set()).add(member[1])
    ports = [m[1] for _, _, _, line in lines if (m := _LISTEN.match(line))]
    hosts = [host for _, host, _, _ in lines if host]
    for path, host, _, line in lines:
        for url in _urls(line):
            balancer = "/".join(url.split("/")[:3])
            behind = balancers.get(balancer, {url})
            found = {normal(member) for member in behind}
            if names & found:
                # What stands outside every virtual host holds for the first of them.
                said = re.search(r":(\d+)$", host or (hosts[0] if hosts else ""))
                port = int(said[1] if said else ports[0] if ports else 80)
                return Served(path, port, _speaks(behind), tuple(sorted(found - names - {""})))
    return None


def _urls(line: str) -> Iterator[str]:
    match = _PASS.match(line)
    if match:
        yield match["url"] or match["rule"] or match["handler"]


def _speaks(urls: Iterable[str]) -> str:
    """By the scheme; of `unix:/a.sock|fcgi://b` the one behind the bar."""
    schemes = {url.rpartition("|")[2].partition(":")[0] for url in urls}
    return "fastcgi" if "fcgi" in schemes else "uwsgi" if "uwsgi" in schemes else "http"


def _lines(texts: Mapping[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """(file, the virtual host's address or "", the <Proxy>'s or "", the line)."""
    for path, text in sorted(texts.items()):
        scope = {"virtualhost": "", "proxy": ""}
        for raw in re.sub(r"\\\n", " ", text).splitlines():
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            opened, closed = _OPEN.match(line), _CLOSE.match(line)
            if opened:
                scope[opened[1].lower()] = opened[2].split()[0]
            elif closed:
                scope[closed[1].lower()] = ""
            yield path, scope["virtualhost"], scope["proxy"], line


def in_a_task(line: str) -> str:
    """Logs go to stdout and stderr, TLS ends at the load balancer, a task has no fixed address."""
    bare = line.strip()
    if bare.startswith("#"):
        return line
    is_certbots = re.match(r"Include(?:Optional)?\s+\S*(?:letsencrypt|options-ssl)", bare, re.I)
    if re.match(r"SSL(?!Proxy)\w+\s", bare, re.I) or is_certbots:
        return f"# {bare}"
    line = re.sub(r"(?i)^(\s*Listen\s+)(?:\S*:)?(\d+)(?:\s+https?)?\s*$", r"\1\2", line)
    line = re.sub(r"(?i)^(\s*<VirtualHost\s+)(?:[\d.]+|\[[^\]]*\]):(\d+)>", r"\1*:\2>", line)
    line = re.sub(r"(?i)^(\s*ErrorLog\s+)(?:\"[^\"]*\"|\S+)", r"\1/proc/self/fd/2", line)
    return re.sub(r"(?i)^(\s*(?:CustomLog|TransferLog|GlobalLog)\s+)(?:\"[^\"]*\"|\S+)",
                  r"\1/proc/self/fd/1", line)  # fmt: skip


def command(texts: Mapping[str, str]) -> list[str]:
    program = "/usr/sbin/apache2" if _DEBIAN in texts else "/usr/sbin/httpd"
    return [program, "-D", "FOREGROUND"]


def environment(texts: Mapping[str, str]) -> dict[str, str]:
    """Debian's apachectl reads it from a shell file; here no shell is between."""
    if _DEBIAN not in texts:
        return {}
    said = {
        name: _in_run(value.replace("$SUFFIX", "").strip("\"'"))
        for name, value in _EXPORT.findall(texts.get("/etc/apache2/envvars", ""))
    }
    return _ENVIRONMENT | {name: value for name, value in said.items() if "$" not in value}


def _in_run(path: str) -> str:
    """An image of nothing but packages lacks the links that base-files makes."""
    return re.sub(r"^/var/lock(?=/|$)", "/run/lock", re.sub(r"^/var/run(?=/|$)", "/run", path))


APACHE = Server(
    "apache",
    ("apache2.service", "httpd.service"),
    "apache",
    (_DEBIAN, _REDHAT),
    "apache2",
    "httpd",
    "",
    ("/run/apache2", "/run/lock/apache2", "/var/log/apache2"),
    ("/etc/apache2/sites-enabled", "/etc/apache2/conf-enabled", "/etc/apache2/mods-enabled"),
    ("/etc/apache2/sites-enabled/000-default.conf",),
    serves,
    in_a_task,
    command,
    environment,
)
