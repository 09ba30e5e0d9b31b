"""The units that are applications, where their files lie, and what of those is data or secret."""

from __future__ import annotations

import ast
import io
import json
import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from hikkoshi.model.survey import Application, DataPlace, Unit
from hikkoshi.survey.gathered import Entry, Gathered
from hikkoshi.survey.programs import is_interpreter
from hikkoshi.survey.systemd import expand

# Units that come with a distribution or a cloud image and that no container needs.
_OF_THE_SYSTEM = re.compile(
    r"^(?:systemd-|getty|serial-getty|console-|container-getty|autovt|user@|user-runtime-dir|dbus|"
    r"ssh|sshd|rescue|emergency|debug-shell|quotaon|initrd|modprobe|kmod|dracut|grub|cron|crond|"
    r"atd|anacron|apt-|dpkg-|man-db|e2scrub|fstrim|logrotate|rsync|unattended-|networking|network|"
    r"ifup|NetworkManager|nm-|wpa_|dhcp|chrony|ntp|ntpsec|timesyncd|polkit|udisks|accounts-|"
    r"cloud-|amazon-ssm|ec2-|snapd?\.|snap\.|lvm2|dm-|mdadm|mdmon|mdcheck|multipath|iscsi|open-|"
    r"irqbalance|acpid|auditd|apparmor|selinux|firewalld|ufw|nftables|iptables|fail2ban|"
    r"packagekit|plymouth|keyboard-setup|console-setup|hwclock|rc-local|rc\.|halt|reboot|poweroff|"
    r"nss-|gssproxy|rpc|nfs-|sssd|update-|motd|pam_|blk-|ldconfig|paxctld|psacct|sysstat|"
    r"x11-common|procps|udev|uuidd|rng|haveged|hibinit|libstoragemgmt|libvirt|refresh-policy|"
    r"nis-|import-state|loadmodules|selinux-|systemd|syslog|resolvconf|ldap|"
    r"docker|containerd|sudo|screen-|tmp\.|mount|proc-|sys-|dev-|factory-reset|capsule|"
    r"postgresql\.service)"
)
# What stands beside an application and is moved in its own way, or stays behind.
MIDDLEWARE: Mapping[str, str] = {
    "td-agent": "fluentd", "fluentd": "fluentd", "fluent-bit": "fluentbit",
    "td-agent-bit": "fluentbit", "rsyslog": "rsyslog", "awslogsd": "cloudwatch",
    "amazon-cloudwatch-agent": "cloudwatch", "xray": "xray", "aws-xray-daemon": "xray",
    "aws-otel-collector": "otel", "otelcol": "otel", "datadog-agent": "datadog",
    "datadog-agent-trace": "datadog-traces", "codedeploy-agent": "deploy", "newrelic-infra":
    "newrelic", "filebeat": "filebeat", "zabbix-agent": "zabbix", "mackerel-agent": "mackerel",
}  # fmt: skip
_ROOTS = ("/opt/", "/srv/", "/home/", "/var/www/", "/app/", "/data/", "/usr/local/", "/var/lib/")
_SECRET_FILE = re.compile(
    r"(?i)^(?:\.env(?:\..+)?|.+\.(?:pem|key|p12|pfx|jks|keystore)|id_(?:rsa|ed25519|ecdsa|dsa)|"
    r"\.netrc|\.pgpass|\.npmrc|\.pypirc|\.htpasswd|credentials(?:\.\w+)?|secrets?\.\w+|"
    r"master\.key|service-account.*\.json)$"
)
_NEEDLESS = re.compile(
    r"/(?:\.git|\.svn|\.hg|__pycache__|\.pytest_cache|\.mypy_cache)(?:/|$)|\.pyc$"
)
_DATA_NAME = re.compile(
    r"(?i)^(?:uploads?|sessions?|storage|media|attachments?|data|tmp|cache|spool|public_uploads|"
    r"user_?files|files)$"
)
_DATABASE = re.compile(r"(?i)\.(?:db|sqlite3?|db3|rdb|aof|mdb)(?:-wal|-shm|-journal)?$")
_PATH_IN_CODE = re.compile(
    r"[\"'`^(](/(?:[\w.-]+/)*(?:health\w*|healthz?|livez?|readyz?|ready|alive|ping|status|up|"
    r"heartbeat|_health|monitor))(?=[\"'`$?)])"
)
_DAY_S = 86400.0
_MOST_FILE = 128 << 20
_MOST_TOTAL = 600 << 20


