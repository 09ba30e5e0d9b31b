"""A host that answers a shell: this one, or another by the system's own ssh."""

from __future__ import annotations

import io
import re
import secrets
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from hikkoshi.base.errors import BadInput, CannotRun
from hikkoshi.model.survey import Unseen
from hikkoshi.survey import commands
from hikkoshi.survey.gathered import Entry, Gathered
from hikkoshi.survey.tree import other_names

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.@\\-]*$")
_HOST = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")
_NOT_READ = re.compile(
    r"^(?:find|tar|tail): (?:cannot open )?['‘]?(/.*?)['’]?:? .*Permission denied"
)
# From ssh's own words to what to do.
_CURES: tuple[tuple[str, str], ...] = (
    ("Could not resolve hostname", "check the name, or name the host in ~/.ssh/config"),
    ("Connection refused", "no sshd answers on that port; give it as ssh://user@host:port"),
    ("timed out", "is the host up, does its security group let this machine in on port 22?"),
    ("No route to host", "is the host up, and is this network the right one?"),
    ("REMOTE HOST IDENTIFICATION", "the host's key is not the known one: find out why; if the "
     "host was replaced, ssh-keygen -R HOST"),
    ("Host key verification failed", "connect once by hand to accept the host's key: ssh HOST"),
    ("Permission denied", "is the user right? give the key as --identity FILE, or load it: "
     "ssh-add FILE"),
    ("UNPROTECTED PRIVATE KEY", "chmod 600 the key"),
)  # fmt: skip


class Broken(CannotRun):
    """The way to the host was lost; `so_far` is what came of the last call before that."""

    def __init__(self, what: str, fix: str, so_far: Gathered) -> None:
        super().__init__(what, fix=fix)
        self.so_far = so_far


