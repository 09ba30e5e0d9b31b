"""Debian packages of a disk into an image: what they bring, what they need, where they write."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from hikkoshi.image.build import build
from hikkoshi.image.distribution import Distribution
from hikkoshi.image.names import normalise
from hikkoshi.image.oci import unpack
from hikkoshi.image.python_home import current_python
from hikkoshi.image.recipe import Recipes
from hikkoshi.image.rooted import Rooted
from hikkoshi.model.images import EmbeddedImage, ImageNotHere

Put = Callable[[str, str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A root with a service `web`, its data package, a provider, and what stays out."""
    root = tmp_path / "disk"

    def put(path: str, text: str, mode: int = 0o644) -> None:
        place = root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def package(name: str, files: list[str], fields: str = "") -> str:
        put(f"/var/lib/dpkg/info/{name}.list", "".join(f"{f}\n" for f in ["/.", *files]))
        return f"Package: {name}\nStatus: install ok installed\nVersion: 1\n{fields}\n"

    put("/usr/sbin/web", "#!/bin/sh\n. /etc/default/web\nexec cat /usr/share/web/page\n", 0o755)
    put("/etc/default/web", "PAGE=1\n")
    put("/etc/default/another", "NOT=OURS\n")
    put("/usr/share/web/page", "hello\n")
    put("/usr/share/doc/web/README", "not for a container\n")
    put("/etc/web/web.conf", "port 80\n", 0o640)
    put("/etc/web/conf.d/added-by-hand.conf", "x\n")
    put("/etc/cron.d/web", "never\n")
    put("/usr/lib/tmpfiles.d/web.conf", "# a comment\nd /run/web 0755 web web\n")
    put("/usr/bin/cat", "a program\n", 0o755)
    put("/bin/sh", "a shell\n", 0o755)
    put("/usr/lib/web/module.so", "opened by name\n")
    put("/usr/share/web-more/more.conf", "a module\n")
    put("/usr/lib/web/more.so", "opened by name\n")
    (root / "etc/web/conf.d/more.conf").symlink_to("/usr/share/web-more/more.conf")
    put("/etc/web/neighbour.conf", "shares the directory\n")
    put("/usr/sbin/neighbour", "another service\n", 0o755)
    put("/usr/sbin/adduser", "for installing\n", 0o755)
    (root / "var/lib/web").mkdir(parents=True)
    (root / "var/lib/web/conf").symlink_to("/etc/web")
    status = [
        package("web", ["/etc/default", "/usr/sbin/web", "/etc/web", "/etc/web/web.conf",
                        "/etc/cron.d/web",
                        "/usr/share/doc/web/README", "/var/lib/web", "/var/lib/web/conf",
                        "/usr/share/gone"],
                "Depends: web-data (>= 1), adduser, mail-agent | web-module\n"),
        package("web-data", ["/usr/share/web", "/usr/share/web/page"]),
        package("web-modules", ["/usr/lib/web/module.so"], "Provides: web-module (= 1)\n"),
        package("web-more", ["/usr/share/web-more/more.conf", "/usr/lib/web/more.so"]),
        package("neighbour", ["/etc/web/neighbour.conf", "/usr/sbin/neighbour"]),
        package("adduser", ["/usr/sbin/adduser"]),
        package("coreutils", ["/usr/bin/cat"], "Essential: yes\n"),
    ]  # fmt: skip
    put("/var/lib/dpkg/status", "\n".join(status))
    return root


def test_the_closure_takes_what_is_installed_and_nothing_for_installing(disk: Path) -> None:
    assert Distribution(Rooted(disk)).closure(["web"]) == ["web", "web-data", "web-modules"]
    with pytest.raises(ImageNotHere, match="other is not installed"):
        Distribution(Rooted(disk)).closure(["other"])


def made(disk: Path, tmp_path: Path, **more: object) -> Path:
    image = EmbeddedImage("a:1", "scratch", root=str(disk), entry_point=("/usr/sbin/web",),
                          system_packages=("web",), **more)  # type: ignore[arg-type]  # fmt: skip
    recipes = Recipes(tmp_path, {normalise("a:1"): image}, current_python(), Path("/"))
    build(recipes, [(image, "a:1")], tmp_path / "layout")
    return unpack(tmp_path / "layout", "a:1", tmp_path / "unpacked").root.layers[-1]


def test_the_image_has_the_service_as_it_is_on_the_disk(disk: Path, tmp_path: Path) -> None:
    root = made(disk, tmp_path)
    for path in ("usr/sbin/web", "usr/share/web/page", "usr/lib/web/module.so", "bin/sh",
                 "etc/web/web.conf", "etc/web/conf.d/added-by-hand.conf"):  # fmt: skip
        assert (root / path).is_file(), path
    assert (root / "usr/bin/cat").is_file(), "its script runs it"
    for path in ("usr/share/doc", "etc/cron.d", "usr/sbin/adduser", "usr/lib/tmpfiles.d"):
        assert not (root / path).exists(), path


def test_a_package_that_added_to_its_configuration_comes_along(disk: Path, tmp_path: Path) -> None:
    root = made(disk, tmp_path)
    assert (root / "etc/web/conf.d/more.conf").is_symlink()
    for path in ("usr/share/web-more/more.conf", "usr/lib/web/more.so"):
        assert (root / path).is_file(), path
    assert not (root / "usr/sbin/neighbour").exists(), "it only shares the directory"


def test_what_its_script_reads_and_a_link_to_a_directory(disk: Path, tmp_path: Path) -> None:
    """No list has /etc/default/web: it was made when the package was installed."""
    root = made(disk, tmp_path)
    assert (root / "etc/default/web").read_text() == "PAGE=1\n"
    assert not (root / "etc/default/another").exists(), "the directory is every package's"
    assert str((root / "var/lib/web/conf").readlink()) == "/etc/web"
    assert stat.S_IMODE((root / "etc/web").stat().st_mode) & 0o022 == 0, "for root alone to write"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_what_only_root_may_read_of_it_is_left(disk: Path, tmp_path: Path) -> None:
    (disk / "etc/default/web").chmod(0o000)
    root = made(disk, tmp_path)
    assert not (root / "etc/default/web").exists() and (root / "usr/sbin/web").is_file()


def test_its_own_user_can_read_and_write_what_it_must(disk: Path, tmp_path: Path) -> None:
    root = made(disk, tmp_path, directories=("/var/log/web",))
    assert stat.S_IMODE((root / "etc/web/web.conf").stat().st_mode) == 0o644
    for path in ("var/lib/web", "run/web", "var/log/web"):
        assert (root / path).stat().st_mode & 0o1777 == 0o1777, path
    assert stat.S_IMODE((disk / "etc/web/web.conf").stat().st_mode) == 0o640, (
        "the disk is as it was"
    )


def test_a_disk_without_dpkg_and_a_path_that_leads_out_are_refused(
    disk: Path, tmp_path: Path
) -> None:
    with pytest.raises(ImageNotHere, match="not an absolute path"):
        made(disk, tmp_path, directories=("/var/../../out",))
    (disk / "var/lib/dpkg/status").unlink()
    with pytest.raises(ImageNotHere, match="system_packages are Debian's"):
        made(disk, tmp_path)