def is_candidate(unit: Unit) -> bool:
    """A service that could be the application. is_active None: not known."""
    name = unit.name.removesuffix(".service")
    return (
        unit.name.endswith(".service")
        and bool(unit.commands)
        and not _OF_THE_SYSTEM.match(unit.name)
        and name not in MIDDLEWARE
        and (unit.is_enabled or unit.is_active is True)
    )


def command_of(unit: Unit) -> tuple[str, ...]:
    return expand(unit.commands[0], unit.environment) if unit.commands else ()


def files_named(unit: Unit) -> tuple[str, ...]:
    """Absolute paths on the command line, and relative ones from the working directory."""
    found = []
    for word in command_of(unit):
        value = word.partition("=")[2] if word.startswith("-") else word
        if value.startswith("/"):
            found.append(value)
        elif "." in value and unit.working_directory and not value.startswith("-"):
            found.append(f"{unit.working_directory}/{value}")
    return tuple(dict.fromkeys(found))


def configuration_patterns(unit: Unit, package: str | None) -> tuple[str, ...]:
    """Where the configuration of a packaged program lies, by the names that it goes by."""
    name = unit.name.removesuffix(".service").partition("@")[0]
    program = PurePosixPath(command_of(unit)[0]).name if command_of(unit) else name
    names = {name, program, *([package] if package else [])}
    names |= {n.removesuffix("-server").rstrip("0123456789") for n in names}
    return tuple(
        f"/etc/{name}{rest}"
        for name in sorted(n for n in names if n and not is_interpreter(n) and "*" not in n)
        for rest in (".conf", "/*.conf", "/*.ini", "/*.cfg", "/*.yml", "/*.yaml", "/*.xml",
                     "/*.d/*.conf", "/conf-enabled/*", "/sites-enabled/*")
    )  # fmt: skip


def root_of(unit: Unit) -> str:
    """The directory that is the application's own; "" if it has none."""
    place = unit.working_directory.rstrip("/")
    if place and f"{place}/".startswith(_ROOTS) and place.count("/") >= 2:
        return place
    named = [p for p in files_named(unit) if p.startswith(_ROOTS) and not is_interpreter(p)]
    for path in named:
        parent = PurePosixPath(path).parent
        if parent.name in ("bin", "sbin") and str(parent) not in ("/usr/local/bin",
                                                                  "/usr/local/sbin"):  # fmt: skip
            parent = parent.parent
        if len(parent.parts) > 2 and not str(parent).startswith("/usr/local"):
            return str(parent)
    return ""


