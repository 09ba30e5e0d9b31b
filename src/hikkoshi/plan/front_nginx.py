"""nginx: what of its configuration hands requests to the application, and what a task changes."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping

from hikkoshi.plan.front_server import Served, Server, normal

_MAIN = "/etc/nginx/nginx.conf"
_BLOCK = re.compile(r"\b(server|upstream)\b\s*([\w.-]*)\s*\{")
_COMMENT = re.compile(r"(?:(?<=\s)|^)#.*$", re.MULTILINE)
_LISTEN = re.compile(r"\blisten\s+([^;]+);")
_PASS = re.compile(r"\b(proxy|fastcgi|uwsgi)_pass\s+(?:https?://|uwsgi://)?([^;\s]+)\s*;")
_SPEAKS = {"proxy": "http", "fastcgi": "fastcgi", "uwsgi": "uwsgi"}


def serves(texts: Mapping[str, str], names: frozenset[str]) -> Served | None:
    blocks = [(path, *block) for path, text in sorted(texts.items()) for block in _blocks(text)]
    upstreams = {
        name: {normal(word) for word in re.findall(r"\bserver\s+([^\s;]+)", body)}
        for _, kind, name, body in blocks
        if kind == "upstream"
    }
    for path, kind, _, body in blocks:
        for way, address in _PASS.findall(_with_included(body, texts)) if kind == "server" else ():
            behind = upstreams.get(address.partition("/")[0]) or {normal(address)}
            if names & behind:
                others = tuple(sorted(behind - names - {""}))
                return Served(path, _listens(body), _SPEAKS[way], others)
    return None


def _with_included(body: str, texts: Mapping[str, str]) -> str:
    """Amazon Linux has a server's locations in /etc/nginx/default.d."""
    patterns = re.findall(r"\binclude\s+([^;\s]+)\s*;", body)
    patterns = [p if p.startswith("/") else f"/etc/nginx/{p}" for p in patterns]
    found = [text for path, text in texts.items()
             if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)]  # fmt: skip
    return "\n".join([body, *(_COMMENT.sub("", text) for text in found)])


def _blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """(`server` or `upstream`, its name, what stands between its braces)."""
    plain = _COMMENT.sub("", text)
    for found in _BLOCK.finditer(plain):
        depth, end = 1, found.end()
        while end < len(plain) and depth:
            depth += {"{": 1, "}": -1}.get(plain[end], 0)
            end += 1
        yield found[1], found[2], plain[found.end() : end - 1]


def _listens(body: str) -> int:
    """nginx's own default is 80. Source: ngx_http_core_module, listen."""
    for value in _LISTEN.findall(body):
        number = re.match(r"(?:[\d.]+:|\*:)?(\d{1,5})(?:\s|$)", value)
        if number:
            return int(number[1])
    return 80


def in_a_task(line: str) -> str:
    bare = line.strip()
    if bare.startswith("#"):
        return line
    if re.match(r"(?:ssl_\w+|include\s+\S*(?:ssl|letsencrypt)\S*)\s*[^;]*;", bare):
        return f"# {bare}"
    if re.match(r"listen\s+(?:\[|unix:)", bare):
        return f"# {bare}"
    if bare.startswith("listen"):
        return re.sub(r"\s+(?:ssl|http2|quic|reuseport)\b", "", line)
    line = re.sub(r"\b(access_log\s+)/\S+?(?=[\s;])", r"\1/dev/stdout", line)
    return re.sub(r"\b(error_log\s+)/\S+?(?=[\s;])", r"\1/dev/stderr", line)


def command(texts: Mapping[str, str]) -> list[str]:
    """In the background it would end its container at once."""
    is_said = re.search(r"^\s*daemon\s", texts.get(_MAIN, ""), re.MULTILINE)
    return ["nginx", *([] if is_said else ["-g", "daemon off;"])]


NGINX = Server(
    "nginx",
    ("nginx.service",),
    "nginx",
    (_MAIN,),
    "nginx",
    "nginx",
    "nginx:stable",
    ("/var/log/nginx",),
    ("/etc/nginx/conf.d", "/etc/nginx/sites-enabled"),
    ("/etc/nginx/sites-enabled/default",),
    serves,
    in_a_task,
    command,
)