class ShellReach:
    """prefix: what is put before `sh -c TEXT`; () for this machine."""

    def __init__(
        self,
        address: str,
        prefix: Sequence[str],
        timeout_s: float = 60.0,
        control: Path | None = None,
    ) -> None:
        self.address = address
        self.trips = 0
        self._prefix = tuple(prefix)
        self._timeout_s = timeout_s
        self._control = control
        self._has_dpkg: bool | None = None

    def ask(self, names: Sequence[str], window_s: float) -> Gathered:
        window = f"{max(0.1, window_s):.1f}"
        parts = [(name, commands.FACTS[name].replace("@window", window)) for name in names]
        found, broke = self._parts(parts, b"", self._timeout_s + window_s)
        answers = {name: body for name, (body, code) in found.items() if body}
        if "dpkg" in names:
            self._has_dpkg = bool(answers.get("dpkg"))
        return self._whole(Gathered(answers=answers), broke)

    def listing(self, paths: Iterable[str], depth: int, limit: int) -> Gathered:
        wanted = tuple(paths)
        if not wanted:
            return Gathered()
        command = commands.LIST.replace("@depth", str(depth))
        found, broke = self._parts([("list", command)], _nul(wanted))
        entries = dict(_entries(found.get("list", (b"", None))[0]))
        unseen: tuple[Unseen, ...] = ()
        if len(entries) > limit:
            unseen = (Unseen(f"more than {limit} files under {', '.join(wanted)}", "cut short"),)
            entries = dict(list(entries.items())[:limit])
        return self._whole(Gathered(entries=entries, unseen=unseen), broke)

    def read(self, patterns: Iterable[str], limit: int) -> Gathered:
        wanted = tuple(patterns)
        exact = [p for p in wanted if not re.search(r"[*?\[]", p)]
        globs = [p for p in wanted if p not in exact]
        paths = _nul(exact)
        command = commands.READ.replace("@kilobytes", str(max(1, limit // 1024)))
        if globs:
            # The shell there widens our own patterns; what they widen to goes on as data.
            all_ = f"{{ printf '%s\\0' {commands.glob_words(globs)}; cat; }}"
            command = f"{all_} | {command}"
        if not wanted:
            return Gathered()
        found, broke = self._parts([("read", command)], paths)
        body = found.get("read", (b"", None))[0]
        files, is_cut = _unpack(body)
        unseen = (
            (Unseen("some files", "the archive of them ended early", "again"),) if is_cut else ()
        )
        return self._whole(Gathered(files, unseen=unseen), broke)

    def tails(self, paths: Iterable[str], limit: int) -> Gathered:
        wanted = tuple(paths)
        if not wanted:
            return Gathered()
        # One part a file: the paths themselves stay data, taken from standard input in turn.
        word = secrets.token_hex(12)
        text = (
            f'xargs -0 -r -n 1 sh -c \'printf "%s begin x\\n" {word}; '
            f'tail -c {int(limit)} -- "$1"; printf "\\n%s end x 0\\n" {word}\' sh 2>/dev/null'
        )
        output, broke = self._run(text, _nul(wanted), self._timeout_s)
        bodies = re.findall(
            rb"^%b begin x\n(.*?)\n%b end x 0\n" % (word.encode(), word.encode()),
            output,
            re.DOTALL | re.MULTILINE,
        )
        files = {path: body for path, body in zip(wanted, bodies, strict=False) if body}
        whole = frozenset(path for path, body in files.items() if len(body) >= limit)
        return self._whole(Gathered(files, whole), broke)

    def owners(self, paths: Iterable[str]) -> Mapping[str, str]:
        wanted = tuple(paths)
        if not wanted:
            return {}
        if self._has_dpkg is False:
            found, _ = self._parts([("rpm", commands.RPM_OWNERS)], _nul(wanted))
            words = found.get("rpm", (b"", None))[0].decode("utf-8", "replace").split("\0")
            pairs = zip(words[::2], words[1::2], strict=False)
            return {path: package for path, package in pairs if "not owned" not in package}
        names = [name for path in wanted for name in other_names(path)]
        found, _ = self._parts([("dpkg", commands.DPKG_OWNERS)], _nul(names))
        known: dict[str, str] = {}
        for line in found.get("dpkg", (b"", None))[0].decode("utf-8", "replace").splitlines():
            package, colon, path = line.partition(": ")
            if colon and not package.startswith(("diversion", "dpkg-query")):
                known[path] = package.split(",")[0].partition(":")[0]
        return {path: known[name] for path in wanted for name in other_names(path) if name in known}

    def close(self) -> None:
        """Ends the shared connection, if one was kept."""
        if self._control is not None:
            with suppress(OSError, subprocess.TimeoutExpired):
                argv = [*self._prefix[:-1], "-O", "exit", self._prefix[-1]]
                subprocess.run(argv, capture_output=True, timeout=5)
            shutil.rmtree(self._control, ignore_errors=True)

    def _parts(
        self, parts: Sequence[tuple[str, str]], data: bytes, timeout_s: float | None = None
    ) -> tuple[dict[str, tuple[bytes, int | None]], Broken | None]:
        word = secrets.token_hex(12)
        text = commands.script(parts, word)
        output, broke = self._run(text, data, timeout_s or self._timeout_s)
        return commands.parts_of(output, word), broke

    def _run(self, text: str, data: bytes, timeout_s: float) -> tuple[bytes, Broken | None]:
        self.trips += 1
        if self._prefix:
            argv = [*self._prefix, f"exec sh -c {shlex.quote(text)}"]
        else:
            argv = ["sh", "-c", text]
        try:
            done = subprocess.run(argv, input=data, capture_output=True, timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            what = f"{self.address} did not answer within {timeout_s:.0f} s"
            return error.stdout or b"", Broken(what, "try again, or give --timeout", Gathered())
        except OSError as error:
            raise CannotRun(
                f"cannot start {argv[0]}: {error.strerror}", fix="install OpenSSH's client"
            ) from error
        if self._prefix and done.returncode == 255:
            words = done.stderr.decode("utf-8", "replace").strip()
            return done.stdout, _refusal(self.address, words)
        return done.stdout, None

    def _whole(self, gathered: Gathered, broke: Broken | None) -> Gathered:
        if broke is not None:
            broke.so_far = gathered
            raise broke
        return gathered


def _refusal(address: str, words: str) -> Broken:
    last = _plain(words.splitlines()[-1] if words else "the connection was closed")
    cure = next((cure for sign, cure in _CURES if sign in words), "try it by hand: ssh HOST true")
    return Broken(f"{address} cannot be reached: {last}", cure, Gathered())


def _plain(text: str) -> str:
    """Without what would move a terminal's cursor."""
    return re.sub(r"[^\x20-\x7e\u00a0-\uffff]", "?", text)[:300]


def _nul(paths: Iterable[str]) -> bytes:
    """Only absolute paths: none can be taken for an option."""
    kept = [path for path in paths if path.startswith("/") and "\0" not in path]
    return b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in kept)


def _entries(data: bytes) -> Iterable[tuple[str, Entry]]:
    words = data.decode("utf-8", "surrogateescape").split("\0")
    for i in range(0, len(words) - 7, 7):
        path, kind, size, modified, mode, owner, link = words[i : i + 7]
        with suppress(ValueError):
            yield (
                path,
                Entry(path, kind, int(size), float(modified), int(mode, 8), owner, link),
            )


def _unpack(data: bytes) -> tuple[dict[str, bytes], bool]:
    """Files of a tar archive, as many as came; whether it ended early."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as archive:
            for member in archive:
                if member.isfile() and (file := archive.extractfile(member)):
                    files["/" + member.name.lstrip("/")] = file.read()
    except (tarfile.TarError, EOFError):
        return files, bool(data)
    return files, False


def local_reach(timeout_s: float = 60.0) -> ShellReach:
    return ShellReach("this machine", (), timeout_s)


def ssh_reach(
    address: str,
    identity: Path | None = None,
    timeout_s: float = 60.0,
    configuration: Path | None = None,
) -> ShellReach:
    """address: ssh://user@host[:port], or a name of ~/.ssh/config (or of `configuration`, which is
    read instead). BadInput if it is neither."""
    parts = urlsplit(address if "://" in address else f"ssh://{address}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    host, user = parts.hostname or "", parts.username or ""
    is_bad = parts.scheme != "ssh" or not _HOST.match(host) or port == -1
    if is_bad or (user and not _NAME.match(user)) or parts.path not in ("", "/"):
        raise BadInput(
            f"{address!r} names no host",
            where="--host",
            fix="write ssh://user@host[:port] or local",
        )
    if parts.password:
        raise BadInput(
            "a password in the address is not used", where="--host", fix="use a key or the agent"
        )
    if identity is not None and not identity.is_file():
        raise BadInput(f"there is no key {identity}", where="--identity")
    options = [
        "-T",
        "-o",
        "BatchMode=yes",
        "-o",
        "ConnectTimeout=10",
        "-o",
        "ServerAliveInterval=5",
    ]
    # One connection for all trips. The socket's path must be short.
    control = tempfile.mkdtemp(prefix="hikkoshi-ssh-")
    options += ["-o", "ControlMaster=auto", "-o", "ControlPersist=30"]
    options += ["-o", f"ControlPath={control}/c"]
    if identity is not None:
        options += ["-i", str(identity), "-o", "IdentitiesOnly=yes"]
    if configuration is not None:
        if not configuration.is_file():
            raise BadInput(f"there is no file {configuration}", where="--ssh-config")
        options += ["-F", str(configuration)]
    if port:
        options += ["-p", str(port)]
    name = f"{user}@{host}" if user else host
    shown = f"ssh://{name}" + (f":{port}" if port else "")
    return ShellReach(shown, ("ssh", *options, name), timeout_s, Path(control))
