"""Debian packages of a root into an image: their files, and those of what they depend on.

A program that a distribution brought is more than a binary and its libraries: modules that it
opens by name, data, default configuration. dpkg's own lists say which files those are. What is
there only to install packages, and what reads nobody in a container, is left out.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from hikkoshi.image.rooted import Rooted
from hikkoshi.image.stage import SEARCH_PATH, Stage
from hikkoshi.model.images import ImageNotHere

_DPKG = "/var/lib/dpkg"
# They install, configure and start other packages; a container does none of that.
_FOR_INSTALLING = frozenset({
    "adduser", "debconf", "debconf-2.0", "init-system-helpers", "lsb-base", "sysvinit-utils",
    "systemd", "systemd-sysv", "dpkg", "ucf", "logrotate", "passwd", "libpam-runtime", "cron",
    "bsdextrautils", "man-db", "update-inetd", "netbase-installer", "java-common", "procps",
    "ca-certificates-java", "libc6",
})  # fmt: skip
_READ_BY_NOBODY = re.compile(
    r"^(?:/usr/share/(?:doc|doc-base|man|info|locale|lintian|bug|bash-completion|zsh|vim|menu|"
    r"applications|icons|pixmaps|reportbug|fish)|/usr/include|/usr/lib/(?:systemd|tmpfiles\.d|"
    r"sysusers\.d|pkgconfig)|/lib/(?:systemd|udev)|/etc/(?:init\.d|cron\.[^/]+|logrotate\.d|"
    r"rc\d\.d|ufw|apparmor\.d|bash_completion\.d|systemd|pam\.d|insserv\.conf\.d|sv|runit))(?:/|$)"
)
_SHARED = frozenset({
    "default", "alternatives", "ssl", "security", "profile.d", "ld.so.conf.d", "sysctl.d",
    "environment.d", "dbus-1", "xdg", "X11", "apt", "dpkg", "update-motd.d", "sgml", "xml",
})  # fmt: skip
_TMPFILE = re.compile(r"^[dD][+!]?\s+(/\S+)", re.MULTILINE)
_READ_BY_SCRIPT = re.compile(r"^\s*(?:\.|source)\s+(/[\w./@+-]+)", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_][\w.+-]+")
_STATE = ("/var/lib/", "/var/log/", "/var/cache/", "/var/spool/", "/run/")


class Distribution:
    """What dpkg knows of a root. Raises ImageNotHere where there is no dpkg."""

    def __init__(self, root: Rooted) -> None:
        self._root = root
        status = root.outside(f"{_DPKG}/status")
        if not status.is_file():
            raise ImageNotHere(
                f"{root.root} has no {_DPKG}/status: system_packages are Debian's (of rpm: "
                "not implemented)"
            )
        self._fields: dict[str, Mapping[str, str]] = {}
        self._provided: dict[str, str] = {}
        self._owners: dict[str, str] | None = None
        for paragraph in status.read_text("utf-8", "replace").split("\n\n"):
            fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", paragraph, re.MULTILINE))
            if "Package" in fields and " installed" in fields.get("Status", " installed"):
                self._fields.setdefault(fields["Package"], fields)
                for name in re.findall(r"[\w.+-]+(?=\s*(?:\(|,|$))", fields.get("Provides", "")):
                    self._provided.setdefault(name, fields["Package"])

    def closure(self, names: Iterable[str]) -> list[str]:
        """The packages with those they depend on, as far as they are installed; sorted. A name may
        be one that another provides. Raises ImageNotHere for one that is not installed."""
        asked = [n if n in self._fields else self._provided.get(n, n) for n in names]
        for name in asked:
            if name not in self._fields:
                raise ImageNotHere(f"the package {name} is not installed in {self._root.root}")
        found: set[str] = set()
        waiting = asked
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            waiting += [one for one in self._needs(name) if not self._is_left_out(one)]
        return sorted(found)

    def _needs(self, name: str) -> Iterator[str]:
        fields = self._fields[name]
        text = f"{fields.get('Depends', '')},{fields.get('Pre-Depends', '')}"
        for group in text.split(","):
            for choice in group.split("|"):
                plain = re.sub(r"\(.*?\)|:\w+", "", choice).strip()
                real = plain if plain in self._fields else self._provided.get(plain)
                if real is not None:
                    yield real
                    break

    def _is_left_out(self, name: str) -> bool:
        return name in _FOR_INSTALLING or self._fields[name].get("Essential") == "yes"

    def files(self, name: str) -> list[str]:
        """As its list has them, directories too; without what nobody reads in a container."""
        for lines in self._lists(name):
            return [line for line in lines if not _READ_BY_NOBODY.match(line)]
        raise ImageNotHere(f"{self._root.root} has no list of the files of {name}")

    def _lists(self, name: str) -> Iterator[list[str]]:
        for suffix in ("", f":{self._fields[name].get('Architecture', '')}"):
            outside = self._root.outside(f"{_DPKG}/info/{name}{suffix}.list")
            if outside.is_file():
                yield outside.read_text("utf-8", "replace").splitlines()

    def made_at_boot(self, name: str) -> list[str]:
        """Directories that systemd-tmpfiles makes for it."""
        found: list[str] = []
        for path in (f"/usr/lib/tmpfiles.d/{name}.conf", f"/lib/tmpfiles.d/{name}.conf"):
            outside = self._root.outside(path)
            if outside.is_file():
                found += _TMPFILE.findall(outside.read_text("utf-8", "replace"))
        return found

    def owner(self, path: str) -> str | None:
        if self._owners is None:
            self._owners = {
                line: name
                for name in sorted(self._fields, reverse=True)
                for lines in self._lists(name)
                for line in lines
            }
        for one in (path, path.removeprefix("/usr"), self._root.real(path) or path):
            if one in self._owners:
                return self._owners[one]
        return None

    def added_to(self, names: Iterable[str]) -> list[str]:
        """Packages to which links in the directories of /etc lead that are these packages' own: a
        module of nginx's, whose link in /etc/nginx/modules-enabled would lead nowhere."""
        tops = {top for name in names for top in _own_directories(self.files(name))}
        found: set[str] = set()
        for top in sorted(tops):
            outside = self._root.outside(top)
            for place in sorted(outside.rglob("*")) if outside.is_dir() else ():
                if not place.is_symlink():
                    continue  # Several packages may share a directory, and are no parts of another.
                real = self._root.real(f"/{place.relative_to(self._root.root)}")
                owner = self.owner(real) if real is not None else None
                if owner is not None and not self._is_left_out(owner):
                    found.add(owner)
        return sorted(found)


