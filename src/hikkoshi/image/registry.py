"""A registry, by its own API: images go to it from a layout, and come from it into one.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md · the exchange of a name and
password for a token: https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.image.inspect import blob_path
from hikkoshi.image.layout_writer import INDEX, MANIFEST
from hikkoshi.image.names import normalise

_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
_ACCEPT = ", ".join((MANIFEST, INDEX, _DOCKER_MANIFEST, _DOCKER_INDEX))
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# The specification's own, of one part and of the whole.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_PIECE = 1 << 20
_MAXIMUM_MANIFEST = 4 << 20

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Reference:
    """host: with its port. version: a tag, or a digest `sha256:…`."""

    host: str
    repository: str
    version: str

    @classmethod
    def parse(cls, name: str) -> Reference:
        full = normalise(name)
        host, _, rest = full.partition("/")
        repository, at, digest = rest.partition("@")
        if not at:
            repository, _, digest = rest.rpartition(":")
        else:
            repository = repository.rpartition(":")[0] or repository
        if not _REPOSITORY.fullmatch(repository):
            raise BadInput(f"{name!r} is not the name of an image", fix="write HOST/NAME:TAG")
        return cls("registry-1.docker.io" if host == "docker.io" else host, repository, digest)

    @property
    def is_on_loopback(self) -> bool:
        host = self.host.rpartition(":")[0] or self.host
        try:
            return ipaddress.ip_address(host.strip("[]")).is_loopback
        except ValueError:
            return host == "localhost"


class Registry:
    """login: (name, password) or None. Plain HTTP is spoken on loopback only, as Docker does.

    Every call raises CannotRun with what the registry said."""

    def __init__(self, reference: Reference, login: tuple[str, str] | None = None) -> None:
        self._reference = reference
        scheme = "http" if reference.is_on_loopback else "https"
        self._base = f"{scheme}://{reference.host}/v2/{reference.repository}/"
        self._login = login
        self._authorization: str | None = None
        self._pool = urllib3.PoolManager(
            retries=urllib3.Retry(
                3, redirect=5, status_forcelist=(502, 503, 504), backoff_factor=0.5
            ),
            timeout=urllib3.Timeout(connect=10, read=120),
        )

    def push(self, layout: Path, digest: str, say: Say) -> str:
        """The image of that manifest's digest, with all its blobs; the reference it has then."""
        manifest_bytes = (layout / blob_path(digest)).read_bytes()
        manifest = json.loads(manifest_bytes)
        for blob in (*manifest["layers"], manifest["config"]):
            self._push_blob(layout / blob_path(blob["digest"]), blob["digest"], say)
        kind = manifest.get("mediaType", MANIFEST)
        self._ask(
            "PUT",
            f"manifests/{self._reference.version}",
            body=manifest_bytes,
            headers={"Content-Type": kind},
            expected=(201,),
        )
        return f"{self._reference.host}/{self._reference.repository}@{digest}"

    def _push_blob(self, path: Path, digest: str, say: Say) -> None:
        found = self._ask("HEAD", f"blobs/{digest}", expected=(200, 404))
        if found.status == 200:
            say(f"{digest[:19]} is there")
            return
        say(f"{digest[:19]} {path.stat().st_size} bytes")
        begun = self._ask("POST", "blobs/uploads/", expected=(202,))
        place = urljoin(self._base, begun.headers["Location"])
        place += ("&" if urlsplit(place).query else "?") + urlencode({"digest": digest})
        with path.open("rb") as body:
            self._ask(
                "PUT",
                place,
                body=body,
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(path.stat().st_size),
                },
                expected=(201,),
            )

    def pull(self, layout: Path, say: Say) -> str:
        """The image for this machine into an OCI layout; the digest of its manifest."""
        digest, manifest = self._manifest(self._reference.version)
        if "config" not in manifest:
            digest, manifest = self._manifest(_for_this_machine(manifest)["digest"])
        blobs = layout / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        for blob in (*manifest["layers"], manifest["config"]):
            place = layout / blob_path(blob["digest"])
            if not place.exists():
                say(f"{blob['digest'][:19]} {blob['size']} bytes")
                self._pull_blob(blob["digest"], place)
        return digest

    def manifest_bytes(self, version: str) -> tuple[str, bytes]:
        """(digest, document), checked against the digest if `version` is one."""
        answer = self._ask(
            "GET", f"manifests/{version}", headers={"Accept": _ACCEPT}, expected=(200,)
        )
        data = answer.data
        if len(data) > _MAXIMUM_MANIFEST:
            raise CannotRun(f"the manifest of {version} is larger than 4 MiB")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if version.startswith("sha256:") and version != digest:
            raise CannotRun(f"the registry's manifest is not the one that was asked for: {digest}")
        return digest, data

    def _manifest(self, version: str) -> tuple[str, dict[str, Any]]:
        digest, data = self.manifest_bytes(version)
        return digest, json.loads(data)

    def _pull_blob(self, digest: str, place: Path) -> None:
        answer = self._ask("GET", f"blobs/{digest}", expected=(200,), preload=False)
        total = hashlib.sha256()
        partial = place.with_suffix(".partial")
        try:
            with partial.open("wb") as file:
                for piece in _pieces(answer):
                    total.update(piece)
                    file.write(piece)
            if f"sha256:{total.hexdigest()}" != digest:
                raise CannotRun(f"{digest} came with other contents")
            partial.rename(place)
        finally:
            answer.release_conn()
            partial.unlink(missing_ok=True)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        expected: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        preload: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        url = urljoin(self._base, path)
        for is_again in (False, True):
            given = dict(headers or {})
            # A blob may be elsewhere (S3): what opens the registry is not shown to others.
            if self._authorization and urlsplit(url).netloc == self._reference.host:
                given["Authorization"] = self._authorization
            try:
                answer = self._pool.request(
                    method, url, headers=given, body=body, preload_content=preload
                )
            except urllib3.exceptions.HTTPError as error:
                raise CannotRun(
                    f"the registry {self._reference.host} cannot be reached: {_short(error)}"
                ) from error
            if answer.status == 401 and not is_again and self._authorize(answer, method):
                if hasattr(body, "seek"):
                    body.seek(0)
                continue
            if answer.status not in expected:
                raise self._refused(method, path, answer)
            return answer
        raise AssertionError("unreachable")

    def _authorize(self, answer: urllib3.BaseHTTPResponse, method: str) -> bool:
        """Take what the registry asks for: a name and password, or a token for them."""
        kind, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
        basic = None
        if self._login is not None:
            basic = "Basic " + base64.b64encode(":".join(self._login).encode()).decode()
        if kind.lower() == "basic" and basic:
            self._authorization = basic
            return True
        if kind.lower() != "bearer":
            return False
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = asked.pop("realm", "")
        if urlsplit(realm).scheme != urlsplit(self._base).scheme:
            return False
        actions = "pull" if method in ("GET", "HEAD") else "pull,push"
        asked["scope"] = f"repository:{self._reference.repository}:{actions}"
        given = {"Authorization": basic} if basic else {}
        try:
            token = self._pool.request("GET", f"{realm}?{urlencode(asked)}", headers=given)
            found = token.json()
        except (urllib3.exceptions.HTTPError, ValueError):
            return False
        value = found.get("token") or found.get("access_token") if token.status == 200 else None
        self._authorization = f"Bearer {value}" if value else None
        return value is not None

    def _refused(self, method: str, path: str, answer: urllib3.BaseHTTPResponse) -> CannotRun:
        where = f"{self._reference.host}/{self._reference.repository}"
        if answer.status in (401, 403):
            return CannotRun(
                f"{where} does not let us in ({answer.status})",
                fix="`docker login` first, or for ECR give --profile",
            )
        if answer.status == 404 and path.startswith("manifests/"):
            return CannotRun(f"{where} has no {self._reference.version!r}")
        if answer.status == 404:
            return CannotRun(
                f"there is no repository {where}",
                fix="create it: aws ecr create-repository --repository-name …",
            )
        said = answer.data[:300].decode("utf-8", "replace") if answer.data else ""
        return CannotRun(f"{where} answered {method} {path} with {answer.status}: {said}")


