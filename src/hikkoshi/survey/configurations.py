"""Files of programs that a survey knows, cron, certificates, packages and libraries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import PurePosixPath

from hikkoshi.model.survey import (
    Certificate,
    Configuration,
    CronJob,
    Library,
    LogFile,
    Mount,
    Package,
)
from hikkoshi.survey import rpm
from hikkoshi.survey.gathered import Gathered, matches
from hikkoshi.survey.supervised import SUPERVISORD

KINDS: Mapping[str, tuple[str, ...]] = {
    "fluentd": (
        "/etc/td-agent/*.conf", "/etc/td-agent/*/*.conf", "/etc/fluent/*.conf",
        "/etc/fluent/*/*.conf", "/etc/fluentd/*.conf",
    ),
    "fluentbit": ("/etc/fluent-bit/*.conf", "/etc/td-agent-bit/*.conf"),
    "rsyslog": ("/etc/rsyslog.conf", "/etc/rsyslog.d/*.conf"),
    "cloudwatch": (
        "/opt/aws/amazon-cloudwatch-agent/etc/*.json",
        "/opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.d/*",
        "/etc/awslogs/*.conf",
    ),
    "nginx": (
        "/etc/nginx/nginx.conf", "/etc/nginx/conf.d/*.conf", "/etc/nginx/sites-enabled/*",
        "/etc/nginx/snippets/*.conf", "/etc/nginx/default.d/*.conf",
    ),
    "apache": (
        "/etc/apache2/apache2.conf", "/etc/apache2/ports.conf", "/etc/apache2/envvars",
        "/etc/apache2/sites-enabled/*", "/etc/apache2/conf-enabled/*.conf",
        "/etc/apache2/mods-enabled/*.load", "/etc/apache2/mods-enabled/*.conf",
        "/etc/httpd/conf/httpd.conf", "/etc/httpd/conf.d/*.conf",
        "/etc/httpd/conf.modules.d/*.conf",
    ),
    "haproxy": (
        "/etc/haproxy/*.cfg", "/etc/haproxy/conf.d/*.cfg", "/etc/haproxy/errors/*.http",
        "/etc/haproxy/*.map", "/etc/haproxy/*.lst", "/etc/haproxy/maps/*",
    ),
    "php-fpm": (
        "/etc/php/*/fpm/php-fpm.conf", "/etc/php/*/fpm/pool.d/*.conf", "/etc/php-fpm.conf",
        "/etc/php-fpm.d/*.conf",
    ),
    "supervisord": SUPERVISORD,
    "uwsgi": ("/etc/uwsgi/*.ini", "/etc/uwsgi/*/*.ini"),
    "logrotate": ("/etc/logrotate.d/*",),
}  # fmt: skip
CRON = (
    "/etc/crontab", "/etc/cron.d/*", "/etc/cron.hourly/*", "/etc/cron.daily/*",
    "/etc/cron.weekly/*", "/etc/cron.monthly/*", "/var/spool/cron/crontabs/*", "/var/spool/cron/*",
)  # fmt: skip
CERTIFICATES = (
    "/etc/letsencrypt/live/*/fullchain.pem", "/etc/nginx/*.crt", "/etc/nginx/*.pem",
    "/etc/nginx/*/*.crt", "/etc/nginx/*/*.pem", "/etc/ssl/*.crt", "/etc/pki/tls/certs/*.crt",
)  # fmt: skip
SYSTEM = ("/etc/os-release", "/usr/lib/os-release", "/etc/fstab", "/etc/passwd", "/etc/hostname")

_CRON_LINE = re.compile(r"^(@\w+|(?:\S+\s+){4}\S+)\s+(.*)$")


def read_configurations(gathered: Gathered) -> tuple[Configuration, ...]:
    return tuple(
        Configuration(path, kind, gathered.text(path), path not in gathered.partial)
        for kind, patterns in KINDS.items()
        for path in gathered.matching(*patterns)
    )


def read_cron(gathered: Gathered, owners: Mapping[str, str]) -> tuple[CronJob, ...]:
    jobs = []
    for path in gathered.matching(*CRON):
        place = PurePosixPath(path)
        if place.name.startswith("."):
            continue
        if place.parent.name.startswith("cron.") and place.parent.name != "cron.d":
            word = "@" + place.parent.name.removeprefix("cron.")
            jobs.append(CronJob(path, word, "root", path, owners.get(path)))
            continue
        has_user = "spool" not in path
        user = "" if has_user else place.name
        jobs += _lines(path, gathered.text(path), user, owners.get(path))
    return (*jobs, *_lines("crontab -l", gathered.answer("crontab"), "(own)", None))


def _lines(where: str, text: str, user: str, package: str | None) -> Iterable[CronJob]:
    for raw in text.splitlines():
        line = raw.strip()
        match = _CRON_LINE.match(line)
        if not match or line.startswith("#") or re.match(r"^\w+\s*=", line):
            continue
        schedule, rest = match.groups()
        name = user
        if not user:
            name, _, rest = rest.partition(" ")
        yield CronJob(where, " ".join(schedule.split()), name, rest.strip(), package)


def read_packages(gathered: Gathered) -> tuple[Package, ...]:
    found = []
    for line in gathered.answer("dpkg").splitlines():
        words = line.split("\t")
        if len(words) == 3 and words[0].startswith("ii"):
            found.append(Package(words[1], words[2]))
    for line in gathered.answer("rpm").splitlines():
        name, tab, version = line.partition("\t")
        if tab:
            found.append(Package(name, version))
    if not found:
        for block in gathered.text("/var/lib/dpkg/status").split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in block.splitlines())
            if fields.get("Status", "").endswith(" installed") and "Package" in fields:
                found.append(Package(fields["Package"], fields.get("Version", "")))
    if not found:
        for path in gathered.matching(*rpm.DATABASES):
            with suppress(ValueError):  # A damaged one is not seen, and the survey says so.
                found += [Package(p.name, p.version) for p in rpm.read_rpm(gathered.files[path])]
    return tuple(sorted(set(found), key=lambda p: p.name))


def read_users(gathered: Gathered) -> tuple[str, ...]:
    lines = gathered.text("/etc/passwd").splitlines()
    return tuple(line.partition(":")[0] for line in lines if line.count(":") >= 6)


def read_certificates(gathered: Gathered) -> tuple[Certificate, ...]:
    from cryptography import x509

    found = []
    for path in gathered.matching(*CERTIFICATES):
        data = gathered.files[path]
        if b"BEGIN CERTIFICATE" not in data:
            continue
        # What is no certificate after all is none.
        with suppress(ValueError, x509.ExtensionNotFound):
            certificate = x509.load_pem_x509_certificate(data)
            names: tuple[str, ...] = ()
            with suppress(x509.ExtensionNotFound):
                kind = x509.SubjectAlternativeName
                alternative = certificate.extensions.get_extension_for_class(kind).value
                names = tuple(alternative.get_values_for_type(x509.DNSName))
            end = certificate.not_valid_after_utc.timestamp()
            found.append(Certificate(path, certificate.subject.rfc4514_string(), names, end))
    return tuple(found)


def read_mounts(gathered: Gathered) -> tuple[Mount, ...]:
    text = gathered.answer("mounts") or gathered.text("/etc/fstab")
    found = []
    for line in text.splitlines():
        words = line.split()
        is_disk = len(words) > 2 and (
            words[0].startswith(("/dev/", "UUID=", "LABEL=", "fs-")) or words[2].startswith("nfs")
        )
        if is_disk and not words[0].startswith("/dev/loop"):
            found.append(Mount(words[1], words[0], words[2]))
    return tuple(dict.fromkeys(found))


def read_swap_mib(gathered: Gathered) -> int:
    lines = gathered.answer("swaps").splitlines()[1:]
    return sum(int(w[2]) // 1024 for line in lines if len(w := line.split()) > 2 and w[2].isdigit())


def read_log_files(gathered: Gathered, named: Iterable[str]) -> tuple[LogFile, ...]:
    """Under /var/log, and those that a unit or a log agent names."""
    wanted = set(named)
    found = [
        LogFile(entry.path, entry.size, entry.modified)
        for entry in gathered.entries.values()
        if entry.kind == "f"
        and (entry.path.startswith("/var/log/") or entry.path in wanted)
        and not entry.path.startswith("/var/log/journal/")
    ]
    return tuple(sorted(found, key=lambda log: log.path))


def read_libraries(gathered: Gathered, owners: Mapping[str, str]) -> tuple[Library, ...]:
    """Python distributions (`NAME-VERSION.dist-info`) that no package of the system owns."""
    found = []
    for entry in gathered.entries.values():
        name = PurePosixPath(entry.path).name
        if entry.kind != "d" or not name.endswith(".dist-info") or entry.path in owners:
            continue
        if "/dist-packages/" in entry.path and entry.path.startswith("/usr/lib/python3/"):
            continue
        distribution, _, version = name.removesuffix(".dist-info").partition("-")
        found.append(Library(distribution.replace("_", "-"), version, entry.path))
    return tuple(sorted(found, key=lambda library: library.name.lower()))


def tailed_paths(configurations: Iterable[Configuration]) -> tuple[str, ...]:
    """Paths that a log agent follows; a pattern is kept as one."""
    found: list[str] = []
    for configuration in configurations:
        if configuration.kind == "fluentd":
            for value in re.findall(r"^\s*path\s+(/\S+)", configuration.text, re.MULTILINE):
                found += value.split(",")
        elif configuration.kind == "rsyslog":
            found += re.findall(r'[Ff]ile\s*=\s*"(/[^"]+)"', configuration.text)
        elif configuration.kind == "fluentbit":
            found += re.findall(r"^\s*Path\s+(/\S+)", configuration.text, re.MULTILINE)
        elif configuration.kind == "cloudwatch":
            found += re.findall(r'"file_path"\s*:\s*"(/[^"]+)"', configuration.text)
            found += re.findall(r"^file\s*=\s*(/\S+)", configuration.text, re.MULTILINE)
        elif configuration.kind in ("nginx", "apache"):
            found += re.findall(r"\baccess_log\s+(/[^\s;]+)", configuration.text)
            found += re.findall(r"\bCustomLog\s+\"?(/[^\s\"]+)", configuration.text)
    return tuple(dict.fromkeys(found))


def is_named(path: str, patterns: Iterable[str]) -> bool:
    return any(path == pattern or matches(path, pattern) for pattern in patterns)
