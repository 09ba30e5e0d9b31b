"""What Docker is asked to mount, decided without a daemon."""

from __future__ import annotations

from pathlib import Path

from hikkoshi.region.engine.docker.laying import Places, Volume, lay
from hikkoshi.region.engine.layout import Bind, Layout, Tmpfs, bwrap_layout
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


def test_memory_that_a_definition_asks_for_stays_writable() -> None:
    own = Tmpfs("/x", "0700", size_mib=8, options=("noexec",))
    layout = Layout((Tmpfs("/tmp", "1777"),), (own,), RootView([]), (), is_read_only=True)
    assert lay(layout, Places(), "one").tmpfs == {
        "/tmp": "mode=1777,ro",
        "/x": "mode=0700,size=8m,noexec",
    }
    words = bwrap_layout(layout)
    assert words[words.index("0700") - 1 :][:7] == [
        "--perms", "0700", "--size", str(8 << 20), "--tmpfs", "/x", "--remount-ro",
    ]  # fmt: skip
    assert words[-4:] == ["--remount-ro", "/", "--remount-ro", "/tmp"]


def test_a_directory_beside_it_is_bound() -> None:
    for own in (Path("/srv/docker"), Path("/variety"), None):
        found = laid(Places(dockers_own=own))
        assert found.volumes == ()
        assert {one["Type"] for one in found.mounts} == {"bind"}
