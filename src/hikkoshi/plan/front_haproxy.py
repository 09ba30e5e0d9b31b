"""HAProxy: what of its configuration hands requests to the application, and what a task changes.
Source: the proxies, `bind` and `server` sections of its configuration manual, 2.2 to 3.0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hikkoshi.plan.front_server import Served, Server, normal

_MAIN = "/etc/haproxy/haproxy.cfg"
_SECTION = re.compile(
    r"^(global|defaults|frontend|backend|listen|userlist|peers|resolvers|mailers|cache|program|"
    r"http-errors|ring|log-forward|fcgi-app|crt-store|traces)\b\s*(\S*)"
)
# With a value after it, and without. Source: configuration manual 5.1.
_TLS_VALUES = ("crt", "crt-list", "crt-ignore-err", "alpn", "npn", "ca-file", "ca-ignore-err",
               "ca-verify-file", "crl-file", "ciphers", "ciphersuites", "curves", "ecdhe", "verify",
               "ssl-min-ver", "ssl-max-ver", "tls-ticket-keys")  # fmt: skip
_TLS_WORDS = ("ssl", "allow-0rtt", "strict-sni", "no-tls-tickets", "no-alpn",
              "generate-certificates",
              "no-sslv3", "no-tlsv10", "no-tlsv11", "no-tlsv12", "force-tlsv12", "force-tlsv13",
              "no-ca-names", "prefer-client-ciphers")  # fmt: skip


def serves(texts: Mapping[str, str], names: frozenset[str]) -> Served | None:
    sections = [s for path, text in sorted(texts.items()) for s in _sections(text, path)]
    behind: dict[str, set[str]] = {}
    for _, kind, name, lines in sections:
        servers = {normal(w[2]) for line in lines if (w := line.split())[0] == "server" and w[2:]}
        if names & servers and kind in ("backend", "listen"):
            behind[name] = servers
    for path, kind, name, lines in sections:
        used = [name] if kind == "listen" else []
        if kind == "frontend":
            words = [line.split() for line in lines]
            used = [w[1] for w in words if w[0] in ("default_backend", "use_backend") and w[1:]]
        found = next((behind[backend] for backend in used if backend in behind), None)
        port = _binds(lines)
        if found is not None and port is not None:
            return Served(path, port, "http", tuple(sorted(found - names - {""})))
    return None


def _sections(text: str, path: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """(file, kind, name, its lines). `frontend web *:80` of old is a bind."""
    kind, name = "", ""
    lines: list[str] = []
    for raw in text.splitlines():
        line = re.sub(r"(?:^|\s)#.*$", "", raw).strip()
        found = _SECTION.match(line)
        if found:
            if kind:
                yield path, kind, name, lines
            kind, name = found[1], found[2]
            rest = line.split()[2:]
            lines = [f"bind {rest[0]}"] if rest and kind in ("frontend", "listen") else []
        elif line:
            lines.append(line)
    if kind:
        yield path, kind, name, lines


def _binds(lines: list[str]) -> int | None:
    for line in lines:
        words = line.split()
        for word in words[1].split(",") if words[0] == "bind" and words[1:] else ():
            if found := re.search(r":(\d{1,5})$", word):
                return int(found[1])
    return None


def in_a_task(line: str) -> str:
    """Logs go to stdout, TLS ends at the load balancer, a task is called by IPv4 and any address.
    A redirection to https by what the connection is would send every request round in a circle."""
    bare = line.strip()
    if bare.startswith("#") or not bare:
        return line
    words = bare.split()
    indent = line[: len(line) - len(line.lstrip())]
    if words[0] == "log" and len(words) > 2 and re.match(r"/dev/log|127\.|localhost", words[1]):
        return f"{indent}log stdout format raw {' '.join(words[2:])}"
    if words[0] in ("daemon", "pidfile", "crt-base", "ca-base") or words[0].startswith("ssl-"):
        return f"# {bare}"
    if re.search(r"\bredirect\s+scheme\s+https\b.*\bssl_fc\b", bare):
        return f"# {bare}"
    if words[0] == "bind" and len(words) > 1:
        return indent + " ".join(_bind(words))
    return line


def _bind(words: list[str]) -> list[str]:
    ports = [re.search(r":(\d+(?:-\d+)?)$", word) for word in words[1].split(",")]
    if not all(ports):
        return words  # A socket, a file descriptor, a variable: left as it is.
    kept = ["bind", ",".join(f"*:{port[1]}" for port in ports if port)]
    rest = iter(words[2:])
    for word in rest:
        if word in _TLS_VALUES:
            next(rest, None)
        elif word not in (*_TLS_WORDS, "v4v6", "v6only"):
            kept.append(word)
    return kept if kept != ["bind", words[1], *words[2:]] else words


def command(texts: Mapping[str, str]) -> list[str]:
    """-db: not in the background, whatever `daemon` says."""
    more = ["-f", "/etc/haproxy/conf.d"] if any("/conf.d/" in path for path in texts) else []
    return ["haproxy", "-W", "-db", "-f", _MAIN, *more]


HAPROXY = Server(
    "haproxy",
    ("haproxy.service",),
    "haproxy",
    (_MAIN,),
    "haproxy",
    "haproxy",
    "haproxy:lts",
    ("/run/haproxy", "/var/lib/haproxy"),
    (),
    (),
    serves,
    in_a_task,
    command,
)