def _pieces(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from answer.stream(_PIECE)
    except urllib3.exceptions.HTTPError as error:
        raise CannotRun(f"the registry broke off: {_short(error)}") from error


def _for_this_machine(index: Mapping[str, Any]) -> Mapping[str, Any]:
    machine = _MACHINES.get(os.uname().machine, os.uname().machine)
    entries: list[Mapping[str, Any]] = list(index.get("manifests") or [])
    for entry in entries:
        platform = entry.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == ("linux", machine):
            return entry
    has = ", ".join(sorted({str((e.get("platform") or {}).get("architecture")) for e in entries}))
    raise CannotRun(f"the image is not there for linux/{machine}", fix=f"it has: {has or 'none'}")


def docker_login(host: str, text: str) -> tuple[str, str] | None:
    """From the text of ~/.docker/config.json; what a credential helper keeps is not asked for."""
    try:
        entries = json.loads(text).get("auths") or {}
        names = [host, f"https://{host}", f"https://{host}/v1/", f"https://{host}/v2/"]
        if host == "registry-1.docker.io":
            names.append("https://index.docker.io/v1/")
        entry: dict[str, Any] = next((entries[n] for n in names if entries.get(n)), {})
        name, found, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
    except (ValueError, AttributeError):
        return None
    return (name, password) if found else None


def write_pulled(layout: Path, name: str, digest: str, manifest: bytes) -> None:
    """Make the directory that `pull` filled a layout of that one image."""
    (layout / blob_path(digest)).write_bytes(manifest)
    kind = json.loads(manifest).get("mediaType", MANIFEST)
    entry = {
        "mediaType": kind,
        "digest": digest,
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": name},
    }
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _short(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).rsplit(": ", 1)[-1]