def choose_files(
    unit: Unit, root: str, entries: Mapping[str, Entry], data: Sequence[DataPlace]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """What to keep of the application's files, and what is left out, with the reason."""
    kept: list[str] = []
    left_out: dict[str, str] = {}
    total = 0
    lost = [place.path for place in data]
    inside = (e for e in entries.values() if root and e.path.startswith(f"{root}/"))
    # An interpreter is of the image, not of the application.
    outside = (
        p
        for p in files_named(unit)
        if not (root and p.startswith(f"{root}/")) and not is_interpreter(p)
    )
    named = (e for p in outside if p in entries for e in _with_target(entries, p))
    for entry in (*sorted(inside, key=lambda e: e.path), *named):
        name = PurePosixPath(entry.path).name
        if entry.kind not in "fl" or _NEEDLESS.search(entry.path):
            continue
        if _SECRET_FILE.match(name):
            left_out[entry.path] = "it looks like a secret"
        elif any(entry.path == p or entry.path.startswith(f"{p}/") for p in lost):
            continue
        elif name.endswith((".log", ".pid", ".sock", ".swp")):
            left_out[entry.path] = "it is written while the service runs"
        elif entry.size > _MOST_FILE or total + entry.size > _MOST_TOTAL:
            left_out[entry.path] = f"it is large: {entry.size >> 20} MiB"
        else:
            kept.append(entry.path)
            total += entry.size
    return tuple(kept), left_out


def _with_target(entries: Mapping[str, Entry], path: str) -> Iterable[Entry]:
    """A program that is a link (redis-server is) needs what it leads to."""
    entry = entries[path]
    yield entry
    if entry.kind == "l":
        place = PurePosixPath(path).parent / entry.link
        if str(place) in entries and entries[str(place)].kind == "f":
            yield entries[str(place)]


def find_data(
    roots: Iterable[str], entries: Mapping[str, Entry], written: Iterable[str], now: float
) -> tuple[DataPlace, ...]:
    """Directories and database files under `roots` that are written to by the running service:
    named as such, open for writing, or changed well after most of what lies there was laid."""
    open_ = set(written)
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for root in dict.fromkeys(roots):
        inside = [e for e in entries.values() if e.path.startswith(f"{root}/") and e.kind == "f"]
        times = sorted(e.modified for e in inside)
        laid = times[len(times) // 2] if times else 0.0
        for entry in inside:
            relative = PurePosixPath(entry.path).relative_to(root)
            named = [i for i, part in enumerate(relative.parts[:-1]) if _DATA_NAME.match(part)]
            is_late = entry.modified > laid + _DAY_S
            if entry.path.endswith((".log", ".pid", ".pyc")) or _NEEDLESS.search(entry.path):
                continue
            if _DATABASE.search(entry.path):
                groups[entry.path.removesuffix("-wal").removesuffix("-shm"), "database"].append(
                    entry
                )
            elif named and (is_late or entry.path in open_):
                top = relative.parts[: named[0] + 1]
                groups[f"{root}/{'/'.join(top)}", _kind(top[-1])].append(entry)
            elif entry.path in open_:
                groups[entry.path, "written file"].append(entry)
    return tuple(
        DataPlace(
            path, kind, len(found), sum(e.size for e in found), max(e.modified for e in found),
            sum(now - e.modified < 7 * _DAY_S for e in found), found[0].owner,
        )
        for (path, kind), found in sorted(groups.items())
    )  # fmt: skip


def _kind(name: str) -> str:
    lower = name.lower()
    if lower.startswith("session"):
        return "sessions"
    return "cache" if lower in ("tmp", "cache", "spool") else "uploads"


def describe_application(
    unit: Unit, root: str, kept: tuple[str, ...], left_out: Mapping[str, str], gathered: Gathered
) -> Application:
    """gathered.files: of those that were kept, as many as were read."""
    sources = dict(_sources(kept, gathered))
    own = {PurePosixPath(name).stem for name in sources} | {
        part for name in sources for part in PurePosixPath(name).parts[:-1]
    }
    imports = {m for text in sources.values() for m in _imports(text)}
    paths = {p for text in sources.values() for p in _PATH_IN_CODE.findall(text)}
    schemas = [p for p in kept if p.endswith(".sql") and p in gathered.files]
    third = sorted(m for m in imports if m not in own and m not in sys.stdlib_module_names)
    return Application(
        unit.name,
        root,
        kept,
        dict(left_out),
        tuple(sorted(schemas, key=_schema_order)),
        tuple(third),
        tuple(sorted(paths)),
    )


def installed_elsewhere(root: str, kept: Iterable[str], gathered: Gathered) -> dict[str, str]:
    """Directories outside `root` to which an editable install (`pip install -e`) of its virtual
    environment leads, with the reason why they are not here. Source: PEP 610, direct_url.json."""
    found = {}
    for path in kept:
        if not path.endswith(".dist-info/direct_url.json") or path not in gathered.files:
            continue
        with suppress(ValueError, TypeError, AttributeError):
            said = json.loads(gathered.text(path))
            target = str(said["url"]).removeprefix("file://") if "url" in said else ""
            if said.get("dir_info", {}).get("editable") is True and target.startswith("/"):
                name = PurePosixPath(path).parent.name.partition("-")[0]
                if not root or not f"{target}/".startswith(f"{root}/"):
                    found[target] = (
                        f"{name} is installed from there (pip install -e), outside the "
                        "application's directory: install it in the image"
                    )
    return found


def _schema_order(path: str) -> tuple[bool, bool, str]:
    name = PurePosixPath(path).name.lower()
    return ("seed" in name or "fixture" in name or "data" in name, "schema" not in name, path)


def _sources(kept: Iterable[str], gathered: Gathered) -> Iterable[tuple[str, str]]:
    for path in kept:
        data = gathered.files.get(path, b"")
        if "site-packages" in path or "/node_modules/" in path:
            continue
        if path.endswith((".py", ".rb", ".js", ".php", ".ts")):
            yield path, data.decode("utf-8", "replace")
        elif b"PK\x03\x04" in data[:300]:
            yield from _sources_in_zip(data)


def _sources_in_zip(data: bytes) -> Iterable[tuple[str, str]]:
    wrong = (zipfile.BadZipFile, ValueError, OSError, RuntimeError, NotImplementedError)
    with suppress(*wrong), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist()[:2000]:
            if info.filename.endswith(".py") and info.file_size < 1 << 20:
                yield info.filename, archive.read(info).decode("utf-8", "replace")


def _imports(text: str) -> set[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
