"""`hikkoshi image push` and `pull`: between a layout and a registry."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from hikkoshi.aws.access import Access, calling
from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.image.build import clear_layout
from hikkoshi.image.inspect import blob_path
from hikkoshi.image.registry import Reference, Registry, docker_login, write_pulled

_ECR = re.compile(r"^\d{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")
_OF_A_LAYOUT = re.compile(r"^(index\.json|oci-layout|blobs/[a-z0-9]+/[a-f0-9]+)$")
_PROFILE = click.option("--profile", help="For ECR: a profile of ~/.aws/config.")


@click.command("push")
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("reference", required=False)
@click.option("--image", "name", help="Which, if the layout holds several.")
@_PROFILE
@click.option("--json", "as_json", is_flag=True, help="What was pushed, as JSON.")
def push(
    source: Path, reference: str | None, name: str | None, profile: str | None, as_json: bool
) -> None:
    """Push images of SOURCE (a layout, or an archive that `image build` made) to a registry.

    Without REFERENCE each goes where its own name says. Logs in with what `docker login` kept; to
    ECR with the credentials of AWS. Layers that are there already are not sent again.

    \b
    Examples:
      hikkoshi image push build/images --profile production
      hikkoshi image push server.tar localhost:5000/server:1.4

    Exit codes: 0 pushed, 2 wrong use, 3 the registry could not be reached or refused.
    """
    with _layout(source) as layout:
        images = _chosen(layout, name)
        if reference and len(images) > 1:
            names = ", ".join(known for known, _ in images)
            raise BadInput(f"{source} holds {names}", fix="choose one with --image")
        pushed = []
        for known, digest in images:
            goal = Reference.parse(reference or known)
            place = Registry(goal, login_for(goal, profile)).push(layout, digest, _say)
            pushed.append({"image": reference or known, "reference": place})
    if as_json:
        click.echo(json.dumps(pushed, indent=2))
    else:
        for each in pushed:
            click.echo(each["reference"])


@click.command("pull")
@click.argument("reference")
@click.option("--oci", type=click.Path(path_type=Path), required=True, help="The layout to write.")
@_PROFILE
def pull(reference: str, oci: Path, profile: str | None) -> None:
    """Pull an image, for this machine's architecture, into an OCI layout.

    Name the layout under `images.NAME.path` in hikkoshi.yaml, and the region runs it.

    \b
    Example:
      hikkoshi image pull public.ecr.aws/docker/library/nginx:1.27-alpine --oci build/nginx

    Exit codes: 0 pulled, 2 wrong use, 3 the registry could not be reached or refused.
    """
    wanted = Reference.parse(reference)
    registry = Registry(wanted, login_for(wanted, profile))
    try:
        oci.mkdir(parents=True, exist_ok=True)
        clear_layout(oci)
        digest = registry.pull(oci, _say)
        write_pulled(oci, reference, *registry.manifest_bytes(digest))
    except OSError as error:
        raise CannotRun(f"{error.filename or oci}: {error.strerror}") from error
    click.echo(digest)


def login_for(reference: Reference, profile: str | None) -> tuple[str, str] | None:
    found = _ECR.match(reference.host)
    if found:
        ecr = Access.to_account(profile, found[1]).client("ecr")
        data = calling("ecr:GetAuthorizationToken", ecr.get_authorization_token)
        token = data["authorizationData"][0]["authorizationToken"]
        name, _, password = base64.b64decode(token).decode().partition(":")
        return name, password
    home = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        return docker_login(reference.host, (home / "config.json").read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _say(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(text, err=True)


@contextmanager
def _layout(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="hikkoshi-image-") as directory:
        try:
            with tarfile.open(source) as archive:
                for member in archive:
                    if member.isfile() and _OF_A_LAYOUT.match(member.name):
                        _extract(archive, member, Path(directory))
        except (tarfile.TarError, OSError) as error:
            raise CannotRun(f"{source} is not an image archive: {error}") from error
        yield Path(directory)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    place = directory / member.name
    place.parent.mkdir(parents=True, exist_ok=True)
    data = archive.extractfile(member)
    assert data is not None
    with place.open("xb") as file:
        shutil.copyfileobj(data, file, 1 << 20)


def _chosen(layout: Path, name: str | None) -> list[tuple[str, str]]:
    """(name, digest of the manifest)."""
    try:
        entries: list[dict[str, Any]] = json.loads((layout / "index.json").read_text())["manifests"]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{layout} is no OCI layout", fix="build one: hikkoshi image build"
        ) from error
    found = []
    for entry in entries:
        blob_path(entry["digest"])
        known = (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name", "")
        if name is None or known == name:
            found.append((known, entry["digest"]))
    if not found:
        raise BadInput(f"there is no image {name!r} in {layout}", where="--image")
    return found
