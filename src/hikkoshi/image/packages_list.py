"""What an image is made of, as a CycloneDX 1.5 document: packages by who they are, and every
program that belongs to none.

https://cyclonedx.org/docs/1.5/json/ · purl: https://github.com/package-url/purl-spec
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from hikkoshi.image.elf import kind_of
from hikkoshi.image.rooted import Rooted
from hikkoshi.image.stage import Stage

_DPKG = "/var/lib/dpkg"


def packages_of(stage: Stage, name: str) -> str:
    """The document's text; the same for the same files: no time, no random number."""
    owners = _owners(stage.source, stage.taken)
    components = [
        *_debian(stage.source, set(owners.values())),
        *_python(stage.here.root),
        *_owned_by_none(stage, owners),
    ]
    components.sort(key=lambda c: (c["type"], c["name"], c.get("version", "")))
    body = json.dumps(components, sort_keys=True)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, name + body)}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "name": name},
            "tools": [{"name": "hikkoshi"}],
        },
        "components": components,
    }
    return json.dumps(document, indent=1, sort_keys=True)


def _owners(source: Rooted, taken: set[str]) -> dict[str, str]:
    """File → Debian package, for the files that were taken. dpkg's lists say /lib where the file
    is in /usr/lib since the two are one."""
    wanted = set(taken) | {p.removeprefix("/usr") for p in taken if p.startswith("/usr/")}
    found: dict[str, str] = {}
    lists = source.outside(f"{_DPKG}/info")
    if not lists.is_dir() or not wanted:
        return found
    for file in sorted(lists.glob("*.list")):
        package = file.name[: -len(".list")].partition(":")[0]
        try:
            lines = file.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in wanted.intersection(lines):
            real = line if line in taken else f"/usr{line}"
            found[real] = package
    return found


def _debian(source: Rooted, packages: set[str]) -> Iterator[dict[str, Any]]:
    if not packages:
        return
    release = _release(source)
    status = source.outside(f"{_DPKG}/status").read_text("utf-8", "replace")
    for paragraph in status.split("\n\n"):
        fields = dict(
            re.findall(r"^(Package|Version|Architecture): (.*)$", paragraph, re.MULTILINE)
        )
        if fields.get("Package") in packages:
            distribution = release.get("ID", "debian")
            yield {
                "type": "library",
                "name": fields["Package"],
                "version": fields.get("Version", ""),
                "purl": f"pkg:deb/{distribution}/{fields['Package']}@{fields.get('Version', '')}"
                f"?arch={fields.get('Architecture', '')}",
            }


def _release(source: Rooted) -> Mapping[str, str]:
    real = source.real("/etc/os-release")
    if real is None:
        return {}
    lines = source.outside(real).read_text("utf-8", "replace").splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip('"') for key, _, value in pairs}


def _python(root: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(root.rglob("*.dist-info/METADATA")):
        fields = HeaderParser().parsestr(file.read_text("utf-8", "replace"))
        name, version = str(fields.get("Name", "")), str(fields.get("Version", ""))
        normal = re.sub(r"[-_.]+", "-", name).lower()
        yield {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{normal}@{version}",
        }


def _owned_by_none(stage: Stage, owners: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Programs and libraries that no package brought, by digest."""
    for name, path in stage.walk():
        if path.is_symlink() or not path.is_file() or f"/{name}" in owners:
            continue
        if "site-packages/" in name or kind_of(path) is None:
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        yield {
            "type": "file",
            "name": f"/{name}",
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
