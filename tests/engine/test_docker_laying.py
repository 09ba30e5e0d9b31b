"""What Docker is asked to mount, decided without a daemon."""

from __future__ import annotations

from pathlib import Path

from hikkoshi.region.engine.docker.laying import Places, Volume, lay
from hikkoshi.region.engine.layout import Bind, Layout, Tmpfs
from hikkoshi.region.engine.view import RootView

STEPS = (
    Bind(Path("/usr"), "/usr", True),
    Bind(Path("/var"), "/var", True),
    Tmpfs("/var/tmp", "1777"),
)


def laid(places: Places):
    return lay(Layout(STEPS, (), RootView([]), ()), places, "one")


def test_a_directory_that_holds_dockers_own_comes_by_a_volume() -> None:
    found = laid(Places(dockers_own=Path("/var/lib/docker")))
    assert found.volumes == (
        Volume("one-0", {"type": "none", "device": "/var", "o": "bind,private"}),
    )
    kinds = {one["Target"]: (one["Type"], one["Source"], one["ReadOnly"]) for one in found.mounts}
    assert kinds == {"/usr": ("bind", "/usr", True), "/var": ("volume", "one-0", True)}
    assert [one["Target"] for one in found.without_volumes().mounts] == ["/usr"]


def test_a_directory_beside_it_is_bound() -> None:
    for own in (Path("/srv/docker"), Path("/variety"), None):
        found = laid(Places(dockers_own=own))
        assert found.volumes == ()
        assert {one["Type"] for one in found.mounts} == {"bind"}