def put_packages(stage: Stage, names: Iterable[str]) -> None:
    """The packages, those they depend on, and what their scripts run, from the stage's source."""
    distribution = Distribution(stage.source)
    asked = list(names)
    packages = distribution.closure(asked)
    packages = distribution.closure([*packages, *distribution.added_to(asked)])
    scripts: list[str] = []
    for name in packages:
        for path in _with_own_configuration(distribution.files(name)):
            scripts += _put(stage, path)
        for path in distribution.made_at_boot(name):
            make_writable(stage, path)
    _put_interpreters(stage, distribution, scripts, packages)


def _with_own_configuration(files: list[str]) -> list[str]:
    """A directory of /etc that is the package's is taken whole: what was added to it, too."""
    own = _own_directories(files)
    rest = [path for path in files if not any(path.startswith(f"{top}/") for top in own)]
    return [*sorted(own), *(path for path in rest if path not in own)]


def _own_directories(files: list[str]) -> set[str]:
    """Of /etc, that are the package's by its list."""
    return {
        f"/etc/{PurePosixPath(path).parts[2]}"
        for path in files
        if path.startswith("/etc/") and len(PurePosixPath(path).parts) > 3
        and PurePosixPath(path).parts[2] not in _SHARED
    }  # fmt: skip


def _put(stage: Stage, path: str) -> list[str]:
    """One entry of a list; it itself, if it is a script."""
    links, real = stage.source.trail(path)
    if real is None:
        return []  # Removed by an administrator, or a link that leads nowhere.
    outside = stage.source.outside(real)
    if outside.is_dir():
        pure = PurePosixPath(path)
        if pure.parent == PurePosixPath("/etc") and pure.name not in _SHARED:
            stage.take(path)
            return []
        for link in links:  # /var/lib/tomcat10/conf → /etc/tomcat10
            stage.put_link(link, os.fspath(stage.source.outside(link).readlink()))
        if real.startswith(_STATE) and real.count("/") > 2:
            make_writable(stage, real)
        return []
    if not outside.is_file():
        return []
    stage.take(path)
    with outside.open("rb") as file:
        is_script = file.read(2) == b"#!"
    return [real] if is_script else []


def make_writable(stage: Stage, path: str) -> None:
    """A directory for the service's own writes. Everybody may: a program that starts as root
    becomes a user that the image does not know."""
    if ".." in PurePosixPath(path).parts or not path.startswith("/"):
        raise ImageNotHere(f"{path!r} is not an absolute path in an image")
    stage.make_directory(path)
    real = stage.here.real(path)
    if real is not None:
        stage.here.outside(real).chmod(0o1777)


def _put_interpreters(
    stage: Stage, distribution: Distribution, scripts: list[str], packages: list[str]
) -> None:
    """An interpreter comes with its package (Perl's modules); a shell with the programs that the
    script's words name."""
    done: set[str] = set(packages)
    if scripts and stage.source.is_file("/bin/sh"):
        stage.take_program("/bin/sh")  # system(3) and popen(3) start every script by it.
    for path in scripts:
        text = stage.source.outside(path).read_text("utf-8", "replace")
        words = text.splitlines()[0][2:].split()
        name = words[-1] if words and PurePosixPath(words[0]).name == "env" else (words or [""])[0]
        if not name:
            continue
        try:
            program = stage.take_program(name)
        except ImageNotHere:
            continue  # `complete` says that it is missing.
        if PurePosixPath(name).name in ("sh", "bash", "dash"):
            for word in sorted(set(_WORD.findall(text))):
                _take_named(stage, word)
            for read in sorted(set(_READ_BY_SCRIPT.findall(text))):
                # Often made when the package was installed; one that only root may read is left.
                with contextlib.suppress(ImageNotHere):
                    stage.take_if_there(read)
            continue
        package = distribution.owner(program)
        for each in distribution.closure([package]) if package else ():
            if each not in done:
                done.add(each)
                for file in distribution.files(each):
                    _put(stage, file)


def _take_named(stage: Stage, word: str) -> None:
    for directory in SEARCH_PATH.split(":"):
        real = stage.source.real(f"{directory}/{word}")
        if real is not None and stage.source.outside(real).is_file():
            if stage.source.outside(real).stat().st_mode & stat.S_IXUSR:
                stage.take(f"{directory}/{word}")
            return
