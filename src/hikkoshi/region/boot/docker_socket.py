"""Docker's socket, from the host: whether it answers, and removing what a killed region left there
(containers, volumes and images that have its label)."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

_DEADLINE_S = 30.0
_LABEL = "hikkoshi.region"


_PLACES = ("/var/run/docker.sock", "/run/podman/podman.sock")


def docker_socket(environment: Mapping[str, str]) -> str | None:
    """$DOCKER_HOST if it is a socket of this machine, else the first of the usual places that is
    there. None for a DOCKER_HOST that leads elsewhere, or where there is none."""
    host = environment.get("DOCKER_HOST", "")
    if host:
        return host.removeprefix("unix://") if host.startswith("unix://") else None
    return next((place for place in _PLACES if Path(place).is_socket()), None)


def docker_version(path: str) -> str | None:
    """The daemon's version; None where it does not answer."""
    try:
        found = ask_docker(path, "GET", "/version", deadline_s=5.0)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    return str(found["Version"]) if isinstance(found, dict) and "Version" in found else None


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, deadline_s: float) -> None:
        super().__init__("docker", timeout=deadline_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_docker(path: str, method: str, what: str, deadline_s: float = _DEADLINE_S) -> Any:
    """The answer's JSON; None for an error's, and for an empty one. Raises OSError, HTTPException
    or ValueError."""
    connection = _Connection(path, deadline_s)
    try:
        connection.request(method, what)
        answer = connection.getresponse()
        body = answer.read()
        return json.loads(body) if answer.status < 300 and body.strip() else None
    finally:
        connection.close()


def remove_from_docker(path: str, region_id: str) -> None:
    """path: the daemon's socket. Nothing where the daemon does not answer: then nothing runs. What
    it refuses to remove does not keep the rest."""
    filters = quote(json.dumps({"label": [f"{_LABEL}={region_id}"]}))
    for one in _told(path, "GET", f"/containers/json?all=1&filters={filters}") or []:
        _told(path, "DELETE", f"/containers/{one['Id']}?force=1&v=1")
    volumes = _told(path, "GET", f"/volumes?filters={filters}") or {}
    for one in volumes.get("Volumes") or []:
        _told(path, "DELETE", f"/volumes/{one['Name']}?force=1")
    for one in _told(path, "GET", f"/images/json?filters={filters}") or []:
        _told(path, "DELETE", f"/images/{one['Id']}?force=1")


def _told(path: str, method: str, what: str) -> Any:
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        return ask_docker(path, method, what)
    return None
