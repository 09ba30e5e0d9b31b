"""Asking a public registry whether it has an image, and for which architectures.

Anonymous, by the OCI distribution protocol: the manifest's address, and a token where one is asked
for. Nothing is pulled but the manifest and, of a single image, its configuration.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
TIMEOUT_S = 10.0
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


def split(image: str) -> tuple[str, str, str]:
    """(registry, repository, tag or digest), with Docker Hub's shorthand written out. Pure."""
    name, _, digest = image.partition("@")
    head, _, rest = name.partition("/")
    if rest and ("." in head or ":" in head or head == "localhost"):
        host, path = head, rest
    else:
        host, path = "registry-1.docker.io", name
    path, _, tag = path.partition(":")
    if host == "registry-1.docker.io" and "/" not in path:
        path = f"library/{path}"
    if host == "docker.io":
        host = "registry-1.docker.io"
    return host, path, digest or tag or "latest"


def look_up(image: str) -> set[str] | str | None:
    """The architectures; None: there is no such image; a text: why it could not be told."""
    host, repository, reference = split(image)
    base = f"https://{host}/v2/{repository}"
    try:
        headers = {"Accept": ", ".join(MANIFESTS)}
        manifest, headers = _get(f"{base}/manifests/{reference}", headers)
        found = architectures_in_index(manifest)
        if found is not None:
            return found
        digest = manifest.get("config", {}).get("digest")
        config, _ = _get(f"{base}/blobs/{digest}", headers)
        return {config["architecture"]} if config.get("architecture") else set()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        return f"{host} answered {error.code}: it may be private"
    except (OSError, ValueError) as error:
        return f"{host} could not be asked: {error}"


def architectures_in_index(manifest: dict[str, Any]) -> set[str] | None:
    """None: it is one image's own manifest, whose configuration tells. Pure."""
    if "manifests" not in manifest:
        return None
    found = {m.get("platform", {}).get("architecture") for m in manifest["manifests"]}
    return {each for each in found if each and each != "unknown"}


def architecture_of_config(url: str) -> set[str]:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
        document = json.load(answer)
    return {document["architecture"]} if document.get("architecture") else set()


def _get(url: str, headers: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The JSON there, and the headers that opened it."""
    try:
        return _load(url, headers), headers
    except urllib.error.HTTPError as error:
        if error.code != 401 or "Authorization" in headers:
            raise
        challenge = dict(_CHALLENGE.findall(error.headers.get("WWW-Authenticate", "")))
    realm = challenge.pop("realm", "")
    if not realm.startswith("https://"):
        raise ValueError("the registry asks for credentials in an unknown way")
    token = _load(f"{realm}?{urllib.parse.urlencode(challenge)}", {})
    opened = {**headers, "Authorization": f"Bearer {token.get('token') or token['access_token']}"}
    return _load(url, opened), opened


def _load(url: str, headers: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        document: dict[str, Any] = json.load(answer)
    return document
