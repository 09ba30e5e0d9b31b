"""Names of images as registries understand them."""

from __future__ import annotations


def normalise(name: str) -> str:
    """`nginx` → `docker.io/library/nginx:latest`; a name with a registry, tag or digest keeps it.

    The first part is a registry if it has a dot or a colon, or is `localhost`."""
    head, _, rest = name.partition("/")
    if rest and ("." in head or ":" in head or head == "localhost"):
        registry, path = head, rest
    else:
        registry, path = "docker.io", name if rest else f"library/{name}"
    if registry == "index.docker.io":
        registry = "docker.io"
    if "@" not in path and ":" not in path.rpartition("/")[2]:
        path += ":latest"
    return f"{registry}/{path}"


def repository(name: str) -> str:
    """The normalised name without its tag and digest."""
    bare = normalise(name).partition("@")[0]
    head, slash, last = bare.rpartition("/")
    return head + slash + last.partition(":")[0]
